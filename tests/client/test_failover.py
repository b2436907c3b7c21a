"""A Client whose masters refuse, die, come back or feel ill: what its caller sees. Masters are real gRPC servers."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import grpc
import numpy as np
import pytest

from mindspore_serving.client import Client, PendingResult
from mindspore_serving.proto import ms_service_pb2 as pb
from tests.client.fake_master import NOT_SERVING, SERVING, Failing, FakeMaster, echo, fake_master
from tests.processes import until

Ask = Callable[[Client], Any]
BOTH_CALLS = pytest.mark.parametrize(
    "ask", [lambda c: c.infer({"x": 5}), lambda c: c.infer_async({"x": 5}).result(60)], ids=["infer", "infer_async"]
)


@pytest.fixture
def master() -> Iterator[FakeMaster]:
    with fake_master() as master:
        yield master


@pytest.fixture(params=["ip addresses", "names", "unix and ip"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[FakeMaster, FakeMaster, str]]:
    """Two masters, and the address text of both, in each form that is handled differently."""
    with ExitStack() as stack:
        first = stack.enter_context(
            fake_master(f"unix:{tmp_path}/s" if "unix" in request.param else "127.0.0.1:0", True)
        )
        second = stack.enter_context(fake_master(with_health=True))
        address = f"{first.address},{second.address}"
        yield first, second, address.replace("127.0.0.1", "localhost") if request.param == "names" else address


def is_answer(result: Any) -> bool:
    return isinstance(result, list)


@BOTH_CALLS
@pytest.mark.parametrize("code, times", [(grpc.StatusCode.UNAVAILABLE, 6), (grpc.StatusCode.CANCELLED, 2)])
def test_a_call_is_sent_again_more_often_than_grpc_would(
    master: FakeMaster, ask: Ask, code: grpc.StatusCode, times: int
) -> None:
    master.answer = Failing(times, code)
    with Client(master.address, "s", "m", timeout=60) as client:
        assert is_answer(ask(client))
    assert len(master.requests) == times + 1


@BOTH_CALLS
def test_a_call_that_may_not_be_repeated_is_sent_once(master: FakeMaster, ask: Ask) -> None:
    master.answer = Failing(1)
    with Client(master.address, "s", "m", retry=False) as client:
        assert ask(client) == {"error": "Grpc Error, (14, 'unavailable'), not now"}
    assert len(master.requests) == 1


@BOTH_CALLS
def test_a_server_that_sends_callers_away_is_obeyed(master: FakeMaster, ask: Ask) -> None:
    master.answer = Failing(1, pushback="-1")
    with Client(master.address, "s", "m") as client:
        assert ask(client) == {"error": "Grpc Error, (14, 'unavailable'), not now"}
    assert len(master.requests) == 1


@BOTH_CALLS
def test_a_deadline_may_be_as_far_away_as_one_likes(master: FakeMaster, ask: Ask) -> None:
    with Client(master.address, "s", "m", timeout=sys.maxsize) as client:
        assert is_answer(ask(client))


@BOTH_CALLS
def test_an_outage_within_the_deadline_is_not_seen(master: FakeMaster, ask: Ask) -> None:
    with Client(master.address, "s", "m", timeout=60) as client:
        assert is_answer(ask(client))
        master.die()
        comes_back = threading.Timer(1.2, master.start)  # longer than gRPC's own five attempts
        comes_back.start()
        assert is_answer(ask(client))
        comes_back.join()


@pytest.mark.parametrize("size", [1_000, 300_000, 8_000_000])
def test_a_call_torn_off_in_the_middle_is_sent_again(master: FakeMaster, size: int) -> None:
    arrived, go_on = threading.Event(), threading.Event()

    def answer(request: pb.PredictRequest, context: grpc.ServicerContext) -> pb.PredictReply:
        if not go_on.is_set():
            arrived.set()
            go_on.wait(60)
        return echo(request, context)

    master.answer = answer
    with Client(master.address, "s", "m", timeout=60) as client:
        pending = client.infer_async({"x": np.zeros(size, np.uint8)})
        assert arrived.wait(60)
        master.server.stop(None)
        go_on.set()
        master.die()
        master.start()
        result = pending.result(60)
    assert isinstance(result, list)
    assert result[0]["x"].size == size


def test_two_masters_share_the_calls(pair: tuple[FakeMaster, FakeMaster, str]) -> None:
    first, second, address = pair
    with Client(address, "s", "m") as client:

        def both_asked() -> bool:
            assert is_answer(client.infer({"x": 5}))
            return bool(first.requests and second.requests)

        until(both_asked, "a call for each master")
        asked = len(first.requests), len(second.requests)
        for _ in range(40):
            client.infer({"x": 5})
    assert (len(first.requests) - asked[0], len(second.requests) - asked[1]) == (20, 20)


def test_when_one_of_two_masters_dies_and_returns_no_caller_sees_it(pair: tuple[FakeMaster, FakeMaster, str]) -> None:
    first, second, address = pair
    results: list[Any] = []
    stop = threading.Event()
    with Client(address, "s", "m", timeout=60) as client:

        def ask() -> None:
            while not stop.is_set():
                results.append(client.infer({"x": 5}))

        def more(master: FakeMaster) -> None:
            count = len(master.requests)
            until(lambda: len(master.requests) > count + 20, "more calls")

        askers = [threading.Thread(target=ask) for _ in range(4)]
        for asker in askers:
            asker.start()
        more(first)
        for dying, living in ((first, second), (second, first)):
            dying.die()
            more(living)
            dying.start()
            more(dying)
        stop.set()
        for asker in askers:
            asker.join()
    assert all(map(is_answer, results))


def test_an_absent_first_address_costs_no_time(master: FakeMaster) -> None:
    with Client(f"unix:/nowhere,{master.address}", "s", "m") as client:
        assert is_answer(client.infer({"x": 5}))
        assert is_answer(client.infer({"x": 5}))


def test_a_master_that_does_not_feel_well_gets_no_calls(pair: tuple[FakeMaster, FakeMaster, str]) -> None:
    first, second, address = pair
    with Client(address, "s", "m", timeout=60) as client:

        def asked(master: FakeMaster) -> bool:
            count = len(master.requests)
            for _ in range(4):
                assert is_answer(client.infer({"x": 5}))
            return len(master.requests) > count

        until(lambda: asked(first) and asked(second), "both are asked")
        first.health.set(NOT_SERVING)
        until(lambda: not asked(first), "the ill one is left alone")
        first.health.set(SERVING)
        until(lambda: asked(first), "the healed one is asked again")


def test_masters_without_a_health_service_are_called() -> None:
    with (
        fake_master() as first,
        fake_master() as second,
        Client(f"{first.address},{second.address}", "s", "m") as client,
    ):
        until(lambda: client.infer({"x": 5}) and first.requests and second.requests, "both are asked")


@BOTH_CALLS
def test_a_master_whose_workers_come_back_later_is_waited_for(master: FakeMaster, ask: Ask) -> None:
    forgotten = pb.ErrorMsg(error_code=2, error_msg=b"Request servable(s) method(m) , servable is not available")
    with Client(master.address, "s", "m", timeout=60) as client:
        assert is_answer(ask(client))
        replies = iter([pb.PredictReply(error_msg=[forgotten])] * 3)
        master.answer = lambda request, context: next(replies, None) or echo(request, context)
        assert is_answer(ask(client))


def test_a_stream_keeps_order_and_window_and_is_cancelled_when_left(master: FakeMaster) -> None:
    def numbers() -> Iterator[dict[str, int]]:
        for number in range(1_000_000):
            read.append(number)
            yield {"x": number}

    read: list[int] = []
    with Client(master.address, "s", "m") as client:
        for expected, result in enumerate(client.stream(numbers(), window=8)):
            assert isinstance(result, list)
            assert result[0]["x"] == expected
            assert len(read) <= expected + 8
            if expected == 100:
                break


def test_ctrl_c_cancels_all_calls_of_a_stream(master: FakeMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    both_are_here, forgotten, finish = threading.Barrier(3), threading.Semaphore(0), threading.Event()

    def answer(request: pb.PredictRequest, context: grpc.ServicerContext) -> pb.PredictReply:
        context.add_callback(forgotten.release)
        both_are_here.wait(60)
        finish.wait(20)
        return echo(request, context)

    def interrupted(*_: Any) -> NoReturn:  # no signal: it may come to the tests' own process too early or too late
        both_are_here.wait(60)
        raise KeyboardInterrupt

    master.answer = answer
    monkeypatch.setattr(PendingResult, "result", interrupted)
    with Client(master.address, "s", "m") as client:
        with pytest.raises(KeyboardInterrupt):
            list(client.stream([{"x": 1}, {"x": 2}]))
        assert all(forgotten.acquire(timeout=8) for _ in range(2))
    finish.set()


def test_a_stream_hands_out_what_came_before_a_fault(master: FakeMaster) -> None:
    results: list[Any] = []
    with Client(master.address, "s", "m") as client:
        stream = client.stream([{"x": 1}, {"x": 2}, {"x": None}, {"x": 4}])
        with pytest.raises(RuntimeError, match="Not support value type"):
            results.extend(stream)
        with pytest.raises(RuntimeError, match="Parameter 'window' should be int"):
            client.stream([], window=2.0)  # type: ignore[arg-type]
    assert len(results) == 2


def test_a_stream_survives_its_master(master: FakeMaster) -> None:
    def numbers() -> Iterator[dict[str, int]]:
        for number in range(60):
            if number == 30:
                master.die()
                threading.Timer(0.3, master.start).start()
            yield {"x": number}

    with Client(master.address, "s", "m", timeout=60) as client:
        results: list[Any] = list(client.stream(numbers(), window=8))
    assert [result[0]["x"] for result in results] == list(range(60))


def test_closing_ends_what_waits_for_another_attempt() -> None:
    with fake_master() as master:
        master.answer = Failing(1_000_000)
        client = Client(master.address, "s", "m", timeout=600)
        pending = [client.infer_async({"x": 5}) for _ in range(8)]
        until(lambda: len(master.requests) > 40, "all are tried again")
        results: list[Any] = []
        blocked = threading.Thread(target=lambda: results.append(client.infer({"x": 5})))
        blocked.start()
        until(lambda: len(master.requests) > 60, "more attempts")
        client.close()
        blocked.join(60)
        results += [one.result(60) for one in pending]
    assert len(results) == 9
    assert all("Grpc Error, (1" in result["error"] or "not now" in result["error"] for result in results)


def test_a_pending_call_is_cancelled_between_its_attempts(master: FakeMaster) -> None:
    master.answer = Failing(1_000_000)
    with Client(master.address, "s", "m", timeout=600) as client:
        pending: PendingResult = client.infer_async({"x": 5})
        until(lambda: len(master.requests) > 6, "gRPC's own attempts are over")
        assert pending.cancel()
        assert pending.done()
        assert not pending.cancel()
        assert pending.result() == {"error": "Grpc Error, (1, 'cancelled'), the call was cancelled"}
        count = len(master.requests)
        with pytest.raises(RuntimeError, match="Parameter 'timeout' should be a number of seconds"):
            client.infer({"x": 5}, timeout=True)
    assert len(master.requests) <= count + 1
