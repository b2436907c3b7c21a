"""Calls of a loaded graph: by the shortest way that is proven to give what the public call gives.

nn.GraphCell finds the compiled graph anew at each call, which takes longer than a small model's own work (MindSpore
2.10: 100-200 us, of which the graph takes 25-60). What it finds in the end is a phase, the compiled graph's name. The
executor that it hands the phase to is private, so each shape is called both ways before the worker registers, and the
public call stays where they differ. A phase must only meet the shapes that it was compiled for: given others, the
executor answers without an error, and wrongly.

A call that fails, as one that looks up a row which its table does not have, is the last of its compiled graph: each one
after it MindSpore 2.10 refuses. So the next call compiles the graph again.

Where nothing but kernels/ is left of a graph there is a shorter way still: straight_calls.py. It is proven alike.

A graph may give its input, its weights or one output twice. Functions change values in place, and the memory of a
request cannot even be written: the outputs of such a graph are copied.

Small outputs are taken as bytes: asnumpy() of a fresh tensor makes an array by way of a format string that numpy parses
in Python, which is a quarter of a small graph's call. Large ones share the tensor's memory, without a copy.
"""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mindspore_serving.worker.batch_sizes import equal
from mindspore_serving.worker.plain_steps import CallError
from mindspore_serving.worker.straight_calls import readable

logger = logging.getLogger("mindspore_serving.worker")

Array = npt.NDArray[Any]
Execute = Callable[[tuple[Any, ...], str], Any]
Shapes = tuple[tuple[int, ...], ...]

_NUMBERS = {bool: np.bool_, int: np.int64, float: np.float32}  # in arrays
_LOST = ""  # instead of a phase: that of the graph as it is compiled next
_SMALL_BYTES = 16 * 1024  # up to here a copy costs less than an array that shares the tensor's memory


class Straight(Protocol):
    """What is needed of StraightCalls."""

    def __call__(self, arrays: Sequence[Array]) -> list[Array]: ...
    def one_by_one(self, arrays: Sequence[Array]) -> list[Array]: ...


