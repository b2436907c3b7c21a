"""When the front desk hands requests in: together where several come at once, at once where somebody is alone."""

import asyncio
import math
from collections.abc import Coroutine

import pytest

from mindspore_serving.cluster.dispatch_events import Answer, Limits
from mindspore_serving.cluster.messages import BatchDone, FromMaster, MethodSpec, Register, RunBatch
from mindspore_serving.cluster.tensors import Stacked
from mindspore_serving.master.front_desk import FrontDesk
from mindspore_serving.master.outlook import Outlook

METHOD = MethodSpec("echo", ("x",), ("y",), 8)
X = (Stacked("|u1", (1, 1), b"x"),)


class Desk:
    """A front desk with one worker, which answers when it is told to."""

    def __init__(self) -> None:
        self.sent: list[FromMaster] = []
        self.outlook = Outlook()
        self.desk = FrontDesk(Limits(), self._send, outlook=self.outlook)
        self.desk.receive("w", Register(1, "s", 1, (METHOD,), "CPU:0", "here", 1))
        self.route, self.method = self.desk.resolve("s", 0, "echo")

    def _send(self, _worker_id: str, message: FromMaster) -> bool:
        self.sent.append(message)
        return True

    @property
    def batches(self) -> list[RunBatch]:
        return [message for message in self.sent if isinstance(message, RunBatch)]

    def ask(self) -> "asyncio.Future[Answer]":
        promise = self.desk.submit(0, self.route, self.method, 1, X, 1, None, lambda answer: answer)
        return promise.future(asyncio.get_running_loop())

    def answer(self, device_seconds: float | None = None) -> None:
        batch = self.batches[-1]
        self.desk.receive("w", BatchDone(batch.batch_id, batch.columns, {}, device_seconds))


def run(scenario: Coroutine[None, None, None]) -> None:
    asyncio.run(scenario)


def test_an_idle_master_has_drained_in_no_time() -> None:
    async def scenario() -> None:
        desk = Desk()
        assert await desk.desk.drain(0.0)
        desk.desk.close()

    run(scenario())


def test_whoever_calls_alone_again_does_not_wait_for_a_turn_of_the_loop() -> None:
    async def scenario() -> None:
        desk = Desk()
        for number in range(3):
            call = desk.ask()
            assert len(desk.batches) == (number if number == 0 else number + 1)
            await asyncio.sleep(0)
            assert len(desk.batches) == number + 1
            desk.answer()
            await call
        desk.desk.close()

    run(scenario())


def test_calls_of_one_turn_make_one_batch_and_so_do_the_next() -> None:
    async def scenario() -> None:
        desk = Desk()
        for number in range(3):
            calls = [desk.ask() for _ in range(4)]
            assert len(desk.batches) == number
            await asyncio.sleep(0)
            assert [batch.count for batch in desk.batches] == [4] * (number + 1)
            desk.answer()
            await asyncio.gather(*calls)
        desk.desk.close()

    run(scenario())


def test_answers_are_not_looked_for_before_they_can_come_while_several_wait() -> None:
    async def scenario() -> None:
        desk = Desk()
        for _ in range(4):  # it learns how long a batch takes
            call = desk.ask()
            await asyncio.sleep(0)
            desk.answer(device_seconds=100.0)
            await call
        assert desk.outlook.quiet_until == -math.inf
        alone = desk.ask()
        assert desk.outlook.quiet_until == -math.inf
        other = desk.ask()
        await asyncio.sleep(0)
        now = asyncio.get_running_loop().time()
        assert desk.outlook.quiet_until == pytest.approx(now + 100.0, abs=10.0)
        desk.answer(device_seconds=100.0)
        await alone
        assert desk.outlook.quiet_until == -math.inf
        other.cancel()
        desk.desk.close()

    run(scenario())
