"""The frames of a batch's answer. What no master could read becomes failures: an answer has to come in any case.

A master that waits for one gives the worker nothing else, and sends the batch to the next worker when it is lost.
"""

import logging
from collections.abc import Callable
from typing import Any

from mindspore_serving.cluster.codec import encode
from mindspore_serving.cluster.direct import MAX_FRAME_BYTES
from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.cluster.messages import BatchDone
from mindspore_serving.cluster.tensors import Buffer, column_length
from mindspore_serving.worker.error_text import error_text, sendable

logger = logging.getLogger("mindspore_serving.worker")


def answer_frames(done: BatchDone, pack_header: Callable[[Any], bytes]) -> list[Buffer]:
    """The frames of the answer, or of one in which every instance that had a result has failed."""
    try:
        frames = encode(done, pack_header)
    except Exception as error:  # whatever a servable has got past the checks of its results
        logger.exception("the results of a batch cannot be sent")
        reason = f"the results cannot be sent: {type(error).__name__}: {error_text(error)}"
        return encode(_failed(done, reason), pack_header)
    for frame in frames:
        if len(frame) > MAX_FRAME_BYTES:
            reason = (
                f"the results cannot be sent: {len(frame)} bytes of one output, of all instances that ran together, "
                f"are more than {MAX_FRAME_BYTES}: give the method a smaller batch size, or smaller results"
            )
            logger.error("%s", reason)
            return encode(_failed(done, reason), pack_header)
    return frames


def _failed(done: BatchDone, reason: str) -> BatchDone:
    succeeded = column_length(done.columns[0]) if done.columns else 0
    failures = dict.fromkeys(range(succeeded + len(done.failures)), Failure(Code.SYSTEM_ERROR, sendable(reason)))
    for index, failure in done.failures.items():
        failures[index] = Failure(failure.code, sendable(failure.text))
    return BatchDone(done.batch_id, (), failures, done.device_seconds)
