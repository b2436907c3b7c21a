"""What a matrix product's numbers go through next, a bias and perhaps ReLU, as part of the product.

MindSpore 2.10 has such an operator, FusedMatMulBiasAdd, and makes it of the others by itself on some CPUs, where no
dimension is open. oneDNN then adds while it writes the product, and one operator is started instead of two or three.
"""

from typing import Any

from mindspore_serving.worker.rewrites.file_constants import FLOAT32
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.values import Value

_SUMS = ("BiasAdd", "Add")


def fuse_biases(graph: GraphFile) -> int:
    """Makes each MatMul with a bias added behind it, and a ReLU behind that, one operator. Returns how many."""
    return sum(_fused(graph, node) for node in graph.nodes if graph.op(node) in _SUMS)


def _fused(graph: GraphFile, addition: Any) -> bool:
    product, bias = _operands(graph, addition)
    if product is None:
        return False
    x, weight, *turned = product.input
    turns = [graph.constant(name) for name in turned]
    value = graph.value(product.output[0])
    if value is None or len(turns) != 2 or not all(isinstance(turn, bool) for turn in turns):
        return False
    if not _is_row(graph, bias, value):
        return False
    relu = graph.only_user(addition.output[0])
    old = [product, addition, relu] if graph.op(relu) == "ReLU" else [product, addition]
    attributes = dict(zip(("transpose_a", "transpose_b"), turns, strict=True))
    attributes |= {"with_bias_add": True, "with_relu": len(old) > 2}
    inputs = [x, weight, bias, *turned]
    fused = graph.new.node("FusedMatMulBiasAdd", inputs, value, old[-1].output[0], attributes)
    graph.replace(old, [fused])
    return True


def _operands(graph: GraphFile, addition: Any) -> tuple[Any, str]:
    """The MatMul whose product is used for this sum alone, or None; and what is added."""
    pairs = [addition.input[:2]]
    if graph.op(addition) == "Add":
        pairs.append(addition.input[1::-1])
    for made, bias in pairs:
        if graph.op(graph.maker(made)) == "MatMul" and graph.only_user(made) is not None:
            return graph.maker(made), bias
    return None, ""


def _is_row(graph: GraphFile, bias: str, product: Value) -> bool:
    """Whether it is one number for each column of the product, all of float32."""
    row = graph.value(bias) or graph.constant_tensor(bias)
    if row is None or {row.data_type, product.data_type} != {FLOAT32}:
        return False
    return len(product.shape) == 2 and row.shape == product.shape[1:] and row.shape[0] > 0
