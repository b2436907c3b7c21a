"""A master of several processes: real ones, killed and stopped in every way, with callers that must not notice."""

import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from mindspore_serving.__main__ import main
from mindspore_serving.client.wire_values import request_bytes
from mindspore_serving.proto import ms_service_pb2 as pb
from mindspore_serving.proto import open_inference_pb2 as v2
from tests.master.posix_memory import PosixMemory
from tests.master.v2_client import set_parameters
from tests.processes import READY_SECONDS, ROOT, Process, Processes, free_ports, until

CONFIG = """
import os
import threading

from mindspore_serving.server import register

def wait(x):
    while not os.path.exists(os.path.join(os.path.dirname(__file__), "go")):
        threading.Event().wait(0.02)
    return x

@register.register_method(output_names="y")
def echo(x):
    return x

@register.register_method(output_names="y")
def late(x):
    return register.add_stage(wait, x, outputs_count=1)
"""
PREDICT = "/mindspore.serving.proto.MSService/Predict"
V2 = "/inference.GRPCInferenceService"
STATISTICS = f"{V2}/ModelStatistics"
# Until a file appears: how often it was right, and what else it got.
CALLER = """
import os, sys
from mindspore_serving.client import Client
right, wrong = 0, []
with Client(sys.argv[1], "slow", "echo", timeout=60) as client:
    while not os.path.exists(sys.argv[2]):
        answer = client.infer({"x": right})
        right += answer == [{"y": right}]
        wrong += [] if isinstance(answer, list) else [answer]
        if right == 1:
            print("calling", flush=True)
print("right", right, "wrong", wrong, flush=True)
"""


class Several:
    """A master of several processes."""

    def __init__(self, run: Processes, folder: Path, processes: int = 2, *arguments: str, rest: bool = False) -> None:
        self.run = run
        self.processes = processes
        self.config = folder / "slow" / "servable_config.py"
        self.config.parent.mkdir(exist_ok=True)
        self.config.write_text(CONFIG)
        self.grpc, self.rest, *self.ctrl = free_ports(2 + processes)
        self.doors = ["--grpc", str(self.grpc), *(["--rest", str(self.rest)] if rest else [])]
        self.parent = self.start(*arguments)
        self.parent.wait_for(f"all {processes} processes serve")  # one that ends before ends the command

    def start(self, *arguments: str) -> Process:
        """The command."""
        several = ("--ctrl", str(self.ctrl[0]), "--processes", str(self.processes))
        return self.run.start("-m", "master", *self.doors, *several, *arguments)

    def worker(self, *arguments: str) -> Process:
        """A worker that was told of the first process, and has found all."""
        place = ("--servable", str(self.config.parent), "--master", f"127.0.0.1:{self.ctrl[0]}")
        worker = self.run.start("-m", "worker", *place, *arguments)
        for port in self.ctrl:
            worker.wait_for(f"Worker registered at 127.0.0.1:{port},")
        return worker

    def children(self) -> list[int]:
        return sorted(self.parent.children())

    def connect(self) -> grpc.Channel:
        """A connection of its own: gRPC's channels to the same address share one otherwise."""
        return grpc.insecure_channel(f"127.0.0.1:{self.grpc}", [("grpc.use_local_subchannel_pool", 1)])

    def let_go(self) -> None:
        """Calls of the method `late` may end."""
        (self.config.parent / "go").touch()


def ask(channel: grpc.Channel, method: str, value: int, servable: str = "slow") -> Any:
    """A call on its way."""
    body = request_bytes(servable, method, 0, [{"x": value}])
    call: Any = channel.unary_unary(PREDICT)
    return call.future(body, timeout=READY_SECONDS)


def is_right(reply: bytes, value: int) -> bool:
    instances = pb.PredictReply.FromString(reply).instances
    return [instance.items["y"].data for instance in instances] == [value.to_bytes(8, "little")]


