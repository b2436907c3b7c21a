"""The doors of a master side by side: one model, the same instances by each protocol; the original's doors with them.

    python -m benchmarks.doors [--original DIR] [--workloads add_batch,mlp] [--instances 1,16] [--callers 1,8,64] ...

Every door is loaded in each round, in one order and then in the other. Its reply is compared with the first door's,
before and after; sizes of replies are compared in between. See docs/benchmarks.md.
"""

import argparse
import http.client
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
import numpy.typing as npt

from benchmarks.client_memory import ClientMemory
from benchmarks.peers import Peer, PeerError, Running, available
from benchmarks.processor import cpu_seconds
from benchmarks.serving import SEED, list_of, workload_names
from benchmarks.workloads import METHOD, WORKLOADS
from mindspore_serving.bench.h2load import GRPC_HEADERS, Load, framed, send_again_and_again
from mindspore_serving.bench.inputs import NamedValues, random_instance
from mindspore_serving.bench.load import PREDICT, open_channel
from mindspore_serving.bench.payload import decode
from mindspore_serving.client.wire_values import request_bytes
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.proto import open_inference_pb2 as oip

INFER = "/inference.GRPCInferenceService/ModelInfer"
HEADER_LENGTH = "Inference-Header-Content-Length"
TIMEOUT_SECONDS = 30.0
TOLERANCE = 1e-3
WARM_UP_SECONDS = 0.5
SERVERS = ("ours lean", "original")
_TEXT_DIFFERS = 0.1  # a number's last digits depend on who shared its batch, and may be shorter or longer

Outputs = npt.NDArray[Any]


