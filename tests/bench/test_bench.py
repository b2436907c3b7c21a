"""`mindspore-serving bench` against a real master: loops, checks of replies, and one line for each mistake."""

import json
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from mindspore_serving.__main__ import main
from mindspore_serving.bench.config import BenchConfig
from mindspore_serving.bench.input_spec import parse_input_spec
from mindspore_serving.bench.load import Load, perform
from mindspore_serving.bench.payload import Expected
from mindspore_serving.bench.run import measure
from mindspore_serving.client.wire_values import request_bytes
from mindspore_serving.cluster.addresses import Address
from mindspore_serving.cluster.dispatch_events import Limits
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.cluster.messages import BatchDone, RunBatch
from mindspore_serving.cluster.tensors import Stacked
from mindspore_serving.proto import ms_service_pb2 as pb
from tests.client.fake_master import echo, fake_master
from tests.master.rest_client import echoing
from tests.master.running_master import RunningMaster
from tests.processes import Processes, until

SHORT = ("--seconds", "0.3", "--warm-up-seconds", "0.1", "--processes", "1")
X = ("--input", "x=float32[2]")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of a master whose one worker answers every batch with its first input."""
    master = RunningMaster(Limits(lease_seconds=600.0))
    with echoing(master):
        yield master.grpc.port
    master.close()


@pytest.mark.parametrize("loop", [("--callers", "3"), ("--rate", "100"), ("--rate", "100", "--arrivals", "fixed")])
def test_each_loop_by_grpcio_counts_good_replies(
    port: int, loop: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "found.json"
    words = ["bench", str(port), "add", "echo", *X, "--instances", "3", "--engine", "grpcio", "--json", str(file)]
    assert main([*words, *loop, *SHORT]) == 0
    found = json.loads(file.read_text())
    assert found["calls"] > 0 and found["errors"] == {} and found["instances_a_request"] == 3
    assert found["latency_milliseconds"]["p50"] <= found["latency_milliseconds"]["max"]
    assert f"calls       {found['calls']} in" in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load is not installed")
def test_h2load_is_taken_for_the_closed_loop_where_it_is_installed(
    port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(port), "add", "echo", *X, "--callers", "2", *SHORT]) == 0
    assert "closed loop, 2 callers, h2load" in capsys.readouterr().out


def test_several_instances_of_a_file_make_several_requests_each_with_its_own_reply(port: int, tmp_path: Path) -> None:
    values = [{"x": [float(number)]} for number in range(5)]
    (tmp_path / "in.json").write_text(json.dumps(values))
    (tmp_path / "out.json").write_text(json.dumps([{"y": value["x"]} for value in values]))
    files = ["--inputs", str(tmp_path / "in.json"), "--expect", str(tmp_path / "out.json")]
    assert main(["bench", str(port), "add", "echo", *files, "--instances", "2", *SHORT]) == 0


def test_a_call_counts_that_is_answered_after_the_time() -> None:
    """Else a slow server seems slower than it is, and one that stands still at the end seems well."""

    start, seconds = time.monotonic(), 2.0

    def when_it_is_over(request: pb.PredictRequest, context: grpc.ServicerContext) -> pb.PredictReply:
        time.sleep(max(0.0, start + seconds - time.monotonic()) + 0.01)
        return echo(request, context)

    body = request_bytes("s", "m", 0, {"x": 1.0})
    with fake_master() as master:
        master.answer = when_it_is_over
        found = perform(
            Load(
                target=master.address,
                bodies=(body,),
                expected=(Expected(b"", ({"x": np.ones(1)},)),),
                warm_up_seconds=0.0,
                seconds=seconds,
                timeout_seconds=10.0,
                callers=2,
                rate=0.0,
                arrivals="poisson",
                share=0,
                shares=1,
                seed=1,
            ),
            start,
        )
    assert (found.latency.count, found.failed, found.seconds) == (2, 0, seconds)


def test_a_reply_that_changes_under_load_is_a_wrong_reply() -> None:
    master = RunningMaster(Limits(lease_seconds=600.0))
    worker = master.worker()
    stopped = threading.Event()

    def lie() -> None:
        number = 0.0
        while not stopped.is_set():
            if worker.socket.poll(20) and isinstance(batch := worker.hear(), RunBatch):
                number += 1
                y = Stacked("<f4", (batch.count, 1), np.full(batch.count, number, np.float32).tobytes())
                worker.say(BatchDone(batch.batch_id, (y,)))

    thread = threading.Thread(target=lie)
    thread.start()
    found = measure(
        BenchConfig(
            address=Address("127.0.0.1", master.grpc.port),
            servable="add",
            method="echo",
            input=(parse_input_spec("x=float32[1]"),),
            seconds=0.2,
            warm_up_seconds=0.1,
            processes=1,
            engine="grpcio",
        )
    )
    assert found.tally.errors["wrong reply: instance 0: output y is another one"] > 0
    assert any(text.startswith("after the load: wrong reply") for text in found.tally.errors)
    assert found.tally.latency.count == 0
    stopped.set()
    thread.join()
    master.close()


@pytest.mark.parametrize(
    "words, reason",
    [
        (("nope", "echo", *X), "refuses this call: Request servable(nope) method(echo) , servable is not available"),
        (("add", "nope", *X), "refuses this call: Request servable(add) method(nope) , method is not available"),
        (("add", "add_common", *X), "refuses this call: Cannot find input x1 in instance input"),
        (("add", "echo", "--inputs", "no.npz"), "--inputs no.npz cannot be read: No such file or directory"),
        (("add", "echo", *X, "--expect", "{two}"), "--expect has 2 instances, the inputs have 1"),
        (("add", "echo", *X, "--expect", "{one}"), "the first reply is not what --expect"),
        (("add", "echo", *X, "--json", "/no/such/file"), "--json /no/such/file cannot be written: No such file"),
        (("add", "echo", "--inputs", "{two}", "--engine", "h2load"), "h2load sends one request only"),
    ],
)
def test_a_mistake_is_one_line(
    port: int, words: tuple[str, ...], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one.json").write_text('{"y": [9.5, 9.5]}')
    (tmp_path / "two.json").write_text('[{"x": [1.0]}, {"x": [2.0]}]')
    files = {"one": str(tmp_path / "one.json"), "two": str(tmp_path / "two.json")}
    assert main(["bench", str(port), *(word.format(**files) for word in words), *SHORT]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line


@pytest.mark.parametrize(
    "words, reason",
    [
        ((), "give the method's inputs: --input NAME=DTYPE[SHAPE] for each, or --inputs FILE"),
        ((*X, "--inputs", "x.npz"), "give the method's inputs"),
        ((*X, *X), "--input names should not be repeated: x, x"),
        ((*X, "--rate", "1", "--callers", "1"), "give --rate for an open loop or --callers for a closed one"),
        ((*X, "--rate", "1", "--engine", "h2load"), "--engine h2load knows only the closed loop"),
        ((*X, "--rate", "-1"), "--rate '-1' is not a number above 0"),
        ((*X, "--seconds", "nan"), "--seconds 'nan' is not a number above 0"),
        ((*X, "--callers", "0"), "--callers 0 should be in range [1,4096]"),
        ((*X, "--arrivals", "bursts"), "--arrivals 'bursts' is not one of poisson, fixed"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    words: tuple[str, ...], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", "5500", "add", "echo", *words])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line


def test_a_server_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as nobody:  # bound, and listening to nobody
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        assert main(["bench", str(port), "add", "echo", *X]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"no gRPC server can be reached at 127.0.0.1:{port}: start it first")


def test_a_server_that_does_not_answer_is_named_after_the_timeout(capsys: pytest.CaptureFixture[str]) -> None:
    master = RunningMaster(Limits(lease_seconds=600.0))
    master.worker()  # it takes the batch and says nothing
    assert main(["bench", str(master.grpc.port), "add", "echo", *X, "--timeout-seconds", "0.2"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (f"the server at 127.0.0.1:{master.grpc.port} did not answer within 0.2 s (--timeout-seconds)")
    master.close()


@pytest.mark.parametrize("engine", ["grpcio", "h2load"])
def test_ctrl_c_ends_it_with_one_line_and_leaves_no_process(run: Processes, port: int, engine: str) -> None:
    if engine == "h2load" and shutil.which("h2load") is None:
        pytest.skip("h2load is not installed")
    words = ["bench", str(port), "add", "echo", *X, "--engine", engine, "--seconds", "60", "--processes", "1"]
    bench = run.start("-m", "mindspore_serving", *words)
    until(bench.children, "the load's process")
    children = bench.children()
    assert bench.stop(signal.SIGINT) == 1
    assert bench.output == "bench: interrupted before the end\n"
    until(lambda: not any(Path(f"/proc/{child}").exists() for child in children), "the load's process has ended")


def test_a_missing_h2load_is_said(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    config = BenchConfig(
        address=Address("127.0.0.1", port),
        servable="add",
        method="echo",
        input=(parse_input_spec("x=float32[1]"),),
        engine="h2load",
    )
    with pytest.raises(SetupError, match="h2load is not installed: install nghttp2-client"):
        measure(config)
