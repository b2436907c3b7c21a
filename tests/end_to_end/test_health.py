"""Each fault shows in /readyz and in grpc.health.v1 of a real master, and clears by itself."""

import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from mindspore_serving.client import Client
from mindspore_serving.proto import health_pb2 as health
from tests.end_to_end.light_servable import GO, NAME, SLOW_START, light_servable, light_worker
from tests.end_to_end.test_commands import master
from tests.processes import Process, Processes, free_port, until

READY = (200, "ok")


class Observed:
    """A master, its servable, and what it says of its health."""

    def __init__(
        self, run: Processes, folder: Path, channel: grpc.Channel, desk: Process, rest: int, ctrl: int
    ) -> None:
        self.desk = desk
        self.place = light_servable(folder)
        self._run = run
        self._rest = rest
        self._ctrl = ctrl
        self._check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")

    def worker(self, registered: bool = True) -> Process:
        return light_worker(self._run, self.place, [self._ctrl], registered)

    def ready(self) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._rest}/readyz", timeout=60) as answer:
                return answer.status, answer.read().decode().strip()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode().strip()

    def status(self, service: str) -> str:
        try:
            answer = self._check(health.HealthCheckRequest(service=service).SerializeToString(), timeout=60)
        except grpc.RpcError as error:
            return str(error.code().name)
        return health.HealthCheckResponse.ServingStatus.Name(health.HealthCheckResponse.FromString(answer).status)

    def until_ready(self) -> None:
        """All of it says so."""
        until(lambda: self.ready() == READY, "/readyz to say ok")
        assert (self.status(""), self.status(NAME)) == ("SERVING", "SERVING")

    def until_not_ready(self, reason: str) -> None:
        """All of it says so, and /readyz says why."""
        until(lambda: self.ready()[0] == 503 and reason in self.ready()[1], f"/readyz to say: {reason}")
        assert (self.status(""), self.status(NAME)) == ("NOT_SERVING", "NOT_SERVING")


@contextmanager
def observed(run: Processes, folder: Path, *arguments: str) -> Iterator[tuple[Observed, Client]]:
    rest = free_port()
    desk, port, ctrl = master(run, "--rest", str(rest), *arguments)
    desk.wait_for("RESTful server start success")
    address = f"127.0.0.1:{port}"
    with grpc.insecure_channel(address) as channel, Client(address, NAME, "act", timeout=60) as client:
        yield Observed(run, folder, channel, desk, rest, ctrl), client


def answered(client: Client, times: int = 1) -> None:
    for number in range(times):
        assert client.infer({"order": "answer", "x": number}) == [{"y": number}]


def test_a_servable_that_is_not_loaded_yet_is_not_ready(run: Processes, tmp_path: Path) -> None:
    with observed(run, tmp_path) as (seen, client):
        (seen.place / SLOW_START).touch()
        worker = seen.worker(registered=False)
        assert seen.ready() == (503, "no servable has a live replica: start a worker, or wait for one to load")
        assert (seen.status(""), seen.status(NAME)) == ("NOT_SERVING", "NOT_FOUND")
        (seen.place / GO).touch()
        worker.wait_for("registered at")
        seen.until_ready()
        answered(client)


def test_a_dead_worker_shows_and_its_successor_clears_it(run: Processes, tmp_path: Path) -> None:
    with observed(run, tmp_path, "--lease-seconds", "2") as (seen, client):
        worker = seen.worker()
        seen.until_ready()
        worker.kill()
        seen.until_not_ready(f"servable {NAME} version 1: it has no live worker")
        seen.worker()
        seen.until_ready()
        answered(client)


def test_a_stopped_worker_shows_and_clears_when_it_goes_on(run: Processes, tmp_path: Path) -> None:
    with observed(run, tmp_path, "--lease-seconds", "8") as (seen, client):  # silent for half of it: stalled
        worker = seen.worker()
        seen.until_ready()
        worker.send(signal.SIGSTOP)
        seen.until_not_ready("all its workers are stalled")
        worker.send(signal.SIGCONT)
        seen.until_ready()
        answered(client)


def test_a_hung_device_shows_long_before_its_worker_is_given_up(run: Processes, tmp_path: Path) -> None:
    with observed(run, tmp_path, "--lease-seconds", "1", "--hang-seconds", "5") as (seen, client):
        hung = seen.worker()
        answered(client, times=5)  # what a call takes is known from then on
        pending = client.infer_async({"order": "hang once", "x": 1})
        seen.until_not_ready("all its workers are stalled")
        assert "it hangs" not in seen.desk.output
        assert "is stalled: it has not got on for" in seen.desk.output
        second = seen.worker()
        seen.until_ready()  # by the second one
        assert pending.result() == [{"y": 1}]
        assert hung.wait() == 75
        assert second.stop() == 0


def test_a_worker_that_leaves_shows_while_it_drains(run: Processes, tmp_path: Path) -> None:
    with observed(run, tmp_path) as (seen, client):
        worker = seen.worker()
        pending = client.infer_async({"order": "wait", "x": 1})
        worker.wait_for("wait")
        worker.send(signal.SIGTERM)
        seen.until_not_ready("its last worker is leaving")
        (seen.place / GO).touch()
        assert pending.result() == [{"y": 1}]
        assert worker.wait() == 0
        seen.worker()
        seen.until_ready()


def test_a_master_that_stops_shows_while_it_drains(run: Processes, tmp_path: Path) -> None:
    with observed(run, tmp_path) as (seen, client):
        worker = seen.worker()
        pending = client.infer_async({"order": "wait", "x": 1})
        worker.wait_for("wait")
        seen.desk.send(signal.SIGTERM)
        seen.until_not_ready("the master is stopping")
        (seen.place / GO).touch()
        assert pending.result() == [{"y": 1}]
        assert seen.desk.wait() == 0


def test_a_crash_loop_shows_and_is_tried_again(run: Processes, tmp_path: Path) -> None:
    with observed(run, tmp_path) as (seen, client):
        workers = [seen.worker(registered=False) for _ in range(6)]
        for worker in workers:
            worker.wait_for("registered at")
        for reason in ("the worker died 3 times", "its workers died one after the other: it is tried again in"):
            answer: Any = client.infer({"order": "die", "x": 1})
            assert reason in str(answer)
        seen.until_not_ready("the workers of its methods died one after the other")
        seen.until_ready()  # after ten seconds
        answered(client)
