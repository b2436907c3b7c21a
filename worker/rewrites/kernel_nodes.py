"""Steps: nodes that stand for an operator of kernels/, until chains.py makes operators of MindSpore of them."""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mindspore_serving.worker.kernels import library
from mindspore_serving.worker.rewrites.file_constants import FLOAT32
from mindspore_serving.worker.rewrites.graph_file import LEAST_NUMBERS, GraphFile
from mindspore_serving.worker.rewrites.values import Value

# In the order of kernels/operators.c.
OPERATORS = (
    "convolution",
    "winograd",
    "pooling",
    "dense",
    "products",
    "recurrence",
    "layer_norm",
    "group_norm",
    "softmax",
    "activation",
    "combination",
    "reduction",
    "transposition",
    "part",
    "repetition",
    "concatenation",
    "padding",
    "view",
    "filling",
    "lookup",
)
# What an operator may do with each number that it makes, by the activation behind it: kernels/operators.h.
UNCLAMPED = 0
CLAMPS = {"ReLU": 1, "ReLU6": 2}
MOST_AXES, MOST_GIVEN, MOST_STEPS, MOST_INPUTS = 8, 8, 64, 256  # kernels/chain.h
_PREFIX = "kernel:"
_TOLD = "told"


def are_here() -> bool:
    """Whether there are any operators to call."""
    return library() is not None


@dataclass(frozen=True)
class Step:
    """What an operator is given, and told. inputs: names of values, or nodes of new constants. told: none below 0."""

    operator: str
    inputs: Sequence[Any]
    told: Sequence[int] = ()


def step_node(graph: GraphFile, step: Step, value: Value, output: str | None = None) -> Any:
    """A node for a step, which makes this value. output: whose place it takes."""
    node = graph.new.placeholder(_PREFIX + step.operator, step.inputs, value, output)
    node.attribute.add(name=_TOLD, ints=step.told)
    return node


def constants_of(step: Step) -> list[Any]:
    """The nodes of new constants among what it is given."""
    return [given for given in step.inputs if not isinstance(given, str)]


def put_step(graph: GraphFile, old: Sequence[Any], step: Step, value: Value) -> None:
    """Puts a step, which makes this value, in place of these nodes."""
    graph.replace(old, [*constants_of(step), step_node(graph, step, value, old[-1].output[0])])


def put_large(graph: GraphFile, old: Sequence[Any], step: Step | None, name: str) -> bool:
    """Puts a step, if there is one, in place of these nodes, if the value of this name has many numbers."""
    value = float_value(graph, old[-1].output[0])
    if step is None or value is None or not is_large(graph, name):
        return False
    put_step(graph, old, step, value)
    return True


def is_large(graph: GraphFile, name: str) -> bool:
    """Whether a value has so many numbers that an operator of its own is worth it."""
    return _numbers(graph, name) >= graph.least_numbers


def has_many(graph: GraphFile, name: str) -> bool:
    """Whether a value has so many numbers that it counts how long each takes, and not how long it takes to begin."""
    return _numbers(graph, name) >= LEAST_NUMBERS


def _numbers(graph: GraphFile, name: str) -> int:
    """Of one instance, as far as sizes are known; 0 for anything but float32."""
    value = float_value(graph, name)
    return 0 if value is None else math.prod(size for size in value.shape if size > 0)


def put_steps(graph: GraphFile, old: Sequence[Any], steps: Sequence[tuple[Step, tuple[int, ...]]]) -> None:
    """Puts several steps, each with the shape of what it makes, in place of these nodes.

    An input that is a number is what the step of that number makes, from 0.
    """
    made: list[Any] = []
    new: list[Any] = []
    for step, shape in steps:
        output = old[-1].output[0] if len(made) == len(steps) - 1 else None
        given = [made[one] if isinstance(one, int) else one for one in step.inputs]
        made.append(step_node(graph, Step(step.operator, given, step.told), Value(FLOAT32, shape), output))
        new += [*(one for one in step.inputs if not isinstance(one, str | int)), made[-1]]
    graph.replace(old, new)


def step_of(graph: GraphFile, node: Any) -> Step | None:
    """What `put_step` has made a node of; None for any other node."""
    name = graph.op(node)
    if not name.startswith(_PREFIX):
        return None
    told = [number for given in node.attribute if given.name == _TOLD for number in given.ints]
    return Step(name.removeprefix(_PREFIX), list(node.input), told)


def bits(number: float) -> int:
    """Of a float32, as operators are told of it."""
    return int(struct.unpack("<I", struct.pack("<f", number))[0])


def float_value(graph: GraphFile, name: str, rank: int | None = None) -> Value | None:
    """What is known of a value, if it is one of float32 with so many dimensions, or with any that a step may have."""
    value = graph.value(name)
    if value is None or value.data_type != FLOAT32 or not 0 < len(value.shape) <= MOST_AXES:
        return None
    return value if rank in (None, len(value.shape)) else None
