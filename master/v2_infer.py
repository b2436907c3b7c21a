"""One inference of the Open Inference Protocol, whichever door it came through: a batch in, its results stacked.

The first dimension of every input counts the instances. With the request parameter `batched` false, the request is one
instance, and its tensors are what the method gets. A BYTES element is an instance's value: bytes to the method, or text
with the input's parameter `content_type` "str".
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mindspore_serving.cluster.dispatch_events import Answer
from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.cluster.messages import ANY_SIZE
from mindspore_serving.cluster.results import Results
from mindspore_serving.cluster.tensors import ITEM_BYTES, Column, Stacked, Tensor, Value, column_length
from mindspore_serving.master.client_memory import ClientMemory
from mindspore_serving.master.error_status import INTERNAL, UNAVAILABLE, UNIMPLEMENTED, CallFault, failure_fate
from mindspore_serving.master.front_desk import FrontDesk
from mindspore_serving.master.predict import error_text
from mindspore_serving.master.promise import Promise
from mindspore_serving.master.service_table import STOPPING_TEXT
from mindspore_serving.master.tensor_rules import MOST_INSTANCES, TensorFault, is_shape, to_text
from mindspore_serving.master.v2_memory import lay, lend
from mindspore_serving.master.v2_target import Target, find_target
from mindspore_serving.master.v2_types import (
    BYTES,
    DATATYPES,
    DTYPES,
    MOST_EMPTY_INSTANCES,
    AskedOutput,
    InferRequest,
    InferResponse,
    Parameters,
    V2Tensor,
    quoted,
    refuse,
)

T = TypeVar("T")  # what a door makes of an answer

_MICROSECOND = 1e-6
_OURS = {"method", "batched"}
_THE_PROTOCOLS = {"sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "headers"}
_FOR_THE_DOOR = {"binary_data_output"}


@dataclass(frozen=True, slots=True)
class Plan:
    """How a method carries a request out, and all that are alike."""

    target: Target
    count: int  # instances
    columns: tuple[Column, ...]  # of each input of the method
    asked: Sequence[AskedOutput]
    batched: bool


def infer(
    desk: FrontDesk,
    memory: ClientMemory,
    request: InferRequest,
    seconds_left: float | None,
    finish: Callable[[InferResponse], T],
) -> Promise[T]:
    """What `finish` makes of the answer. `seconds_left` None: its caller waits for ever.

    Raises CallFault, and so may waiting for it.
    """
    target = find(desk, request)
    request = lend(memory, request)
    plan = make_plan(target, request)
    seconds_left = patience(request.parameters, seconds_left)

    def hear(answer: Answer) -> T:
        return finish(conclude(request, plan, answer))

    return desk.submit(
        target.asked_version,
        target.route,
        target.method,
        plan.count,
        plan.columns,
        request.nbytes,
        seconds_left,
        hear,
    )


def find(desk: FrontDesk, request: InferRequest) -> Target:
    """What runs the request now. Raises CallFault."""
    if not desk.takes_calls:
        raise CallFault(UNAVAILABLE, STOPPING_TEXT)
    return find_target(desk, request.model, request.version, request.parameters.get("method"))


def make_plan(target: Target, request: InferRequest) -> Plan:
    """Raises CallFault when the request does not fit the method."""
    batched = _batched(request.parameters)
    count, columns = _columns(target, request.inputs, batched)
    return Plan(target, count, columns, _asked(target, request.outputs), batched)


def patience(parameters: Parameters, seconds_left: float | None) -> float | None:
    """How long the caller waits, when the request itself may say it, too. Raises CallFault."""
    timeout = parameters.get("timeout", 0)
    if not isinstance(timeout, int) or isinstance(timeout, bool) or timeout < 0:
        refuse("parameter 'timeout' should be a number of microseconds; 0 is none")
    if not timeout:
        return seconds_left
    return timeout * _MICROSECOND if seconds_left is None else min(seconds_left, timeout * _MICROSECOND)


def conclude(request: InferRequest, plan: Plan, answer: Answer) -> InferResponse:
    """What the request's client is answered. Raises CallFault."""
    if isinstance(answer.results, Failure):
        raise _whole_fault(answer.results, plan.target)
    _check_all_succeeded(answer.results)
    columns = dict(zip(answer.outputs, answer.results.columns, strict=True))
    outputs = tuple([lay(_output(item.name, columns[item.name], plan.batched), item) for item in plan.asked])
    return InferResponse(request.model, str(answer.version), request.id, _returned(request.parameters), outputs)


