"""Thousands of seeded runs of a whole cluster in virtual time: every request is answered exactly once, and rightly.

SIMULATION_SEEDS=10000 tries so many instead of the usual number, SIMULATION_FIRST_SEED=N begins there.
"""

import functools
import os
import random

import pytest

from mindspore_serving.cluster.dispatch_events import Limits
from mindspore_serving.cluster.errors import Failure
from tests.cluster.invariants import check, told
from tests.cluster.sim_worker import POISON
from tests.cluster.simulator import Plan, World

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "1000"))
FIRST_SEED = int(os.environ.get("SIMULATION_FIRST_SEED", "0"))
SHARES = 10
SEEDS_PER_KIND = 100


def run(seed: int, plan: Plan) -> World:
    world = World(seed, plan)
    try:
        world.run()
    except Exception as error:
        raise AssertionError(f"seed {seed}: {error}\n" + told(world)) from error
    check(world)
    return world


def some_plan(seed: int) -> Plan:
    chance = random.Random(seed * 7919)
    return Plan(
        masters=chance.choice((1, 1, 2, 3)),
        workers=chance.randrange(1, 6),
        requests=chance.randrange(5, 60),
        duration=chance.uniform(5.0, 20.0),
        crashes=chance.randrange(0, 5),
        freezes=chance.randrange(0, 3),
        link_drops=chance.randrange(0, 5),
        partitions=chance.randrange(0, 4),
        clock_jumps=chance.choice((0, 0, 1, 2)),
        hangs=chance.choice((0, 0, 1, 2)),
        drains=chance.randrange(0, 4),
        master_crashes=chance.choice((0, 0, 1, 3)),
        poisons=chance.randrange(0, 3),
        bad=chance.randrange(0, 3),
        cancels=chance.randrange(0, 5),
        deadlines=chance.randrange(0, 20),
        versions=chance.randrange(1, 3),
        methods=chance.choice((("twice", "thrice"), ("twice", "thrice", "once"))),
    )


@pytest.mark.parametrize("share", range(SHARES))
def test_every_request_is_answered_once_and_rightly_under_any_faults(share: int) -> None:
    for seed in range(FIRST_SEED + share, FIRST_SEED + SEEDS, SHARES):
        run(seed, some_plan(seed))


def last_worker_dies(world: World) -> None:
    world.workers[-1].die()


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
