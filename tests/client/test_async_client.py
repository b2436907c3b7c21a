"""AsyncClient against a real gRPC server: the same results as Client, cancellation, streams, its event loop."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any, cast

import grpc
import numpy as np
import pytest

from mindspore_serving.client import AsyncClient, Client
from mindspore_serving.client.client import Instances
from mindspore_serving.proto import ms_service_pb2 as pb
from tests.client.fake_master import Failing, FakeMaster, echo, fake_master


@pytest.fixture
def master() -> Iterator[FakeMaster]:
    with fake_master() as master:
        yield master


def client(master: FakeMaster, **options: Any) -> AsyncClient:
    return AsyncClient(master.address, "add", "add_common", **options)


def test_it_returns_what_client_returns(master: FakeMaster) -> None:
    instances: list[dict[str, Any]] = [{"x": np.arange(4).reshape(2, 2)}, {"x": "text", "y": b"\xff"}]

    async def ask() -> Any:
        async with client(master) as asking:
            return await asking.infer(instances)

    with Client(master.address, "add", "add_common") as blocking:
        assert str(asyncio.run(ask())) == str(blocking.infer(instances))
    first, second = (request.SerializeToString(deterministic=True) for request in master.requests)
    assert first == second


def test_it_takes_the_arguments_of_both_generations(master: FakeMaster) -> None:
    async def ask(asking: AsyncClient) -> None:
        async with asking:
            await asking.infer({"x": 1})

    asyncio.run(ask(AsyncClient("127.0.0.1", master.port, "s", "m", 3)))
    asyncio.run(ask(AsyncClient(master.address, "s", "m", version_number=3, token="t")))
    assert {request.servable_spec.version_number for request in master.requests} == {3}
    assert master.metadata[-1]["authorization"] == "Bearer t"


@pytest.mark.parametrize("code, times", [(grpc.StatusCode.UNAVAILABLE, 6), (grpc.StatusCode.CANCELLED, 2)])
def test_a_call_is_sent_again_until_it_succeeds(master: FakeMaster, code: grpc.StatusCode, times: int) -> None:
    master.answer = Failing(times, code)

    async def ask() -> Any:
        async with client(master, timeout=30) as asking:
            return await asking.infer({"x": 5})

    assert asyncio.run(ask())[0]["x"] == 5
    assert len(master.requests) == times + 1


def test_a_reply_that_is_no_protobuf_is_an_error(master: FakeMaster) -> None:
    master.answer = lambda *_: b"\xff"

    async def ask() -> Any:
        async with client(master) as asking:
            return await asking.infer({"x": 1})

    with Client(master.address, "add", "add_common") as blocking:
        error = {"error": "Grpc Error, (13, 'internal'), Exception deserializing response!"}
        assert asyncio.run(ask()) == blocking.infer({"x": 1}) == error


def test_a_deadline_is_an_error(master: FakeMaster) -> None:
    go_on = threading.Event()
    master.answer = lambda request, context: (go_on.wait(60), echo(request, context))[1]

    async def ask() -> Any:
        async with client(master, timeout=60) as asking:
            return await asking.infer({"x": 5}, timeout=0.1)

    assert asyncio.run(ask())["error"].startswith("Grpc Error, (4, 'deadline exceeded')")
    go_on.set()


def test_a_cancelled_task_cancels_its_call(master: FakeMaster) -> None:
    arrived, left = threading.Event(), threading.Event()

    def answer(request: pb.PredictRequest, context: grpc.ServicerContext) -> pb.PredictReply:
        context.add_callback(left.set)
        arrived.set()
        left.wait(60)
        return echo(request, context)

    master.answer = answer

    async def ask() -> None:
        async with client(master) as asking:
            task = asyncio.create_task(asking.infer({"x": 5}))
            await asyncio.to_thread(arrived.wait, 60)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(left.wait, 60)

    asyncio.run(ask())


def test_closing_ends_calls_with_an_error(master: FakeMaster) -> None:
    arrived, go_on = threading.Event(), threading.Event()

    def answer(request: pb.PredictRequest, context: grpc.ServicerContext) -> pb.PredictReply:
        arrived.set()
        go_on.wait(60)
        return echo(request, context)

    master.answer = answer

    async def ask() -> Any:
        asking = client(master)
        task = asyncio.create_task(asking.infer({"x": 5}))
        await asyncio.to_thread(arrived.wait, 60)
        await asking.close()
        await asking.close()
        with pytest.raises(RuntimeError, match="this AsyncClient is closed"):
            await asking.infer({"x": 5})
        return await task

    assert asyncio.run(ask()) == {"error": "Grpc Error, (1, 'cancelled'), this Client is closed"}
    go_on.set()


def test_another_event_loop_is_told_to_make_a_client_of_its_own(master: FakeMaster) -> None:
    asking = client(master)

    async def ask() -> Any:
        return await asking.infer({"x": 5})

    asyncio.run(ask())
    with pytest.raises(RuntimeError, match=r"belongs to another event loop: make one in each asyncio.run\(\)"):
        asyncio.run(ask())


async def sources(count: int) -> AsyncIterator[Instances]:
    for number in range(count):
        yield {"x": number}


@pytest.mark.parametrize("is_async", [True, False])
def test_a_stream_keeps_the_order_and_its_window(master: FakeMaster, is_async: bool) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def answer(request: pb.PredictRequest, context: grpc.ServicerContext) -> pb.PredictReply:
        nonlocal now, most
        with lock:
            now += 1
            most = max(now, most)
        reply = echo(request, context)
        with lock:
            now -= 1
        return reply

    master.answer = answer

    async def ask() -> list[Any]:
        async with client(master) as asking:
            source = sources(50) if is_async else cast(Any, ({"x": number} for number in range(50)))
            return [cast(Any, result)[0]["x"] async for result in asking.stream(source, window=4)]

    assert asyncio.run(ask()) == list(range(50))
    assert most <= 4


def test_a_stream_hands_out_a_result_while_its_source_is_slow(master: FakeMaster) -> None:
    async def ask() -> None:
        taken = asyncio.Event()

        async def source() -> AsyncIterator[Instances]:
            yield {"x": 1}
            await taken.wait()
            yield {"x": 2}

        async with client(master) as asking:
            async for _ in asking.stream(source()):
                taken.set()

    asyncio.run(asyncio.wait_for(ask(), 60))


def test_a_stream_raises_what_its_source_raises_after_the_results_before_it(master: FakeMaster) -> None:
    results = []

    async def source() -> AsyncIterator[Instances]:
        yield {"x": 1}
        raise KeyError("source")

    async def ask() -> None:
        async with client(master) as asking:
            async for result in asking.stream(source()):
                results.append(result)

    with pytest.raises(KeyError, match="source"):
        asyncio.run(ask())
    assert len(results) == 1


def test_a_stream_that_is_left_cancels_its_calls(master: FakeMaster) -> None:
    go_on, left = threading.Event(), threading.Semaphore(0)

    def answer(request: pb.PredictRequest, context: grpc.ServicerContext) -> pb.PredictReply:
        if request.instances[0].items["x"].data[0]:
            context.add_callback(left.release)
            go_on.wait(60)
        return echo(request, context)

    master.answer = answer

    async def ask() -> None:
        async with client(master) as asking:
            async with aclosing(cast(Any, asking.stream(sources(9), window=3))) as results:
                async for _ in results:
                    break
            assert len(asyncio.all_tasks()) == 1

    asyncio.run(ask())
    go_on.set()


def test_a_window_is_a_number_of_calls(master: FakeMaster) -> None:
    with pytest.raises(RuntimeError, match="Parameter 'window' should be >= 1"):
        client(master).stream([], window=0)
