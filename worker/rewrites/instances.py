"""Whether the instances of a batch go through a chain of steps each by itself: then some may be computed at a time."""

from collections.abc import Mapping, Sequence
from typing import Any

from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import Step

# What they are given besides is fixed.
_OF_ONE = ("convolution", "winograd", "pooling", "dense", "layer_norm", "group_norm", "softmax", "activation")


def inputs_of_instances(graph: GraphFile, steps: Mapping[str, Step], inputs: Mapping[str, Any]) -> list[str]:
    """Which inputs have instances along their first axis; none where one instance may have to do with another.

    steps: in order, by what they make; inputs: what they are given from without, by name.
    """
    found = [name for name, given in inputs.items() if isinstance(given, str) and not _is_fixed(graph, name)]
    shapes = {name: _shape(graph, given) for name, given in inputs.items()}
    several = set(found)
    if not found or any(not shapes[name] for name in found):
        return []
    for name, step in steps.items():
        given = [one if isinstance(one, str) else str(one.output[0]) for one in step.inputs]
        shapes[name] = _shape(graph, name)
        if several.isdisjoint(given):
            continue
        if not _is_apart(step, [shapes[one] for one in given], [one in several for one in given], shapes[name]):
            return []
        several.add(name)
    return found


def _is_fixed(graph: GraphFile, name: str) -> bool:
    return graph.op(graph.maker(name)) in ("Load", "Constant")


def _shape(graph: GraphFile, given: Any) -> tuple[int, ...]:
    if not isinstance(given, str):  # a new constant
        return tuple(given.attribute[0].tensors[0].dims)
    value = graph.value(given) or graph.constant_tensor(given)
    return () if value is None else value.shape


def _is_apart(
    step: Step, shapes: Sequence[tuple[int, ...]], have_instances: Sequence[bool], made: tuple[int, ...]
) -> bool:
    """Whether what a step makes of an instance has its place along the first axis, and needs nothing of others."""
    told = step.told
    if step.operator == "softmax" and told[0] == 0:
        return False
    if step.operator in _OF_ONE:
        return have_instances[0] and not any(have_instances[1:]) and (len(made) > 1 or step.operator == "activation")
    if step.operator == "view":
        return told[0] == 0
    if step.operator == "lookup":
        return not have_instances[0]
    if step.operator in ("combination", "filling", "products"):
        return (step.operator != "products" or len(made) > 2) and all(
            len(shape) == len(made) and shape[0] != 1 if of_instances else len(shape) < len(made) or shape[0] == 1
            for shape, of_instances in zip(shapes, have_instances, strict=True)
        )
    if step.operator == "reduction":
        return told[0] > 0
    if step.operator == "transposition":
        return told[0] == 0
    if step.operator == "part":
        return tuple(told[:4]) == (0, 0, 1, 0)
    if step.operator == "repetition":
        return told[0] == 1
    if step.operator == "padding":
        return tuple(told[1:3]) == (0, 0)
    return (
        step.operator == "concatenation"
        and told[0] > 0
        and all(has or shape[:1] == (1,) for shape, has in zip(shapes, have_instances, strict=True))
    )
