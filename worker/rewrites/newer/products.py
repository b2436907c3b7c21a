"""Products and sums, written as the older operators that rules of kernels/ know.

mint.nn.Linear and ops.dense make a Dense, ops.matmul and @ a MatMulExt, whatever they multiply.
"""

import math
from typing import Any

from mindspore_serving.worker.rewrites.file_constants import FLOAT32
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import are_here, float_value
from mindspore_serving.worker.rewrites.values import Value

_OPEN = -1
_NCHW = 0  # MindSpore's enumeration of formats
_SUMS = ("AddExt", "SubExt")


def spell_older(graph: GraphFile) -> int:
    """Writes each product with fixed weights, sum and difference the older way, for rules that come later.

    Returns how many of them are ours by that: none.
    """
    if are_here():
        for node in [node for node in graph.nodes if graph.op(node) in _RULES]:
            _RULES[graph.op(node)](graph, node)
    return 0


def _linear(graph: GraphFile, node: Any) -> None:
    """Dense: x, weight [columns, depth], bias or None."""
    if len(node.input) == 3 and graph.array(node.input[1]) is not None:
        has_bias = graph.constant(node.input[2]) is not None
        _multiply(graph, [node], node.input[2] if has_bias else None, is_turned=True)


def _product(graph: GraphFile, node: Any) -> None:
    """MatMulExt by fixed weights, and with the sum behind it. Products of two values: rows.py."""
    weights = graph.array(node.input[1])
    if weights is not None and weights.ndim == 2:
        addition = graph.only_user(node.output[0])
        bias = _row(graph, addition, node.output[0])
        _multiply(graph, [node] if bias is None else [node, addition], bias, is_turned=False)


def _row(graph: GraphFile, addition: Any, product: str) -> str | None:
    """What is added to each row of a product, if it is fixed."""
    if graph.op(addition) not in ("Add", "AddExt") or not _is_plain(graph, addition):
        return None
    (other,) = [name for name in addition.input[:2] if name != product] or [product]
    row, made = graph.array(other), float_value(graph, product)
    return other if row is not None and made is not None and row.shape == made.shape[-1:] else None


def _multiply(graph: GraphFile, old: list[Any], bias: str | None, is_turned: bool) -> None:
    """Rows by fixed weights, all axes before them taken together."""
    x, weight = old[0].input[:2]
    given, made = float_value(graph, x), float_value(graph, old[-1].output[0])
    if given is None or made is None or len(given.shape) < 2 or given.shape[-1] < 1:
        return
    if sum(size < 1 for size in made.shape) > 1:
        return
    rows, is_flat = _rows(given.shape), len(given.shape) == 2
    new = turns = [graph.new.constant(False), graph.new.constant(is_turned)]
    if not is_flat:
        wide = graph.new.constant((_OPEN, given.shape[-1]))
        flat = graph.new.node("Reshape", [x, wide], Value(FLOAT32, (rows, given.shape[-1])))
        new = [*new, wide, flat]
    value = Value(FLOAT32, (rows, made.shape[-1]))
    last = old[-1].output[0] if is_flat else None
    product = graph.new.node("MatMul", [x if is_flat else flat, weight, *turns], value, None if bias else last)
    new = [*new, product]
    if bias:
        layout = graph.new.constant(_NCHW)
        product = graph.new.node("BiasAdd", [product, bias, layout], value, last)
        new = [*new, layout, product]
    if not is_flat:
        is_open = min(made.shape) < 1
        # The file's batch may be run at another size, as long as it stays the first one.
        shape = graph.new.constant(made.shape if is_open else (_OPEN, *made.shape[1:]))
        new = [*new, shape, graph.new.node("Reshape", [product, shape], made, old[-1].output[0])]
    graph.replace(old, new)


def _rows(shape: tuple[int, ...]) -> int:
    return _OPEN if min(shape[:-1]) < 1 else math.prod(shape[:-1])


def _is_plain(graph: GraphFile, node: Any) -> bool:
    """A sum or a difference of what is given, not of a multiple of the second one."""
    return graph.op(node) not in _SUMS or (len(node.input) == 3 and graph.constant(node.input[2]) == 1)


def _sum(graph: GraphFile, node: Any) -> None:
    value = graph.value(node.output[0])
    if value is not None and _is_plain(graph, node):
        older = graph.op(node).removesuffix("Ext")
        graph.replace([node], [graph.new.node(older, node.input[:2], value, node.output[0])])


_RULES = {"Dense": _linear, "MatMulExt": _product, "AddExt": _sum, "SubExt": _sum}
