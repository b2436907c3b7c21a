"""The pure parts of `mindspore-serving chaos`: schedules, comparisons, verdicts, and what the command refuses."""

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindspore_serving.__main__ import main
from mindspore_serving.chaos.callers import CallersSettings, without_an_answer
from mindspore_serving.chaos.checked_calls import (
    LARGEST_BYTES,
    CallMaker,
    CheckedCall,
    Mix,
    Order,
    Outcome,
    Patience,
    Payloads,
    answer_to,
)
from mindspore_serving.chaos.faults import Fault, PlannedFault, read_faults, schedule
from mindspore_serving.chaos.free_ports import free_ports
from mindspore_serving.chaos.verdict import CallRecord, ClusterRecord, Verdict, judge, percentile
from mindspore_serving.cluster.errors import SetupError

CLUSTER = ClusterRecord(
    masters=1,
    workers=2,
    faults={"kill-worker": 3},
    worker_starts=5,
    master_starts=1,
    batches_moved=4,
    poison_deaths=0,
    noticed_seconds=[0.02, 0.01, 0.03],
    opened_at=[0.75],
    registered_seconds=[0.5],
    troubles=[],
)


def planned(seed: int, kinds: frozenset[Fault] = frozenset(Fault), seconds: float = 100.0) -> list[PlannedFault]:
    return list(schedule(seed, kinds, seconds=seconds, interval_seconds=1.0, replicas=4, lease_seconds=2.0))


def test_a_seed_gives_the_same_schedule_and_another_one_another() -> None:
    assert planned(7) == planned(7) != planned(8)


def test_each_kind_comes_once_before_any_comes_again_even_in_a_short_time() -> None:
    kinds = [plan.fault for plan in planned(3, seconds=0.0)]
    assert sorted(kind.value for kind in kinds) == sorted(kind.value for kind in Fault)
    assert {plan.fault for plan in planned(3)[len(kinds) : 2 * len(kinds)]} == set(Fault)


def test_faults_come_once_an_interval_on_average_and_last_as_their_kind_does() -> None:
    plans = planned(1, seconds=1000.0)
    assert 900 < len(plans) < 1100
    assert all(plan.lasts_seconds < 2.0 for plan in plans if plan.fault is Fault.STOP_WORKER)
    assert all(plan.lasts_seconds > 2.0 for plan in plans if plan.fault is Fault.FREEZE_WORKER)
    assert {plan.target for plan in plans} == set(range(4))


def test_kinds_are_named() -> None:
    assert read_faults("poison,kill-worker") == {Fault.POISON, Fault.KILL_WORKER}
    with pytest.raises(SetupError, match="--faults 'kill' is not one of kill-worker, stop-worker"):
        read_faults("poison,kill")


def calls(count: int, seed: int = 1, caller: int = 1) -> list[CheckedCall]:
    maker = CallMaker(seed, caller, Mix(), deadline_seconds=30.0)
    return [maker.next_call() for _ in range(count)]


def test_calls_are_small_and_large_single_and_several_patient_and_not() -> None:
    made = calls(2000)
    sizes = [len(call.tokens) * call.bytes_each for call in made]
    assert min(sizes) < 2 << 10 and LARGEST_BYTES // 2 < max(sizes) <= LARGEST_BYTES
    assert {call.patience for call in made} == set(Patience)
    assert {len(call.tokens) for call in made} == set(range(1, 9))
    assert made == calls(2000)


def test_no_two_instances_have_the_same_token() -> None:
    tokens = [token for caller in (1, 2) for call in calls(500, caller=caller) for token in call.tokens]
    assert len(set(tokens)) == len(tokens)


PAYLOADS = Payloads()
CALL = CallMaker(1, 1, Mix(), 30.0).call_with(Order.ANSWER)
POISONED = CallMaker(1, 1, Mix(), 30.0).call_with(Order.DIE)


def right_answers(call: CheckedCall) -> list[dict[str, Any]]:
    return [
        {"token": sent["token"], "payload": answer_to(int(sent["token"]), sent["payload"])}
        for sent in PAYLOADS.instances(call)
    ]


