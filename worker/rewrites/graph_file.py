"""A graph of mind_ir.proto with what a rewriting asks of it: who makes a value, who uses it, what is known of it.

A node's op_type is "REF::name", the name of an entry of the file's primitives, or itself ("Constant"). A parameter is
read by a Load node. Loads are also gathered, in a MakeTuple for an UpdateState: that orders them, and is no use.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mindspore_serving.worker.rewrites import file_constants
from mindspore_serving.worker.rewrites.file_constants import BOOL, FLOAT32, INT32, INT64
from mindspore_serving.worker.rewrites.new_nodes import REFERENCE, NewNodes
from mindspore_serving.worker.rewrites.values import UNRANKED, Value

LEAST_NUMBERS = 2048  # where MindSpore calls it
_ORDER_ALONE = ("UpdateState", "Depend")  # that is what these are for
LISTS = ("MakeTuple", "make_list")  # what several values are as one
_COMPUTE_NOTHING = ("Constant", "Load", *LISTS, *_ORDER_ALONE)


class GraphFile:
    """The main graph of a ModelProto. Parameters and primitives change in place, nodes by `save`.

    is_straight: MindSpore is not to call what becomes of it.
    """

    def __init__(self, model: Any, *, is_straight: bool = False) -> None:
        self.is_straight = is_straight
        # Of an instance, from which on an operator of kernels/ is worth it that does little with each.
        self.least_numbers = 1 if is_straight else LEAST_NUMBERS
        self.changed: frozenset[str] = frozenset()  # parameters that are not fixed: in_place.py
        self._graph = model.graph
        self._called = list(model.functions)  # graphs that it calls, and that these call
        self._nodes = list(self._graph.node)
        self._primitives = {primitive.name: primitive for primitive in model.primitives}
        self._parameters = {parameter.name: parameter for parameter in self._graph.parameter}
        self.new = NewNodes(model, self._primitives)
        self._enter_all()

    @property
    def inputs(self) -> list[str]:
        """The names of what the graph is given, in order."""
        return [given.name for given in self._graph.input]

    @property
    def outputs(self) -> list[str]:
        """The names of what it gives, in order: a tuple has one."""
        return [given.name for given in self._graph.output]

    @property
    def nodes(self) -> list[Any]:
        """The nodes in order: each after those that make its inputs. A list of its own: they may change meanwhile."""
        return list(self._nodes)

    @property
    def called_nodes(self) -> list[Any]:
        """Those of the graphs that it calls, and that these call."""
        return [node for called in self._called for node in called.node]

    def save(self) -> None:
        """Writes the nodes into the ModelProto."""
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)

    def op(self, node: Any) -> str:
        """The name of a node's operator; nothing for no node."""
        if node is None:
            return ""
        name = str(node.op_type).removeprefix(REFERENCE)
        primitive = self._primitives.get(name) if node.op_type.startswith(REFERENCE) else None
        return name if primitive is None else str(primitive.op_type)

    def attribute(self, node: Any, name: str) -> str:
        """A text among the attributes of a node's operator; nothing where there is none."""
        found = self._attribute(node, name)
        text = "" if found is None else found.s
        return text.decode(errors="replace") if isinstance(text, bytes) else str(text)

    def numbers(self, node: Any, name: str) -> tuple[int, ...]:
        """Whole numbers among the attributes of a node's operator, those of tuples in tuples one behind the other."""
        found = self._attribute(node, name)
        return () if found is None else tuple(file_constants.numbers_of(found))

    def real_number(self, node: Any, name: str) -> float:
        """A floating point number among them; 0 where there is none."""
        found = self._attribute(node, name)
        return 0.0 if found is None else float(found.f)

    def _attribute(self, node: Any, name: str) -> Any:
        primitive = self._primitives.get(node.op_type.removeprefix(REFERENCE))
        found = [] if primitive is None else [given for given in primitive.attribute if given.name == name]
        return found[0] if found else None

    def computes_nothing(self, node: Any) -> bool:
        """Whether a node is there for what others give, or for their order."""
        return self.op(node) in _COMPUTE_NOTHING

    def maker(self, name: str) -> Any:
        """The node that makes a value; None for inputs and parameters."""
        return self._makers.get(name)

    def users(self, name: str) -> list[Any]:
        """The nodes that use a value, once for each time, and None for an output, or for a graph that it calls."""
        return self._users.get(name, [])

    def only_user(self, name: str) -> Any:
        """The node that uses a value once, while nobody else does, nor is it an output; None otherwise."""
        users = self.users(name)
        return users[0] if len(users) == 1 else None

    def is_parameter(self, name: str) -> bool:
        """Whether this is the name of one."""
        return name in self._parameters

    def parameter_value(self, name: str) -> Value | None:
        """Type and shape of the parameter of this name; None where there is none."""
        found = self._parameters.get(name)
        return None if found is None else Value(found.data_type, tuple(found.dims))

    def is_state(self, name: str) -> bool:
        """Whether it is no value, but stands for what has happened before."""
        maker = self.maker(name)
        if maker is None or maker.op_type != "Constant":
            return self.op(maker) == "UpdateState"
        return len(maker.attribute) == 1 and file_constants.is_state(maker.attribute[0])

    def value(self, name: str) -> Value | None:
        """What is known of the value of this name; None for tuples, and where not even the number of axes is told."""
        maker = self.maker(name)
        tensors: Sequence[Any] = ()
        if maker is not None:
            tensors = [tensor for given in maker.attribute if given.name == "shape" for tensor in given.tensors]
        else:
            tensors = [tensor for given in self._graph.input if given.name == name for tensor in given.tensor]
        if len(tensors) != 1 or tuple(tensors[0].dims) == UNRANKED:
            return None
        return Value(tensors[0].data_type, tuple(tensors[0].dims))

    def constant(self, name: str) -> Any:
        """A constant: None, a bool, a number, or a tuple of integers. UNKNOWN for anything else.

        A number may be a tensor of float32 or int32 or int64 without dimensions.
        """
        maker = self.maker(name)
        if maker is None or maker.op_type != "Constant" or len(maker.attribute) != 1:
            return file_constants.UNKNOWN
        return file_constants.read(maker.attribute[0])

    def constant_tensor(self, name: str) -> Value | None:
        """Type and shape of a constant that is one tensor; None for anything else."""
        tensor = self._tensor(name)
        return None if tensor is None else Value(tensor.data_type, tuple(tensor.dims))

    def array(self, name: str) -> npt.NDArray[np.float32] | None:
        """What is fixed in the file, of float32: a parameter that is loaded, or a constant tensor. None otherwise."""
        return self._fixed(name, FLOAT32)

    def whole_numbers(self, name: str) -> npt.NDArray[np.int64] | None:
        """The same of int32 or int64."""
        array = self._fixed(name, INT32, INT64)
        return None if array is None else array.astype(np.int64)

    def truths(self, name: str) -> npt.NDArray[np.bool_] | None:
        """The same of bool."""
        return self._fixed(name, BOOL)

    def weights(self, name: str) -> npt.NDArray[np.float32] | None:
        """The same, if this is all it is used for."""
        parameter = self._parameter(name)
        if self.only_user(name) is None or (parameter is not None and len(self.users(parameter.name)) != 1):
            return None
        return self.array(name)

    def tell_shape(self, node: Any, sizes: Sequence[int]) -> None:
        """Writes the shape of what a node makes, where the file has one."""
        tensors = [tensor for given in node.attribute if given.name == "shape" for tensor in given.tensors]
        if len(tensors) == 1 and self.op(node) != "Constant":
            tensors[0].dims[:] = sizes

    def set_weights(self, name: str, array: npt.NDArray[Any]) -> None:
        """Gives the parameter behind a value, or the constant that it is, these numbers, and their shape."""
        fixed = self._parameter(name) or self._tensor(name)
        assert fixed is not None
        tensors = [tensor for given in self.maker(name).attribute if given.name == "shape" for tensor in given.tensors]
        for tensor in (fixed, *tensors):
            tensor.dims[:] = array.shape
        fixed.raw_data = np.ascontiguousarray(array, "<f4").tobytes()

    def drop_unused(self, load: Any) -> None:
        """Of a parameter that nobody uses any more, but for the order of loading, a single number stays."""
        parameter = self._parameters.get(load.input[0])
        if parameter is None or parameter.data_type != FLOAT32 or self.users(load.output[0]):
            return
        if len(self.users(parameter.name)) == 1:
            self.set_weights(load.output[0], np.zeros(1, np.float32))

    def remove_unused(self, name: str) -> None:
        """Removes a value, if nobody uses it any more, with what has been made for it alone."""
        maker = self.maker(name)
        if maker is None or self.users(name):
            return
        if self.op(maker) == "Load":
            self.drop_unused(maker)
        elif self.op(maker) not in _ORDER_ALONE:
            self.replace([maker], [])
            for given in maker.input:
                self.remove_unused(given)

    def replace(self, old: Sequence[Any], new: Sequence[Any]) -> None:
        """Puts these new nodes, in order, where the last of the old ones was; the old ones go, with no new ones too."""
        gone = {id(node) for node in old}
        place = _place(self._nodes, old[-1])
        parts = self._nodes[:place], self._nodes[place:]
        before, behind = [[node for node in part if id(node) not in gone] for part in parts]
        self._nodes = [*before, *new, *behind]
        for node in old:
            del self._makers[node.output[0]]
            for name in self._uses(node):
                users = self._users[name]
                del users[_place(users, node)]
        for node in new:
            self._enter(node, self._uses(node))

    def append(self, node: Any) -> None:
        """Puts a new node behind all others."""
        self._nodes.append(node)
        self._enter(node, self._uses(node))

    def swap(self, before: Any, behind: Any) -> tuple[Any, Any]:
        """Puts a node before the one whose result it alone uses, as its first input. Returns both anew, in order.

        The shapes that they are told to make stay as they were.
        """
        first, second = type(behind)(), type(before)()
        first.CopyFrom(behind)
        second.CopyFrom(before)
        first.input[0], first.name, first.output[0] = before.input[0], before.name, before.output[0]
        second.input[0], second.name, second.output[0] = before.output[0], behind.name, behind.output[0]
        self.replace([before, behind], [first, second])
        return first, second

    def bypass(self, instead: Mapping[str, str]) -> None:
        """Removes what makes each of these values; whoever used one is given the other in its place."""
        self._nodes = [node for node in self._nodes if node.output[0] not in instead]
        for node in [*self._nodes, *self.called_nodes]:
            for place, name in enumerate(node.input):
                if name in instead:
                    node.input[place] = _last(name, instead)
        for graph in (self._graph, *self._called):
            for given in graph.output:
                given.name = _last(given.name, instead)
        self._enter_all()

    def _enter_all(self) -> None:
        self._makers: dict[str, Any] = {}
        self._users: dict[str, list[Any]] = {}
        self._order = self._order_tuples()
        for node in self._nodes:
            self._enter(node, self._uses(node))
        for name in [given.name for given in self._graph.output] + self._used_by_calls():
            self._users.setdefault(name, []).append(None)

    def _used_by_calls(self) -> list[str]:
        """What is called, and all that the graphs use that are: some of it is made here."""
        if not self._called:
            return []
        names = {str(node.op_type).removeprefix(REFERENCE) for node in self._nodes}
        for called in self._called:
            names.update(str(given.name) for given in called.output)
            for node in called.node:
                names.update((str(node.op_type).removeprefix(REFERENCE), *node.input))
        return sorted(names)

    def _order_tuples(self) -> set[str]:
        """What only says that several loads come before an UpdateState."""
        tuples = {node.output[0] for node in self._nodes if self.op(node) == "MakeTuple"}
        tuples.difference_update(given.name for given in self._graph.output)
        for node in self._nodes:
            if self.op(node) != "UpdateState":
                tuples.difference_update(node.input)
        return tuples

    def _uses(self, node: Any) -> list[str]:
        """What a node uses. For order alone none of the loads are needed, but there may be others before it."""
        is_state = self.op(node) == "UpdateState"
        if not is_state and node.output[0] not in self._order:
            return list(node.input)
        names = node.input[1:] if is_state else node.input
        return [name for name in names if name not in self._order and self.op(self.maker(name)) != "Load"]

    def _fixed(self, name: str, *data_types: int) -> npt.NDArray[Any] | None:
        parameter = self._parameter(name)
        fixed = self._tensor(name) if parameter is None else parameter
        if fixed is None or fixed.data_type not in data_types or (parameter is not None and fixed.name in self.changed):
            return None
        return file_constants.read_array(fixed)

    def _parameter(self, name: str) -> Any | None:
        load = self.maker(name)
        return self._parameters.get(load.input[0]) if load is not None and self.op(load) == "Load" else None

    def _tensor(self, name: str) -> Any | None:
        maker = self.maker(name)
        if maker is None or maker.op_type != "Constant" or len(maker.attribute) != 1:
            return None
        tensors = maker.attribute[0].tensors
        return tensors[0] if len(tensors) == 1 else None

    def _enter(self, node: Any, uses: Iterable[str]) -> None:
        self._makers[node.output[0]] = node
        for name in uses:
            self._users.setdefault(name, []).append(node)


def _last(name: str, instead: Mapping[str, str]) -> str:
    while name in instead:
        name = instead[name]
    return name


def _place(nodes: Sequence[Any], node: Any) -> int:
    """Where this very message is: two may be equal."""
    return next(place for place, other in enumerate(nodes) if other is node)