def raw_input(desk: FrontDesk, model: str, version: str, nbytes: int) -> tuple[str, str, tuple[int, ...]]:
    """Name, datatype and shape of a request's only input, which came without any description. Raises CallFault."""
    target = find_target(desk, model, version)
    if len(target.method.inputs) != 1:
        refuse(f"{target} has {len(target.method.inputs)} inputs: describe them in a JSON header")
    (name,) = target.method.inputs
    known = target.method.input_types[0] if target.method.input_types else None
    if known is None:
        return name, BYTES, (1,)
    size = ITEM_BYTES[known.dtype]
    for length in known.shape:
        size *= 1 if length == ANY_SIZE else length
    if known.shape.count(ANY_SIZE) > 1 or (ANY_SIZE in known.shape and not size):
        refuse(f"{target}: the shape of input {name} cannot be told from its size, describe it in a JSON header")
    shape = tuple(nbytes // size if length == ANY_SIZE else length for length in known.shape)
    return name, DATATYPES[known.dtype], (1, *shape)


# --- requests


def _batched(parameters: Parameters) -> bool:
    batched = parameters.get("batched", True)
    if not isinstance(batched, bool):
        refuse("parameter 'batched' should be true or false")
    return batched


def _returned(parameters: Parameters) -> Parameters:
    known = _OURS | _THE_PROTOCOLS | _FOR_THE_DOOR
    return {key: value for key, value in parameters.items() if key not in known and not key.startswith("triton_")}


def _columns(target: Target, inputs: Sequence[V2Tensor], batched: bool) -> tuple[int, tuple[Column, ...]]:
    """How many instances, and a column of them for each input of the method."""
    given = {tensor.name: tensor for tensor in inputs}
    if len(given) != len(inputs):
        refuse("an input is given twice")
    names = target.method.inputs
    for name in given:
        if name not in names:
            refuse(f"{target} has no input {quoted(name)}: it has {', '.join(names) or 'none'}")
    if missing := [name for name in names if name not in given]:
        refuse(f"{target}: input {missing[0]} is missing")
    ordered = [given[name] for name in names]
    if batched and ordered:
        _check_batch(ordered)
    columns = tuple(_column(tensor, batched) for tensor in ordered)
    return column_length(columns[0]) if columns else 1, columns


def _check_batch(inputs: Sequence[V2Tensor]) -> None:
    hint = "or send the parameter batched=false and one instance"
    for tensor in inputs:
        if not tensor.shape:
            refuse(f"input {tensor.name}: shape [] lacks the first dimension, which counts the instances; {hint}")
    counts = {tensor.name: tensor.shape[0] for tensor in inputs}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} has {count}" for name, count in counts.items())
        refuse(f"the first dimension counts the instances and should be the same for all inputs, but {listed}; {hint}")
    count = inputs[0].shape[0]
    if not 0 < count <= MOST_INSTANCES:
        refuse(f"the first dimension counts the instances, 1 to {MOST_INSTANCES} of them, but it is {count}")
    if count > MOST_EMPTY_INSTANCES and not any(math.prod(tensor.shape) for tensor in inputs):
        refuse(f"{count} instances without any data are more than {MOST_EMPTY_INSTANCES}")


def _column(tensor: V2Tensor, batched: bool) -> Column:
    """An input's values, one for each instance."""
    if tensor.datatype == BYTES:
        return tuple(_texts(tensor, batched))
    shape = tensor.shape if batched else (1, *tensor.shape)
    if not is_shape(shape[1:]):
        refuse(f"input {tensor.name}: in shape {list(tensor.shape)}, only the last dimension can be 0")
    return Stacked(DTYPES[tensor.datatype], shape, tensor.frame)


def _texts(tensor: V2Tensor, batched: bool) -> Sequence[Value]:
    elements = tensor.elements
    if len(elements) != (tensor.shape[0] if batched else 1):
        wanted = "one element for each instance, shape [N] or [N, 1]" if batched else "one element, shape [1]"
        refuse(f"input {tensor.name}: BYTES have {wanted}, given {list(tensor.shape)}: there are no arrays of them")
    if tensor.parameters.get("content_type") != "str":
        return elements
    try:
        return [to_text(element) for element in elements]
    except TensorFault:
        refuse(f"input {tensor.name}: content_type is str, but an element is not UTF-8")


def _asked(target: Target, outputs: Sequence[AskedOutput]) -> Sequence[AskedOutput]:
    names = target.method.outputs
    if len({item.name for item in outputs}) != len(outputs):
        refuse("an output is asked for twice")
    for item in outputs:
        if item.name not in names:
            refuse(f"{target} has no output {quoted(item.name)}: it has {', '.join(names) or 'none'}")
        if item.parameters.get("classification"):
            raise CallFault(UNIMPLEMENTED, f"output {item.name}: classification is not supported, sort the values")
    return outputs or [AskedOutput(name) for name in names]


# --- answers


def _whole_fault(failure: Failure, target: Target) -> CallFault:
    fate = failure_fate(failure)
    if failure.code is Code.INVALID_INPUTS and not target.route.ready:
        fate = UNAVAILABLE  # the original's code for what waited when the last worker died
    return CallFault(fate, error_text(failure), failure.retry_seconds)


def _check_all_succeeded(results: Results) -> None:
    """There are no errors of single instances in this protocol: the first one is all. Raises CallFault."""
    if results.failures:
        index = min(results.failures)
        place = f"instance {index} of {results.count}: " if results.count > 1 else ""
        raise CallFault(failure_fate(results.failures[index]), place + error_text(results.failures[index]))


def _output(name: str, column: Column, batched: bool) -> V2Tensor:
    if isinstance(column, Stacked):
        return V2Tensor(name, DATATYPES[column.dtype], column.shape if batched else column.shape[1:], column.data)
    if all(isinstance(value, str) for value in column):
        texts = [str(value).encode(errors="replace") for value in column]
        return V2Tensor(name, BYTES, (len(texts),), texts, {"content_type": "str"})
    if all(isinstance(value, bytes) for value in column):
        return V2Tensor(name, BYTES, (len(column),), [value for value in column if isinstance(value, bytes)])
    kinds = sorted({_kind(value) for value in column})
    text = f"output {name} is not one tensor: its instances are {', '.join(kinds[:4])}; ask for each on its own"
    raise CallFault(INTERNAL, text)


def _kind(value: Value) -> str:
    if not isinstance(value, Tensor):
        return BYTES
    return f"{DATATYPES[value.dtype]} {list(value.shape)}"
