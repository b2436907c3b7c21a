"""Calls of a graph that is chains of kernels/, and what numpy does between them: straight into their library.

MindSpore 2.10 takes 60 to 130 us for a call whose kernels take 1 to 30 (Zen 4), and 260 to 430 where its code has to be
fetched from memory first; a call from here takes 4. GraphCalls proves that both give the same numbers.
"""

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mindspore_serving.worker import kernels
from mindspore_serving.worker.plain_steps import CallError, ShapedPlain
from mindspore_serving.worker.rewrites.kernel_nodes import MOST_AXES
from mindspore_serving.worker.rewrites.straight import Chain, StraightGraph

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

_MOST_SHAPES = 256  # that are remembered
_ALIGNED_BYTES = 64  # the largest vector's


class StraightCalls:
    """Calls of one graph, for machines where kernels.library() is. One thread at a time."""

    def __init__(self, graph: StraightGraph) -> None:
        self._outputs = graph.outputs
        self._is_twice = len(set(graph.outputs)) < len(graph.outputs)
        self._least = min(graph.outputs, default=0)
        self._steps = [_FixedChain(step) if isinstance(step, Chain) else step for step in graph.steps]
        self._known: dict[tuple[Shape, ...], list[_ShapedChain | ShapedPlain]] = {}

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        """Arrays of the graph's types in, outputs in memory of their own out. Raises CallError."""
        values = [readable(array) for array in arrays]
        for step in self._shaped(tuple([array.shape for array in arrays])):
            values.append(step.compute(values))
        return self._chosen(values, len(arrays))

    def one_by_one(self, arrays: Sequence[Array]) -> list[Array]:
        """The same of several instances, each by itself: those of an array are along a further first axis."""
        values, count = [readable(array) for array in arrays], len(arrays[0])
        for step in self._shaped(tuple([array.shape[1:] for array in arrays])):
            values.append(step.compute_one_by_one(values, count))
        return self._chosen(values, len(arrays))

    def _chosen(self, values: Sequence[Array], inputs: int) -> list[Array]:
        """The outputs. Each has memory of its own, though one may be an input, or another one once more."""
        if self._is_twice or self._least < inputs:
            return [values[number].copy() for number in self._outputs]
        return [values[number] for number in self._outputs]

    def _shaped(self, shapes: tuple[Shape, ...]) -> "list[_ShapedChain | ShapedPlain]":
        known = self._known.get(shapes)
        if known is None:
            of_values = list(shapes)
            known = []
            for step in self._steps:
                shaped = (
                    _ShapedChain(step, of_values) if isinstance(step, _FixedChain) else ShapedPlain(step, of_values)
                )
                known.append(shaped)
                of_values.append(shaped.made)
            if len(self._known) >= _MOST_SHAPES:  # of open dimensions: any may come
                self._known.clear()
            self._known[shapes] = known
        return known


def readable(array: Array) -> Array:
    """Its memory will be read as if it were contiguous: makes sure that it is."""
    return array if array.flags.c_contiguous and array.flags.aligned else array.copy()


class _FixedChain:
    """A chain, with what is fixed where vectors like to read it."""

    def __init__(self, chain: Chain) -> None:
        self.program = chain.program
        self.given = [_aligned(given) if isinstance(given, np.ndarray) else given for given in chain.given]
        self.lookups = chain.lookups


class _ShapedChain:
    """A chain for values of these shapes. Raises CallError. made: the shape of what it makes."""

    def __init__(self, chain: _FixedChain, shapes: Sequence[Shape]) -> None:
        self._chain = chain  # whose numbers must stay
        own = [given.shape if isinstance(given, np.ndarray) else shapes[given] for given in chain.given]
        count = len(own) + 2
        made = (ctypes.c_int64 * MOST_AXES)()
        # The program, what is given, and what is made.
        self._values = (ctypes.c_void_p * count)()
        self._axes = (ctypes.c_int * count)(len(chain.program), *map(len, own))
        sizes: list[Any] = [*map(_numbers, [chain.program, *own]), made]
        self._sizes = (ctypes.POINTER(ctypes.c_int64) * count)(*sizes)
        self._apart = (ctypes.c_int64 * count)()
        self._given: list[tuple[int, int]] = []  # places, and numbers of values
        for place, given in enumerate(chain.given, 1):
            if isinstance(given, np.ndarray):
                self._values[place] = _address(given)
            else:
                self._given.append((place, given))
                self._apart[place] = math.prod(shapes[given])
        library = kernels.loaded()
        assert library is not None
        library.shape_of.restype = ctypes.c_int64
        axes = library.shape_of(self._axes, self._sizes, made)
        if axes < 0:
            raise CallError(f"inputs of shapes {', '.join(str(list(shape)) for shape in shapes)} do not fit")
        self.made: Shape = tuple(made[:axes])
        self._axes[count - 1] = axes
        self._compute, self._compute_one_by_one = library.compute, library.compute_one_by_one

    def compute(self, values: Sequence[Array]) -> Array:
        made = np.empty(self.made, np.float32)
        self._place(values, made)
        if self._compute(len(self._values), self._values, self._axes, self._sizes) != 0:
            raise CallError(self._fault(values))
        return made

    def compute_one_by_one(self, values: Sequence[Array], count: int) -> Array:
        made = np.empty((count, *self.made), np.float32)
        self._place(values, made)
        if self._compute_one_by_one(self._values, self._axes, self._sizes, self._apart, ctypes.c_int64(count)) != 0:
            raise CallError(self._fault(values))
        return made

    def _place(self, values: Sequence[Array], made: Array) -> None:
        pointers = self._values
        for place, number in self._given:
            pointers[place] = _address(values[number])
        pointers[len(pointers) - 1] = _address(made)

    def _fault(self, values: Sequence[Array]) -> str:
        for number, rows in self._chain.lookups:
            for found in values[number].ravel().tolist():
                if not -rows <= found < rows:
                    return f"row {found} is looked up in a table that has {rows} rows"
        return "there is no memory to compute this in"


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


def _numbers(shape: Shape) -> Any:
    return (ctypes.c_int64 * len(shape))(*shape)


def _aligned(array: Array) -> Array:
    """A copy that begins where a vector may."""
    room = np.empty(array.nbytes + _ALIGNED_BYTES, np.uint8)
    start = -_address(room) % _ALIGNED_BYTES
    copy = room[start : start + array.nbytes].view(np.float32).reshape(array.shape)
    copy[...] = array
    return copy
