"""Instances -> request bytes, and whether a reply is the expected one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from mindspore_serving.bench.inputs import NamedValues
from mindspore_serving.client.wire_values import read_reply
from mindspore_serving.proto import ms_service_pb2 as pb

MAX_REQUESTS = 1024  # different ones in one run
# Batches of other sizes are summed up in another order.
_RELATIVE, _ABSOLUTE = 1e-3, 1e-5


def deal(values: Sequence[NamedValues], each: int) -> list[list[NamedValues]]:
    """The values in turn, `each` to a request, until they come round (or MAX_REQUESTS are full)."""
    count = min(math.lcm(len(values), each) // each, MAX_REQUESTS)
    return [[values[(start * each + index) % len(values)] for index in range(each)] for start in range(count)]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a reply to one request should be: `reply` byte for byte, or else these values, floats nearly so."""

    reply: bytes
    values: tuple[NamedValues, ...]

    def fault(self, reply: bytes) -> str | None:
        """What is wrong with a reply; None: nothing."""
        if reply == self.reply:
            return None
        found = decode(reply)
        if isinstance(found, str):
            return found
        for index, (wanted, got) in enumerate(zip(self.values, found, strict=False)):
            if reason := _difference(wanted, got):
                return f"wrong reply: instance {index}: {reason}"
        if len(self.values) != len(found):
            return f"wrong reply: {len(found)} instances instead of {len(self.values)}"
        return None


def decode(reply: bytes) -> list[NamedValues] | str:
    """The outputs of each instance; or the error, when the request or an instance of it failed."""
    try:
        found = read_reply(pb.PredictReply.FromString(reply))
    except (DecodeError, RuntimeError) as error:
        return f"the reply cannot be read: {error}"
    for result in [found] if isinstance(found, dict) else found:
        if set(result) == {"error"} and isinstance(result["error"], str):
            return result["error"]
    return found if isinstance(found, list) else [found]


def _difference(wanted: NamedValues, got: NamedValues) -> str | None:
    for name, value in wanted.items():
        if name not in got:
            return f"there is no output {name}"
        if not _same(value, got[name]):
            return f"output {name} is another one"
    return None


def _same(wanted: Any, got: Any) -> bool:
    if not isinstance(wanted, np.ndarray) or not isinstance(got, np.ndarray):
        return bool(type(wanted) is type(got) and wanted == got)
    if wanted.shape != got.shape:
        return False
    if wanted.dtype.kind != "f" and got.dtype.kind != "f":
        return bool(np.array_equal(wanted, got))
    return bool(np.allclose(got, wanted, _RELATIVE, _ABSOLUTE, equal_nan=True))
