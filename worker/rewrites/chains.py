"""Chains of steps: each becomes one operator of MindSpore, a `Custom` that calls kernels/.

MindSpore takes 8 us to begin with each `Custom`, and 20 where others use the caches meanwhile. What lies between the
steps of a chain stays in their own memory. With them go operators that are too small to be worth one of their own, and
reshapes, of which nothing is left.
"""

from typing import Any

from mindspore_serving.worker.kernels import library
from mindspore_serving.worker.rewrites.copies import copy_step
from mindspore_serving.worker.rewrites.elements import element_step
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.instances import inputs_of_instances
from mindspore_serving.worker.rewrites.kernel_nodes import (
    MOST_INPUTS,
    MOST_STEPS,
    OPERATORS,
    Step,
    float_value,
    step_of,
)
from mindspore_serving.worker.rewrites.means import reduction_step

NAME = "chain"
_OPEN = -1
_VIEWS = ("Reshape", "Flatten", "ExpandDims", "Squeeze")
_ATTRIBUTES: dict[str, bool | str] = {
    "func_type": "aot",
    "reg_op_name": NAME,
    # The library tells shapes and types, also of open dimensions.
    "cpp_infer_shape": True,
    "cpp_infer_type": True,
}


def chain_steps(graph: GraphFile, of_anything: bool = False) -> int:
    """Makes all steps parts of chains, from the last one on. Returns how many chains there are.

    of_anything: what is no step becomes a chain too, wherever it can.
    """
    steps = {node.output[0] for node in graph.nodes if step_of(graph, node) is not None}
    chained: set[str] = set()
    count = 0
    for node in reversed(graph.nodes) if steps or of_anything else ():
        if node.output[0] in chained:
            continue
        chain = _chain(graph, node)
        if not steps.isdisjoint(chain) or (of_anything and _computes(chain)):
            _put_chain(graph, chain)
            chained |= chain.keys()
            count += 1
    return count


def _computes(chain: dict[str, Step]) -> bool:
    """Whether it is more than views."""
    return any(step.operator != "view" for step in chain.values())


def _chain(graph: GraphFile, last: Any) -> dict[str, Step]:
    """The steps by what they make, in no order: the last one, and those before it that nobody else uses.

    So whatever goes into them is there before all of them, and nothing comes out but what the last one makes.
    """
    step = _part(graph, last)
    chain: dict[str, Step] = {}
    inputs: dict[str, Any] = {}
    while step is not None and len(chain) < MOST_STEPS:
        more = inputs | {_name(one): one for one in step.inputs}
        more.pop(last.output[0], None)
        if len(more) > MOST_INPUTS:
            break
        chain[last.output[0]], inputs = step, more
        last, step = _before(graph, chain, inputs)
    return chain


def _before(graph: GraphFile, chain: dict[str, Step], inputs: dict[str, Any]) -> tuple[Any, Step | None]:
    """A node whose result is used by this chain alone, and what it does as a step; None where there is none."""
    for name in inputs:
        maker = graph.maker(name)
        if maker is None or not all(user is not None and user.output[0] in chain for user in graph.users(name)):
            continue
        step = _part(graph, maker)
        if step is not None:
            return maker, step
    return None, None


def _part(graph: GraphFile, node: Any) -> Step | None:
    """What a node does, as a step: what it is, or could be."""
    known = step_of(graph, node) or element_step(graph, node) or reduction_step(graph, node)
    return known or copy_step(graph, node) or _view(graph, node)


def _view(graph: GraphFile, node: Any) -> Step | None:
    """The same numbers in another shape, of which one size may be open."""
    if graph.op(node) not in _VIEWS:
        return None
    x, value = float_value(graph, node.input[0]), float_value(graph, node.output[0])
    if x is None or value is None:
        return None
    shape = graph.constant(node.input[1]) if graph.op(node) == "Reshape" else None
    if not isinstance(shape, tuple) or min(shape, default=0) >= 0:
        # The file's batch may be run at another size, as long as it stays the first one.
        shape = (_OPEN, *value.shape[1:]) if value.shape[0] == x.shape[0] else value.shape
    if sum(size < 1 for size in shape) > 1:
        return None
    return Step("view", node.input[:1], [max(size, 0) for size in shape])


def _inputs(chain: dict[str, Step]) -> dict[str, Any]:
    """What the steps are given from without, by name: names of values, or nodes of new constants."""
    given = [given for step in chain.values() for given in step.inputs]
    return {_name(one): one for one in given if _name(one) not in chain}


def _name(given: Any) -> str:
    return given if isinstance(given, str) else str(given.output[0])


def _put_chain(graph: GraphFile, chain: dict[str, Step]) -> None:
    """As kernels/chain.c reads it."""
    nodes = [node for node in graph.nodes if node.output[0] in chain]
    inputs, steps = _inputs(chain), {node.output[0]: chain[node.output[0]] for node in nodes}
    of_instances = inputs_of_instances(graph, steps, inputs)
    inputs = {name: inputs[name] for name in sorted(inputs, key=lambda name: name not in of_instances)}
    numbers = {name: number for number, name in enumerate([*inputs, *steps])}
    told = [0, len(inputs), len(of_instances)]
    for step in steps.values():
        given = [numbers[_name(one)] for one in step.inputs]
        told += [OPERATORS.index(step.operator), len(given), len(step.told), *given, *step.told]
    program, value = graph.new.empty_constant(told), graph.value(nodes[-1].output[0])
    assert value is not None
    attributes = {**_ATTRIBUTES, "func_name": f"{library()}:{NAME}"}
    custom = graph.new.node("Custom", [program, *inputs.values()], value, nodes[-1].output[0], attributes)
    constants = [given for given in inputs.values() if not isinstance(given, str)]
    graph.replace(nodes, [*constants, program, custom])
