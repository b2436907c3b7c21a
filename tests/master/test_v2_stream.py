"""ModelStreamInfer: pipelined, answered as done; a fault is an answer; and the end of a stream."""

import queue
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from mindspore_serving.master.front_desk import Phase
from mindspore_serving.master.v2_stream import MOST_OPEN
from mindspore_serving.proto import open_inference_pb2 as pb
from tests.master.running_master import WAIT_SECONDS, RunningMaster
from tests.master.v2_client import bytes_request, infer_input, infer_request
from tests.processes import until


class Stream:
    """One call of ModelStreamInfer."""

    def __init__(self, master: RunningMaster) -> None:
        self._requests: queue.Queue[bytes | None] = queue.Queue()
        call: Any = master.channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        self.answers = call(iter(self._requests.get, None), timeout=WAIT_SECONDS)

    def send(self, request: pb.ModelInferRequest, request_id: str) -> None:
        request.id = request_id
        self._requests.put(request.SerializeToString())

    def send_bytes(self, body: bytes) -> None:
        self._requests.put(body)

    def next(self) -> pb.ModelStreamInferResponse:
        return pb.ModelStreamInferResponse.FromString(next(self.answers))

    def end(self) -> None:
        self._requests.put(None)


@pytest.fixture
def stream(master: RunningMaster) -> Iterator[Stream]:
    opened = Stream(master)
    yield opened
    opened.end()
    opened.answers.cancel()


def test_answers_come_as_they_are_done(master: RunningMaster, stream: Stream) -> None:
    pair = [infer_input(name, "UINT8", [1]) for name in ("x1", "x2")]
    stream.send(infer_request("add", *pair, raw=[b"1", b"2"]), "slow")
    slow = master.workers[0].next_batch()
    stream.send(bytes_request(7), "quick")
    master.workers[0].echo()
    quick = stream.next().infer_response
    assert (quick.id, quick.raw_output_contents[0]) == ("quick", b"\7")
    master.workers[0].answer(slow)
    assert stream.next().infer_response.id == "slow"


def test_a_fault_is_an_answer_and_the_stream_goes_on(master: RunningMaster, stream: Stream) -> None:
    stream.send(bytes_request(1, model="nope"), "bad")
    fault = stream.next()
    assert fault.infer_response.id == "bad"
    assert fault.error_message.startswith("model 'nope' is not known")
    stream.send_bytes(b"\xff")
    assert stream.next().error_message == "the request is not an inference.ModelInferRequest"
    good = bytes_request(7)
    good.parameters["triton_enable_empty_final_response"].bool_param = True
    stream.send(good, "good")
    master.workers[0].echo()
    answer = stream.next()
    assert (answer.error_message, answer.infer_response.id) == ("", "good")
    assert answer.infer_response.parameters["triton_final_response"].bool_param
    stream.end()
    assert list(stream.answers) == []
    assert stream.answers.code() is grpc.StatusCode.OK


def test_more_requests_than_may_be_open_are_answered_too(master: RunningMaster, stream: Stream) -> None:
    count = MOST_OPEN + 50
    for number in range(count):
        stream.send(bytes_request(number % 256), str(number))
    stream.end()
    answered = 0
    while answered < count:
        batch = master.workers[0].next_batch()
        master.workers[0].answer(batch)
        answered += batch.count
    assert {stream.next().infer_response.id for _ in range(count)} == set(map(str, range(count)))


def test_a_stopping_master_answers_what_it_accepted_and_ends_the_stream(master: RunningMaster, stream: Stream) -> None:
    stream.send(bytes_request(7), "accepted")
    batch = master.workers[0].next_batch()
    desk = master.server._desk
    stopping = master.later(desk.drain(WAIT_SECONDS))
    until(lambda: desk.phase is Phase.DRAINING, "the desk to drain")
    stream.send(bytes_request(8), "late")
    late = stream.next()
    assert (late.infer_response.id, late.error_message) == ("late", "the master is stopping")
    master.workers[0].answer(batch)
    assert stream.next().infer_response.id == "accepted"
    assert stopping.result(WAIT_SECONDS)
    with pytest.raises(grpc.RpcError):
        next(stream.answers)
    assert stream.answers.code() is grpc.StatusCode.UNAVAILABLE
