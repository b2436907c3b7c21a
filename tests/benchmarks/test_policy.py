"""The benchmark of policies: facts that anybody can check by hand, and its picture."""

import re
from pathlib import Path

import pytest

from benchmarks.policy import BATCH, LAWS, POLICIES, PRODUCT, Law, Policy, Run, main

LAW = Law("made up", fixed=0.004, each=0.0005, transit=0.001)


def alone(law: Law) -> float:
    """Milliseconds of a request that meets nobody."""
    return (law.seconds(1) + 2 * law.transit) * 1e3


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_every_request_is_answered_and_no_batch_is_too_large(policy: Policy) -> None:
    outcome = Run(LAW, policy, replicas=2, noise=0.0).play(load=0.9, requests=400)
    assert len(outcome.latencies) == sum(outcome.sizes) == 400
    assert min(outcome.latencies) * 1e3 >= alone(LAW) - 1e-6 and max(outcome.sizes) <= BATCH


def test_a_lone_request_never_waits_unless_a_delay_makes_it() -> None:
    for policy in POLICIES:
        outcome = Run(LAW, policy, replicas=2, noise=0.0).play(load=1e-6, requests=20)
        assert outcome.mean_milliseconds == pytest.approx(alone(LAW) + policy.delay * 1e3), policy


def test_a_window_of_one_leaves_the_device_idle_while_batches_travel() -> None:
    law = Law("far away", fixed=0.0, each=0.001, transit=0.002)
    window_of_one = next(policy for policy in POLICIES if policy.window == 1)
    one, two = (Run(law, policy, replicas=1).play(load=0.8, requests=400) for policy in (window_of_one, PRODUCT))
    assert one.mean_milliseconds > 1.5 * two.mean_milliseconds


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_just_in_time_is_better_than_as_soon_as_there_is_room_and_never_much_worse(law: Law) -> None:
    at_once = next(policy for policy in POLICIES if policy.name == "idle, window 2")
    for load in (0.1, 0.5, 0.95):
        late, soon = (Run(law, policy, replicas=2).play(load, requests=1500) for policy in (PRODUCT, at_once))
        most = 1.05 if law.name == "image" else 1.0  # whose batches cost as much as their instances one by one
        assert late.mean_milliseconds < most * soon.mean_milliseconds


def test_the_measured_laws_give_the_rates_that_were_measured() -> None:
    """Of the engine alone: MLP 2.5 k at batch 1, LeNet 1.9 k, image 1 k."""
    rates = [1 / law.seconds(1) for law in LAWS]
    assert rates == [pytest.approx(rate, rel=0.02) for rate in (2500, 1900, 1000)]


def test_the_command_prints_tables_and_draws_a_curve_for_each_policy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.policy.LAWS", LAWS[:1])
    picture = tmp_path / "new" / "policy.svg"
    main(["--quick", "--picture", str(picture)])
    told = capsys.readouterr().out
    assert told.count(f"| {PRODUCT.name} |") == 3 and "**MLP**, 4 replicas" in told
    drawn = picture.read_text()
    assert len(re.findall("<polyline ", drawn)) == 2 * len(POLICIES) - 1  # one replica has nothing to stagger
    assert all(policy.name in drawn for policy in POLICIES)
