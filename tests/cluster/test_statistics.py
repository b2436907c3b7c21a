"""The counters: what they count, and their sums."""

from mindspore_serving.cluster.batcher import Cut
from mindspore_serving.cluster.statistics import Duration, Statistics


def test_a_request_counts_once_with_its_time_in_the_queue_and_after() -> None:
    statistics = Statistics()
    counters = statistics.of("s", 1, "m")
    counters.request_answered(ok=True, arrived_at=10.0, sent_at=11.0, now=14.0)
    counters.request_answered(ok=False, arrived_at=10.0, sent_at=None, now=12.0)  # never sent: its deadline passed
    assert (counters.succeeded, counters.failed) == (Duration(1, 4.0), Duration(1, 2.0))
    assert (counters.queued, counters.computed) == (Duration(1, 1.0), Duration(1, 3.0))


def test_a_batch_counts_its_instances_and_its_size() -> None:
    counters = Statistics().of("s", 1, "m")
    counters.batch_done(size=4, succeeded=3, cut=Cut.FULL, sent_at=1.0, now=1.5)
    counters.batch_done(size=4, succeeded=4, cut=Cut.FULL, sent_at=2.0, now=2.25)
    assert (counters.inferences, counters.executions, counters.last_execution_at) == (7, 2, 2.25)
    assert counters.batches == {4: Duration(2, 0.75)}
    assert counters.cuts == {**dict.fromkeys(Cut, 0), Cut.FULL: 2}


def test_a_total_adds_methods_and_is_a_copy() -> None:
    statistics = Statistics()
    statistics.of("s", 1, "a").batch_done(2, 2, Cut.IDLE, 1.0, 2.0)
    statistics.of("s", 1, "b").batch_done(2, 1, Cut.IDLE, 1.0, 3.0)
    statistics.of("s", 2, "a").batch_done(2, 2, Cut.AHEAD, 1.0, 9.0)
    total = statistics.total("s", 1, ("a", "b", "unknown"))
    assert (total.inferences, total.executions, total.last_execution_at) == (3, 2, 3.0)
    assert total.batches == {2: Duration(2, 3.0)}
    assert total.cuts == {**dict.fromkeys(Cut, 0), Cut.IDLE: 2}
    total.batch_done(2, 2, Cut.IDLE, 0.0, 1.0)
    again = statistics.total("s", 1, ("a", "b"))
    assert (again.executions, again.cuts[Cut.IDLE]) == (2, 2)
    assert statistics.total("s", 1, ()).last_execution_at is None
