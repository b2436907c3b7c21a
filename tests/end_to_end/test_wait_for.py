"""A master with --wait-for listens to clients when these servables have workers, and not before."""

import socket
from pathlib import Path

import pytest

from mindspore_serving.client import Client
from tests.end_to_end.light_servable import NAME, light_servable, light_worker
from tests.processes import Process, Processes, free_ports, listens

WAITS = "Serving: clients may connect when there are workers of "


def started(run: Processes, ports: list[int], *arguments: str) -> Process:
    grpc, rest, control, *_ = map(str, ports)
    return run.start("-m", "master", "--grpc", grpc, "--rest", rest, "--ctrl", control, "--wait-for", NAME, *arguments)


@pytest.mark.parametrize("processes", [1, 2])
def test_clients_are_refused_until_there_is_a_worker(run: Processes, tmp_path: Path, processes: int) -> None:
    ports = free_ports(4)
    master = started(run, ports, "--processes", str(processes))
    master.wait_for(WAITS + NAME, processes)
    assert not any(map(listens, ports[:2]))
    light_worker(run, light_servable(tmp_path), ports[2:3])
    master.wait_for("RESTful server start success", processes)
    with Client(f"127.0.0.1:{ports[0]}", NAME, "act") as client:
        assert client.infer({"order": "answer", "x": 5}) == [{"y": 5}]
    assert master.stop() == 0


def test_every_servable_that_is_named_is_waited_for(run: Processes, tmp_path: Path) -> None:
    ports = free_ports(3)
    master = started(run, ports, "--wait-for", "other")
    master.wait_for(WAITS + f"{NAME}, other")
    place = light_servable(tmp_path)
    light_worker(run, place, ports[2:3])
    master.wait_for(WAITS + "other\n")
    assert not any(map(listens, ports[:2]))
    light_worker(run, place.rename(tmp_path / "other"), ports[2:3])
    master.wait_for("RESTful server start success")


def test_a_master_that_waits_ends_when_told(run: Processes) -> None:
    master = started(run, free_ports(3))
    master.wait_for(WAITS)
    assert master.stop() == 0


@pytest.mark.parametrize("option", ["--grpc", "--rest"])
def test_a_port_that_is_taken_is_told_at_once(run: Processes, option: str) -> None:
    ports = free_ports(3)
    port = ports[0 if option == "--grpc" else 1]
    with socket.create_server(("127.0.0.1", port)):
        master = started(run, ports)
        assert master.wait() == 1
    assert master.last_line == (f"{option} 127.0.0.1:{port} cannot be listened at: Address already in use")
