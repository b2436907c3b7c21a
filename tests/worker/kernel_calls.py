"""Calls of worker/kernels/ as MindSpore makes them, which see what is read or written beside its values."""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mindspore_serving.worker import kernels
from mindspore_serving.worker.rewrites.kernel_nodes import OPERATORS

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

GUARD = 67  # floats beside each value: more than any part of the library reads or writes at once, and no whole vectors
MARK = -12345.0
UNRANKED = (-2,)  # what MindSpore calls a shape of which nothing is known


class Vector(ctypes.Structure):
    """What C++ calls std::vector."""

    _fields_ = (("begin", ctypes.c_void_p), ("end", ctypes.c_void_p), ("room", ctypes.c_void_p))


def library() -> ctypes.CDLL:
    found = kernels.loaded()
    assert found is not None
    return found


def described(shapes: Sequence[Shape]) -> tuple[Any, Any]:
    """How many dimensions each has, and these."""
    dimensions: list[Any] = [(ctypes.c_int64 * len(shape))(*shape) for shape in shapes]
    return (ctypes.c_int * len(shapes))(*map(len, shapes)), (ctypes.POINTER(ctypes.c_int64) * len(shapes))(*dimensions)


def inferred_shape(shapes: Sequence[Shape]) -> Shape | None:
    """Of the program and its inputs; None if nothing is known of it: they are refused."""
    function = library().chainInferShape
    function.restype = Vector
    made = function(*described(shapes), None)
    if made.begin is None:
        return None
    assert made.begin <= made.end <= made.room
    shape = tuple((ctypes.c_int64 * ((made.end - made.begin) // 8)).from_address(made.begin))
    ctypes.CDLL(None).free(ctypes.c_void_p(made.begin))
    return None if shape == UNRANKED else shape


def between_guards(array: Array, guard: float) -> Array:
    """A copy of the numbers, with so many others before and behind."""
    return np.pad(array.astype(np.float32).ravel(), GUARD, constant_values=guard)


def program(name: str, inputs: int, told: Sequence[int]) -> Shape:
    """A chain of one step, as chain.c describes it."""
    return (0, inputs, 0, OPERATORS.index(name), inputs, len(told), *range(inputs), *told)


def call(name: str, inputs: Sequence[Array], told: Sequence[int], shape: Shape) -> Array:
    """What an operator makes."""
    return call_chain(program(name, len(inputs), told), inputs, shape)


def call_chain(steps: Shape, inputs: Sequence[Array], shape: Shape) -> Array:
    """What a chain makes: what it reads beside its inputs is NaN, and what it writes beside its output is seen."""
    shapes = [steps, *(array.shape for array in inputs)]
    assert inferred_shape(shapes) == shape
    rooms = [*(between_guards(array, np.nan) for array in inputs), between_guards(np.full(shape, np.nan), MARK)]
    values = (ctypes.c_void_p * (len(rooms) + 1))(None, *(room[GUARD:].ctypes.data for room in rooms))
    types = (ctypes.c_char_p * len(values))(*[b"float32"] * len(values))
    assert library().chain(len(values), values, *described([*shapes, shape]), types, None, None) == 0
    *given, made = rooms
    for room, array in zip(given, inputs, strict=True):
        np.testing.assert_array_equal(room, between_guards(array, np.nan))
    assert (made[:GUARD] == MARK).all() and (made[-GUARD:] == MARK).all()
    return made[GUARD:-GUARD].reshape(shape)
