"""One prediction, whichever door it came through: pick each instance's inputs, ask, collapse equal failures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from mindspore_serving.cluster.batcher import Result
from mindspore_serving.cluster.errors import Code, Failure, RequestRefused
from mindspore_serving.cluster.messages import MethodSpec
from mindspore_serving.cluster.tensors import Instance, Value
from mindspore_serving.master.front_desk import FrontDesk
from mindspore_serving.master.tensor_rules import TensorFault

T = TypeVar("T")  # what a door finds under an input's name


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """What a client asks. `read` makes a value of what stands under an input's name; it raises TensorFault.

    collapses: instances that all fail alike are answered with one error, as in 2.x; 1.2 had one for each.
    """

    servable: str
    version: int
    method: str
    instances: Sequence[Mapping[str, T]]
    read: Callable[[T], Value]
    nbytes: int
    collapses: bool = True


@dataclass(frozen=True, slots=True)
class Predictions:
    """A result or a failure for each instance; a result's values are in the order of `outputs`."""

    outputs: Sequence[str]
    results: Sequence[Result]


async def predict(desk: FrontDesk, call: Call[T], seconds_left: float | None) -> Predictions | Failure:
    """The answer to a call; one failure when the whole call failed. `seconds_left` None: the caller waits for ever."""
    try:
        route, method = desk.resolve(call.servable, call.version, call.method)
        instances = _instances(call, method)
    except RequestRefused as refused:
        return refused.failure
    answer = await desk.ask(call.version, route, method, instances, call.nbytes, seconds_left)
    if isinstance(answer.results, Failure):
        return answer.results
    failures = {result for result in answer.results if isinstance(result, Failure)}
    if call.collapses and len(failures) == 1 and all(isinstance(result, Failure) for result in answer.results):
        return failures.pop()  # all failed alike: one error for the whole call
    return Predictions(answer.outputs, answer.results)


def _instances(call: Call[T], method: MethodSpec) -> tuple[Instance, ...]:
    """Each instance's inputs in the method's order; inputs that the method does not have are ignored."""
    if not call.instances:
        text = f"Instances count of request cannot be 0, servable: {call.servable}, method: {method.name}"
        raise RequestRefused(Code.FAILED, text)
    instances = []
    for items in call.instances:
        values = []
        for name in method.inputs:
            if name not in items:
                text = f"Cannot find input {name} in instance input , servable {call.servable}, method {method.name}"
                raise RequestRefused(Code.INVALID_INPUTS, text)
            try:
                values.append(call.read(items[name]))
            except TensorFault as fault:
                raise input_refused(name, fault) from fault
        instances.append(tuple(values))
    return tuple(instances)


def input_refused(name: str, fault: TensorFault) -> RequestRefused:
    """The refusal of a call one of whose inputs breaks the rules."""
    return RequestRefused(Code.INVALID_INPUTS, f"Instances input {name} check failed, detail: {fault}")


def error_text(failure: Failure) -> str:
    """What the client reads. It may quote what a function raised, lone surrogates included: those are replaced."""
    return (failure.text or "Predict failed").encode(errors="replace").decode()
