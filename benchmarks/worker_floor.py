"""The least that a worker can do: receives the frames of a batch, runs the compiled graph, sends the reply. No threads.

    python -m benchmarks.worker_floor MODEL_FILE ENDPOINT BATCHED

It checks nothing, knows one message, and never says that it is alive: a floor for worker_path.py, not a worker.
"""

import sys
from typing import Any

import msgpack
import numpy as np
import zmq

from mindspore_serving.cluster.codec import PROTOCOL_VERSION, encode
from mindspore_serving.cluster.messages import MethodSpec, Register

FLOOR = b"floor"
_RUN_BATCH, _BATCH_DONE = 14, 3
_OWN_FRAME_BYTES = 64 * 1024


class Graphs:
    """The model's compiled graphs, one for each shape that has come."""

    def __init__(self, path: str) -> None:
        import mindspore
        from mindspore.graph.api import _cell_graph_executor

        self._cell = mindspore.nn.GraphCell(mindspore.load(path))
        self._execute = _cell_graph_executor._graph_executor
        self._to_tensor = mindspore.Tensor.from_numpy
        self._phases: dict[Any, str] = {}

    def __call__(self, arrays: list[Any]) -> Any:
        tensors = tuple([self._to_tensor(array) for array in arrays])
        shapes = tuple([array.shape for array in arrays])
        phase = self._phases.get(shapes)
        if phase is None:
            self._cell(*tensors)
            phase = self._phases[shapes] = self._cell.compile_phase
        result = self._execute(tensors, phase)
        return (result[0] if isinstance(result, tuple | list) else result).asnumpy()


def serve(socket: "zmq.Socket[bytes]", graphs: Graphs, batched: bool) -> None:
    """Answers until the process is ended."""
    while True:
        frames = socket.recv_multipart(copy=False)
        _, kind, fields = msgpack.unpackb(frames[0].buffer, use_list=False)
        if kind != _RUN_BATCH:
            continue
        batch_id, _, count, columns, *_ = fields
        arrays = []
        for column in columns:
            data = column[b"data"]
            buffer = frames[data].buffer if isinstance(data, int) else data
            arrays.append(np.frombuffer(buffer, column[b"type"]).reshape(column[b"shape"]))
        if batched:
            output = graphs(arrays)
        else:
            output = np.stack([graphs([array[index] for array in arrays]) for index in range(count)])
        own = output.nbytes >= _OWN_FRAME_BYTES
        column = {b"nd": True, b"type": output.dtype.str, b"kind": b"", b"shape": output.shape}
        column[b"data"] = 1 if own else output.tobytes()
        header = msgpack.packb([PROTOCOL_VERSION, _BATCH_DONE, (batch_id, count, [column], (), None)])
        socket.send_multipart([header, output] if own else [header], copy=False)


def main(path: str, endpoint: str, batched: str) -> None:
    graphs = Graphs(path)
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.ROUTING_ID, FLOOR)
        socket.connect(endpoint)
        method = MethodSpec("predict", (), (), 1)
        socket.send_multipart(encode(Register(1, "floor", 1, (method,), "CPU:0", "here", 1)))
        serve(socket, graphs, batched == "batched")


if __name__ == "__main__":
    main(*sys.argv[1:])
