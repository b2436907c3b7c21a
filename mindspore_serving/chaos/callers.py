"""`python -m mindspore_serving.chaos.callers`: threads that call at a given rate and compare each answer.

It is told what to do by lines on standard input: the settings first, then orders for single calls. At the line END it
finishes its calls and ends; when standard input ends without it, nobody wants to know any more, and it ends at once. It
writes each call's record as a line of JSON.
"""

import json
import os
import random
import sys
import threading
import time
from dataclasses import asdict, dataclass, field

from mindspore_serving.chaos.checked_calls import (
    METHOD,
    SERVABLE,
    CallMaker,
    CheckedCall,
    Judgement,
    Mix,
    Order,
    Outcome,
    Patience,
    Payloads,
)
from mindspore_serving.chaos.verdict import CallRecord
from mindspore_serving.client import Client

_DEADLINE_PASSED = ("Grpc Error, (4,", "the deadline passed")
_TOO_BUSY = "too busy to be in time"
_NOBODY_ANSWERED = "Grpc Error, (14,"
_LAST_ATTEMPT_SECONDS = 0.1  # before its deadline: a Client makes none after that (docs/client.md)
END = "END"
_MOST_BEHIND_SECONDS = 1.0  # a caller that is later than that does not catch up


@dataclass(frozen=True, slots=True)
class CallersSettings:
    """first_caller: the number of the first thread, unlike those of other processes. rate: calls/s of a thread."""

    address: str
    seed: int
    first_caller: int
    threads: int
    rate: float
    deadline_seconds: float
    mix: Mix = field(default_factory=Mix)

    def as_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> "CallersSettings":
        """What as_json wrote."""
        fields = json.loads(line)
        return cls(**{**fields, "mix": Mix(**fields["mix"])})


class Callers:
    """The threads of this process, which share a Client. The last caller's number is for the calls made by order."""

    def __init__(self, settings: CallersSettings) -> None:
        self._settings = settings
        self._client = Client(settings.address, SERVABLE, METHOD)
        self._payloads = Payloads()
        self._stop = threading.Event()
        self._output = threading.Lock()
        numbers = range(settings.first_caller, settings.first_caller + settings.threads)
        self._threads = [threading.Thread(target=self._call_on, args=(number,)) for number in numbers]
        self._by_order = self._maker(numbers.stop)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def call_with(self, order: Order) -> None:
        """Makes one call with this order beside the others."""
        thread = threading.Thread(target=self._make, args=(self._by_order.call_with(order), 0.0))
        thread.start()
        self._threads.append(thread)

    def end(self) -> None:
        """Returns when the calls that have begun are finished."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._client.close()

    def _maker(self, number: int) -> CallMaker:
        settings = self._settings
        return CallMaker(settings.seed, number, settings.mix, settings.deadline_seconds)

    def _call_on(self, number: int) -> None:
        maker = self._maker(number)
        chance = random.Random(number)
        due = time.monotonic() + chance.random() / self._settings.rate
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            self._make(maker.next_call(), maker.seconds_until_cancelled())
            due = max(due, time.monotonic() - _MOST_BEHIND_SECONDS)
            due += chance.uniform(0.5, 1.5) / self._settings.rate

    def _make(self, call: CheckedCall, cancel_seconds: float) -> None:
        started_at = time.monotonic()
        judgement = self._ask(call, cancel_seconds)
        ended_at = time.monotonic()
        outcome = judgement.outcome
        if outcome is Outcome.LOST and call.patience is Patience.SHORT_DEADLINE:
            outcome = without_an_answer(judgement.text, started_at + call.deadline_seconds - ended_at)
        record = CallRecord(
            started_at=started_at,
            ended_at=ended_at,
            outcome=outcome,
            patience=call.patience,
            order=max(call.orders),
            instances=len(call.tokens),
            nbytes=len(call.tokens) * call.bytes_each,
            foreign=judgement.foreign,
            text=judgement.text,
        )
        with self._output:
            print(record.as_json(), flush=True)

    def _ask(self, call: CheckedCall, cancel_seconds: float) -> Judgement:
        pending = self._client.infer_async(self._payloads.instances(call), timeout=call.deadline_seconds)
        if call.patience is Patience.CANCELS:
            try:
                pending.result(cancel_seconds)
            except TimeoutError:
                if pending.cancel():
                    return Judgement(Outcome.CANCELLED)
        results = pending.result()
        if isinstance(results, list):
            return self._payloads.judge(call, results)
        return Judgement(Outcome.LOST, str(results["error"]))


def without_an_answer(text: str, seconds_left: float) -> Outcome:
    """What has become of a call with a short deadline that got this error, with so many seconds left."""
    if _TOO_BUSY in text:
        return Outcome.REFUSED
    is_out_of_time = _NOBODY_ANSWERED in text and seconds_left <= _LAST_ATTEMPT_SECONDS
    return Outcome.EXPIRED if is_out_of_time or any(words in text for words in _DEADLINE_PASSED) else Outcome.LOST


def main() -> None:
    """Until it is told to end."""
    callers = Callers(CallersSettings.from_json(sys.stdin.readline()))
    callers.start()
    for line in sys.stdin:
        if line.strip() == END:
            callers.end()
            return
        callers.call_with(Order[line.strip()])
    os._exit(1)


if __name__ == "__main__":
    main()
