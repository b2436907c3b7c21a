"""Drives the dispatcher with real time, carries out its actions, and keeps the callers that wait for an answer."""

import asyncio
import dataclasses
import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum, auto
from typing import Any, TypeVar

from mindspore_serving.cluster.dispatch_events import (
    Answer,
    Arrival,
    ConnectionDropped,
    Draining,
    Event,
    Limits,
    MessageReceived,
    NonsenseReceived,
    PeerUnreachable,
    Report,
    RequestCancelled,
    RequestsArrived,
    Send,
    Tick,
)
from mindspore_serving.cluster.dispatcher import Dispatcher
from mindspore_serving.cluster.messages import FromMaster, FromWorker, MethodSpec
from mindspore_serving.cluster.registry import Route, RouteHealth
from mindspore_serving.cluster.siblings import Sibling
from mindspore_serving.cluster.statistics import Counters
from mindspore_serving.cluster.tensors import Column
from mindspore_serving.master.outlook import Outlook
from mindspore_serving.master.promise import Promise

logger = logging.getLogger("mindspore_serving.master")


class Phase(Enum):
    """How far the desk is. It goes from one to the next."""

    OPEN = auto()
    LEAVING = auto()  # health checks say so; calls are still taken
    DRAINING = auto()  # what was accepted is being answered; nothing new is taken
    ANSWERED = auto()  # nothing more will come: whoever waits for news should go


SendToWorker = Callable[[str, FromMaster], bool]
T = TypeVar("T")


class _Caller(Promise[T]):
    """Somebody who waits for an answer, and may stop waiting."""

    def __init__(self, finish: Callable[[Answer], T], on_leave: Callable[[int], None], request_id: int) -> None:
        super().__init__()
        self._finish = finish
        self._on_leave = on_leave
        self._request_id = request_id

    def take(self, answer: Answer) -> None:
        """The wait is over."""
        if self.is_done:
            return
        try:
            result = self._finish(answer)
        except Exception as error:  # a fault of ours: it belongs to this call alone
            self.break_(error)
        else:
            self.keep(result)

    def cancel(self) -> None:
        if not self.is_done:
            super().cancel()
            self._on_leave(self._request_id)


