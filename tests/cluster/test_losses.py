"""What becomes of the work of workers that are lost."""

from mindspore_serving.cluster.dispatch_events import PeerUnreachable
from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.cluster.messages import RunBatch
from mindspore_serving.cluster.tensors import from_column
from tests.cluster.sim_worker import number, value_of
from tests.cluster.test_dispatcher import Master


def values_of(batch: RunBatch) -> list[int]:
    return [value_of(value) for value in from_column(batch.columns[0])]


def test_an_instance_that_is_given_up_stays_so_when_its_request_moves_to_another_version() -> None:
    """Simulator seed 573: it went on killing the workers of two versions in turn, for ever."""
    master = Master()
    master.join("a", version=2)
    master.join("b", version=1)
    request = master.ask(666, 5)
    (both,) = master.batches("a")
    assert both.count == 2
    master.feed(PeerUnreachable("a"))  # version 1 is left: it starts again there, apart
    master.join("c", version=2)
    (alone,) = master.batches("b")
    assert values_of(alone) == [666]
    master.feed(PeerUnreachable("b"))
    master.join("d", version=1)
    (alone,) = master.batches("c")
    assert values_of(alone) == [666]
    master.feed(PeerUnreachable("c"))  # the third death
    (alone,) = master.batches("d")
    assert values_of(alone) == [5]
    master.done("d", alone)
    results = master.answers[request]
    assert isinstance(results, list)
    assert isinstance(results[0], Failure) and results[0].code is Code.DEADLY
    assert results[1] == (number(5),)
    assert master.dispatcher.open_requests == 0
