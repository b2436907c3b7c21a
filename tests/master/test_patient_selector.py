"""What the event loop waits by: it tells the same as any selector, whether it looks or sleeps."""

import os
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial

import pytest

from mindspore_serving.cluster.patience import Patience
from mindspore_serving.master.outlook import Outlook
from mindspore_serving.master.patient_selector import ExactSelector, PatientSelector

Pair = tuple[socket.socket, socket.socket]
WAIT_SECONDS = 60.0


def taught(looks: bool) -> Patience:
    """That of who has found soon what it waited for, or has seen nothing yet."""
    patience = Patience(WAIT_SECONDS)
    for _ in range(20 if looks else 0):
        patience.begins(0.0)
        patience.ends(0.0)
    assert patience.begins(0.0) is looks
    return patience


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
    patience = taught(looks)
    before = patience.forecast_seconds
    with closing(PatientSelector(patience, Outlook())) as selector:
        key = selector.register(ours, selectors.EVENT_READ)
        peer.send(b"x")
        assert selector.select(WAIT_SECONDS) == [(key, selectors.EVENT_READ)]
        assert selector.select(0) == [(key, selectors.EVENT_READ)]
    assert patience.forecast_seconds == before


def test_what_comes_during_a_wait_is_told_and_learned_from(
    looks: bool, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer sends after the third look in vain, or while the selector sleeps."""
    ours, peer = pair
    offered = 0

    def offer() -> None:
        nonlocal offered
        offered += 1
        if offered == 3:
            peer.send(b"x")

    monkeypatch.setattr(os, "sched_yield", offer)
    patience = taught(looks)
    before = patience.forecast_seconds
    with closing(PatientSelector(patience, Outlook())) as selector:
        key = selector.register(ours, selectors.EVENT_READ)
        sender = threading.Timer(0.01, peer.send, (b"x",))
        if not looks:
            sender.start()
        assert selector.select(None) == [(key, selectors.EVENT_READ)]
        if not looks:
            sender.join()
    assert offered == (3 if looks else 0)
    assert patience.forecast_seconds != before


def test_a_timer_is_not_missed_and_nothing_is_learned_from_it(looks: bool) -> None:
    patience = taught(looks)
    before = patience.forecast_seconds
    with closing(PatientSelector(patience, Outlook())) as selector:
        for seconds in (0.0, 0.002, -1.0):
            assert selector.select(seconds) == []
    assert patience.forecast_seconds >= before  # more: the core was taken from it meanwhile


def test_it_sleeps_as_long_as_no_answer_is_to_be_expected(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The peer sends after the first look, which comes shortly before that moment."""
    looked_at: list[float] = []
    ours, peer = pair

    def offer() -> None:
        looked_at.append(time.monotonic())
        peer.send(b"x")

    monkeypatch.setattr(os, "sched_yield", offer)
    outlook = Outlook()
    with closing(PatientSelector(taught(looks=True), outlook)) as selector:
        key = selector.register(ours, selectors.EVENT_READ)
        outlook.quiet_until = time.monotonic() + 0.05
        assert selector.select(None) == [(key, selectors.EVENT_READ)]
    (moment,) = looked_at
    assert moment >= outlook.quiet_until - 0.001


def test_what_comes_nevertheless_ends_the_sleep(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, peer = pair
    monkeypatch.setattr(os, "sched_yield", lambda: pytest.fail("it looked"))
    patience, outlook = taught(looks=True), Outlook()
    outlook.quiet_until = time.monotonic() + WAIT_SECONDS
    before = patience.forecast_seconds
    with closing(PatientSelector(patience, outlook)) as selector:
        key = selector.register(ours, selectors.EVENT_READ)
        sender = threading.Timer(0.01, peer.send, (b"x",))
        sender.start()
        assert selector.select(None) == [(key, selectors.EVENT_READ)]
        sender.join()
        assert selector.select(0.002) == [(key, selectors.EVENT_READ)]
        ours.recv(1)
        assert selector.select(0.002) == []
    assert patience.forecast_seconds != before


def test_a_short_sleep_is_not_rounded_up(monkeypatch: pytest.MonkeyPatch, pair: Pair) -> None:
    """What select(2) is asked is what was asked for; what is ready is told by epoll in either case."""
    asked: list[float] = []
    ours, peer = pair

    def slept(read: list[object], write: list[object], other: list[object], seconds: float) -> None:
        assert (len(read), write, other) == (1, [], [])
        asked.append(seconds)
        peer.send(b"x")

    monkeypatch.setattr("mindspore_serving.master.patient_selector.select.select", slept)
    with closing(ExactSelector()) as selector:
        key = selector.register(ours, selectors.EVENT_READ)
        assert selector.select(0.0003) == [(key, selectors.EVENT_READ)]
        assert selector.select(0) == [(key, selectors.EVENT_READ)]
        assert selector.select(WAIT_SECONDS) == [(key, selectors.EVENT_READ)]
    assert asked == [0.0003]


@pytest.fixture(params=[True, False], ids=["patient", "exact"])
def selector(request: pytest.FixtureRequest) -> Iterator[ExactSelector]:
    with closing(PatientSelector(taught(looks=True), Outlook()) if request.param else ExactSelector()) as found:
        yield found


def test_who_is_watched_is_called_and_not_told(selector: ExactSelector, pair: Pair) -> None:
    ours, peer = pair
    heard: list[bytes] = []
    assert not selector.watch_reading(ours.fileno(), lambda: heard.append(ours.recv(9)))
    assert selector.select(0) == []
    for word in (b"a", b"b"):
        peer.send(word)
        assert selector.select(WAIT_SECONDS) == []
    assert heard == [b"a", b"b"]
    assert selector.watch_reading(ours.fileno(), None)
    assert not selector.watch_reading(ours.fileno(), None)
    peer.send(b"c")
    assert selector.select(0) == []
    assert heard == [b"a", b"b"]


def test_a_reader_and_a_writer_of_one_socket_are_called_each_for_its_own(selector: ExactSelector, pair: Pair) -> None:
    ours, peer = pair
    called: list[str] = []
    selector.watch_reading(ours.fileno(), lambda: called.append("read"))
    assert not selector.watch_writing(ours.fileno(), lambda: called.append("written"))
    selector.select(WAIT_SECONDS)
    assert called == ["written"]
    peer.send(b"x")
    selector.select(WAIT_SECONDS)
    assert called == ["written", "read", "written"]
    assert selector.watch_writing(ours.fileno(), None)
    selector.select(WAIT_SECONDS)
    assert called == ["written", "read", "written", "read"]
    selector.watch_reading(ours.fileno(), lambda: called.append("by another"))
    selector.select(WAIT_SECONDS)
    assert called[4:] == ["by another"]


def test_a_peer_that_is_gone_is_told_to_whoever_is_there(selector: ExactSelector, pair: Pair) -> None:
    ours, peer = pair
    called: list[str] = []
    while True:
        try:
            ours.send(bytes(1 << 16), socket.MSG_DONTWAIT)
        except BlockingIOError:
            break
    selector.watch_writing(ours.fileno(), lambda: called.append("writer"))
    assert selector.select(0) == []
    peer.close()
    selector.select(WAIT_SECONDS)
    assert called == ["writer"]


def test_who_leaves_in_anothers_turn_is_not_called_in_it(selector: ExactSelector, pair: Pair) -> None:
    called: list[socket.socket] = []

    def take_all(mine: socket.socket) -> None:
        called.append(mine)
        for each in pair:
            selector.watch_reading(each.fileno(), None)
            selector.watch_writing(each.fileno(), None)
            each.close()

    for each in pair:
        each.send(b"x")
        selector.watch_reading(each.fileno(), partial(take_all, each))
        selector.watch_writing(each.fileno(), partial(take_all, each))
    selector.select(WAIT_SECONDS)
    assert len(called) == 1


def test_a_fault_of_one_is_told_and_the_others_are_called(selector: ExactSelector, pair: Pair) -> None:
    faults: list[str] = []
    called: list[str] = []
    selector.on_fault = lambda error: faults.append(str(error))

    def fail() -> None:
        raise ValueError("not in the mood")

    for each in pair:
        selector.watch_reading(each.fileno(), fail)
        selector.watch_writing(each.fileno(), lambda: called.append("writer"))
        each.send(b"x")
    selector.select(WAIT_SECONDS)
    assert (faults, called) == (["not in the mood"] * 2, ["writer"] * 2)
    selector.watch_reading(pair[0].fileno(), None)

    def leave() -> None:
        raise KeyboardInterrupt

    selector.watch_reading(pair[1].fileno(), leave)
    with pytest.raises(KeyboardInterrupt):
        selector.select(WAIT_SECONDS)


def test_descriptors_of_asyncio_are_told_beside_those_that_are_watched(selector: ExactSelector, pair: Pair) -> None:
    ours, peer = pair
    called: list[str] = []
    key = selector.register(peer, selectors.EVENT_READ, "theirs")
    assert (selector.get_key(peer), dict(selector.get_map())) == (key, {peer.fileno(): key})
    selector.watch_reading(ours.fileno(), lambda: called.append("ours"))
    ours.send(b"x")
    peer.send(b"x")
    assert selector.select(WAIT_SECONDS) == [(key, selectors.EVENT_READ)]
    assert called == ["ours"]
    key = selector.modify(peer, selectors.EVENT_WRITE, "theirs")
    assert selector.select(WAIT_SECONDS) == [(key, selectors.EVENT_WRITE)]
    selector.unregister(peer)
    assert selector.select(0) == []
