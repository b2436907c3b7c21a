"""One prediction, whichever door it came through: pick each instance's inputs, ask, collapse equal failures."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from mindspore_serving.cluster.dispatch_events import Answer
from mindspore_serving.cluster.errors import Code, Failure, RequestRefused
from mindspore_serving.cluster.messages import MethodSpec
from mindspore_serving.cluster.results import Results
from mindspore_serving.cluster.tensors import Column, Value, to_columns
from mindspore_serving.master.front_desk import FrontDesk
from mindspore_serving.master.promise import Promise, kept
from mindspore_serving.master.tensor_rules import MOST_INSTANCES, TensorFault

T = TypeVar("T")  # what a door makes of an answer


class Call:
    """What a client asks. `read` makes a value of what a door finds under an input's name; it raises TensorFault.

    collapses: instances that all fail alike are answered with one error, as in 2.x; 1.2 had one for each. A plain
    class, as Predictions is: one is made for every request, and a data class takes several times as long to make.
    """

    __slots__ = ("collapses", "instances", "method", "nbytes", "read", "servable", "version")

    def __init__(
        self,
        servable: str,
        version: int,
        method: str,
        instances: Sequence[Mapping[str, Any]],
        read: Callable[[Any], Value],
        nbytes: int,
        collapses: bool = True,
    ) -> None:
        self.servable = servable
        self.version = version
        self.method = method
        self.instances = instances
        self.read = read
        self.nbytes = nbytes
        self.collapses = collapses


class Predictions:
    """What came of each instance; values are in the order of `outputs`."""

    __slots__ = ("outputs", "results")

    def __init__(self, outputs: Sequence[str], results: Results) -> None:
        self.outputs = outputs
        self.results = results


def predict(
    desk: FrontDesk, call: Call, seconds_left: float | None, finish: Callable[[Predictions | Failure], T]
) -> Promise[T]:
    """What `finish` makes of the answer, which is one failure when the whole call failed.

    `seconds_left` None: the caller waits for ever.
    """
    try:
        route, method = desk.resolve(call.servable, call.version, call.method)
        columns = read_columns(call, method)
    except RequestRefused as refused:
        return kept(finish(refused.failure))
    count = len(call.instances)

    def conclude(answer: Answer) -> T:
        results = answer.results
        if call.collapses and not isinstance(results, Failure):
            results = results.collapsed()
        return finish(results if isinstance(results, Failure) else Predictions(answer.outputs, results))

    return desk.submit(call.version, route, method, count, columns, call.nbytes, seconds_left, conclude)


def read_columns(call: Call, method: MethodSpec) -> tuple[Column, ...]:
    """A column for each of the method's inputs; inputs that it does not have are ignored. Raises RequestRefused."""
    if not call.instances:
        text = f"Instances count of request cannot be 0, servable: {call.servable}, method: {method.name}"
        raise RequestRefused(Code.FAILED, text)
    check_count(len(call.instances))
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
    return to_columns(instances)


def check_count(instances: int) -> None:
    """Raises RequestRefused when one request has so many instances."""
    if instances > MOST_INSTANCES:
        text = f"Instances count of request is {instances}, more than {MOST_INSTANCES}: send fewer at once"
        raise RequestRefused(Code.INVALID_INPUTS, text)


def input_refused(name: str, fault: TensorFault) -> RequestRefused:
    """The refusal of a call one of whose inputs breaks the rules."""
    return RequestRefused(Code.INVALID_INPUTS, f"Instances input {name} check failed, detail: {fault}")


def error_text(failure: Failure) -> str:
    """What the client reads. It may quote what a function raised, lone surrogates included: those are replaced."""
    return (failure.text or "Predict failed").encode(errors="replace").decode()
