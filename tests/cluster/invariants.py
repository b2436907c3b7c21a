"""What must hold after any simulated run, in one place."""

from mindspore_serving.cluster.errors import Code, Failure
from tests.cluster.simulator import BAD, BAD_FAILURE, FACTORS, POISON, Caller, World, value_of


def check(world: World) -> None:
    """Raises AssertionError with the run's story when an invariant is broken."""
    try:
        for caller in world.callers.values():
            _check_caller(world, caller)
        assert world.dispatcher.open_requests == 0, "a request is still open when everything has healed"
        assert world.dispatcher._enqueued_bytes == 0, "bytes are still counted as waiting"
    except AssertionError as broken:
        raise AssertionError(f"{broken}\n" + "\n".join(world.story[-200:])) from None


def _check_caller(world: World, caller: Caller) -> None:
    if caller.cancelled:
        assert not caller.answers, "a cancelled request was answered"
        return
    assert len(caller.answers) == 1, f"a request was answered {len(caller.answers)} times"
    (results,) = caller.answers
    if isinstance(results, Failure):
        _check_whole_failure(caller, results)
        return
    assert len(results) == len(caller.values), "an answer has the wrong number of results"
    for value, result in zip(caller.values, results, strict=True):
        if isinstance(result, Failure):
            deadly = "the worker died" in result.text
            # An innocent instance may only be given up when that many workers were lost by other causes.
            assert (value == BAD and result == BAD_FAILURE) or (
                deadly and (value == POISON or world.faults >= world.plan.limits.max_attempts)
            ), f"value {value} failed: {result.text}"
        else:
            assert value_of(result[0]) == value * FACTORS[caller.method], "a result belongs to another instance"


def _check_whole_failure(caller: Caller, failure: Failure) -> None:
    if "the deadline passed" in failure.text:
        assert caller.has_deadline, "a request without a deadline ran out of time"
    else:
        assert "servable is not available" in failure.text, failure.text
        assert failure.code in (Code.INVALID_INPUTS, Code.SERVABLE_UNAVAILABLE)
