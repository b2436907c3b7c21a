"""Thousands of seeded runs of a whole cluster in virtual time: every request is answered exactly once, and rightly.

`make simulate SEEDS=10000` tries so many instead of these few.
"""

import functools

import pytest

from mindspore_serving.cluster.dispatch_events import Limits
from mindspore_serving.cluster.errors import Failure
from tests.cluster.invariants import check, told
from tests.cluster.sim_worker import POISON
from tests.cluster.simulate import main, run, some_plan
from tests.cluster.simulator import Plan, World

SEEDS = 300
SHARES = 3
SEEDS_PER_KIND = 40


@pytest.mark.parametrize("share", range(SHARES))
def test_every_request_is_answered_once_and_rightly_under_any_faults(share: int) -> None:
    for seed in range(share, SEEDS, SHARES):
        run(seed, some_plan(seed))


def test_processes_of_one_master_are_met_at_run_time_and_share_a_worker_like_masters() -> None:
    for seed in range(SEEDS_PER_KIND):
        plan = some_plan(seed)
        plan.masters, plan.siblings = 2 + seed % 2, True
        world = run(seed, plan)
        everybody = [len(worker.sessions) for worker in world.workers if not worker.is_over]
        assert everybody == [plan.masters] * len(everybody), told(world)


def test_every_process_of_a_master_takes_calls_before_one_of_them_is_ready() -> None:
    def look(world: World, seen: set[bool]) -> None:
        desks = [master.dispatcher for master in world.masters]
        seen.add(is_ready := any(desk.has_ready_replica for desk in desks))
        for desk in desks if is_ready else ():
            desk.resolve("sim", 0, "twice")  # raises when nobody serves it there

    for seed in range(SEEDS_PER_KIND):
        world = World(seed, Plan(masters=3, siblings=True, workers=1, requests=20))
        seen: set[bool] = set()
        for millisecond in range(2000):
            world.at(millisecond / 1000, functools.partial(look, world, seen))
        world.run()
        check(world)
        assert seen == {False, True}


def last_worker_dies(world: World) -> None:
    world.workers[-1].die()


def test_the_command_counts_its_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "3", "--first", "7", "--processes", "1"]) == 0
    assert capsys.readouterr().out.startswith("3 seeds, 0 failures")


def test_the_command_tells_the_story_of_a_seed_that_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(World, "answer", lambda *_: None)  # as if no answer reached its caller
    assert main(["--seeds", "2", "--processes", "1"]) == 1
    said = capsys.readouterr().out
    assert "seed 0 failed; alone: python -m tests.cluster.simulate --seeds 1 --first 0" in said
    assert "the cluster has not healed" in said and "w1 joins with version" in said
    assert "2 seeds, 2 failures" in said


def test_a_seed_replays_identically() -> None:
    for seed in range(20):
        assert run(seed, some_plan(seed)).story == run(seed, some_plan(seed)).story


def test_while_one_replica_lives_no_caller_sees_an_error() -> None:
    for seed in range(SEEDS_PER_KIND):
        world = World(seed, Plan(workers=2, requests=80))
        # The second worker dies again and again; the first one never does.
        for moment in (4.0, 8.0, 12.0):
            world.at(moment, functools.partial(last_worker_dies, world))
        world.run()
        check(world)
        late = [caller for caller in world.callers.values() if caller.arrived_at > 2.0]
        assert late and not any(isinstance(caller.answers[0], Failure) for caller in late)


def test_a_dead_workers_batch_moves_long_before_its_lease_runs_out() -> None:
    for seed in range(SEEDS_PER_KIND):
        world = World(seed, Plan(workers=2, requests=80, limits=Limits(lease_seconds=50.0)))
        world.at(5.0, functools.partial(last_worker_dies, world))
        world.run()
        check(world)
        slowest = max(caller.answered_at - caller.arrived_at for caller in world.callers.values() if caller.answers)
        assert slowest < 20.0, "a caller waited for the lease"


def test_a_hung_device_is_given_up_and_its_work_done_elsewhere() -> None:
    for seed in range(SEEDS_PER_KIND):
        world = run(seed, Plan(workers=2, requests=80, hangs=1))
        late = [caller for caller in world.callers.values() if caller.arrived_at > 2.0]
        assert world.condemned <= 1 and not any(isinstance(caller.answers[0], Failure) for caller in late)


def test_no_worker_is_given_up_because_its_calls_take_long_and_others_wait_behind_them() -> None:
    """Of several masters, each took the time that its batches waited behind the others' for that of its own."""
    for seed in range(SEEDS_PER_KIND):
        plan = Plan(masters=1 + seed % 3, workers=2, requests=8, link_drops=1, slow=True, methods=("twice",))
        plan.limits = Limits(hang_seconds=2.0)
        world = run(seed, plan)
        late = [caller for caller in world.callers.values() if caller.arrived_at > 2.0]
        assert world.condemned == 0 and not any(isinstance(caller.answers[0], Failure) for caller in late), told(world)


def test_callers_of_several_masters_do_not_notice_that_one_dies() -> None:
    for seed in range(SEEDS_PER_KIND):
        world = World(seed, Plan(masters=2, workers=2, requests=80))
        world.at(8.0, world.masters[1].crash)
        world.run()
        check(world)
        late = [caller for caller in world.callers.values() if 2.0 < caller.arrived_at < 8.0]
        assert late and not any(isinstance(caller.answers[0], Failure) for caller in late)


@pytest.mark.parametrize("masters", [1, 2, 3])
def test_an_instance_that_kills_workers_fails_alone_after_three_deaths(masters: int) -> None:
    for seed in range(SEEDS_PER_KIND):
        world = run(seed, Plan(masters=masters, workers=5, requests=40, poisons=1))
        assert world.deaths == world.plan.limits.max_attempts
        for caller in world.callers.values():
            (results,) = caller.answers
            if isinstance(results, Failure):
                continue
            failed = [
                value for value, result in zip(caller.values, results, strict=True) if isinstance(result, Failure)
            ]
            assert failed == [value for value in caller.values if value == POISON]


def test_workers_of_one_servable_share_the_load() -> None:
    for seed in range(20):
        world = World(seed, Plan(workers=4, requests=200))
        ran: dict[str, int] = {}
        world.run()
        check(world)
        for line in world.story:
            for worker in world.workers:
                if f"{worker.name} ran" in line:
                    ran[worker.name] = ran.get(worker.name, 0) + 1
        assert len(ran) == 4 and max(ran.values()) < 3 * min(ran.values())
