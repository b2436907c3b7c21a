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
from typing import Any

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

# What the client says when nobody has answered: the call may be made again. grpcio's server cancels calls that arrive
# while it stops (1); a call that its own caller has cancelled never comes to this.
_UNAVAILABLE = ("Grpc Error, (14,", "Grpc Error, (1,", "servable is not available")
_DEADLINE_PASSED = ("Grpc Error, (4,", "the deadline passed")
END = "END"
_PAUSE_SECONDS = 0.05
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
    """The threads of this process. The last caller's number is for the calls that are made by order."""

    def __init__(self, settings: CallersSettings) -> None:
        self._settings = settings
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
        thread = threading.Thread(target=self._call_once, args=(self._by_order.call_with(order),))
        thread.start()
        self._threads.append(thread)

    def end(self) -> None:
        """Returns when the calls that have begun are finished."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _maker(self, number: int) -> CallMaker:
        settings = self._settings
        return CallMaker(settings.seed, number, settings.mix, settings.deadline_seconds)

    def _client(self) -> Client:
        return Client(self._settings.address, SERVABLE, METHOD)

    def _call_once(self, call: CheckedCall) -> None:
        with self._client() as client:
            self._make(client, call, 0.0)

    def _call_on(self, number: int) -> None:
        maker = self._maker(number)
        chance = random.Random(number)
        due = time.monotonic() + chance.random() / self._settings.rate
        with self._client() as client:
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                self._make(client, maker.next_call(), maker.seconds_until_cancelled())
                due = max(due, time.monotonic() - _MOST_BEHIND_SECONDS)
                due += chance.uniform(0.5, 1.5) / self._settings.rate

    def _make(self, client: Client, call: CheckedCall, cancel_seconds: float) -> None:
        instances = self._payloads.instances(call)
        started_at = time.monotonic()
        asked_again = 0
        while True:
            seconds_left = started_at + call.deadline_seconds - time.monotonic()
            judgement = self._ask(client, call, instances, max(0.001, seconds_left), cancel_seconds)
            nobody_answered = judgement.outcome is Outcome.LOST and any(text in judgement.text for text in _UNAVAILABLE)
            if not nobody_answered or seconds_left <= 0:
                break
            asked_again += 1
            time.sleep(_PAUSE_SECONDS)
        self._write(call, judgement, started_at, asked_again)

    def _ask(
        self, client: Client, call: CheckedCall, instances: list[dict[str, Any]], seconds: float, cancel_seconds: float
    ) -> Judgement:
        pending = client.infer_async(instances, timeout=seconds)
        if call.patience is Patience.CANCELS:
            try:
                pending.result(cancel_seconds)
            except TimeoutError:
                if pending.cancel():
                    return Judgement(Outcome.CANCELLED)
        results = pending.result()
        if isinstance(results, list):
            return self._payloads.judge(call, results)
        text = str(results["error"])
        if call.patience is Patience.SHORT_DEADLINE and any(words in text for words in _DEADLINE_PASSED):
            return Judgement(Outcome.EXPIRED)
        return Judgement(Outcome.LOST, text)

    def _write(self, call: CheckedCall, judgement: Judgement, started_at: float, asked_again: int) -> None:
        ended_at = time.monotonic()
        outcome = judgement.outcome
        if outcome is Outcome.LOST and call.patience is Patience.SHORT_DEADLINE:
            late = ended_at - started_at >= call.deadline_seconds
            outcome = Outcome.EXPIRED if late else outcome
        record = CallRecord(
            started_at=started_at,
            ended_at=ended_at,
            outcome=outcome,
            patience=call.patience,
            order=max(call.orders),
            instances=len(call.tokens),
            nbytes=len(call.tokens) * call.bytes_each,
            asked_again=asked_again,
            foreign=judgement.foreign,
            text=judgement.text,
        )
        with self._output:
            print(record.as_json(), flush=True)


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
