"""What is computed in half precision, computed in single.

Networks that were trained on Ascend compute in float16 or bfloat16, for that is fast there. On a CPU, MindSpore 2.10
takes 5 to 40 times as long for float16 as for float32, and has hardly a kernel for bfloat16; float32 holds every number
of either. So what is cast to them stays as it was, weights become float32, and outputs of float16 are made at the end.
"""

from collections.abc import Iterable, Iterator, Sequence
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
from mindspore_serving.worker.rewrites.graph_file import LISTS

_BFLOAT16 = 16  # TensorProto.DataType
_HALVES = (FLOAT16, _BFLOAT16)
_PRIMITIVE, _PRIMITIVE_FUNCTION = 1, 2  # PrimitiveProto.PrimType
_BEHIND = "Depend"  # what comes after something else
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
        told = dict(_told(self._graph))
        self._types = {name: tensor.data_type for name, tensor in told.items()}
        self._dims = {name: tensor.dims for name, tensor in told.items()}
        self._makers = {node.output[0]: node for node in self._graph.node}
        self._instead: dict[str, str] = {}  # of names
        self._nodes: list[Any] = []
        self._replaced: set[str] = set()  # tuples of outputs
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
        if self._changes_outputs():
            return False
        fixed = [*self._graph.parameter, *(tensor for node in self._graph.node for tensor in _fixed(node))]
        return not told and not strange and all(_is_whole_in_file(one) for one in fixed if one.data_type in _HALVES)

    def _changes_outputs(self) -> bool:
        """Whether a parameter is one that the graph changes: which of its values a cast takes is not followed."""
        given = {one.name for one in self._graph.parameter if one.data_type in _HALVES}
        ends = {one.name for one in self._graph.output}
        for node in reversed(self._graph.node):
            if node.output[0] in ends and self._op(node) in (_BEHIND, *LISTS):
                ends.update(node.input)
        changing = [node for node in self._graph.node if self._op(node) not in ("Load", _BEHIND, *LISTS)]
        return any(name in given & ends for node in changing for name in node.input)

    def run(self) -> int:
        """Returns how many values have become float32."""
        count = sum(data_type in _HALVES for data_type in self._types.values())
        single = self._constant(TOLD_FLOAT32)
        for given in self._graph.input:
            if self._types.get(given.name) in _HALVES:
                self._instead[given.name] = self._cast(given.name, single, given.tensor[0].dims, FLOAT32)
        for parameter in self._graph.parameter:
            _widen(parameter)
        for node in self._graph.node:
            self._write(node, single)
        for given in self._graph.output:
            given.name = self._as_it_was(given.name)
        self._put()
        return count

    def _put(self) -> None:
        """Puts the new nodes into the graph, but for tuples of outputs that others have taken the place of."""
        needed = {given.name for given in self._graph.output}
        kept: list[Any] = []
        for node in reversed(self._nodes):
            if node.output[0] in needed or node.output[0] not in self._replaced:
                kept.append(node)
                needed.update(node.input)
        del self._graph.node[:]
        self._graph.node.extend(reversed(kept))

    def _write(self, node: Any, single: str) -> None:
        op, target = self._op(node), self._whole.get(node.input[1]) if len(node.input) > 1 else None
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

    def _as_it_was(self, name: str) -> str:
        """An output, or a part of one: of float16 where it was. bfloat16 nobody outside of MindSpore has."""
        found, told, node = self._instead.get(name, name), self._types.get(name), self._makers.get(name)
        if told is not None or node is None or not any(tensor.data_type in _HALVES for tensor in _shapes(node)):
            return self._cast(found, self._constant(TOLD_FLOAT16), self._dims[name]) if told == FLOAT16 else found
        self._replaced.add(name)
        if self._op(node) == _BEHIND:
            return self._several(node, node.op_type, [self._as_it_was(node.input[0]), *node.input[1:]])
        if self._op(node) in LISTS:
            return self._several(node, node.op_type, [self._as_it_was(given) for given in node.input])
        return self._several(node, self._reference("MakeTuple"), [*self._parts(node)])

    def _several(self, node: Any, op_type: str, inputs: Sequence[str]) -> str:
        """A tuple like the one that a node makes."""
        new = self._new_node(op_type, inputs)
        new.attribute.extend(given for given in node.attribute if given.name == "shape")
        for tensor in _shapes(new):
            if tensor.data_type == _BFLOAT16:
                tensor.data_type = FLOAT32
        return str(new.output[0])

    def _parts(self, node: Any) -> Iterator[str]:
        """Each of the values that an operator makes, as it was."""
        (told,) = [given for given in node.attribute if given.name == "shape"]
        for place, one in enumerate(told.values):
            number = self._constant(place)
            item = self._new_node(self._reference("TupleGetItem"), [node.output[0], number])
            shape = item.attribute.add()
            shape.CopyFrom(one)
            shape.name = "shape"
            if one.tensors:
                self._types[item.output[0]], self._dims[item.output[0]] = one.tensors[0].data_type, one.tensors[0].dims
            for tensor in _shapes(item):
                _widen(tensor)
            yield self._as_it_was(item.output[0])

    def _op(self, node: Any) -> str:
        name = str(node.op_type).removeprefix("REF::")
        return str(self._ops.get(name, name))

    def _constant(self, told: int) -> str:
        node = self._new_node("Constant", [])
        node.attribute.add(name="value", type=_WHOLE, i=told)
        return str(node.output[0])

    def _cast(self, name: str, told: str, dims: Iterable[int], data_type: int = FLOAT16) -> str:
        node = self._new_node(self._reference("Cast"), [name, told])
        node.attribute.add(name="shape", type=TENSORS).tensors.add(data_type=data_type, dims=dims)
        return str(node.output[0])

    def _reference(self, op: str) -> str:
        name = f"{op}:single"
        if name not in self._ops:
            self._primitives.add(name=name, op_type=op, prim_type=_PRIMITIVE_FUNCTION if op == "Cast" else _PRIMITIVE)
            self._ops[name] = op
        return f"REF::{name}"

    def _new_node(self, op_type: str, inputs: Sequence[str]) -> Any:
        self._made += 1
        name = f"{self._graph.name}:single_{self._made}"
        self._nodes.append(self._node_type(op_type=op_type, name=name, input=inputs, output=[name]))
        return self._nodes[-1]


def _is_whole(node: Any) -> bool:
    return node.op_type == "Constant" and len(node.attribute) == 1 and node.attribute[0].type == _WHOLE


def _told(graph: Any) -> Iterator[tuple[str, Any]]:
    """Type and shape of parameters, inputs, and of what nodes make, but of several values."""
    for parameter in graph.parameter:
        yield parameter.name, parameter
    for given in graph.input:
        if given.tensor:
            yield given.name, given.tensor[0]
    for node in graph.node:
        told = [tensor for given in node.attribute if given.name == "shape" for tensor in given.tensors] or _fixed(node)
        if len(told) == 1:
            yield node.output[0], told[0]


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