def test_the_right_answer_is_right() -> None:
    assert PAYLOADS.judge(CALL, right_answers(CALL)).outcome is Outcome.RIGHT


def test_an_answer_of_another_instance_is_wrong_and_counted() -> None:
    first, second, *rest = right_answers(CALL)
    judgement = PAYLOADS.judge(CALL, [second, first, *rest])
    assert (judgement.outcome, judgement.foreign) == (Outcome.WRONG, 2)


def test_one_changed_byte_is_wrong() -> None:
    answers = right_answers(CALL)
    payload = np.array(answers[2]["payload"])
    payload[17] += 1
    assert PAYLOADS.judge(CALL, [*answers[:2], {**answers[2], "payload": payload}, answers[3]]).outcome is Outcome.WRONG


def test_too_few_answers_are_wrong() -> None:
    assert PAYLOADS.judge(CALL, right_answers(CALL)[1:]).outcome is Outcome.WRONG


def test_an_instance_with_an_error_is_lost() -> None:
    answers = [*right_answers(CALL)[:3], {"error": "no"}]
    assert PAYLOADS.judge(CALL, answers).outcome is Outcome.LOST


@pytest.mark.parametrize(
    "error, outcome",
    [
        ({"error": "the worker died 3 times"}, Outcome.ISOLATED),
        ({"error": "something went wrong"}, Outcome.WRONG),
        ({"token": np.int64(2)}, Outcome.WRONG),
    ],
)
def test_a_deadly_instance_should_get_an_error_that_says_so(error: dict[str, Any], outcome: Outcome) -> None:
    answers = right_answers(POISONED)
    assert PAYLOADS.judge(POISONED, [*answers[:2], error, answers[3]]).outcome is outcome


@pytest.mark.parametrize(
    "text, seconds_left, outcome",
    [
        ("Grpc Error, (4, 'deadline exceeded'), Deadline Exceeded", 0.0, Outcome.EXPIRED),
        ("Request servable(checked) method(answer) , the deadline passed", 0.0, Outcome.EXPIRED),
        ("Request servable(checked) method(answer) , too busy to be in time: try again in 0.2 s", 0.3, Outcome.REFUSED),
        ("Grpc Error, (14, 'unavailable'), connection refused", 0.05, Outcome.EXPIRED),  # no time for another attempt
        ("Grpc Error, (14, 'unavailable'), connection refused", 0.2, Outcome.LOST),
        ("Request servable(checked) method(answer) , servable is not available", 0.0, Outcome.LOST),
    ],
)
def test_a_short_deadline_excuses_only_errors_that_tell_of_time(
    text: str, seconds_left: float, outcome: Outcome
) -> None:
    assert without_an_answer(text, seconds_left) is outcome


def record(started_at: float, seconds: float, outcome: Outcome = Outcome.RIGHT, **more: Any) -> CallRecord:
    fields = {"patience": Patience.PATIENT, "order": Order.ANSWER, "instances": 2, "nbytes": 1 << 20, **more}
    return CallRecord(started_at, started_at + seconds, outcome, **fields)


def verdict(*records: CallRecord, cluster: ClusterRecord = CLUSTER) -> Verdict:
    return judge(records, cluster, seed=5, seconds=10.0)


def test_the_longest_gap_is_the_longest_time_without_a_right_answer() -> None:
    found = verdict(record(0.0, 1.0), record(0.0, 2.0), record(1.0, 3.0, Outcome.EXPIRED), record(2.0, 5.0))
    assert found.gap_seconds == 5.0
    assert (found.p50_seconds, found.p99_seconds, found.slowest_seconds) == (2.0, 5.0, 5.0)
    assert found.passed


def test_an_opening_counts_until_the_next_answer_unless_the_master_was_ended_again_before() -> None:
    cluster = dataclasses.replace(CLUSTER, opened_at=[1.0, 5.0, 6.0, 20.0])
    found = verdict(record(0.0, 0.5), record(0.0, 1.25), record(0.0, 9.0), cluster=cluster)
    assert found.answered_again_seconds == [0.25, 3.0]


