"""Each fault shows within two seconds at every door of a real master that tells of health, and clears by itself."""

import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from mindspore_serving.client import Client
from mindspore_serving.proto import health_pb2 as health
from tests.end_to_end.light_servable import GO, NAME, SLOW_START, light_servable, light_worker
from tests.end_to_end.test_commands import master
from tests.processes import Process, Processes, free_port, until

READY = (200, "ok")
PROMISED_SECONDS = 2.0  # from a fault to the doors' word of it, and from its end to the all-clear
LONGEST_LOOK_SECONDS = 0.2  # what is beyond it is the machine's: it is busy with something else


def soon(condition: Callable[[], object], what: str) -> None:
    """Waits for what the docs promise; looks for so long, by the time that this process had."""
    waited, last = 0.0, time.monotonic()
    while not condition():
        assert waited < PROMISED_SECONDS, f"waited in vain for: {what}"
        time.sleep(0.02)
        now = time.monotonic()
        waited, last = waited + min(now - last, LONGEST_LOOK_SECONDS), now


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

    def worker(self, *arguments: str, registered: bool = True) -> Process:
        return light_worker(self._run, self.place, [self._ctrl], registered, *arguments)

    def ready(self) -> tuple[int, str]:
        return self._get("/readyz")

    def _get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._rest}{path}", timeout=60) as answer:
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
        """All of it says so, soon."""
        soon(lambda: self.ready() == READY, "/readyz to say ok")
        assert (self.status(""), self.status(NAME)) == ("SERVING", "SERVING")
        for path in ("/v2/health/ready", f"/v2/models/{NAME}/ready", f"/v2/models/{NAME}/versions/1/ready"):
            assert self._get(path)[0] == 200, path

    def until_not_ready(self, *reasons: str) -> None:
        """All of it says so, soon; /readyz gives one of the reasons, and so does the servable's own door."""

        def tells(told: tuple[int, str]) -> bool:
            return told[0] == 503 and any(reason in told[1] for reason in reasons)

        soon(lambda: tells(self.ready()), f"/readyz to say: {reasons}")
        assert (self.status(""), self.status(NAME)) == ("NOT_SERVING", "NOT_SERVING")
        assert self._get("/v2/health/ready")[0] == 503
        for path in (f"/v2/models/{NAME}/ready", f"/v2/models/{NAME}/versions/1/ready"):
            code, text = self._get(path)
            assert tells((code, json.loads(text)["error"])), (path, text)


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
        worker.wait_for("Worker registered at")
        seen.until_ready()
        answered(client)


@pytest.mark.parametrize("transport", ["auto", "zeromq"])
def test_a_dead_worker_shows_and_its_successor_clears_it(run: Processes, tmp_path: Path, transport: str) -> None:
    with observed(run, tmp_path) as (seen, client):
        worker = seen.worker("--transport", transport)
        seen.until_ready()
        worker.kill()
        seen.until_not_ready("it has no live worker")
        seen.worker()
        seen.until_ready()
        answered(client)


def test_a_stopped_worker_shows_long_before_its_lease_runs_out_and_clears_when_it_goes_on(
    run: Processes, tmp_path: Path
) -> None:
    with observed(run, tmp_path) as (seen, client):
        worker = seen.worker()
        seen.until_ready()
        worker.send(signal.SIGSTOP)
        seen.until_not_ready("all its workers are stalled", "it has no live worker")  # on a slow machine
        worker.send(signal.SIGCONT)
        seen.until_ready()
        answered(client)


def test_a_stopped_worker_costs_no_readiness_while_another_one_lives(run: Processes, tmp_path: Path) -> None:
    with observed(run, tmp_path) as (seen, client):
        workers = [seen.worker() for _ in range(2)]
        workers[0].send(signal.SIGSTOP)
        seen.desk.wait_for("is stalled: it was not heard of for")
        seen.until_ready()
        answered(client, times=5)
        workers[0].send(signal.SIGCONT)
        seen.desk.wait_for("goes on")


def test_a_hung_device_shows_long_before_its_worker_is_given_up(run: Processes, tmp_path: Path) -> None:
    with observed(run, tmp_path, "--hang-seconds", "5") as (seen, client):
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


def test_a_slow_device_shows_and_clears_when_its_call_returns(run: Processes, tmp_path: Path) -> None:
    with observed(run, tmp_path) as (seen, client):
        seen.worker()
        answered(client, times=5)
        pending = client.infer_async({"order": "wait", "x": 1})
        seen.until_not_ready("all its workers are stalled")
        (seen.place / GO).touch()
        assert pending.result() == [{"y": 1}]
        seen.until_ready()


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
            worker.wait_for("Worker registered at")
        for reason in ("the worker died 3 times", "its workers died one after the other: it is tried again in"):
            answer: Any = client.infer({"order": "die", "x": 1})
            assert reason in str(answer)
        seen.until_not_ready("the workers of its methods died one after the other")
        until(lambda: seen.ready() == READY, "the ten seconds to pass")
        seen.until_ready()
        answered(client)
