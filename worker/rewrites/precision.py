"""What is computed in half precision, computed in single.

Networks that were trained on Ascend compute in float16 or bfloat16, for that is fast there. On a CPU, MindSpore 2.10
takes 5 to 40 times as long for float16 as for float32, and has hardly a kernel for bfloat16; float32 holds every number
of either. So what is cast to them stays as it was, weights become float32, and outputs of float16 are made at the end.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from mindspore_serving.worker.rewrites.file_constants import (
    FLOAT16,
    FLOAT32,
    TENSORS,
    TOLD_BFLOAT16,
    TOLD_FLOAT16,
    TOLD_FLOAT32,
)

_BFLOAT16 = 16  # TensorProto.DataType
_HALVES = (FLOAT16, _BFLOAT16)
_WHOLE = 7  # AttributeProto.AttributeType
_TOLD_HALVES = (TOLD_FLOAT16, TOLD_BFLOAT16)
# Those that are told a type besides Cast; a number like that means something else to others.
_TYPED = (
    *("SumExt", "MeanExt", "ProdExt", "CumsumExt", "LogSoftmaxExt", "LinalgVectorNorm"),
    *("ZerosLikeExt", "OnesLikeExt", "Zeros", "Ones", "FillScalar", "FullLike", "NewZeros", "NewOnes"),
)


def has_half_precision(model: Any) -> bool:
    """Whether a ModelProto computes anything in float16 or bfloat16."""
    return any(tensor.data_type in _HALVES for tensor in _tensors(model.graph))


def has_bfloat16(model: Any) -> bool:
    """Whether it computes anything in bfloat16."""
    return any(tensor.data_type == _BFLOAT16 for tensor in _tensors(model.graph))


def compute_in_single(model: Any) -> int:
    """Makes all that is float16 or bfloat16 between a ModelProto's inputs and outputs float32. Returns how many values.

    None where an operator may be told a type that is not known to be one.
    """
    if model.functions or not has_half_precision(model):
        return 0
    widening = _Widening(model)
    return widening.run() if widening.is_known() else 0


class _Widening:
    """Of one graph."""

    def __init__(self, model: Any) -> None:
        self._graph = model.graph
        self._primitives = model.primitives
        self._ops = {primitive.name: primitive.op_type for primitive in model.primitives}
        self._whole = {node.output[0]: node.attribute[0].i for node in self._graph.node if _is_whole(node)}
        self._types = {name: data_type for name, data_type in _types(self._graph) if data_type is not None}
        self._instead: dict[str, str] = {}  # of names
        self._nodes: list[Any] = []
        self._node_type: Any = type(self._graph.node[0])
        self._made = 0

    def is_known(self) -> bool:
        """Whether whatever is told a type is known to be, and all numbers are there."""
        told = any(attribute.type in _HALVES for primitive in self._primitives for attribute in primitive.attribute)
        strange = any(
            self._whole.get(name) in _TOLD_HALVES and self._op(node) not in ("Cast", *_TYPED)
            for node in self._graph.node
            for name in node.input
        )
        fixed = [*self._graph.parameter, *(tensor for node in self._graph.node for tensor in _fixed(node))]
        return not told and not strange and all(_is_whole_in_file(one) for one in fixed if one.data_type in _HALVES)

    def run(self) -> int:
        """Returns how many values have become float32."""
        count = sum(data_type in _HALVES for data_type in self._types.values())
        single = self._constant(TOLD_FLOAT32)
        for given in self._graph.input:
            if self._types.get(given.name) in _HALVES:
                self._instead[given.name] = self._cast(given.name, single, FLOAT32, given.tensor[0].dims)
        for parameter in self._graph.parameter:
            _widen(parameter)
        ends = {given.name for given in self._graph.output}
        for node in reversed(self._graph.node):
            if node.output[0] in ends and self._op(node) == "Depend":
                ends.add(node.input[0])  # which comes after something else, and is the output
        for node in self._graph.node:
            self._write(node, single, is_end=node.output[0] in ends)
        for given in self._graph.output:
            self._end(given)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        return count

    def _write(self, node: Any, single: str, is_end: bool) -> None:
        op, target = self._op(node), self._whole.get(node.input[1]) if len(node.input) > 1 else None
        if is_end and node.output[0] not in self._types:
            self._write_outputs(node)
            return
        names = [self._instead.get(name, name) for name in node.input]
        if op == "Cast" and target in (*_TOLD_HALVES, TOLD_FLOAT32):
            if self._types.get(node.input[0]) in (*_HALVES, FLOAT32):
                self._instead[node.output[0]] = names[0]
                return
            names[1] = single
        elif op in _TYPED:
            names = [single if self._whole.get(name) in _TOLD_HALVES else name for name in names]
        new = self._node_type()
        new.CopyFrom(node)
        new.input[:] = names
        for tensor in (*_shapes(new), *_fixed(new)):
            _widen(tensor)
        self._nodes.append(new)

    def _write_outputs(self, node: Any) -> None:
        """A tuple of them, or what it comes after: each of the type that it had."""
        new = self._node_type()
        new.CopyFrom(node)
        if self._op(node) == "MakeTuple":
            new.input[:] = [self._as_it_was(name) for name in node.input]
        for tensor in _shapes(new):
            if tensor.data_type == _BFLOAT16:
                tensor.data_type = FLOAT32
        self._nodes.append(new)

    def _end(self, given: Any) -> None:
        """An output: of float16 if it was, and of float32 if it was bfloat16, which nobody outside of MindSpore has."""
        if given.name in self._types:
            given.name = self._as_it_was(given.name)

    def _as_it_was(self, name: str) -> str:
        found = self._instead.get(name, name)
        if self._types.get(name) != FLOAT16:
            return found
        return self._cast(found, self._constant(TOLD_FLOAT16), FLOAT16, self._dims(name))

    def _dims(self, name: str) -> list[int]:
        makers = [node for node in self._graph.node if node.output[0] == name]
        inputs = [given.tensor for given in self._graph.input if given.name == name]
        return list((list(_shapes(makers[0])) if makers else inputs[0])[0].dims)

    def _op(self, node: Any) -> str:
        name = str(node.op_type).removeprefix("REF::")
        return str(self._ops.get(name, name))

    def _constant(self, told: int) -> str:
        node = self._new_node("Constant", [])
        node.attribute.add(name="value", type=_WHOLE, i=told)
        return str(node.output[0])

    def _cast(self, name: str, told: str, data_type: int, dims: Iterable[int]) -> str:
        if "Cast:single" not in self._ops:
            self._primitives.add(name="Cast:single", op_type="Cast", prim_type=2)
            self._ops["Cast:single"] = "Cast"
        node = self._new_node("REF::Cast:single", [name, told])
        node.attribute.add(name="shape", type=TENSORS).tensors.add(data_type=data_type, dims=dims)
        return str(node.output[0])

    def _new_node(self, op_type: str, inputs: list[str]) -> Any:
        self._made += 1
        name = f"{self._graph.name}:single_{self._made}"
        self._nodes.append(self._node_type(op_type=op_type, name=name, input=inputs, output=[name]))
        return self._nodes[-1]


def _is_whole(node: Any) -> bool:
    return node.op_type == "Constant" and len(node.attribute) == 1 and node.attribute[0].type == _WHOLE


def _types(graph: Any) -> Iterator[tuple[str, int | None]]:
    """Of inputs, and of what nodes make: None of several values."""
    for given in graph.input:
        yield given.name, given.tensor[0].data_type if given.tensor else None
    for node in graph.node:
        told = [tensor for given in node.attribute if given.name == "shape" for tensor in given.tensors] or _fixed(node)
        yield node.output[0], told[0].data_type if len(told) == 1 else None


def _tensors(graph: Any) -> Iterator[Any]:
    """All that a graph tells a type of."""
    yield from graph.parameter
    for given in graph.input:
        yield from given.tensor
    for node in graph.node:
        yield from _shapes(node)
        yield from _fixed(node)


def _shapes(node: Any) -> Iterator[Any]:
    """What is told of the values that a node makes."""
    for given in node.attribute:
        if given.name == "shape":
            yield from _within(given)


def _fixed(node: Any) -> list[Any]:
    """The tensors of a constant."""
    return [one for given in node.attribute for one in _within(given)] if node.op_type == "Constant" else []


def _within(attribute: Any) -> Iterator[Any]:
    yield from attribute.tensors
    for part in attribute.values:
        yield from _within(part)


def _is_whole_in_file(tensor: Any) -> bool:
    """Whether its numbers lie in the file, as bytes."""
    count = int(np.prod(list(tensor.dims), dtype=np.int64))
    return not tensor.HasField("external_data") and len(tensor.raw_data) == 2 * count


def _widen(tensor: Any) -> None:
    """Makes it float32, and its numbers, where it has some."""
    if tensor.data_type == FLOAT16:
        numbers = np.frombuffer(tensor.raw_data, "<f2").astype("<f4")
    elif tensor.data_type == _BFLOAT16:
        numbers = (np.frombuffer(tensor.raw_data, "<u2").astype("<u4") << 16).view("<f4")
    else:
        return
    tensor.data_type = FLOAT32
    if numbers.size:
        tensor.raw_data = numbers.tobytes()
