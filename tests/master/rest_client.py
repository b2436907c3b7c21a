"""A client of the RESTful door, as plain as one can be, and a worker that answers in a thread of its own."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mindspore_serving.cluster.addresses import Address
from tests.master.fake_worker import FakeWorker
from tests.master.running_master import WAIT_SECONDS, RunningMaster


class AtOnce(http.client.HTTPConnection):
    """Sends a request in one piece, so that the door reads it in one if it is short: see master/whole_calls.py."""

    held: bytes | None = None

    def request(self, *arguments: Any, **named: Any) -> None:
        self.held = b""
        try:
            super().request(*arguments, **named)
        finally:
            whole, self.held = self.held, None
        super().send(whole)

    def send(self, data: Any) -> None:
        if self.held is None:
            super().send(data)
        else:
            self.held += data


class RestClient:
    """One connection to the door, used again and again. Head and body are two pieces, unless `at_once`."""

    def __init__(self, address: Address, at_once: bool = False) -> None:
        kind = AtOnce if at_once else http.client.HTTPConnection
        self.connection = kind(*address, timeout=WAIT_SECONDS)

    def ask(self, body: Any, url: str = "/model/add:echo", method: str = "POST") -> Any:
        """What the door answers, with status 200, to a body: bytes as they are, anything else as JSON."""
        status, headers, answer = self.exchange(body, url, method)
        assert status == 200
        assert headers["content-type"] == "application/json"
        return json.loads(answer)

    def exchange(
        self, body: Any, url: str, method: str = "POST", **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, url, body if isinstance(body, bytes) else json.dumps(body), named)
        response = self.connection.getresponse()
        return response.status, response.headers, response.read()

    def error(self, body: Any, url: str = "/model/add:echo", method: str = "POST") -> str:
        """The text of a whole failure."""
        answer = self.ask(body, url, method)
        assert set(answer) == {"error_msg"}
        return str(answer["error_msg"])

    def echoed(self, value: Any) -> Any:
        """What comes back for an input that the method echo gives back."""
        answer = self.ask({"instances": {"x": value}})
        assert list(answer) == ["instances"], answer
        (instance,) = answer["instances"]
        assert list(instance) == ["y"]
        return instance["y"]


@contextmanager
def echoing(master: RunningMaster) -> Iterator[None]:
    """A worker that answers every batch with its first input."""
    stop = threading.Event()
    registered = threading.Event()

    def work() -> None:
        worker = FakeWorker(master.context, master.ctrl.port)
        registered.set()
        while not stop.is_set():
            if worker.socket.poll(20):
                worker.echo_if_batch()
        worker.socket.close(0)

    thread = threading.Thread(target=work)
    thread.start()
    assert registered.wait(WAIT_SECONDS)
    yield
    stop.set()
    thread.join()
