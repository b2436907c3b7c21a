"""The control port with keys: who gets in, who does not, and what each is told."""

import logging
from pathlib import Path

import pytest
import zmq

from mindspore_serving.__main__ import main
from mindspore_serving.client import Client
from mindspore_serving.cluster.addresses import Address
from mindspore_serving.cluster.codec import encode
from mindspore_serving.cluster.messages import Register
from mindspore_serving.script_keys import CURVE_DIR_VARIABLE, script_master_keys, script_worker_keys
from tests.end_to_end.test_commands import master
from tests.processes import ROOT, Process, Processes, free_port

ECHO = (
    "from mindspore_serving.server import register\n"
    "@register.register_method(output_names='y')\n"
    "def echo(x):\n    return x\n"
)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder of keys, and beside it a servable that needs no model."""
    assert main(["keygen", str(tmp_path / "keys"), "--worker", "gpu1", "--worker", "gpu2"]) == 0
    (tmp_path / "echo").mkdir()
    (tmp_path / "echo" / "servable_config.py").write_text(ECHO)
    return tmp_path / "keys"


def worker(run: Processes, keys: Path, ctrl: int, *arguments: str) -> Process:
    place = ("--servable", str(keys.parent / "echo"), "--master", f"127.0.0.1:{ctrl}")
    return run.start("-m", "worker", *place, *arguments)


def calls(port: int) -> bool:
    with Client(f"127.0.0.1:{port}", "echo", "echo") as client:
        return bool(client.infer({"x": 5}) == [{"y": 5}])


def refusal(process: Process, code: int = 1) -> str:
    assert process.wait() == code
    assert "Traceback" not in process.output
    return process.last_line


def test_only_an_admitted_key_gets_in_and_every_other_worker_says_why_not(run: Processes, keys: Path) -> None:
    desk, port, ctrl = master(run, "--curve-dir", str(keys))
    here = f"the master at 127.0.0.1:{ctrl} refused this worker: "
    without = worker(run, keys, ctrl)
    others = keys.parent / "others"
    assert main(["keygen", str(others)]) == 0
    stranger = worker(run, keys, ctrl, "--curve-dir", str(others / "for-workers" / "worker"))
    banned = keys / "for-workers" / "gpu2"
    (keys / "workers" / "gpu2.key").unlink()
    denied = worker(run, keys, ctrl, "--curve-dir", str(banned))
    assert refusal(without).startswith(f"{here}it admits only workers with a key: give this one --curve-dir")
    said = refusal(stranger)
    assert said.startswith(f"{here}it does not understand this worker") and f"'{others}" in said
    assert refusal(denied).startswith(f"{here}the key ")
    assert f"in '{banned}' is not admitted: add its worker.key to the folder 'workers'" in denied.last_line
    assert "registered" not in without.output + stranger.output + denied.output
    desk.wait_for("a worker's master.key should be this master's")
    desk.wait_for("a worker at 127.0.0.1 was denied: its public key is")
    # The file that the log asks for lets it in, without a restart.
    (keys / "workers" / "gpu2.key").write_bytes((banned / "worker.key").read_bytes())
    for name in ("gpu1", "gpu2"):
        worker(run, keys, ctrl, "--curve-dir", str(keys / "for-workers" / name)).wait_for("Worker registered at")
    assert calls(port)
    for secret in keys.rglob("*.key_secret"):
        assert secret.read_text().splitlines()[-1].split('"')[1] not in desk.output
    assert desk.stop() == 0


def test_a_worker_with_a_key_says_that_the_master_has_none(run: Processes, keys: Path) -> None:
    desk, _, ctrl = master(run)
    hand = worker(run, keys, ctrl, "--curve-dir", str(keys / "for-workers" / "gpu1"))
    said = refusal(hand)  # in one way or the other: either side may be the first to hang up
    assert "it has no keys" in said and "--curve-dir" in said
    assert desk.stop() == 0


def test_a_peer_without_a_key_is_never_heard(run: Processes, keys: Path) -> None:
    desk, port, ctrl = master(run, "--curve-dir", str(keys))
    with zmq.Context[zmq.Socket[bytes]]() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        monitor = dealer.get_monitor_socket(zmq.Event.DISCONNECTED)
        dealer.connect(f"tcp://127.0.0.1:{ctrl}")
        dealer.send_multipart(encode(Register(1, "echo", 1, (), "CPU:0", "evil", 1)))
        assert monitor.poll(60_000)
        assert not dealer.poll(0)
        dealer.disable_monitor()
        monitor.close(0)
    with Client(f"127.0.0.1:{port}", "echo", "echo") as client:
        answer = client.infer({"x": 5})
    assert isinstance(answer, dict) and "servable is not available" in str(answer["error"])
    assert "registered" not in desk.output
    assert desk.stop() == 0


def test_up_needs_no_key_for_its_own_workers_and_demands_one_of_others(run: Processes, keys: Path) -> None:
    port, ctrl = free_port(), free_port()
    doors = ("--grpc", str(port), "--ctrl", f"0.0.0.0:{ctrl}")
    up = run.start(
        *("-m", "mindspore_serving", "up", str(keys.parent / "echo"), *doors, "--curve-dir", str(keys)),
    )
    up.wait_for("all 1 workers are ready")
    assert calls(port)
    assert "only workers with a key" in refusal(worker(run, keys, ctrl))
    worker(run, keys, ctrl, "--curve-dir", str(keys / "for-workers" / "gpu1")).wait_for("Worker registered at")
    assert up.stop() == 0


def test_a_master_with_keys_has_servables_of_its_own_without(run: Processes, keys: Path) -> None:
    port = free_port()
    mine = ("--servable", str(keys.parent / "echo"), "--ctrl", f"0.0.0.0:{free_port()}", "--curve-dir", str(keys))
    desk = run.start("-m", "master", "--grpc", str(port), *mine)
    desk.wait_for("Serving gRPC start success")
    assert calls(port)
    assert desk.stop() == 0


OPEN = ("--grpc", "5500", "--ctrl", "0.0.0.0:6500")
MISTAKES = [
    (("master", *OPEN), 2, "give --curve-dir DIR"),
    (("master", *OPEN), 2, "or --insecure to let in whoever reaches it"),
    (("mindspore_serving", "up", "x", *OPEN), 2, "give --curve-dir DIR"),
    (("master", "--grpc", "5500", "--ctrl", "master.example:6500"), 2, "can be reached from other machines"),
    (("master", *OPEN, "--insecure", "--curve-dir", "x"), 2, "contradict each other"),
    (("master", *OPEN, "--curve-dir", "/nowhere"), 1, "--curve-dir '/nowhere' has no master.key_secret"),
    (("worker", "--servable", "x", "--master", "h:1", "--curve-dir", "/nowhere"), 1, "has no worker.key_secret"),
    (("master", "--grpc", "5500", "--ctrl", "6500", "--tls-key", "x"), 2, "need each other"),
    (("master", "--grpc", "5500", "--ctrl", "6500", "--tls-client-ca", "x"), 2, "needs --tls-certificate"),
    (("master", "--grpc", "1", "--ctrl", "2", "--token-file", "/nowhere"), 1, "--token-file '/nowhere' cannot be read"),
    (("master", "--grpc", "1", "--ctrl", "2", "--tls-certificate", "/no.pem", "--tls-key", "k"), 1, "from /no.pem"),
]


@pytest.mark.parametrize("arguments, code, text", MISTAKES)
def test_a_mistake_is_one_clear_line(run: Processes, arguments: tuple[str, ...], code: int, text: str) -> None:
    process = run.start("-m", *arguments)
    assert text in refusal(process, code)
    assert len(process.output.splitlines()) == 1


def test_insecure_opens_the_control_port_to_all_and_says_so(run: Processes, keys: Path) -> None:
    ctrl = free_port()
    desk = run.start("-m", "master", "--grpc", str(free_port()), "--ctrl", f"0.0.0.0:{ctrl}", "--insecure")
    desk.wait_for(f"--insecure: whoever reaches 0.0.0.0:{ctrl} can read requests and answer them")
    worker(run, keys, ctrl).wait_for("Worker registered at")
    assert desk.stop() == 0


def test_start_scripts_take_their_keys_from_the_environment_and_are_warned_without(
    keys: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(CURVE_DIR_VARIABLE, raising=False)
    with caplog.at_level(logging.WARNING, "mindspore_serving"):
        assert (script_master_keys(Address("127.0.0.1", 6100)), script_worker_keys()) == (None, None)
        assert caplog.messages == []
        assert script_master_keys(Address("0.0.0.0", 6100)) is None
        (message,) = caplog.messages
    assert message.startswith("whoever reaches the master server at 0.0.0.0:6100 can read requests")
    monkeypatch.setenv(CURVE_DIR_VARIABLE, str(keys))
    assert script_master_keys(Address("0.0.0.0", 6100)) is not None
    monkeypatch.setenv(CURVE_DIR_VARIABLE, str(keys / "for-workers" / "gpu1"))
    assert script_worker_keys() is not None


def test_start_scripts_of_1_2_find_each_other_with_keys(run: Processes, keys: Path) -> None:
    port, ctrl = free_port(), free_port()
    calls_of_a_master = (
        "from mindspore_serving import master\n"
        f"master.start_grpc_server('127.0.0.1', {port})\nmaster.start_master_server('0.0.0.0', {ctrl})\n"
    )
    calls_of_a_worker = (
        "from mindspore_serving import worker\n"
        f"worker.start_servable({str(keys.parent)!r}, 'echo', master_ip='127.0.0.1', master_port={ctrl})\n"
    )
    variables = {"PYTHONPATH": str(ROOT), CURVE_DIR_VARIABLE: str(keys)}
    desk = run.start("-c", calls_of_a_master, environment=variables)
    desk.wait_for("Master server start success")
    variables[CURVE_DIR_VARIABLE] = str(keys / "for-workers" / "gpu1")
    run.start("-c", calls_of_a_worker, environment=variables).wait_for("Worker registered at")
    assert calls(port)
    assert desk.stop() == 0