class FrontDesk:
    """One dispatcher and its callers, in one event loop. `send` puts a message on its way, and says if that worked.

    `siblings`: the other processes of this master. `outlook`: is told what to expect while several callers wait.
    """

    def __init__(
        self,
        limits: Limits,
        send: SendToWorker,
        siblings: tuple[Sibling, ...] = (),
        outlook: Outlook | None = None,
    ) -> None:
        self.phase = Phase.OPEN
        self._outlook = outlook
        self._dispatcher = Dispatcher(limits, siblings)
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._callers: dict[int, _Caller[Any]] = {}
        self._last_request_id = 0
        self._arrivals: list[Arrival] = []  # of this turn of the loop: the dispatcher gets them as one event
        self._last_burst = 0  # how many they were last time
        self._timer: asyncio.TimerHandle | None = None
        self._all_answered = asyncio.Event()
        self._all_answered.set()
        self._last_call_at = -math.inf
        self._health_version = 0
        self._health_change: asyncio.Future[None] = self._loop.create_future()

    def resolve(self, servable: str, version: int, method: str) -> tuple[Route, MethodSpec]:
        """Where a request goes, and the names of its inputs. Raises RequestRefused."""
        return self._dispatcher.resolve(servable, version, method)

    def versions(self, servable: str) -> Mapping[int, Route]:
        """Every version of this servable that was ever served here; empty for an unknown one."""
        return self._dispatcher.versions(servable)

    def statistics(self, servable: str, version: int, methods: Iterable[str]) -> tuple[Counters, float | None]:
        """What was asked of these methods, summed, and how many seconds ago the last batch was done."""
        counters = self._dispatcher.statistics.total(servable, version, methods)
        last = counters.last_execution_at
        return counters, None if last is None else self._loop.time() - last

    @property
    def has_ready_replica(self) -> bool:
        """Whether some servable can be called."""
        return self._dispatcher.has_ready_replica

    @property
    def worker_count(self) -> int:
        """Workers that are registered."""
        return self._dispatcher.worker_count

    @property
    def takes_calls(self) -> bool:
        """Whether new calls are served."""
        return self.phase in (Phase.OPEN, Phase.LEAVING)

    def leave(self) -> None:
        """From now on health() says that the master is stopping. Calls are still served."""
        self._enter(Phase.LEAVING)

    @property
    def seconds_since_last_call(self) -> float:
        """How long nobody has called; infinite before the first call."""
        return self._loop.time() - self._last_call_at

    def health(self) -> list[RouteHealth]:
        """How each version of each servable stands."""
        health = self._dispatcher.health()
        if self.phase is not Phase.OPEN:
            return [dataclasses.replace(route, reason="the master is stopping") for route in health]
        return health

    async def health_change(self) -> None:
        """Returns when health() or the phase may say something else than at the time of this call."""
        await asyncio.shield(self._health_change)

    def submit(
        self,
        asked_version: int,
        route: Route,
        method: MethodSpec,
        count: int,
        columns: tuple[Column, ...],
        nbytes: int,
        seconds_left: float | None,
        finish: Callable[[Answer], T],
    ) -> Promise[T]:
        """What `finish` makes of the answer to a request. Cancelled, the request's instances leave the queue."""
        self._last_request_id = request_id = self._last_request_id + 1
        self._last_call_at = now = self._loop.time()
        deadline = None if seconds_left is None else now + seconds_left
        # To wait for others of this turn of the loop makes batches larger, and costs whoever is alone a turn.
        is_alone = not self._callers and self._last_burst == 1
        if not is_alone and not self._arrivals:
            self._loop.call_soon(self._hand_in)
        self._arrivals.append(Arrival(request_id, asked_version, route, method, count, columns, nbytes, deadline))
        if not self._callers:
            self._all_answered.clear()
        caller = self._callers[request_id] = _Caller(finish, self._leave, request_id)
        if is_alone:
            self._hand_in()
        return caller

    def set_max_enqueued_requests(self, count: int) -> None:
        """From now on, so many requests may wait or run."""
        self._dispatcher.set_max_enqueued_requests(count)

    def receive(self, worker_id: str, message: FromWorker) -> None:
        """A worker said something."""
        self._feed(MessageReceived(worker_id, message))

    def connection_dropped(self) -> None:
        """Some worker's connection ended."""
        self._feed(ConnectionDropped())

    def worker_gone(self, worker_id: str) -> None:
        """This worker's connection ended."""
        self._feed(PeerUnreachable(worker_id))

    def nonsense(self, worker_id: str) -> None:
        """What this worker said cannot be read."""
        self._feed(NonsenseReceived(worker_id))

    async def drain(self, seconds: float) -> bool:
        """Waits until no caller is left, at most this long; says whether that is so. The doors take nothing new."""
        self._enter(Phase.DRAINING)
        self._feed(Draining())
        try:
            if not self._all_answered.is_set():  # with no time, Python 3.11 would not even look
                await asyncio.wait_for(self._all_answered.wait(), seconds)
        except asyncio.TimeoutError:
            return False
        finally:
            self._enter(Phase.ANSWERED)
        return True

    def close(self) -> None:
        """No timer of ours fires any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._announce()

    def _announce(self) -> None:
        self._health_change.set_result(None)
        self._health_change = self._loop.create_future()

    def _hand_in(self) -> None:
        arrivals, self._arrivals = self._arrivals, []
        self._last_burst = len(arrivals)
        # Somebody may have left within the same turn of the loop.
        self._feed(RequestsArrived([arrival for arrival in arrivals if arrival.request_id in self._callers]))

    def _leave(self, request_id: int) -> None:
        if self._callers.pop(request_id, None) is not None:
            self._note_answered()
            self._feed(RequestCancelled(request_id))

    def _note_answered(self) -> None:
        if not self._callers:
            self._all_answered.set()

    def _feed(self, event: Event) -> None:
        events = deque([event])
        answers: list[Answer] = []
        while events:
            for action in self._dispatcher.handle(events.popleft(), self._loop.time()):
                match action:
                    case Answer():
                        answers.append(action)
                    case Send(worker_id, message):
                        if not self._send(worker_id, message):
                            events.append(PeerUnreachable(worker_id))
                    case Report(level, text):
                        logger.log(logging.getLevelName(level.upper()), text)
        if answers:
            self._deliver(answers)
        if self._outlook is not None:
            # A caller who is alone waits for us, and for nobody else.
            self._outlook.quiet_until = self._dispatcher.next_answer_at() if len(self._callers) > 1 else -math.inf
        self._set_timer()
        if self._health_version != self._dispatcher.health_version:
            self._health_version = self._dispatcher.health_version
            self._announce()

    def _deliver(self, answers: Sequence[Answer]) -> None:
        """After all that goes to workers: they compute while replies are written."""
        for answer in answers:
            caller = self._callers.pop(answer.request_id, None)
            if caller is not None:
                caller.take(answer)
        self._note_answered()

    def _set_timer(self) -> None:
        wakeup = self._dispatcher.next_wakeup()
        # A timer that is early does no harm, so one that stands is moved only forward: no timer work per request.
        # One that is due is left alone.
        if wakeup is not None and (self._timer is None or wakeup < self._timer.when() > self._loop.time()):
            self.close()
            self._timer = self._loop.call_at(wakeup, self._on_timer)

    def _on_timer(self) -> None:
        # One more turn of the loop: if it stood still meanwhile, what the workers said is read first.
        self._timer = self._loop.call_later(0.0, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._feed(Tick())