class GraphCalls:
    """One graph's calls, on MindSpore's thread. `learn` comes first for each shape, and then the calls.

    to_tensor: makes a tensor of MindSpore's, which may share the array's memory. execute: runs tensors through a phase;
    None for the public call alone. straight: computes the same without MindSpore; None where that cannot be.
    has_branches: such a graph may learn one shape, or be open. MindSpore 2.10 cannot compile it once more, and has lost
    the first one when it has tried. forget_compiled: has the cell compiled again when it is called next.
    """

    def __init__(
        self,
        cell: Any,
        path: Path,
        to_tensor: Callable[[Array], Any],
        execute: Execute | None,
        straight: Straight | None = None,
        has_branches: bool = False,
        forget_compiled: Callable[[Any], None] = lambda _: None,
    ) -> None:
        self.has_branches = has_branches
        self._cell = cell
        self._path = path
        self._to_tensor = to_tensor
        self._execute = execute
        self._straight = straight
        self._forget_compiled = forget_compiled
        self._straight_shapes: set[Shapes] = set()
        self._phases: dict[Shapes, str] = {}
        self._dtypes: tuple[np.dtype[Any], ...] = ()  # of the outputs
        self._open = False
        self._open_phase: str | None = None  # takes every shape that the inputs allow
        self._is_straight_open = False  # so do straight calls
        self._is_copied = False  # outputs: their memory is not their own

    @property
    def direct(self) -> bool:
        """Calls go straight into the compiled graph."""
        return self._execute is not None

    @property
    def straight(self) -> Straight | None:
        """What calls of learnt shapes, all or some, go to past the compiled graph. None: to nothing of that kind."""
        return self._straight

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        """Arrays of learnt shapes in, outputs in memory of their own out.

        Raises whatever MindSpore raises, or CallError.
        """
        if self._straight is not None and self._is_straight_open:
            return self._straight(arrays)
        shapes = tuple([array.shape for array in arrays])
        if self._straight is not None and shapes in self._straight_shapes:
            return self._straight(arrays)
        outputs = self._by_phase(arrays, self._phases.get(shapes, self._open_phase))
        return [output.copy() for output in outputs] if self._is_copied else outputs

    def run_open(self, arrays: Sequence[Array]) -> list[Array]:
        """The same by the graph for all shapes, though there be one for these alone."""
        if self._straight is not None and self._is_straight_open:
            return self._straight(arrays)
        outputs = self._by_phase(arrays, self._open_phase)
        return [output.copy() for output in outputs] if self._is_copied else outputs

    def learn(self, arrays: Sequence[Array]) -> list[Array]:
        """The public call: compiles the graph for these shapes if it must. Finds out whether the direct one agrees."""
        expected = self._public(arrays)
        self._dtypes = tuple(array.dtype for array in expected)
        again = self._public(arrays) if self._execute is None else []
        self._is_copied = self._is_copied or _share_memory([*map(readable, arrays), *expected, *again])
        if self._straight is not None:
            self._prove_straight(self._straight, arrays, expected)
        if self._execute is not None:
            fault = self._prove(self._execute, arrays, expected)
            if fault:
                self._execute = None
                logger.warning(
                    "model file '%s': %s, so its calls go MindSpore's public way, which takes longer", self._path, fault
                )
        return expected

    def open(self, tensors: Sequence[Any]) -> None:
        """From here on `learn` is about one graph for all shapes that these tensors of MindSpore's leave open."""
        self._cell.set_inputs(*tensors)  # without this, MindSpore compiles again for each new shape
        self._open = True

    def forget(self, arrays: Sequence[Array]) -> None:
        """Arrays of these shapes go to the graph for all shapes, though one was compiled for them alone."""
        self._phases.pop(tuple([array.shape for array in arrays]), None)

    def _prove(self, execute: Execute, arrays: Sequence[Array], expected: Sequence[Array]) -> str:
        phase = getattr(self._cell, "compile_phase", None)
        if not isinstance(phase, str):
            return "this MindSpore does not tell which compiled graph it calls"
        if self._open and self._open_phase not in (None, phase):
            return "this MindSpore compiles more than one graph for its open shapes"
        try:
            tensors = self._tensors(arrays)
            results = _in_a_row(execute(tensors, phase))
            found = [_array(result, dtype) for result, dtype in zip(results, self._dtypes, strict=True)]
            # Small outputs are copied anyway, but larger ones of the same graph will not be.
            memories = [np.asarray(result.asnumpy()) for result in results if hasattr(result, "asnumpy")]
            shared = _share_memory([*map(readable, arrays), *expected, *memories])
        except Exception as error:
            return f"this MindSpore does not take a direct call ({type(error).__name__})"
        if not _are_equal(found, expected):
            return "a direct call gave other numbers than the public call"
        self._is_copied = self._is_copied or shared
        if self._open:
            self._open_phase = phase
        else:
            self._phases[tuple([array.shape for array in arrays])] = phase
        return ""

    def _prove_straight(self, straight: Straight, arrays: Sequence[Array], expected: Sequence[Array]) -> None:
        try:
            found = straight(arrays)
            agrees = _are_equal(found, expected)
        except CallError:
            agrees = False
        if not agrees:
            logger.debug("model file '%s': calls past MindSpore do not give its numbers", self._path)
            if self._open or not self._straight_shapes:
                self._straight, self._is_straight_open = None, False
        elif self._open:
            self._is_straight_open = True
        else:
            self._straight_shapes.add(tuple([array.shape for array in arrays]))

    def _by_phase(self, arrays: Sequence[Array], phase: str | None) -> list[Array]:
        try:
            if phase is None or self._execute is None:
                return self._public(arrays)
            if phase == _LOST:
                return self._compiled_again(arrays)
            return self._direct(self._execute, arrays, phase)
        except Exception:
            self._begin_anew()
            raise

    def _begin_anew(self) -> None:
        self._forget_compiled(self._cell)
        if self._open:
            self._phases.clear()
            self._open_phase = None if self._open_phase is None else _LOST
        else:
            self._phases = dict.fromkeys(self._phases, _LOST)

    def _compiled_again(self, arrays: Sequence[Array]) -> list[Array]:
        """The public call, which compiles. That the direct one gives the same was proven of the same graph."""
        outputs = self._public(arrays)
        if self._open:
            self._open_phase = self._cell.compile_phase
        else:
            self._phases[tuple([array.shape for array in arrays])] = self._cell.compile_phase
        return outputs

    def _public(self, arrays: Sequence[Array]) -> list[Array]:
        tensors = self._tensors(arrays)
        return _arrays(self._cell(*tensors))

    def _direct(self, execute: Execute, arrays: Sequence[Array], phase: str) -> list[Array]:
        tensors = self._tensors(arrays)  # held until the outputs are there: the graph reads their memory
        results = execute(tensors, phase)
        return [_array(result, dtype) for result, dtype in zip(_in_a_row(results), self._dtypes, strict=True)]

    def _tensors(self, arrays: Sequence[Array]) -> tuple[Any, ...]:
        return tuple([self._to_tensor(readable(array)) for array in arrays])


def _are_equal(found: Sequence[Array], expected: Sequence[Array]) -> bool:
    return len(found) == len(expected) and all(map(equal, found, expected))


def _share_memory(arrays: Sequence[Array]) -> bool:
    """Whether two of them, of inputs and of the outputs of two calls, have a byte in common."""
    return any(
        np.may_share_memory(one, other) for place, one in enumerate(arrays) for other in arrays[place + 1 :] if one.size
    )


def _in_a_row(results: Any) -> list[Any]:
    """Outputs, which a network may give as tuples within each other: a detector's, say, and those of its scales."""
    if not isinstance(results, tuple | list):
        return [results]
    row: list[Any] = []
    for result in results:
        if isinstance(result, tuple | list):
            row += _in_a_row(result)
        else:
            row.append(result)
    return row


def _array(result: Any, dtype: "np.dtype[Any]") -> Array:
    if isinstance(result, int | float):
        return np.asarray(result, dtype)
    shape = result.shape
    if math.prod(shape) * dtype.itemsize <= _SMALL_BYTES:
        return np.ndarray(shape, dtype, result.get_bytes())
    return np.asarray(result.asnumpy())


def _arrays(results: Any) -> list[Array]:
    """Of the public call. Numbers, as of a shape, are int64 and float32. Raises TypeError: no tensor, and no number."""
    arrays = []
    for number, result in enumerate(_in_a_row(results)):
        if isinstance(result, bool | int | float):
            arrays.append(np.asarray(result, _NUMBERS[type(result)]))
        elif hasattr(result, "asnumpy"):
            arrays.append(np.asarray(result.asnumpy()))
        else:
            raise TypeError(f"output {number} is no tensor, but a '{type(result).__name__}'")
    return arrays
