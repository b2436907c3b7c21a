"""Calls whose right answers are known. Each instance has a token of its own that its answer must hold."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

SERVABLE = "checked"
METHOD = "answer"
KILOBYTE = 1 << 10
MEGABYTE = 1 << 20
LARGEST_BYTES = 8 * MEGABYTE
DWELL_SECONDS = 1.0
POISONED_EXIT_CODE = 77
DOOMED = "doomed"  # the servable's folder with a file for each process that an order costs its life, by pid
# Most payloads are small, as those of real callers are; the large ones are most of the bytes.
_SIZES = ((0.80, KILOBYTE, 64 * KILOBYTE), (0.18, 64 * KILOBYTE, MEGABYTE), (0.02, MEGABYTE, LARGEST_BYTES))
_BLOCK_SEED = 1
_DEATH_WORDS = ("died", "crash", "killed")


class Order(IntEnum):
    """What an instance makes the worker do before it answers."""

    ANSWER = 0
    DIE = 1
    DIE_ONCE = 2
    DWELL = 3
    HANG_ONCE = 4


class Patience(Enum):
    """What the caller does when the answer does not come at once."""

    PATIENT = "patient"
    SHORT_DEADLINE = "short deadline"
    CANCELS = "cancels"


class Outcome(Enum):
    """What became of a call."""

    RIGHT = "right"
    WRONG = "wrong"
    LOST = "lost"
    EXPIRED = "expired"  # its deadline was short, and passed
    REFUSED = "refused"  # its deadline was short, and the master said at once that it could not be met
    CANCELLED = "cancelled"  # by its caller
    ISOLATED = "isolated"  # a deadly instance got an error that names the death; its neighbours were answered


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of the calls, 0 to 1."""

    short_deadlines: float = 0.05
    cancels: float = 0.05
    several_instances: float = 0.3


@dataclass(frozen=True, slots=True)
class CheckedCall:
    """One call. The deadline is seconds from its start."""

    tokens: tuple[int, ...]
    orders: tuple[Order, ...]
    bytes_each: int
    patience: Patience
    deadline_seconds: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an answer is worth. foreign: instances that were answered with another instance's token."""

    outcome: Outcome
    text: str = ""
    foreign: int = 0


class CallMaker:
    """Calls from a seed. `caller` makes its tokens different from those of all others."""

    def __init__(self, seed: int, caller: int, mix: Mix, deadline_seconds: float) -> None:
        self._chance = random.Random(f"{seed} {caller}")
        self._next_token = caller << 40
        self._mix = mix
        self._deadline_seconds = deadline_seconds

    def next_call(self) -> CheckedCall:
        """An ordinary call."""
        chance, mix = self._chance, self._mix
        low, high = chance.choices([size[1:] for size in _SIZES], [size[0] for size in _SIZES])[0]
        size = int(low * (high / low) ** chance.random())
        count = chance.randint(2, 8) if chance.random() < mix.several_instances else 1
        kind = chance.random()
        patience, deadline = Patience.PATIENT, self._deadline_seconds
        if kind < mix.short_deadlines:
            patience, deadline = Patience.SHORT_DEADLINE, chance.uniform(0.02, 0.5)
        elif kind < mix.short_deadlines + mix.cancels:
            patience = Patience.CANCELS
        return CheckedCall(self._tokens(count), (Order.ANSWER,) * count, size // count, patience, deadline)

    def call_with(self, order: Order) -> CheckedCall:
        """A call of four instances; the third one has this order."""
        orders = (Order.ANSWER, Order.ANSWER, order, Order.ANSWER)
        return CheckedCall(self._tokens(4), orders, KILOBYTE, Patience.PATIENT, self._deadline_seconds)

    def seconds_until_cancelled(self) -> float:
        """How long the next caller that cancels waits before."""
        return self._chance.uniform(0.0, 0.01)

    def _tokens(self, count: int) -> tuple[int, ...]:
        first, self._next_token = self._next_token, self._next_token + count
        return tuple(range(first, first + count))


class Payloads:
    """Bytes for each token: cut out of one block, at a place that the token decides."""

    def __init__(self) -> None:
        self._block = np.random.default_rng(_BLOCK_SEED).integers(0, 256, 2 * LARGEST_BYTES, dtype=np.uint8)

    def instances(self, call: CheckedCall) -> list[dict[str, Any]]:
        """What the client sends."""
        return [
            {"token": np.int64(token), "order": np.int64(order), "payload": self._payload(token, call.bytes_each)}
            for token, order in zip(call.tokens, call.orders, strict=True)
        ]

    def judge(self, call: CheckedCall, results: Sequence[Mapping[str, Any]]) -> Judgement:
        """Compares an answer with the right one."""
        if len(results) != len(call.tokens):
            return Judgement(Outcome.WRONG, f"{len(results)} results for {len(call.tokens)} instances")
        foreign = 0
        isolated = False
        for token, order, result in zip(call.tokens, call.orders, results, strict=True):
            error = result.get("error")
            if order is Order.DIE:
                if error is None or not any(word in error for word in _DEATH_WORDS):
                    return Judgement(Outcome.WRONG, f"a deadly instance should get an error that says so, got: {error}")
                isolated = True
            elif error is not None:
                return Judgement(Outcome.LOST, str(error))
            elif int(result["token"]) != token:
                foreign += 1
            elif not np.array_equal(result["payload"], answer_to(token, self._payload(token, call.bytes_each))):
                return Judgement(Outcome.WRONG, f"the payload of token {token} is not the right one")
        if foreign:
            return Judgement(Outcome.WRONG, f"{foreign} instances have the answer of another one", foreign)
        return Judgement(Outcome.ISOLATED if isolated else Outcome.RIGHT)

    def _payload(self, token: int, size: int) -> npt.NDArray[np.uint8]:
        start = token * 7919 % (len(self._block) - size)
        return self._block[start : start + size]


def answer_to(token: int, payload: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The right answer to a payload."""
    return payload + np.uint8(token % 251)