def calls_seen_by(channel: grpc.Channel) -> int:
    """Those of the process at the other end."""
    request: Any = channel.unary_unary(STATISTICS)
    statistics = v2.ModelStatisticsResponse.FromString(
        request(v2.ModelStatisticsRequest(name="slow.echo").SerializeToString(), timeout=READY_SECONDS)
    )
    return int(statistics.model_stats[0].inference_stats.success.count)


def test_the_parent_needs_nothing_of_what_serves() -> None:
    code = (
        "import sys, mindspore_serving.master_command\n"
        "assert not {'zmq', 'grpc', 'numpy', 'google', 'asyncio', 'uvicorn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("engine", ["lean", "grpcio"])
def test_connections_are_spread_over_the_processes(run: Processes, tmp_path: Path, engine: str) -> None:
    several = Several(run, tmp_path, 2, "--grpc-engine", engine)
    hand = several.worker()
    with ExitStack() as stack:
        channels = [stack.enter_context(several.connect()) for _ in range(24)]
        for channel in channels:
            assert is_right(ask(channel, "echo", 1).result(), 1)
        seen = Counter(calls_seen_by(channel) for channel in channels)
    # Each connection made one call; those that ended at the same process see the same number of them: their own.
    assert sum(seen.values()) == 24 and 24 not in seen, "one process has all connections"
    assert all(count in (calls, 2 * calls) for calls, count in seen.items())
    assert (hand.stop(), several.parent.stop()) == (0, 0)


def test_killed_processes_come_back_and_no_caller_sees_an_error(run: Processes, tmp_path: Path) -> None:
    several = Several(run, tmp_path)
    several.worker()
    over = tmp_path / "over"
    callers = [run.start("-c", CALLER, f"127.0.0.1:{several.grpc}", str(over)) for _ in range(3)]
    for caller in callers:
        caller.wait_for("calling")
    for times, pid in enumerate(several.children(), start=1):
        os.kill(pid, signal.SIGKILL)
        several.parent.wait_for(", starting again in 1 s", times=times)
        several.parent.wait_for("Serving gRPC start success", times=2 + times)
        assert pid not in several.children() and len(several.children()) == 2
    over.touch()
    for caller in callers:
        assert caller.wait() == 0
        assert caller.last_line.startswith("right ") and caller.last_line.endswith(" wrong []"), caller.output
    assert several.parent.stop() == 0


def through_memory(channel: grpc.Channel, value: int, shm: PosixMemory) -> None:
    """The value goes to the method `echo` and comes back without being in a message."""
    message = v2.ModelInferRequest(model_name="slow.echo")
    place = {"shared_memory_region": "r", "shared_memory_byte_size": 8}
    set_parameters(message.inputs.add(name="x", datatype="INT64", shape=[1]).parameters, place)
    set_parameters(message.outputs.add(name="y").parameters, {**place, "shared_memory_offset": 8})
    shm.buffer[:16] = value.to_bytes(8, "little") + bytes(8)
    call: Any = channel.unary_unary(f"{V2}/ModelInfer")
    call(message.SerializeToString(), timeout=READY_SECONDS)
    assert int.from_bytes(shm.buffer[8:16], "little") == value


def test_a_process_that_cannot_be_started_is_tried_again(run: Processes, tmp_path: Path) -> None:
    """For want of memory or of descriptors: the command ended by that, and the others with it."""
    several = Several(run, tmp_path)
    parent = several.parent
    most = resource.prlimit(parent.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(parent.pid, resource.RLIMIT_NOFILE, (3, most[1]))
    os.kill(several.children()[0], signal.SIGKILL)
    parent.wait_for("cannot be started: Too many open files, starting again in 2 s")
    resource.prlimit(parent.pid, resource.RLIMIT_NOFILE, most)
    parent.wait_for("Serving gRPC start success", times=3)
    assert parent.stop() == 0


def test_memory_that_is_registered_with_one_process_is_known_to_all(run: Processes, tmp_path: Path) -> None:
    several = Several(run, tmp_path, 2, "--shared-memory", "mindspore-serving-test-*")
    several.worker()
    with PosixMemory(16) as shm, ExitStack() as stack:
        channels = [stack.enter_context(several.connect()) for _ in range(24)]
        asked = v2.SystemSharedMemoryRegisterRequest(name="r", key=shm.key, byte_size=16)
        register: Any = channels[0].unary_unary(f"{V2}/SystemSharedMemoryRegister")
        register(asked.SerializeToString(), timeout=READY_SECONDS)
        for value, channel in enumerate(channels):
            through_memory(channel, value, shm)
        assert 24 not in [calls_seen_by(channel) for channel in channels], "one process has all connections"
        for times, pid in enumerate(several.children(), start=1):
            os.kill(pid, signal.SIGKILL)
            several.parent.wait_for("Serving gRPC start success", times=2 + times)
        for value in range(24):
            through_memory(stack.enter_context(several.connect()), value, shm)
    assert several.parent.stop() == 0


@contextmanager
def called_on_new_connections(several: Several) -> Iterator[list[bytes]]:
    """What callers get meanwhile who connect anew for each call, to whichever process; but for those it was with."""
    answers: list[bytes] = []
    is_over = threading.Event()

    def call() -> None:
        while not is_over.is_set():
            with closing(http.client.HTTPConnection("127.0.0.1", several.rest, timeout=READY_SECONDS)) as connection:
                try:
                    connection.request("POST", "/model/slow:echo", json.dumps({"instances": [{"x": 1}]}))
                    answers.append(connection.getresponse().read())
                except (OSError, http.client.HTTPException):
                    continue  # it was with a process that was killed

    caller = threading.Thread(target=call)
    caller.start()
    try:
        yield answers
    finally:
        is_over.set()
        caller.join()


ANSWER = b'{"instances":[{"y":1}]}'


def test_a_process_that_was_started_again_listens_only_when_its_workers_are_back(
    run: Processes, tmp_path: Path
) -> None:
    several = Several(run, tmp_path, rest=True)
    hand = several.worker()
    with called_on_new_connections(several) as answers:
        first = several.children()[0]
        os.kill(first, signal.SIGKILL)
        hand.wait_for(f"Worker registered at 127.0.0.1:{several.ctrl[0]},", times=2)
        several.parent.wait_for("RESTful server start success", times=3)
    assert set(answers) == {ANSWER}
    assert (hand.stop(), several.parent.stop()) == (0, 0)


def test_once_a_new_worker_has_answered_no_process_says_that_nobody_serves(run: Processes, tmp_path: Path) -> None:
    several = Several(run, tmp_path, 3, rest=True)
    with called_on_new_connections(several) as answers:
        hand = several.worker()
        until(lambda: ANSWER in answers[-100:-99], "a hundred calls after the first answer")
    assert set(answers[answers.index(ANSWER) :]) == {ANSWER}
    assert (hand.stop(), several.parent.stop()) == (0, 0)


def test_a_worker_waits_for_the_first_process_and_then_finds_all(run: Processes, tmp_path: Path) -> None:
    several = Several(run, tmp_path)
    os.kill(several.children()[0], signal.SIGKILL)
    hand = several.worker()
    assert (hand.stop(), several.parent.stop()) == (0, 0)


def test_sigterm_answers_what_was_accepted_by_every_process(run: Processes, tmp_path: Path) -> None:
    several = Several(run, tmp_path)
    several.worker()
    with ExitStack() as stack:
        channels = [stack.enter_context(several.connect()) for _ in range(8)]
        calls = [ask(channel, "late", number) for number, channel in enumerate(channels)]
        for channel in channels:
            assert not is_refused(channel)  # and so the call before it on this connection has been accepted
        several.parent.send(signal.SIGTERM)
        until(lambda: all(is_refused(channel) for channel in channels), "each process drains")
        several.let_go()
        assert all(is_right(call.result(), number) for number, call in enumerate(calls))
    assert several.parent.wait() == 0


def is_refused(channel: grpc.Channel) -> bool:
    """Whether the process at the other end takes no calls any more. One that it takes asks for nothing it has."""
    return isinstance(ask(channel, "echo", 1, servable="nobody").exception(), grpc.RpcError)


def test_the_processes_end_with_a_killed_parent(run: Processes, tmp_path: Path) -> None:
    several = Several(run, tmp_path)
    children = several.children()
    assert len(children) == 2
    several.parent.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "the processes end")


def test_the_command_ends_with_the_one_line_of_a_process_that_cannot_start(run: Processes, tmp_path: Path) -> None:
    with socket.socket() as taken:
        grpc_port, ctrl, second = free_ports(3)
        taken.bind(("127.0.0.1", second))
        taken.listen()
        assert second == ctrl + 1
        desk = run.start("-m", "master", "--grpc", str(grpc_port), "--ctrl", str(ctrl), "--processes", "2")
        assert desk.wait() == 1
    text = f"Master server start failed, create server failed, address 127.0.0.1:{second}: Address already in use"
    assert desk.last_line == text and "Traceback" not in desk.output


@pytest.mark.parametrize("busy", ["--grpc", "--rest"])
def test_a_port_for_clients_that_others_have_is_refused_in_one_line(run: Processes, tmp_path: Path, busy: str) -> None:
    several = Several(run, tmp_path, rest=True)
    taken = several.grpc if busy == "--grpc" else several.rest
    own, *ctrl = free_ports(3)
    doors = {"--grpc": str(own), "--rest": str(free_ports(1)[0]), busy: str(taken)}
    words = [word for pair in doors.items() for word in pair]
    for processes in ("1", "2"):
        second = run.start("-m", "master", *words, "--ctrl", str(ctrl[0]), "--processes", processes)
        assert second.wait() == 1
        assert f"127.0.0.1:{taken}" in second.last_line and "Address already in use" in second.last_line
        assert "Traceback" not in second.output
    assert len(second.output.splitlines()) == 1
    assert several.parent.stop() == 0


def test_workers_with_keys_are_admitted_at_every_process(run: Processes, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    assert main(["keygen", str(keys)]) == 0
    several = Several(run, tmp_path, 2, "--curve-dir", str(keys))
    hand = several.worker("--curve-dir", str(keys / "for-workers" / "worker"))
    with several.connect() as channel:
        assert is_right(ask(channel, "echo", 5).result(), 5)
    assert (hand.stop(), several.parent.stop()) == (0, 0)


def test_control_sockets_are_numbered_paths(run: Processes, tmp_path: Path) -> None:
    several = Several(run, tmp_path)
    (port,) = free_ports(1)
    ctrl = f"unix:{tmp_path / 'control'}"
    desk = run.start("-m", "master", "--grpc", str(port), "--ctrl", ctrl, "--processes", "2")
    hand = run.start("-m", "worker", "--servable", str(several.config.parent), "--master", ctrl)
    for path in (ctrl, f"{ctrl}.1"):
        hand.wait_for(f"Worker registered at {path},")
    assert (hand.stop(), desk.stop(), several.parent.stop()) == (0, 0, 0)


def test_a_worker_forgets_processes_that_its_master_has_no_more(run: Processes, tmp_path: Path) -> None:
    several = Several(run, tmp_path)
    hand = several.worker()
    assert several.parent.stop() == 0
    desk = run.start("-m", "master", *several.doors, "--ctrl", str(several.ctrl[0]))
    hand.wait_for(f"tcp://127.0.0.1:{several.ctrl[1]}: is no process of the master any more")
    hand.wait_for(f"Worker registered at 127.0.0.1:{several.ctrl[0]},", times=2)
    with several.connect() as channel:
        assert is_right(ask(channel, "echo", 5).result(), 5)
    assert (hand.stop(), desk.stop()) == (0, 0)
