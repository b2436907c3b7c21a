"""A client's shared memory, which it has a master read and write instead of sending tensors: see docs/doors.md."""

import math
import secrets
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt

from benchmarks.peers import MEMORY, Running
from mindspore_serving.bench.load import open_channel
from mindspore_serving.proto import open_inference_pb2 as oip

REGISTER = "/inference.GRPCInferenceService/SystemSharedMemoryRegister"
OUTPUT = "y"  # of the workloads here
TIMEOUT_SECONDS = 30.0

Outputs = npt.NDArray[Any]


class ClientMemory:
    """A region of shared memory, with a request's inputs in its first half; the answer's output goes to the second."""

    HALF = 64 << 20  # more than any answer has

    def __init__(self, columns: dict[str, Outputs]) -> None:
        self._columns = columns
        self._memory = SharedMemory(f"{MEMORY}{secrets.token_hex(8)}", create=True, size=2 * self.HALF)
        self._places: dict[str, int] = {}
        at = 0
        for name, array in columns.items():
            assert self._memory.buf is not None
            self._memory.buf[at : at + array.nbytes] = array.tobytes()
            self._places[name] = at
            at += array.nbytes
        assert at <= self.HALF

    def register(self, running: Running) -> None:
        """Tells the master of it."""
        name = self._memory.name
        asked = oip.SystemSharedMemoryRegisterRequest(name=name, key=f"/{name}", byte_size=2 * self.HALF)
        with open_channel(f"127.0.0.1:{running.port}") as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(REGISTER)
            call(asked.SerializeToString(), timeout=TIMEOUT_SECONDS)

    def request(self, model: str) -> bytes:
        """The message that asks for what lies here."""
        request = oip.ModelInferRequest(model_name=model)
        for name, array in self._columns.items():
            tensor = request.inputs.add(name=name, datatype="FP32", shape=array.shape)
            self._tell(tensor.parameters, self._places[name], array.nbytes)
        self._tell(request.outputs.add(name=OUTPUT).parameters, self.HALF, self.HALF)
        return request.SerializeToString()

    def read(self, reply: bytes) -> Outputs:
        """The output of the last answer."""
        output = oip.ModelInferResponse.FromString(reply).outputs[0]
        assert self._memory.buf is not None
        return np.frombuffer(self._memory.buf, np.float32, math.prod(output.shape), self.HALF).copy()

    def close(self) -> None:
        self._memory.close()
        self._memory.unlink()

    def _tell(self, parameters: Any, offset: int, nbytes: int) -> None:
        parameters["shared_memory_region"].string_param = self._memory.name
        parameters["shared_memory_byte_size"].int64_param = nbytes
        parameters["shared_memory_offset"].int64_param = offset
