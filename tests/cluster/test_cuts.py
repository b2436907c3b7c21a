"""Why a batch was no larger: each reason is counted where it holds."""

import pytest

from mindspore_serving.cluster import batcher
from mindspore_serving.cluster.batcher import Cut
from mindspore_serving.cluster.dispatch_events import PeerUnreachable
from tests.cluster.test_dispatcher import Master


def cuts(master: Master) -> dict[str, int]:
    """The reasons that were counted so far."""
    counters = master.dispatcher.statistics.total("s", 1, ("echo", "other"))
    assert sum(counters.cuts.values()) == counters.executions
    return {cut.value: count for cut, count in counters.cuts.items() if count}


def run_all(master: Master, worker: str) -> list[int]:
    """Answers every batch; their sizes, in order."""
    sizes = []
    while batches := master.batches(worker):
        for batch in batches:
            sizes.append(batch.count)
            master.done(worker, batch)
    return sizes


@pytest.fixture
def master() -> Master:
    master = Master()
    master.join("a")
    return master


def test_what_finds_an_idle_replica_is_no_larger_because_of_that(master: Master) -> None:
    master.ask(1)
    assert run_all(master, "a") == [1] and cuts(master) == {"idle": 1}


def test_what_stands_behind_a_running_batch_is_ahead(master: Master) -> None:
    master.ask(1)
    master.ask(2)
    assert run_all(master, "a") == [1, 1] and cuts(master) == {"idle": 1, "ahead": 1}


def test_a_batch_of_the_methods_size_is_full(master: Master) -> None:
    master.ask(*range(9))
    assert run_all(master, "a") == [4, 4, 1] and cuts(master) == {"full": 2, "ahead": 1}


def test_a_batch_that_would_grow_too_large_is_cut_by_bytes(master: Master, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher, "MAX_BATCH_BYTES", 20)  # two numbers of eight bytes
    master.ask(1, 2, 3)
    assert run_all(master, "a") == [2, 1] and cuts(master) == {"bytes": 1, "ahead": 1}


def test_an_instance_whose_worker_died_is_counted_as_alone(master: Master) -> None:
    master.ask(1)
    master.join("b")
    master.feed(PeerUnreachable("a"))
    assert run_all(master, "b") == [1] and cuts(master) == {"alone": 1}


def test_a_batch_that_is_shortened_to_be_in_time_is_cut_by_its_deadline() -> None:
    """On a device that takes a second for each instance, two of three fit into the 2.4 s that are left to all."""
    master = Master(default_timeout_seconds=4.4)  # the default refuses nothing at arrival
    master.join("a")
    for size in (1, 2, 3, 4):
        master.ask(*range(size))
        (batch,) = master.batches("a")
        master.now += size
        master.done("a", batch)
    for _ in range(2):
        master.ask(0, deadline=master.now + 100)
    for _ in range(3):
        master.ask(1)
    for batch in master.batches("a"):
        master.now += 1
        master.done("a", batch)
    assert run_all(master, "a") == [2, 1]
    assert cuts(master)["deadline"] == 1


def test_every_reason_has_a_word_of_its_own() -> None:
    assert len({cut.value for cut in Cut}) == len(Cut) == 6
