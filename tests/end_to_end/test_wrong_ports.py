"""A worker whose --master is no control port says so in one line, with keys and without; it ends, or tries on."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mindspore_serving.__main__ import main
from tests.end_to_end.test_curve import ECHO
from tests.processes import Process, Processes, free_port

FOREIGN = "does not speak the control protocol: is it the --ctrl port of a master?"
HANGS_UP = "it closes connections at once: is it the --ctrl port of a master? Trying on."
SILENT = "it accepts connections and says nothing: is it the --ctrl port of a master? Trying on."
NOBODY = "nobody accepts connections there: is a master running, and is this its --ctrl port? Trying on."
NAMELESS = "its name has no address: is --master right? Trying on."
MISUNDERSTOOD = "or it is not the --ctrl port of a master"


@contextmanager
def server(serve: Callable[[socket.socket], object]) -> Iterator[int]:
    """A TCP server that does so with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        open_sockets = []

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                open_sockets.append(connection)
                serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    for connection in open_sockets:
        connection.close()


@pytest.fixture
def places(run: Processes) -> Iterator[dict[str, str]]:
    """What may listen where a master should."""
    ports = [free_port() for _ in range(5)]
    lean, rest, control, grpcio, other_control = map(str, ports)
    masters = [
        run.start("-m", "master", "--grpc", lean, "--rest", rest, "--ctrl", control),
        run.start("-m", "master", "--grpc", grpcio, "--grpc-engine", "grpcio", "--ctrl", other_control),
    ]
    for master in masters:
        master.wait_for("gRPC start success")
    with (
        server(lambda connection: None) as silent,
        server(lambda connection: connection.close()) as closing,
        server(lambda connection: connection.sendall(b"220 mail.example ready\r\n")) as talking,
    ):
        yield {
            "lean": f"127.0.0.1:{lean}",
            "grpcio": f"127.0.0.1:{grpcio}",
            "rest": f"127.0.0.1:{rest}",
            "silent": f"127.0.0.1:{silent}",
            "closing": f"127.0.0.1:{closing}",
            "talking": f"127.0.0.1:{talking}",
            "nobody": f"127.0.0.1:{free_port()}",
            "nameless": "no-such-host.invalid:6500",
        }


ENDS = {"without": {"grpcio": FOREIGN}, "with": dict.fromkeys(("grpcio", "rest", "talking"), FOREIGN)}
ENDS["with"] |= dict.fromkeys(("lean", "closing"), MISUNDERSTOOD)
TRIES = {
    "without": {
        "lean": HANGS_UP,
        "closing": HANGS_UP,
        "rest": HANGS_UP,
        "silent": SILENT,
        "talking": SILENT,
        "nobody": NOBODY,
        "nameless": NAMELESS,
    },
    "with": {"silent": SILENT, "nobody": NOBODY, "nameless": NAMELESS},
}


@pytest.mark.parametrize("keys", ["without", "with"])
def test_a_worker_at_a_wrong_port_says_what_is_wrong(
    run: Processes, places: dict[str, str], tmp_path: Path, keys: str
) -> None:
    (tmp_path / "echo").mkdir()
    (tmp_path / "echo" / "servable_config.py").write_text(ECHO)
    assert main(["keygen", str(tmp_path / "keys")]) == 0
    options = ("--curve-dir", str(tmp_path / "keys" / "for-workers" / "worker")) if keys == "with" else ()

    def worker(place: str) -> Process:
        return run.start("-m", "worker", "--servable", str(tmp_path / "echo"), "--master", places[place], *options)

    workers = {place: worker(place) for place in (*ENDS[keys], *TRIES[keys])}
    for place, text in TRIES[keys].items():
        workers[place].wait_for(f"{places[place]}: {text}")
        assert workers[place].stop() == 0
    for place, text in ENDS[keys].items():
        assert workers[place].wait() == 1
        assert text in workers[place].last_line and places[place] in workers[place].last_line
    for process in workers.values():
        assert "Traceback" not in process.output