@pytest.mark.parametrize("outcome", [Outcome.LOST, Outcome.WRONG])
def test_one_lost_or_wrong_call_fails_the_run_and_its_text_is_shown(outcome: Outcome) -> None:
    found = verdict(record(0.0, 1.0), record(0.0, 1.0, outcome, text="because"))
    assert not found.passed
    assert any(line.endswith(f"1 times: {outcome.value}: because") for line in found.lines())
    assert found.lines()[-1] == "FAILED, seed 5"


def test_an_answer_given_twice_and_a_cluster_that_does_not_come_back_fail_the_run() -> None:
    assert not verdict(record(0.0, 1.0, foreign=1)).passed
    broken = dataclasses.replace(CLUSTER, troubles=["the cluster was not whole"])
    assert not verdict(record(0.0, 1.0), cluster=broken).passed
    assert not verdict().passed  # nothing was answered


def test_the_lines_and_the_json_say_the_same() -> None:
    found = verdict(record(0.0, 1.0), record(0.0, 2.0, Outcome.CANCELLED), record(0.5, 1.5))
    text = "\n".join(found.lines())
    assert "calls       3 in 10.0 s (6 instances, 3 MB each way): right 2, wrong 0, lost 0" in " ".join(
        text.split("\n")
    )
    assert "kill -9     noticed after p50 20 ms, at most 30 ms (3 times)" in text
    assert "master back workers registered again after p50 500 ms, at most 500 ms (1 times)" in text
    assert "the next answer came after p50 250 ms, at most 250 ms (1 times)" in text
    assert "restarts    workers 3, masters 0; 4 batches moved" in text
    fields = json.loads(found.as_json())
    assert fields["passed"] is True
    assert fields["calls"]["cancelled"] == 1
    assert fields["cluster"]["faults"] == {"kill-worker": 3}


def test_percentiles_are_values_that_were_seen() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, percent) for percent in (50, 99, 100)] == [50.0, 99.0, 100.0]
    assert percentile([], 50) == 0.0


def test_records_and_settings_survive_the_pipe() -> None:
    one = record(1.5, 2.0, Outcome.WRONG, patience=Patience.CANCELS, order=Order.DIE, foreign=1, text="ö\n")
    assert "\n" not in one.as_json()
    assert CallRecord.from_json(one.as_json()) == one
    settings = CallersSettings("h:1,h:2", 1, 2, 3, 4.0, 5.0, Mix(short_deadlines=0.5))
    assert CallersSettings.from_json(settings.as_json()) == settings


@pytest.mark.parametrize(
    "arguments, text",
    [
        (("--faults", "flood"), "--faults 'flood' is not one of kill-worker"),
        (("--workers", "3"), "--workers 3: a poison instance may cost 3 workers, and one has to live; give 4 or more"),
        (("--workers", "1", "--faults", "kill-worker"), "--workers 1 should be in range [2,64]"),
        (("--interval-seconds", "0"), "--interval-seconds should be more than 0"),
        (("--seed", "x"), "--seed 'x' is not a whole number"),
    ],
)
def test_a_mistake_is_one_line(arguments: tuple[str, ...], text: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["chaos", *arguments])
    assert end.value.code == 2
    told = capfd.readouterr().err
    assert text in told and told.count("\n") == 1


def test_places_that_cannot_be_written_are_told_at_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.log").touch()
    for option, place, text in (
        ("--json", tmp_path / "no" / "file", "cannot be written: No such file or directory"),
        ("--logs", tmp_path, "is not empty: give a new folder"),
        ("--logs", tmp_path / "old.log", "cannot be made: File exists"),
    ):
        assert main(["chaos", option, str(place)]) == 1
        assert capfd.readouterr().err == f"{option} '{place}' {text}\n"


def test_ports_are_given_once_though_nobody_listens_there_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = iter([20_000, 20_000, 20_002, 20_003])
    monkeypatch.setattr(random, "randrange", lambda *_: next(draws))
    # The second draws what the first has, then what overlaps it.
    assert [free_ports(3), free_ports(1)] == [[20_000, 20_001, 20_002], [20_003]]
