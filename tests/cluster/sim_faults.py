"""What goes wrong in a simulated cluster: each function does it once, to somebody whom the seed chooses."""

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mindspore_serving.cluster import dispatch_events as master_side
from tests.cluster.sim_worker import Connection, SimWorker

if TYPE_CHECKING:
    from tests.cluster.simulator import World


def all_faults(world: "World") -> Iterator[Callable[[], None]]:
    """As often as the plan says."""
    plan = world.plan
    for count, fault in (
        (plan.crashes, crash),
        (plan.freezes, freeze),
        (plan.link_drops, drop_link),
        (plan.reconnects, reconnect),
        (plan.partitions, partition),
        (plan.clock_jumps, jump_clock),
        (plan.hangs, hang),
        (plan.drains, drain),
        (plan.master_crashes, crash_master),
        (plan.cancels, cancel),
    ):
        for _ in range(count):
            yield functools.partial(fault, world)


def _some_worker(world: "World") -> SimWorker | None:
    world.faults += 1
    return world.random.choice(world.workers) if world.workers else None


def _some_connection(world: "World") -> Connection | None:
    world.faults += 1
    found = [link for master in world.masters for _, link in sorted(master.connections.items()) if link.up]
    return world.random.choice(found) if found else None


def crash(world: "World") -> None:
    if worker := _some_worker(world):
        worker.die()


def freeze(world: "World") -> None:
    """A stopped process: its messages and its clock stand still for a while."""
    if worker := _some_worker(world):
        worker.frozen_until = max(worker.frozen_until, world.now + world.random.uniform(0.5, 8.0))
        world.note(f"{worker.name} is frozen until {worker.frozen_until:.4f}")


def hang(world: "World") -> None:
    """A device call never returns, while its process goes on."""
    if worker := _some_worker(world):
        worker.hung = True
        world.note(f"the device of {worker.name} hangs")


def drain(world: "World") -> None:
    """A worker is told to leave; another joins when it has."""
    if worker := _some_worker(world):
        world.note(f"{worker.name} is told to leave")
        worker.drain(10.0)


def drop_link(world: "World") -> None:
    if link := _some_connection(world):
        world.note(f"the link of {link.worker.name} to master {link.master.index} drops")
        link.drop()


def reconnect(world: "World") -> None:
    """A worker takes its connection for dead and makes another, long before the master misses the old one."""
    if link := _some_connection(world):
        world.note(f"{link.worker.name} connects to master {link.master.index} anew")
        link.replace()


def partition(world: "World") -> None:
    """One direction of a connection, or both, stands still for a while."""
    if link := _some_connection(world):
        until = world.now + world.random.uniform(0.5, 8.0)
        ways = world.random.choice((("master",), ("worker",), ("master", "worker")))
        for way in ways:
            link.clear_at[way] = max(link.clear_at[way], until)
        world.note(f"nothing of {link.worker.name} reaches the {' and the '.join(ways)} until {until:.4f}")


def jump_clock(world: "World") -> None:
    """The clock of one process jumps ahead."""
    seconds = world.random.uniform(0.1, 10.0)
    world.faults += len(world.workers)  # a master whose clock jumps may take every worker for lost
    if world.random.random() < 0.5 and world.workers:
        worker = world.random.choice(world.workers)
        worker.clock_offset += seconds
        world.note(f"the clock of {worker.name} jumps by {seconds:.4f} s")
    else:
        master = world.random.choice(world.masters)
        master.clock_offset += seconds
        world.note(f"the clock of master {master.index} jumps by {seconds:.4f} s")
        master.feed(master_side.Tick())


def crash_master(world: "World") -> None:
    world.faults += len(world.workers)
    world.random.choice(world.masters).crash()


def cancel(world: "World") -> None:
    """A caller does not wait any more."""
    waiting = [number for number, caller in world.callers.items() if not caller.answers and not caller.cancelled]
    if waiting:
        world.cancel(world.random.choice(waiting))
