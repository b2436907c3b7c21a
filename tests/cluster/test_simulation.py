"""Hundreds of seeded runs of a whole cluster in virtual time: every request is answered exactly once, and rightly."""

import functools
import random

import pytest

from mindspore_serving.cluster.dispatch_events import Limits
from mindspore_serving.cluster.errors import Failure
from tests.cluster.invariants import check
from tests.cluster.simulator import POISON, Plan, World

SEEDS_PER_KIND = 100


def run(seed: int, plan: Plan) -> World:
    world = World(seed, plan)
    world.run()
    check(world)
    return world


def some_plan(seed: int) -> Plan:
    chance = random.Random(seed * 7919)
    return Plan(
        workers=chance.randrange(1, 6),
        requests=chance.randrange(10, 90),
        crashes=chance.randrange(0, 6),
        freezes=chance.randrange(0, 4),
        link_drops=chance.randrange(0, 6),
        drains=chance.randrange(0, 4),
        poisons=chance.randrange(0, 3),
        bad=chance.randrange(0, 3),
        cancels=chance.randrange(0, 6),
        deadlines=chance.randrange(0, 20),
        versions=chance.randrange(1, 3),
    )


@pytest.mark.parametrize("hundred", range(5))
def test_every_request_is_answered_once_and_rightly_under_any_faults(hundred: int) -> None:
    for seed in range(hundred * SEEDS_PER_KIND, (hundred + 1) * SEEDS_PER_KIND):
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


def test_an_instance_that_kills_workers_fails_alone_after_three_deaths() -> None:
    for seed in range(SEEDS_PER_KIND):
        world = run(seed, Plan(workers=5, requests=40, poisons=1))
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