class Door(NamedTuple):
    """How one door is asked, and its reply is read. `headers`: none for gRPC."""

    name: str
    path: str
    body: bytes
    headers: dict[str, str] | None
    read: Callable[[bytes], Outputs]

    def ask(self, running: Running) -> bytes:
        """Its reply to one request. Raises PeerError."""
        if self.headers is None:
            with open_channel(f"127.0.0.1:{running.port}") as channel:
                call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(self.path)
                return call(self.body, timeout=TIMEOUT_SECONDS)
        connection = http.client.HTTPConnection("127.0.0.1", running.rest_port, timeout=TIMEOUT_SECONDS)
        connection.request("POST", self.path, self.body, self.headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if response.status != http.HTTPStatus.OK:
            raise PeerError(f"{self.name} answers {response.status}: {content[:300]!r}")
        return content

    def load(self, running: Running, reply_bytes: int, load: Load) -> float:
        """Requests a second; 0 where none was answered in time. Raises PeerError when something is wrong with some."""
        if self.headers is None:
            arguments = [*GRPC_HEADERS, f"http://127.0.0.1:{running.port}{self.path}"]
            tally = send_again_and_again(arguments, framed(self.body), len(framed(bytes(reply_bytes))), load)
        else:
            headers = [f"--header={name}: {value}" for name, value in self.headers.items()]
            arguments = ["--h1", *headers, f"http://127.0.0.1:{running.rest_port}{self.path}"]
            tally = send_again_and_again(arguments, self.body, reply_bytes, load, _TEXT_DIFFERS)
        if tally.failed and tally.calls:
            raise PeerError(f"{self.name}: {', '.join(tally.errors)}")
        return tally.calls / tally.seconds


def doors(workload: str, instances: Sequence[NamedValues], memory: ClientMemory) -> dict[str, list[Door]]:
    """Those of each server."""
    columns = columns_of(instances)
    values = [{name: np.asarray(value).tolist() for name, value in instance.items()} for instance in instances]
    rest = json.dumps({"instances": values}).encode()
    described = [{"name": name, "datatype": "FP32", "shape": array.shape} for name, array in columns.items()]
    flat = [{**about, "data": array.ravel().tolist()} for about, array in zip(described, columns.values(), strict=True)]
    sized = [
        {**about, "parameters": {"binary_data_size": array.nbytes}}
        for about, array in zip(described, columns.values(), strict=True)
    ]
    asked = {"inputs": sized, "parameters": {"binary_data_output": True}}
    header = json.dumps(asked).encode()
    binary = header + b"".join(array.tobytes() for array in columns.values())
    url, kind = f"/v2/models/{workload}/infer", {"content-type": "application/json"}
    predict = Door("Predict", PREDICT, request_bytes(workload, METHOD, 0, instances), None, _read_predict)
    restful = Door("REST", f"/model/{workload}:{METHOD}", rest, kind, _read_rest)
    return {
        SERVERS[0]: [
            predict,
            Door("v2 gRPC, raw", INFER, _infer_request(workload, columns, raw=True), None, _read_raw),
            Door("v2 gRPC, shared memory", INFER, memory.request(workload), None, memory.read),
            Door("v2 gRPC, typed", INFER, _infer_request(workload, columns, raw=False), None, _read_typed),
            restful,
            Door("v2 HTTP, JSON", url, json.dumps({"inputs": flat}).encode(), kind, _read_json),
            Door("v2 HTTP, binary", url, binary, {HEADER_LENGTH: str(len(header))}, _read_binary),
        ],
        SERVERS[1]: [predict._replace(name="original: Predict"), restful._replace(name="original: REST")],
    }


def columns_of(instances: Sequence[NamedValues]) -> dict[str, Outputs]:
    """Each input of all instances."""
    return {name: np.stack([instance[name] for instance in instances]) for name in instances[0]}


def main() -> int:
    arguments = read_arguments()
    try:
        with tempfile.TemporaryDirectory() as folder:
            run(arguments, Path(folder))
    except (PeerError, SetupError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.doors", description="Doors side by side.")
    names = ["add_batch", "mlp"]
    parser.add_argument("--workloads", type=float_workloads, default=names, help="default: add_batch,mlp")
    parser.add_argument("--callers", type=list_of(int), default=[1, 8, 64], help="default: 1,8,64")
    parser.add_argument("--instances", type=list_of(int), default=[1, 16], help="a request (default: 1,16)")
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement (default: 1)")
    parser.add_argument("--original", type=Path, help="where benchmarks/original/setup.sh has installed the original")
    return parser.parse_args()


def float_workloads(text: str) -> list[str]:
    """The names of text; what the doors are asked for is written as numbers with a point."""
    names = workload_names(text)
    for name in names:
        if any(spec.dtype != "float32" for spec in WORKLOADS[name].inputs):
            raise argparse.ArgumentTypeError(f"'{name}' takes something else than float32")
    return names


def run(arguments: argparse.Namespace, folder: Path) -> None:
    """Prints a table for each workload and number of instances. Raises PeerError and SetupError."""
    original = arguments.original and arguments.original.resolve()
    peers = [peer for peer in available(folder, original, arguments.workloads) if peer.name in SERVERS]
    for workload in arguments.workloads:
        with ExitStack() as stack:
            running = {peer.name: _start(stack, peer, workload, folder) for peer in peers}
            for count in arguments.instances:
                chance = np.random.default_rng(SEED)
                instances = [random_instance(WORKLOADS[workload].inputs, chance) for _ in range(count)]
                with closing(ClientMemory(columns_of(instances))) as memory:
                    memory.register(running[SERVERS[0]])
                    given = doors(workload, instances, memory)
                    cells = [(running[name], door) for name in running for door in given[name]]
                    print(f"\n**{workload}**, instances a request: {count}\n", flush=True)
                    print_table(arguments, cells)


def _start(stack: ExitStack, peer: Peer, workload: str, folder: Path) -> Running:
    logs = folder / f"{workload}-{peer.name}".replace(" ", "-")
    logs.mkdir()
    running = peer.start(workload, logs)
    stack.callback(running.stop)
    return running


def print_table(arguments: argparse.Namespace, cells: Sequence[tuple[Running, Door]]) -> None:
    """Requests a second by number of callers, and the master's CPU for each."""
    replies = [door.ask(running) for running, door in cells]
    check(cells, replies)
    heads = [f"{callers} {'caller' if callers == 1 else 'callers'}" for callers in arguments.callers]
    print(f"| door | {' | '.join(heads)} | us CPU of the master |\n|---{'|---' * (len(heads) + 1)}|", flush=True)
    rates = [[0.0] * len(heads) for _ in cells]
    costs = [[0.0] * len(heads) for _ in cells]
    for column, callers in enumerate(arguments.callers):
        found: list[list[tuple[float, float]]] = [[] for _ in cells]
        for number in range(arguments.rounds):
            for row in range(len(cells))[:: 1 if number % 2 == 0 else -1]:
                running, door = cells[row]
                load = Load(callers, 0.0 if number else WARM_UP_SECONDS, arguments.seconds, TIMEOUT_SECONDS)
                before = cpu_seconds(running.master)
                rate = door.load(running, len(replies[row]), load)
                spent = cpu_seconds(running.master) - before
                if number or arguments.rounds == 1:  # the first round's CPU has its warm-up
                    found[row].append((rate, 1e6 * spent / max(1.0, rate * arguments.seconds)))
        for row, measured in enumerate(found):
            rates[row][column], costs[row][column] = (statistics.median(item) for item in zip(*measured, strict=True))
    check(cells, [door.ask(running) for running, door in cells])
    for (_, door), rate_row, cost_row in zip(cells, rates, costs, strict=True):
        listed = " | ".join(f"{rate:.0f}" for rate in rate_row)
        print(f"| {door.name} | {listed} | {', '.join(f'{cost:.0f}' for cost in cost_row)} |", flush=True)


def check(cells: Sequence[tuple[Running, Door]], replies: Sequence[bytes]) -> None:
    """Every door says the same. Raises PeerError."""
    first = cells[0][1].read(replies[0])
    for (_, door), reply in zip(cells, replies, strict=True):
        outputs = door.read(reply)
        if outputs.size != first.size or not np.allclose(outputs.ravel(), first.ravel(), TOLERANCE, TOLERANCE):
            raise PeerError(f"{door.name} answers otherwise than {cells[0][1].name}: {reply[:300]!r}")


def _infer_request(model: str, columns: dict[str, Outputs], raw: bool) -> bytes:
    request = oip.ModelInferRequest(model_name=model)
    for name, array in columns.items():
        tensor = request.inputs.add(name=name, datatype="FP32", shape=array.shape)
        if raw:
            request.raw_input_contents.append(array.tobytes())
        else:
            tensor.contents.fp32_contents.extend(array.ravel().tolist())
    return request.SerializeToString()


def _read_predict(reply: bytes) -> Outputs:
    values = decode(reply)
    if isinstance(values, str):
        raise PeerError(f"Predict answers: {values}")
    return np.stack([np.asarray(output) for instance in values for output in instance.values()])


def _read_raw(reply: bytes) -> Outputs:
    return np.frombuffer(oip.ModelInferResponse.FromString(reply).raw_output_contents[0], np.float32)


def _read_typed(reply: bytes) -> Outputs:
    return np.array(oip.ModelInferResponse.FromString(reply).outputs[0].contents.fp32_contents)


def _read_rest(reply: bytes) -> Outputs:
    return np.array([output for instance in json.loads(reply)["instances"] for output in instance.values()])


def _read_json(reply: bytes) -> Outputs:
    return np.array(json.loads(reply)["outputs"][0]["data"])


def _read_binary(reply: bytes) -> Outputs:
    document, _ = json.JSONDecoder().raw_decode(reply.decode("latin-1"))
    (output,) = document["outputs"]
    return np.frombuffer(reply[-output["parameters"]["binary_data_size"] :], np.float32)


if __name__ == "__main__":
    sys.exit(main())
