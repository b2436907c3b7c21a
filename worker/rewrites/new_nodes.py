"""Nodes to be put into a graph of mind_ir.proto: operators, and constants that they are told."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from mindspore_serving.worker.rewrites import file_constants
from mindspore_serving.worker.rewrites.file_constants import FLOAT32
from mindspore_serving.worker.rewrites.values import SIZE, Value

REFERENCE = "REF::"
# PrimitiveProto.PrimType: what an operator does is told by attributes, or by inputs of the node alone
_PRIMITIVE, _PRIMITIVE_FUNCTION = 1, 2
_OF_THE_LANGUAGE = ("TupleGetItem", "MakeTuple", "Load")  # these are primitives though they are told nothing
Attributes = Mapping[str, bool | int | str | tuple[int, ...]]
_NO_ATTRIBUTES: Attributes = MappingProxyType({})


class NewNodes:
    """Of a ModelProto. Those of operators go into the graph by `GraphFile.replace`, and their primitives at once.

    primitives: of the file, by name; further ones are added.
    """

    def __init__(self, model: Any, primitives: dict[str, Any]) -> None:
        self._model = model
        self._primitives = primitives
        nodes = model.graph.node
        self._node_type: Any = type(nodes[0]) if nodes else None
        self._prefix = f"{model.graph.name}:rewritten_"
        made = [node.output[0] for node in nodes if node.output[0].startswith(self._prefix)]
        self._count = max((int(name.removeprefix(self._prefix)) for name in made), default=0)  # by another of these

    def constant(self, constant: bool | int | float | tuple[int, ...] | npt.NDArray[np.float32] | None) -> Any:
        """A node of a constant; a float is a tensor without dimensions. It goes into the graph by `replace`."""
        node = self._new("Constant", ())
        file_constants.write(node.attribute.add(name="value"), constant)
        return node

    def empty_constant(self, shape: Sequence[int]) -> Any:
        """A node of a tensor without elements, with any number of dimensions."""
        node = self._new("Constant", ())
        given = node.attribute.add(name="value", type=file_constants.TENSORS)
        given.tensors.add(data_type=FLOAT32, name="value0", dims=shape, raw_data=b"")
        return node

    def node(
        self,
        op: str,
        inputs: Sequence[Any],
        value: Value | Sequence[Value],
        output: str | None = None,
        attributes: Attributes = _NO_ATTRIBUTES,
    ) -> Any:
        """A node of an operator. inputs: nodes, or names of values. value: several for a tuple of them.

        output: whose place it takes.
        """
        return self.placeholder(REFERENCE + self._primitive(op, attributes), inputs, value, output)

    def placeholder(
        self, op_type: str, inputs: Sequence[Any], value: Value | Sequence[Value], output: str | None = None
    ) -> Any:
        """A node of a kind that MindSpore does not know: another one must take its place before long."""
        names = [given if isinstance(given, str) else given.output[0] for given in inputs]
        node = self._new(op_type, names, output)
        told = node.attribute.add(name="shape")
        if isinstance(value, Value):
            _tell(told, value)
        else:
            told.type = file_constants.TUPLE
            for one in value:
                _tell(told.values.add(), one)
        return node

    def _primitive(self, op: str, attributes: Attributes) -> str:
        """The name of a primitive of this operator with these attributes, each set of them its own."""
        told = [str(value) if isinstance(value, str) else f"{key}={value}" for key, value in attributes.items()]
        name = ":".join([op, *told, "rewritten"])
        if name not in self._primitives:
            kind = _PRIMITIVE if attributes or op in _OF_THE_LANGUAGE else _PRIMITIVE_FUNCTION
            primitive = self._model.primitives.add(name=name, op_type=op, prim_type=kind)
            for key, value in attributes.items():
                file_constants.write(primitive.attribute.add(name=key), value)
            self._primitives[name] = primitive
        return name

    def _new(self, op_type: str, inputs: Sequence[str], output: str | None = None) -> Any:
        if output is None:
            self._count += 1
            output = f"{self._prefix}{self._count}"
        return self._node_type(op_type=op_type, name=output, input=inputs, output=[output])


def _tell(attribute: Any, value: Value) -> None:
    attribute.type = file_constants.SCALAR if value == SIZE else file_constants.TENSORS
    attribute.tensors.add(data_type=value.data_type, dims=value.shape)
