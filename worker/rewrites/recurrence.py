"""Recurrent layers as steps: what lstm.py and unrolled.py share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mindspore_serving.worker.rewrites.file_constants import FLOAT32
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import Step
from mindspore_serving.worker.rewrites.values import Value

Array = npt.NDArray[np.float32]

CELLS = ("LSTM", "GRU", "Tanh", "ReLU")  # kernels/kernels.h; the latter ones are those of nn.RNN
WHOLE = (0, 0, 1, 0)  # of an axis, as kernels/places.c takes parts
_PANEL = 64  # weights that lie beside each other: kernels/kernels.h
_SOME_OF = ("StridedSlice", "ExpandDims", "Squeeze", "Reshape", "BroadcastTo")  # their first input's numbers


@dataclass(frozen=True)
class Layer:
    """x: a sequence, [moment][row][number]. shape: of y. first: y, and what an LSTM keeps, before it; none for zeros.

    weights: [gate][unit][number], back: [gate][unit][unit], bias: [gate][unit], with the gates in the order of
    kernels/kernels.h.
    """

    cell: str
    x: str
    shape: tuple[int, ...]
    weights: Array
    back: Array
    bias: Array
    first: Sequence[str]
    is_backward: bool

    def step(self, graph: GraphFile, with_kept: bool = False) -> tuple[Step, Value]:
        """What computes the layer, and what that makes. with_kept: what an LSTM keeps in the end is one moment more."""
        moments, rows, units = self.shape
        packed = (pack_gates(self.weights), pack_gates(self.bias[..., None])[:, 0], pack_gates(self.back))
        inputs = [self.x, *map(graph.new.constant, packed), *self.first]
        told = [CELLS.index(self.cell), units, int(self.is_backward), int(with_kept)]
        return Step("recurrence", inputs, told), Value(FLOAT32, (moments + with_kept, rows, units))


def pack_gates(weights: Array) -> Array:
    """[gate][unit][number] as recur() in kernels/kernels.h wants it: [panel][number][gate and unit]."""
    gates, _, numbers = weights.shape
    of_panel = _PANEL // gates
    padded = np.pad(weights, ((0, 0), (0, -weights.shape[1] % of_panel), (0, 0)))
    return padded.reshape(gates, -1, of_panel, numbers).transpose(1, 3, 0, 2).reshape(-1, numbers, _PANEL)


def is_reverse(graph: GraphFile, node: Any) -> bool:
    """Whether a node has the moments of a sequence in the other order."""
    return graph.op(node) == "ReverseV2" and graph.constant(node.input[1]) == (0,)


def first_values(graph: GraphFile, names: Sequence[str], units: int) -> list[str] | None:
    """What a layer begins with, none if it is zeros; None for what a step does not take."""
    if all(_are_zeros(graph, name) for name in names):
        return []
    values = [graph.value(name) or graph.constant_tensor(name) for name in names]
    known = [value for value in values if value is not None and value.data_type == FLOAT32]
    fits = [value.shape[-1:] == (units,) and value.shape[:-2] in ((), (1,)) for value in known]
    return list(names) if len(known) == len(names) and all(fits) else None


def _are_zeros(graph: GraphFile, name: str) -> bool:
    maker = graph.maker(name)
    while graph.op(maker) in _SOME_OF:
        name, maker = maker.input[0], graph.maker(maker.input[0])
    array = graph.array(name)
    return graph.op(maker) in ("Zeros", "ZerosLike") or (array is not None and not array.any())
