"""Masters and workers on free ports of this machine, each worker's control connections by way of proxies."""

import asyncio
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from mindspore_serving import chaos
from mindspore_serving.chaos.checked_calls import DOOMED, POISONED_EXIT_CODE, SERVABLE
from mindspore_serving.chaos.free_ports import free_ports
from mindspore_serving.chaos.member import Member
from mindspore_serving.chaos.proxy import Proxy
from mindspore_serving.cluster.addresses import LOOPBACK, Address
from mindspore_serving.cluster.dispatch_events import Limits
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.worker.config import TRANSPORTS
from mindspore_serving.worker.config_module import CONFIG_FILE

START_SECONDS = 60.0
_REGISTERED = re.compile(r"Worker registered at [\w.]+:(\d+)")
_LOST = re.compile(r"replica \S+?-(\d+)-[0-9a-f]+ lost \(.*\), (\d+) batches put back")


class SmallCluster:
    """Used in one event loop. Masters and workers are numbered from 0."""

    def __init__(
        self,
        folder: Path,
        *,
        masters: int,
        workers: int,
        lease_seconds: float,
        hang_seconds: float = Limits().hang_seconds,
    ) -> None:
        self._folder = folder
        self._ports = free_ports(2 * masters)
        self._lease_seconds = lease_seconds
        self._hang_seconds = hang_seconds
        self.proxies: dict[tuple[int, int], Proxy] = {}  # (worker, master)
        self.masters = [self._master(number) for number in range(masters)]
        self.workers: list[Member] = [self._worker(number) for number in range(workers)]
        self.batches_moved = 0
        self.poison_deaths = 0
        self.noticed_seconds: list[float] = []  # from a kill -9 of a worker to a master's word of it
        self.opened_at: list[float] = []  # when masters that were started again opened their doors
        self.registered_seconds: list[float] = []  # from a restarted master's opening to an undisturbed worker's return
        self._links: dict[int, tuple[int, int]] = {}  # a proxy's port -> (worker, master)
        self._registered: set[tuple[int, int]] = set()
        self._awaited: set[tuple[int, int]] = set()  # those that are expected back at a restarted master
        self._serving: dict[int, float] = {}  # masters, and since when
        self._held: set[int] = set()  # workers that are disturbed for a while, and do not register again after it
        self._killed_at: dict[int, float] = {}  # by pid
        self._has_started = False
        self._failure: str | None = None
        self._news = asyncio.Event()

    @property
    def address(self) -> str:
        """Where clients connect: every master's gRPC port."""
        return ",".join(f"{LOOPBACK}:{port}" for port in self._ports[: len(self.masters)])

    @property
    def is_whole(self) -> bool:
        """Whether every master serves and every worker is registered at each."""
        return self.all_masters_serve and len(self.fit_workers()) == len(self.workers)

    @property
    def all_masters_serve(self) -> bool:
        """Whether each of them has opened its doors."""
        return len(self._serving) == len(self.masters)

    @property
    def worker_starts(self) -> int:
        """How often a worker was started, again and again counted."""
        return sum(worker.starts for worker in self.workers)

    def fit_workers(self) -> list[int]:
        """The workers that no fault disturbs: registered at every master, and not about to die of an order."""
        return [
            worker
            for worker in range(len(self.workers))
            if worker not in self._held
            and not self._doom_of(worker).exists()
            and all((worker, master) in self._registered for master in range(len(self.masters)))
        ]

    async def start(self) -> None:
        """Returns when it is whole. Raises SetupError, with the reason that a process gave."""
        (self._folder / SERVABLE).mkdir()
        shutil.copy(Path(chaos.__file__).parent / CONFIG_FILE, self._folder / SERVABLE)
        for worker in range(len(self.workers)):
            for master in range(len(self.masters)):
                proxy = self.proxies[worker, master] = Proxy(self._control(master))
                self._links[(await proxy.start()).port] = worker, master
        for member in (*self.masters, *self.workers):
            member.start()
        if not await self.until(lambda: self.is_whole or self._failure is not None, START_SECONDS):
            raise SetupError(f"the cluster was not ready after {START_SECONDS:g} s")
        if self._failure is not None:
            raise SetupError(self._failure)
        self._has_started = True

    async def stop(self) -> None:
        """The workers leave first, then the masters."""
        await asyncio.gather(*(worker.stop() for worker in self.workers))
        await asyncio.gather(*(proxy.close() for proxy in self.proxies.values()))
        await asyncio.gather(*(master.stop() for master in self.masters))

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Waits for what happens to the cluster. False when that has not come about in this time."""
        deadline = time.monotonic() + seconds
        while not condition():
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), max(0.0, deadline - time.monotonic()))
            except asyncio.TimeoutError:
                return condition()
        return True

    def wake(self) -> None:
        """Looks at the conditions of until() again."""
        self._news.set()

    def kill_worker(self, worker: int) -> None:
        """SIGKILL."""
        pid = self.workers[worker].pid
        self.lose_links(worker)
        if pid is not None:
            self._killed_at[pid] = time.monotonic()
            self.workers[worker].send(signal.SIGKILL)

    def end_master(self, master: int, number: signal.Signals) -> None:
        """SIGTERM or SIGKILL. Every worker has to register there again."""
        self._master_ended(master)
        self.masters[master].send(number)

    def lose_links(self, worker: int) -> None:
        """This worker is fit again when it has registered again at each master."""
        links = {(worker, master) for master in range(len(self.masters))}
        self._registered -= links
        self._awaited -= links

    def hold(self, worker: int) -> None:
        """This worker is not fit until release()."""
        self._held.add(worker)

    def release(self, worker: int) -> None:
        self._held.discard(worker)
        self.wake()

    def proxies_of(self, worker: int) -> list[Proxy]:
        return [self.proxies[worker, master] for master in range(len(self.masters))]

    def log_of(self, name: str) -> Path:
        """What the process of this name, such as worker-0, has printed in all its lives."""
        return self._folder / f"{name}.log"

    def _doom_of(self, worker: int) -> Path:
        return self._folder / SERVABLE / DOOMED / str(self.workers[worker].pid)

    def _control(self, master: int) -> Address:
        return Address(LOOPBACK, self._ports[len(self.masters) + master])

    def _master(self, number: int) -> Member:
        count = len(self._ports) // 2
        arguments = [
            *("-m", "mindspore_serving.chaos.attended_master"),
            *("--lease-seconds", str(self._lease_seconds), "--hang-seconds", str(self._hang_seconds)),
            *("--grpc", str(self._ports[number]), "--ctrl", str(self._ports[count + number])),
        ]
        name = f"master-{number}"

        def tell(line: str) -> None:
            if "Serving gRPC start success" in line:
                self._serving[number] = time.monotonic()
                if self._has_started:
                    self.opened_at.append(self._serving[number])
                self.wake()
            if lost := _LOST.search(line):
                self.batches_moved += int(lost[2])
                if killed_at := self._killed_at.pop(int(lost[1]), None):
                    self.noticed_seconds.append(time.monotonic() - killed_at)

        def on_end(code: int) -> None:
            self._note_end(self.masters[number], code)
            self._master_ended(number)

        return Member(name, lambda: arguments, self.log_of(name), tell, on_end)

    @staticmethod
    def has_network(worker: int) -> bool:
        """Whether all it says goes through a proxy; every other one has a direct connection beside that."""
        return worker % 2 == 0

    def _worker(self, number: int) -> Member:
        def arguments() -> list[str]:
            ports = [port for port, (worker, _) in self._links.items() if worker == number]
            return [
                *("-m", "mindspore_serving.worker", "--servable", str(self._folder / SERVABLE)),
                *("--master", ",".join(f"{LOOPBACK}:{port}" for port in ports)),
                *("--device", str(number), "--stop-when-stdin-closes"),
                *("--transport", TRANSPORTS[self.has_network(number)]),
            ]

        name = f"worker-{number}"

        def tell(line: str) -> None:
            if registered := _REGISTERED.search(line):
                self._note_registered(self._links[int(registered[1])])

        def on_end(code: int) -> None:
            self._note_end(self.workers[number], code)
            self.poison_deaths += code == POISONED_EXIT_CODE
            self._doom_of(number).unlink(missing_ok=True)  # the pid may be another process's one day
            self.lose_links(number)
            self.wake()

        return Member(name, arguments, self.log_of(name), tell, on_end)

    def _note_end(self, member: Member, code: int) -> None:
        if not self._has_started and self._failure is None:
            self._failure = f"{member.name} ended with exit code {code} at its start: {member.last_line}"
            self.wake()

    def _master_ended(self, master: int) -> None:
        self._serving.pop(master, None)
        gone = {link for link in self._registered if link[1] == master}
        self._awaited |= {(worker, number) for worker, number in gone if worker not in self._held}
        self._registered -= gone
        self.wake()

    def _note_registered(self, link: tuple[int, int]) -> None:
        self._registered.add(link)
        if link in self._awaited and link[1] in self._serving:
            self.registered_seconds.append(time.monotonic() - self._serving[link[1]])
        self._awaited.discard(link)
        self.wake()
