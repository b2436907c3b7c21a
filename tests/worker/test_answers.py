"""An answer always leaves, and a master can read it: what servables give that cannot be sent becomes failures."""

from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from mindspore_serving.cluster.codec import decode
from mindspore_serving.cluster.direct import MAX_FRAME_BYTES
from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.cluster.messages import BatchDone, RunBatch
from mindspore_serving.cluster.tensors import Stacked
from mindspore_serving.worker.answer_frames import answer_frames
from mindspore_serving.worker.complaints import Complaints
from mindspore_serving.worker.declarations import Method
from mindspore_serving.worker.error_text import MOST_CHARACTERS, error_text
from mindspore_serving.worker.pipeline import Job
from tests.worker.conftest import Workshop, run
from tests.worker.test_functions import go, ints, plain, reasons

LONE = "\ud83d"


class Longest(bytes):
    """Says that it is longer than a socket accepts."""

    def __len__(self) -> int:
        return MAX_FRAME_BYTES + 1


def sent(done: BatchDone) -> Any:
    return decode(answer_frames(done, msgpack.Packer().pack))


def test_an_answer_that_cannot_be_encoded_becomes_failures() -> None:
    given = {1: Failure(Code.INVALID_INPUTS, f"no {LONE}")}
    read = sent(BatchDone(7, ((LONE, "good"),), given))
    assert (read.batch_id, read.columns) == (7, ())
    assert {index: failure.code for index, failure in read.failures.items()} == {
        0: Code.SYSTEM_ERROR,
        1: Code.INVALID_INPUTS,
        2: Code.SYSTEM_ERROR,
    }
    assert read.failures[1].text == "no \\ud83d"
    assert "the results cannot be sent: UnicodeEncodeError" in read.failures[0].text


def test_an_answer_with_a_frame_that_no_socket_accepts_becomes_failures() -> None:
    read = sent(BatchDone(7, (Stacked("|u1", (2, 1), Longest(2)),)))
    assert set(read.failures) == {0, 1}
    assert f"are more than {MAX_FRAME_BYTES}: give the method a smaller batch size" in read.failures[1].text


def test_a_lone_surrogate_fails_its_own_instance(workshop: Workshop) -> None:
    function = "import json\ndef f(x):\n    return json.loads('\"\\\\ud83d\"') if x == 2 else 'gut \u00fc'"
    done = go(workshop, function, ints(1, 2, 3))
    assert plain(sent(done)) == ["gut ü", "gut ü"]
    assert list(reasons(done)) == [1]
    assert "is half of a pair, which UTF-8 cannot carry" in reasons(done)[1]


@pytest.mark.parametrize("batch", ["", ", batch_size=0"])
def test_an_error_about_a_file_name_that_is_no_text_is_told(workshop: Workshop, batch: str) -> None:
    function = "import os\ndef f(x):\n    raise ValueError('cannot open ' + os.fsdecode(b'caf\\xe9.jpg'))"
    done = go(workshop, function, ints(1), batch)
    assert reasons(sent(done)) == {0: "cannot open caf\\udce9.jpg"}


def test_an_endless_error_text_is_cut() -> None:
    told = error_text(ValueError("x" * (64 << 20)))
    assert told == "x" * MOST_CHARACTERS + " ... (cut: 67108864 characters)"
    assert error_text(ValueError("short")) == "short"


def test_a_batch_is_answered_once_though_sending_fails() -> None:
    told: list[BatchDone] = []

    def fail(done: BatchDone) -> None:
        told.append(done)
        raise OSError("no connection")

    post: Callable[..., None] = lambda stage, step: step()  # noqa: E731
    job = Job("s", Method("m", ("x",), ("x",), (), (0,)), RunBatch(1, "m", 1, (("a",),)), {}, post, fail, Complaints())
    with pytest.raises(OSError, match="no connection"):
        job.start()
    assert told == [BatchDone(1, (("a",),), device_seconds=told[0].device_seconds)]


def test_many_uneven_large_results_arrive(workshop: Workshop) -> None:
    """Each would be a frame of its own, and a message has 1024 at most."""
    servable = workshop.make(
        """
        import numpy as np
        def f(size):
            return np.full(int(size), 7, np.uint8)
        @register.register_method(output_names=["y"])
        def go(size):
            return register.add_stage(f, size, outputs_count=1)
        """
    )
    sizes = [65536 + place for place in range(1100)]
    read = sent(run(servable, "go", len(sizes), tuple(ints(*sizes))))
    assert [len(value.data) for value in read.columns[0]] == sizes
    assert all(bytes(value.data) == b"\7" * len(value.data) for value in read.columns[0][-80:])
