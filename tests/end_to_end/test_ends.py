"""However a worker comes to its end: it ends, with a code that says how, and takes nobody with it."""

import signal
from pathlib import Path
from typing import Any

import pytest

from mindspore_serving.client import Client
from mindspore_serving.worker.process import HUNG_EXIT_CODE
from tests.end_to_end.light_servable import NAME, light_servable, light_worker
from tests.end_to_end.test_commands import master
from tests.processes import Process, Processes, free_port, until

STILL_RUNS = "and a function or a model still runs: this process ends all the same"
# Its standard output is a disk that is full.
FULL = """
import os, sys
os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
from mindspore_serving.worker.__main__ import main
sys.exit(main())
"""

COMES_BACK = """
import os
from mindspore_serving.server import register


def act(x):
    child = os.fork()
    if child == 0:
        {ending}
    os.waitpid(child, 0)
    return -x


@register.register_method("y")
def act_on(x):
    return register.add_stage(act, x, outputs_count=1)
"""


def hang(run: Processes, folder: Path, *arguments: str) -> tuple[Process, Any]:
    """A worker in the middle of a call that never ends, and who waits for it."""
    _, port, ctrl = master(run)
    worker = light_worker(run, light_servable(folder), [ctrl], True, *arguments)
    client = Client(f"127.0.0.1:{port}", NAME, "act", timeout=60, retry=False)
    call = client.infer_async({"order": "hang", "x": 1})
    worker.wait_for("it hangs")
    return worker, (client, call)


def test_a_worker_whose_function_hangs_ends_when_the_time_to_drain_is_over(run: Processes, tmp_path: Path) -> None:
    worker, (client, call) = hang(run, tmp_path, "--drain-seconds", "0.5")
    with client:
        assert worker.stop() == HUNG_EXIT_CODE
        assert worker.last_line == f"the time to drain is over, {STILL_RUNS}"
        call.cancel()


def test_a_second_signal_is_heard_where_something_hangs(run: Processes, tmp_path: Path) -> None:
    """The first one was over when the connection to the master was: nobody waits for what runs."""
    desk, port, ctrl = master(run)
    worker = light_worker(run, light_servable(tmp_path), [ctrl])
    with Client(f"127.0.0.1:{port}", NAME, "act", timeout=60, retry=False) as client:
        client.infer_async({"order": "hang", "x": 1})
        worker.wait_for("it hangs")
        desk.kill()
        worker.wait_for("connection to the master lost")
        worker.send(signal.SIGTERM)

        def has_heard() -> bool:
            worker.send(signal.SIGINT)  # while the connection is still being closed, it says what SIGTERM did
            return STILL_RUNS in worker.output

        until(has_heard, "the end of the worker")
        assert worker.wait() == HUNG_EXIT_CODE
        assert worker.last_line == f"this worker was told to end once more, {STILL_RUNS}"


def own(run: Processes, folder: Path, *arguments: str) -> tuple[Process, Client]:
    """A master with the servable in its own process."""
    port = free_port()
    desk = run.start("-m", "master", "--grpc", str(port), "--servable", str(light_servable(folder)), *arguments)
    desk.wait_for("Serving gRPC start success")
    return desk, Client(f"127.0.0.1:{port}", NAME, "act", timeout=60, retry=False)


def test_a_master_whose_own_servable_hangs_ends_when_it_is_told_to(run: Processes, tmp_path: Path) -> None:
    desk, client = own(run, tmp_path, "--drain-seconds", "0.5")
    with client:
        client.infer_async({"order": "hang", "x": 1})
        desk.wait_for("it hangs")
        assert desk.stop() == HUNG_EXIT_CODE
        assert f"the time to drain is over, {STILL_RUNS}" in desk.output


def test_a_master_whose_own_servable_is_given_up_ends_with_it(run: Processes, tmp_path: Path) -> None:
    """It would live on without it for ever, and nobody would start either again."""
    desk, client = own(run, tmp_path, "--hang-seconds", "1")
    with client:
        client.infer_async({"order": "hang", "x": 1})
        assert desk.wait() == HUNG_EXIT_CODE
        # The loop goes on meanwhile, and may say something behind it.
        assert "was given up, and this process ends with it: it hangs: method act has been running" in desk.output


