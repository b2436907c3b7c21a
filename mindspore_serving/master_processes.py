"""Keeps the processes of one master: starts them, starts lost ones again, passes on that they should stop.

Each is a whole master with a control endpoint of its own; they share the ports for clients, and the kernel deals the
connections out. This process serves nobody, and is small: it imports neither ZeroMQ nor gRPC.
"""

import logging
import selectors
import signal
import socket
import time
from collections.abc import Callable

from mindspore_serving.cluster.addresses import Address
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.master.config import MasterConfig
from mindspore_serving.master.free_address import reserve
from mindspore_serving.master.region_table import table_for
from mindspore_serving.master_child import MasterChild, Voice
from mindspore_serving.restarts import how_it_ended
from mindspore_serving.siblings import Place, Tally
from mindspore_serving.systemd import ServiceManager
from mindspore_serving.upkeep import Upkeep
from mindspore_serving.worker.signal_pipe import NEWS, SignalPipe, stop_signals

logger = logging.getLogger("mindspore_serving.master")

KILL_AFTER_SECONDS = 10.0  # beyond the time to drain

Life = Callable[[Place, Voice], int]


class MasterProcesses:
    """From run() to its end. `life` is what a process does, in that process; it returns the exit code."""

    def __init__(self, config: MasterConfig, notify: ServiceManager, life: Life) -> None:
        self._config = config
        self._notify = notify
        self._life = life
        self._endpoints = config.control_endpoints
        self._tally = Tally(config.processes)
        self._regions = table_for(config.shared_memory)
        self._watchdog_seconds = notify.watchdog_seconds
        stop_seconds = config.lame_duck_seconds + config.drain_seconds + KILL_AFTER_SECONDS
        self._upkeep = Upkeep(config.processes, self._watchdog_seconds, stop_seconds)
        self._speak_at = 0.0  # when the service manager wants to hear of this process
        self._children: dict[int, MasterChild] = {}
        self._failure: str | None = None  # the first one that ends the command
        self._reserved: list[socket.socket] = []
        self._signals = SignalPipe()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._signals, selectors.EVENT_READ, self._on_signal)

    def run(self) -> int:
        """Returns the exit code when all have ended. Raises SetupError when they cannot start, or did not end well."""
        try:
            self._reserve()
            while not self._upkeep.is_over:
                self._do_what_is_due()
                for key, _ in self._selector.select(self._seconds_until_due()):
                    key.data()
        finally:
            self._forget()
        if self._failure is not None:
            raise SetupError(self._failure)
        return 0

    def _reserve(self) -> None:
        """The ports that they share are refused to other programs, now and while one of them is started again."""
        for option, address in (("--grpc", self._config.grpc), ("--rest", self._config.rest)):
            if isinstance(address, Address):
                try:
                    self._reserved.append(reserve(address))
                except OSError as error:
                    raise SetupError(f"{option} {address} cannot be listened at: {error.strerror or error}") from error

    def _forget(self) -> None:
        """Closes what is this process's alone; also in a child, which has copies."""
        self._selector.close()
        self._signals.close()
        for child in self._children.values():
            child.channel.close()
        for holder in self._reserved:
            holder.close()

    def _start(self, slot: int) -> None:
        def life(voice: Voice) -> int:
            return self._life(Place(slot, self._endpoints, self._tally, voice.fileno(), self._regions), voice)

        self._upkeep.started(slot, time.monotonic())
        try:
            child = MasterChild(slot, self._watchdog_seconds, life, self._forget)
        except OSError as error:  # no memory, no descriptors
            self._decide(slot, f"process {slot + 1} cannot be started: {error.strerror}")
            return
        self._children[slot] = child
        self._selector.register(child.channel, selectors.EVENT_READ, lambda: self._on_word(child))
        self._selector.register(child.exit_fd, selectors.EVENT_READ, lambda: self._on_exit(child))
        logger.info("%s starts, workers register at %s", child, self._endpoints[slot])

    def _on_word(self, child: MasterChild) -> None:
        if self._children.get(child.slot) is not child:
            return  # its end was in the same round
        was_ready, beats = child.ready, child.beats
        child.read()
        if child.beats > beats:
            self._upkeep.beat(child.slot, time.monotonic())
        if child.ready and not was_ready and self._upkeep.ready(child.slot, time.monotonic()):
            self._notify("READY=1")
            logger.info("all %d processes serve", self._config.processes)

    def _on_exit(self, child: MasterChild) -> None:
        self._selector.unregister(child.channel)
        self._selector.unregister(child.exit_fd)
        code = child.reap()
        del self._children[child.slot]
        self._tally.put(child.slot, 0)
        how = f"{child}: {how_it_ended(code)}" + (f": {child.status}" if child.status else "")
        is_well = code in (0, *(-number for number in stop_signals()))  # these: it had hardly begun
        self._decide(child.slot, how, child.status, is_well)

    def _decide(self, slot: int, how: str, reason: str = "", is_well: bool = False) -> None:
        """What follows when it has ended; is_well: as one may that is to stop."""
        wait = self._upkeep.ended(slot, time.monotonic())
        if wait is not None:
            logger.warning("%s, starting again in %g s", how, wait)
        elif not self._upkeep.stopping:
            self._fail(reason or how)
            self._stop()
        elif not is_well:
            self._fail(how)

    def _on_signal(self) -> None:
        if self._signals.wait() != NEWS:
            self._notify("STOPPING=1")
            self._stop()

    def _fail(self, text: str) -> None:
        self._failure = self._failure or text

    def _stop(self) -> None:
        self._upkeep.stop(time.monotonic())
        for child in self._children.values():
            child.send(signal.SIGTERM)

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        for slot in self._upkeep.to_start(now):
            self._start(slot)
        for slot in self._upkeep.to_kill(now):
            child = self._children[slot]
            logger.warning("%s takes too long to stop, or has fallen silent: killed", child)
            child.send(signal.SIGKILL)
        if self._watchdog_seconds is not None and self._speak_at <= now:
            self._speak_at = now + self._watchdog_seconds / 2
            self._notify("WATCHDOG=1")

    def _seconds_until_due(self) -> float | None:
        moments = [self._upkeep.next_wakeup(), None if self._watchdog_seconds is None else self._speak_at]
        moment = min((moment for moment in moments if moment is not None), default=None)
        return None if moment is None else max(0.0, moment - time.monotonic())
