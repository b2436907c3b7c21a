"""What must hold after any simulated run, in one place. What must hold at every moment is asserted in the simulator:

nothing is sent after its deadline, or for a caller who is gone, or beyond a worker's credit (SimMaster), and a device
is never given more than all its masters' credit together (SimWorker).
"""

import math

from mindspore_serving.cluster.errors import Code, Failure
from tests.cluster.sim_worker import BAD, BAD_FAILURE, FACTORS, METHODS, POISON, value_of
from tests.cluster.simulator import Caller, World


def check(world: World) -> None:
    """Raises AssertionError with the run's story when an invariant is broken."""
    try:
        _check_quiet(world)
        for caller in world.callers.values():
            _check_caller(world, caller)
        for master in world.masters:
            _check_master(master.dispatcher)
        for worker in world.workers:
            credit_out = set(worker.purse._open.values())
            assert min(credit_out) >= 0, "a purse has got back more than it gave"
            assert worker.hung or credit_out == {0}, "a purse has not got back what it gave"
        _check_runs(world)
    except AssertionError as broken:
        raise AssertionError(f"{broken}\n" + told(world)) from None


def told(world: World) -> str:
    """The end of the run's story."""
    return "\n".join(world.story[-200:])


def _check_quiet(world: World) -> None:
    assert world.healed_at < math.inf, "the cluster has not healed"
    news = world.story[world.lines_when_healed :]
    assert not news, f"the cluster was healed, and then: {news[0]}"


def _check_master(dispatcher: object) -> None:
    requests = dispatcher._requests  # type: ignore[attr-defined]
    assert len(requests) == 0, "a request is still open when everything has healed"
    assert requests.nbytes == 0, "bytes are still counted as waiting"
    for route, lane in dispatcher._board.lanes.items():  # type: ignore[attr-defined]
        assert lane.batcher.next() is None, "something still waits"
        for replica in route.replicas.values():
            assert not replica.open, "a batch is still open"
            assert replica.credit_is_kept, "a worker still waits for its credit"
        assert abs(lane._sum_free_at - sum(lane._free_at.values())) < 1e-3, "the replicas' work is counted wrongly"


def _check_runs(world: World) -> None:
    once = {method.name for method in METHODS if not method.idempotent}
    for (method, value), times in world.runs.items():
        assert method not in once or value in (BAD, POISON) or times == 1, (
            f"{method} ran {times} times for {value}: it may only once"
        )


def _check_caller(world: World, caller: Caller) -> None:
    if caller.cancelled:
        assert not caller.answers, "a cancelled request was answered"
        return
    assert len(caller.answers) == 1, f"a request was answered {len(caller.answers)} times"
    (results,) = caller.answers
    if isinstance(results, Failure):
        _check_failure(world, caller, results)
        return
    assert len(results) == len(caller.values), "an answer has the wrong number of results"
    for value, result in zip(caller.values, results, strict=True):
        if not isinstance(result, Failure):
            assert value_of(result[0]) == value * FACTORS[caller.method], "a result belongs to another instance"
        elif value != BAD or result != BAD_FAILURE:
            _check_instance_failure(world, caller, value, result)


def _check_instance_failure(world: World, caller: Caller, value: int, failure: Failure) -> None:
    limits = world.plan.limits
    if failure.code is Code.DEADLY:
        # An innocent instance may only be given up when that many workers were lost by other causes.
        innocent_ones_may = world.faults >= limits.max_attempts
        assert value == POISON or innocent_ones_may, f"value {value} was given up"
    else:
        at_most_once = caller.method == "once" and failure.code is Code.WORKER_UNAVAILABLE
        assert at_most_once and (world.faults or world.deaths), f"value {value} failed: {failure.text}"


def _check_failure(world: World, caller: Caller, failure: Failure) -> None:
    match failure.code:
        case Code.DEADLINE_PASSED | Code.WOULD_BE_LATE:
            assert caller.deadline is not None, "a request without a deadline ran out of time"
        case Code.TOO_MANY_REQUESTS:
            most = world.plan.limits.max_enqueued_requests
            assert len(world.callers) > most, "a queue with room was said to be full"
        case Code.QUARANTINED:
            losses = world.faults + world.deaths
            assert losses >= world.plan.limits.quarantine_deaths, "a method was shut off without deaths"
        case Code.WORKER_UNAVAILABLE:
            assert caller.method == "once" and world.faults, "a call that may be repeated was not"
        case _:
            assert "servable is not available" in failure.text, failure.text
            assert failure.code in (Code.INVALID_INPUTS, Code.SERVABLE_UNAVAILABLE)
