"""When a call is tried again, where, and after how long: the rules alone, in made-up time."""

import grpc
import pytest

from mindspore_serving.client.calls import Calls, RpcFailure
from mindspore_serving.client.retries import RetryBudget, RetryRules, Rotation, Waits
from mindspore_serving.proto import ms_service_pb2 as pb

GONE = RpcFailure(grpc.StatusCode.UNAVAILABLE, "Socket closed")
REPLY = pb.PredictReply(instances=[pb.Instance()])
FORGOTTEN = pb.PredictReply(
    error_msg=[pb.ErrorMsg(error_code=2, error_msg=b"Request servable(a) method(m) , servable is not available")]
)


def waits(deadline: float | None = None, *, enabled: bool = True, outage_seconds: float = 10.0) -> Waits:
    return Waits(RetryRules(enabled, outage_seconds), RetryBudget(), deadline)


def retry_times(rules: Waits, chance: float = 0.999) -> list[float]:
    """When a call is made again that always fails at once."""
    now, times = 0.0, []
    while (wait := rules.after_failure(now, chance, 0.0, False)) is not None:
        now += wait
        times.append(round(now, 2))
    return times


def test_waits_double_and_stay_below_half_a_second() -> None:
    times = retry_times(waits(deadline=3.0))
    assert times[:6] == [0.05, 0.15, 0.35, 0.75, 1.25, 1.75]


def test_half_of_each_wait_is_random() -> None:
    assert retry_times(waits(deadline=1.0), chance=0.0)[0] == pytest.approx(0.025, abs=0.01)


def test_the_last_attempt_leaves_a_moment_and_none_follows_the_deadline() -> None:
    assert retry_times(waits(deadline=1.0))[-1] == 0.9


def test_without_a_deadline_an_outage_is_waited_out_for_so_long() -> None:
    assert retry_times(waits(outage_seconds=2.0))[-1] == 1.9


def test_a_call_that_may_not_be_repeated_is_given_up_at_once() -> None:
    assert retry_times(waits(deadline=9.0, enabled=False)) == []


def test_another_channel_is_tried_without_waiting() -> None:
    assert waits(deadline=9.0).after_failure(0.0, 0.5, 0.0, True) == 0.0


def test_what_the_server_asks_for_is_waited_if_the_deadline_allows_it() -> None:
    assert waits(deadline=9.0).after_failure(0.0, 0.5, 2.0, True) == 2.0
    assert waits(deadline=1.0).after_failure(0.0, 0.5, 2.0, True) is None


def test_while_others_succeed_retries_are_a_small_share() -> None:
    budget, now, free = RetryBudget(), 0.0, 0
    for _ in range(100_000):  # every second call fails, 10,000 a second
        now += 0.0001
        free += budget.charge(now) == 0.0
        budget.succeeded()
    assert free <= RetryBudget.AT_START + 0.05 * 100_000 + RetryBudget.PER_SECOND * now


def test_a_retry_over_the_budget_waits_its_turn() -> None:
    budget, seconds = RetryBudget(), []
    for _ in range(int(RetryBudget.AT_START) + 20):
        seconds.append(budget.charge(0.0))
        budget.succeeded()
    assert not any(seconds[: int(RetryBudget.AT_START)])
    assert 0.0 < seconds[-2] < seconds[-1]


def test_when_nobody_gets_through_retries_are_free() -> None:
    budget = RetryBudget()
    assert [budget.charge(0.0) for _ in range(10_000)] == [0.0] * 10_000


def test_channels_take_turns() -> None:
    rotation = Rotation(3)
    assert [rotation.pick(0.0) for _ in range(6)] == [0, 1, 2, 0, 1, 2]


def test_a_channel_that_failed_rests_longer_each_time_and_comes_back_when_it_works() -> None:
    rotation = Rotation(2)
    assert rotation.failed(0, 0.0)
    assert {rotation.pick(0.1) for _ in range(4)} == {1}
    assert {rotation.pick(0.3) for _ in range(4)} == {0, 1}
    rotation.failed(0, 0.3)
    assert {rotation.pick(0.7) for _ in range(4)} == {1}
    rotation.succeeded(0)
    assert {rotation.pick(0.7) for _ in range(4)} == {0, 1}


def test_calls_that_fail_together_count_once() -> None:
    rotation = Rotation(2)
    for _ in range(50):
        rotation.failed(0, 0.0)
    assert {rotation.pick(0.3) for _ in range(4)} == {0, 1}


def test_when_all_rest_all_are_tried() -> None:
    rotation = Rotation(2)
    rotation.failed(0, 0.0)
    assert not rotation.failed(1, 0.0)
    assert {rotation.pick(0.0) for _ in range(4)} == {0, 1}


def test_a_master_that_forgot_a_servable_is_asked_again_only_by_who_has_seen_it_work() -> None:
    calls = Calls(RetryRules(), 1)
    first = calls.begin(5.0, 0.0)
    first.attempt(0.0)
    assert first.ended(FORGOTTEN, 0.0, 0.5) is None
    assert first.result() == {"error": "Request servable(a) method(m) , servable is not available"}
    second = calls.begin(5.0, 0.0)
    second.attempt(0.0)
    assert second.ended(REPLY, 0.0, 0.5) is None
    third = calls.begin(5.0, 0.0)
    third.attempt(0.0)
    assert third.ended(FORGOTTEN, 0.0, 0.5) is not None


def test_a_deadline_tells_what_kept_the_call() -> None:
    call = Calls(RetryRules(), 1).begin(1.0, 0.0)
    call.attempt(0.0)
    assert call.ended(GONE, 0.5, 0.5) is not None
    call.attempt(0.6)
    assert call.ended(RpcFailure(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"), 1.0, 0.5) is None
    text = "Grpc Error, (4, 'deadline exceeded'), Deadline Exceeded; before that: Socket closed"
    assert call.result() == {"error": text}


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.name not in ("UNAVAILABLE", "CANCELLED")])
def test_an_answer_of_the_server_is_final(code: grpc.StatusCode) -> None:
    call = Calls(RetryRules(), 1).begin(None, 0.0)
    call.attempt(0.0)
    assert call.ended(RpcFailure(code, "no"), 0.0, 0.5) is None


def test_a_good_end_without_a_reply_is_an_error() -> None:
    call = Calls(RetryRules(), 1).begin(None, 0.0)
    assert call.ended(None, 0.0, 0.5) is None
    assert call.result() == {"error": "Grpc Error, (13, 'internal'), Exception deserializing response!"}


def test_a_server_can_send_callers_away() -> None:
    call = Calls(RetryRules(), 1).begin(None, 0.0)
    call.attempt(0.0)
    assert call.ended(RpcFailure(grpc.StatusCode.UNAVAILABLE, "full", pushback_seconds=-1.0), 0.0, 0.5) is None
