"""Target: a PredictRequest's bytes, from the door to a worker and back. Only an RpcFault may come instead."""

from mindspore_serving.master.ms_service import Predict, ms_predict
from mindspore_serving.master.service_table import RpcFault
from mindspore_serving.proto import ms_service_pb2 as pb
from tests.fuzz.echo_desk import EchoDesk

TIMES = 3  # by the third one, its form may have been learnt

_desk: list[tuple[EchoDesk, Predict]] = []


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
    """Asks for replies to these bytes, and reads them: they are equal, whether protobuf reads the bytes or a form."""
    if not _desk:
        desk = EchoDesk()
        _desk.append((desk, ms_predict(desk.desk)))
    desk, predict = _desk[0]
    try:
        first, *others = [pb.PredictReply.FromString(desk.run(_ask(predict, data))) for _ in range(TIMES)]
    except RpcFault:
        return
    assert len(first.error_msg) in (0, 1, len(first.instances))
    assert all(other == first for other in others)


async def _ask(predict: Predict, data: bytes) -> bytes:
    return await predict(data, None)


def close() -> None:
    """Lets the desk go."""
    while _desk:
        _desk.pop()[0].close()
