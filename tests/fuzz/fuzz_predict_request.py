"""Target: a PredictRequest's bytes, from the door to a worker and back. Only an RpcFault may come instead."""

from mindspore_serving.master.ms_service import ms_predict
from mindspore_serving.master.service_table import RpcFault
from mindspore_serving.proto import ms_service_pb2 as pb
from tests.fuzz.echo_desk import EchoDesk

_desk: list[EchoDesk] = []


def _request(*tensors: pb.Tensor, old: bool = False) -> bytes:
    request = pb.PredictRequest(servable_spec=pb.ServableSpec(name="s", method_name="m"))
    for tensor in tensors:
        (request.instances_of_1_2 if old else request.instances).add().items["x"].CopyFrom(tensor)
    return request.SerializeToString()


_FLOATS = pb.Tensor(shape=pb.TensorShape(dims=[2]), dtype=pb.MS_FLOAT32, data=bytes(8))
_HUGE = pb.Tensor(shape=pb.TensorShape(dims=[2**62, 4, 2**62]), dtype=pb.MS_FLOAT64, data=bytes(8))
_EMPTY = pb.Tensor(shape=pb.TensorShape(dims=[2**31, 0]), dtype=pb.MS_INT8)
_TEXT = pb.Tensor(shape=pb.TensorShape(dims=[1]), dtype=pb.MS_STRING, bytes_val=["ü".encode()])
_SHARED = pb.Tensor.FromString(b"\x0a\x03\x0a\x01\x04\x10\x02" + b"\x2a\x03\x0a\x01k")  # the old shm_data

SEEDS = [
    _request(_FLOATS, _FLOATS),
    _request(_FLOATS, old=True),
    _request(_TEXT),
    _request(_HUGE),
    _request(_EMPTY, _EMPTY),
    _request(_SHARED),
    _request(),
]


def run(data: bytes) -> None:
    """Asks for a reply to these bytes, and reads it."""
    if not _desk:
        _desk.append(EchoDesk())
    try:
        reply = pb.PredictReply.FromString(_desk[0].run(ms_predict(_desk[0].desk, data, None)))
    except RpcFault:
        return
    assert len(reply.error_msg) in (0, 1, len(reply.instances))


def close() -> None:
    """Lets the desk go."""
    while _desk:
        _desk.pop().close()
