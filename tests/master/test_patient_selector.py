"""What the event loop waits by: it tells the same as any selector, whether it looks or sleeps."""

import selectors
import socket
from collections.abc import Iterator

import pytest

from mindspore_serving.cluster.patience import Patience
from mindspore_serving.master.patient_selector import ExactSelector, PatientSelector

Pair = tuple[socket.socket, socket.socket]
WAIT_SECONDS = 60.0


class Chosen(Patience):
    """Looks always, or never. The peer sends after the third look in vain, or just before the sleep."""

    def __init__(self, looks: bool, peer: socket.socket | None = None) -> None:
        super().__init__()
        self._looks = looks
        self._peer = peer
        self.looked = self.found = 0

    def begins(self, now: float) -> bool:
        super().begins(now)
        if self._peer is not None and not self._looks:
            self._peer.send(b"x")
        return self._looks

    def goes_on(self, now: float) -> bool:
        self.looked += 1
        if self._peer is not None and self.looked == 3:
            self._peer.send(b"x")
        return self.looked < 1000

    def ends(self, now: float) -> None:
        self.found += 1


@pytest.fixture(params=[True, False], ids=["looking", "sleeping"])
def looks(request: pytest.FixtureRequest) -> bool:
    found: bool = request.param
    return found


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, peer = socket.socketpair()
    with ours, peer:
        yield ours, peer


def test_what_is_ready_is_told_without_a_wait(looks: bool, pair: Pair) -> None:
    ours, peer = pair
    patience = Chosen(looks)
    with PatientSelector(patience) as selector:
        key = selector.register(ours, selectors.EVENT_READ)
        peer.send(b"x")
        assert selector.select(WAIT_SECONDS) == [(key, selectors.EVENT_READ)]
        assert selector.select(0) == [(key, selectors.EVENT_READ)]
    assert (patience.looked, patience.found) == (0, 0)


def test_what_comes_during_a_wait_is_told_and_learned_from(looks: bool, pair: Pair) -> None:
    ours, peer = pair
    patience = Chosen(looks, peer)
    with PatientSelector(patience) as selector:
        key = selector.register(ours, selectors.EVENT_READ)
        assert selector.select(None) == [(key, selectors.EVENT_READ)]
    assert (patience.looked, patience.found) == (3 if looks else 0, 1)


def test_a_timer_is_not_missed_and_nothing_is_learned_from_it(looks: bool) -> None:
    patience = Chosen(looks)
    with PatientSelector(patience) as selector:
        for seconds in (0.0, 0.002, -1.0):
            assert selector.select(seconds) == []
    assert patience.found == 0


def test_a_short_sleep_is_not_rounded_up(monkeypatch: pytest.MonkeyPatch, pair: Pair) -> None:
    """What select(2) is asked is what was asked for; what is ready is told by epoll in either case."""
    asked: list[float] = []
    ours, peer = pair

    def slept(read: list[object], write: list[object], other: list[object], seconds: float) -> None:
        assert (len(read), write, other) == (1, [], [])
        asked.append(seconds)
        peer.send(b"x")

    monkeypatch.setattr("mindspore_serving.master.patient_selector.select.select", slept)
    with ExactSelector() as selector:
        key = selector.register(ours, selectors.EVENT_READ)
        assert selector.select(0.0003) == [(key, selectors.EVENT_READ)]
        assert selector.select(0) == [(key, selectors.EVENT_READ)]
        assert selector.select(WAIT_SECONDS) == [(key, selectors.EVENT_READ)]
    assert asked == [0.0003]
