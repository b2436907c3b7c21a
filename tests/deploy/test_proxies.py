"""Masters behind nginx and HAProxy, as docs/proxies.md sets them up: a rolling restart fails no call."""

import http.client
import json
import re
import shlex
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from mindspore_serving.client.wire_values import request_bytes
from mindspore_serving.proto import ms_service_pb2 as pb
from tests.processes import READY_SECONDS, ROOT, Processes, free_ports, until
from tests.proxies import KINDS, proxy

FEW = 50  # calls
ONES, TWOS = [[1.0, 1.0], [1.0, 1.0]], [[2.0, 2.0], [2.0, 2.0]]


class Callers:
    """One by gRPC, one by HTTP; each waits for its answer before it calls again. None sends a call twice."""

    def __init__(self, grpc_port: int, rest_port: int) -> None:
        self.right = {"gRPC": 0, "HTTP": 0}
        self.wrong: list[object] = []
        self._addresses = f"127.0.0.1:{grpc_port}", f"127.0.0.1:{rest_port}"
        self._is_over = threading.Event()

    def by_grpc(self) -> None:
        ones = np.array(ONES, np.float32)
        body = request_bytes("add", "add_common", 0, [{"x1": ones, "x2": ones}])
        with grpc.insecure_channel(self._addresses[0], options=[("grpc.enable_retries", 0)]) as channel:
            predict: Any = channel.unary_unary("/mindspore.serving.proto.MSService/Predict")
            while not self._is_over.is_set():
                try:
                    reply = pb.PredictReply.FromString(predict(body, timeout=READY_SECONDS))
                    good = [one.items["y"].data for one in reply.instances] == [(2 * ones).tobytes()]
                    self._note("gRPC", good, reply)
                except grpc.RpcError as error:
                    self._note("gRPC", False, error)

    def by_http(self) -> None:
        connection = http.client.HTTPConnection(self._addresses[1])
        body = json.dumps({"instances": [{"x1": ONES, "x2": ONES}]})
        while not self._is_over.is_set():
            try:
                connection.request("POST", "/model/add:add_common", body)
                response = connection.getresponse()
                answer: object = response.status
                good = response.status == 200 and json.loads(response.read()) == {"instances": [{"y": TWOS}]}
            except (OSError, http.client.HTTPException) as error:
                answer, good = error, False
                connection.close()
            self._note("HTTP", good, answer)
        connection.close()

    def call_a_few_times(self) -> None:
        before = dict(self.right)
        until(lambda: all(self.right[way] >= before[way] + FEW for way in before), f"answers; wrong: {self.wrong[:3]}")

    @contextmanager
    def calling(self) -> Iterator[None]:
        threads = [threading.Thread(target=work) for work in (self.by_grpc, self.by_http)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            for thread in threads:
                thread.join()

    def _note(self, way: str, good: bool, answer: object) -> None:
        self.right[way] += good
        if not good:
            self.wrong.append(answer)


def commands(ports: dict[str, int], servables: Path) -> list[list[str]]:
    """Those of the page, with a test's ports and exported servable."""
    (block,) = re.findall(r"```bash\n(.*?)```", (ROOT / "docs" / "proxies.md").read_text(), flags=re.DOTALL)
    text = re.sub(r"\b\d{4}\b", lambda found: str(ports[found[0]]), block).replace("examples/add", str(servables))
    return [shlex.split(line.removeprefix(".venv/bin/python ")) for line in text.splitlines()]


@pytest.mark.parametrize("kind", KINDS)
def test_a_rolling_restart_of_masters_behind_a_proxy_fails_no_call(
    run: Processes, servables: Path, tmp_path: Path, kind: str
) -> None:
    ports = dict(zip(("5500", "5900", "6500", "5501", "5901", "6501"), free_ports(6), strict=True))
    *starts, hand = commands(ports, servables)
    masters = [run.start(*start) for start in starts]
    worker = run.start(*hand)
    for master in masters:
        master.wait_for("RESTful server start success")
    pairs = [(ports["5500"], ports["5900"]), (ports["5501"], ports["5901"])]
    with ExitStack() as stack:
        callers = Callers(*stack.enter_context(proxy(kind, pairs, tmp_path)))
        stack.enter_context(callers.calling())
        callers.call_a_few_times()
        for place, start in enumerate(starts):
            assert masters[place].stop() == 0
            callers.call_a_few_times()
            masters[place] = run.start(*start)
            masters[place].wait_for("RESTful server start success")
            callers.call_a_few_times()
    assert callers.wrong == []
    assert [worker.stop(), *(master.stop() for master in masters)] == [0, 0, 0]