@pytest.mark.parametrize("transport", ["auto", "zeromq"])
def test_a_worker_whose_lines_nobody_can_read_works_on(run: Processes, tmp_path: Path, transport: str) -> None:
    desk, _, ctrl = master(run)
    place = light_servable(tmp_path)
    worker = run.start(
        *("-c", FULL, "--servable", str(place), "--master", f"127.0.0.1:{ctrl}", "--transport", transport)
    )
    worker.wait_for("registered at the master")
    desk.kill()
    port = free_port()
    desk = run.start("-m", "master", "--grpc", str(port), "--ctrl", str(ctrl))
    worker.wait_for("registered at the master", times=2)
    with Client(f"127.0.0.1:{port}", NAME, "act", timeout=60) as client:
        assert client.infer({"order": "answer", "x": 1}) == [{"y": 1}]
    assert worker.stop() == 0
    assert "Traceback" not in worker.output
    assert "ignored" not in worker.output


def test_a_load_that_is_stopped_leaves_no_copy_of_the_model(run: Processes, tmp_path: Path) -> None:
    place, copies = tmp_path / "loads", tmp_path / "copies"
    place.mkdir()
    copies.mkdir()
    (place / "servable_config.py").write_text(
        "import os, tempfile, threading\n"
        "from mindspore_serving.worker import rewritten_file\n"
        "folder = tempfile.mkdtemp(prefix=rewritten_file._prefix())\n"  # as the load of a rewritten model makes it
        "open(os.path.join(folder, 'model.mindir'), 'w').close()\n"
        "print('loading', flush=True)\n"
        "threading.Event().wait()\n"
    )
    worker = run.start(
        *("-m", "worker", "--servable", str(place), "--master", f"127.0.0.1:{free_port()}"),
        environment={"TMPDIR": str(copies)},
    )
    worker.wait_for("loading")
    assert list(copies.iterdir())
    assert worker.stop() == 0
    assert not list(copies.iterdir())


def test_a_fault_while_loading_is_the_last_line_and_no_traceback(run: Processes, tmp_path: Path) -> None:
    place = tmp_path / "breaks"
    place.mkdir()
    (place / "servable_config.py").write_text(
        "from mindspore_serving.worker import loading\n"
        "from mindspore_serving.server import register\n"
        "loading.method_specs = None\n"
        "@register.register_method(output_names='y')\n"
        "def act(x):\n    return x\n"
    )
    worker = run.start("-m", "worker", "--servable", str(place), "--master", f"127.0.0.1:{free_port()}")
    assert worker.wait() == 1
    assert worker.last_line.startswith("servable breaks cannot be loaded: TypeError: 'NoneType' object is not callable")
    assert "Traceback" not in worker.output


FORKS = """
import multiprocessing

from mindspore_serving.server import register

def f(x):
    child = multiprocessing.get_context("fork").Process(target=multiprocessing.Event().wait)
    child.start()
    child.terminate()
    child.join()
    return child.exitcode

@register.register_method(output_names="y")
def act(x):
    return register.add_stage(f, x, outputs_count=1)
"""


@pytest.mark.parametrize("is_own", [False, True])
def test_a_process_that_a_function_forks_can_be_terminated_alone(run: Processes, tmp_path: Path, is_own: bool) -> None:
    """It told its parent, the worker, to end, and did not end itself."""
    place = tmp_path / "forks"
    place.mkdir()
    (place / "servable_config.py").write_text(FORKS)
    if is_own:
        port = free_port()
        worker = run.start("-m", "master", "--grpc", str(port), "--servable", str(place))
        worker.wait_for("Serving gRPC start success")
    else:
        _, port, ctrl = master(run)
        worker = light_worker(run, place, [ctrl])
    with Client(f"127.0.0.1:{port}", "forks", "act", timeout=60) as client:
        for _ in range(2):
            assert client.infer({"x": 1}) == [{"y": -signal.SIGTERM}]
    assert worker.stop() == 0


@pytest.mark.parametrize("ending", ["raise ValueError('in the child')", "return x"])
def test_a_child_that_comes_back_from_a_function_is_no_second_worker(
    run: Processes, tmp_path: Path, ending: str
) -> None:
    """It answered the caller itself, and its parent waited for its end in vain."""
    place = tmp_path / "forks"
    place.mkdir()
    (place / "servable_config.py").write_text(COMES_BACK.format(ending=ending))
    _, port, ctrl = master(run)
    worker = run.start("-m", "worker", "--servable", str(place), "--master", f"127.0.0.1:{ctrl}")
    worker.wait_for("Worker registered")
    with Client(f"127.0.0.1:{port}", "forks", "act_on", timeout=60) as client:
        assert client.infer([{"x": 1}, {"x": 2}]) == [{"y": -1}, {"y": -2}]
    assert worker.children() == set()
    assert worker.stop() == 0, worker.output
