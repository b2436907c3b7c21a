"""Steps of a straight graph that numpy computes: rewrites/plain.py. Instances may be along a further first axis."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mindspore_serving.worker.rewrites.plain import Plain

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


class CallError(ValueError):
    """The inputs of a call do not belong together, or name what is not there; or there is no memory for it."""


class ShapedPlain:
    """A step for values of these shapes. made: the shape of what comes out. Raises CallError."""

    def __init__(self, step: Plain, shapes: Sequence[Shape]) -> None:
        self._given = step.given
        self._told = step.told
        self._operator = OPERATORS[step.operator]
        try:
            self.made: Shape = self.compute([np.zeros(shape, np.int32) for shape in shapes]).shape
        except ValueError as error:
            raise CallError(f"inputs of shapes {', '.join(str(list(shape)) for shape in shapes)} do not fit") from error

    def compute(self, values: Sequence[Array]) -> Array:
        return self._operator(*[values[one] if isinstance(one, int) else one for one in self._given], *self._told)

    def compute_one_by_one(self, values: Sequence[Array], count: int) -> Array:
        del count  # along the first axis of each
        return self.compute(values)


def _cast(given: Array, dtype: type[np.generic], is_exact: bool) -> Array:
    """is_exact: a whole number that has no place in the other type is an error; otherwise it loses bits, as in C."""
    if given.dtype.kind == "f":
        with np.errstate(all="ignore"):  # what has no place in the other type becomes what it becomes in C
            return given.astype(dtype)
    made = given.astype(dtype)
    if is_exact and not np.array_equal(made, given):
        raise CallError("a whole number of int64 is used as one of int32, and is too large for that")
    return made


def _largest_place(x: Array, axis: int, keeps_axis: bool, dtype: type[np.generic]) -> Array:
    """Of equal ones, the first. No number is larger than one that is none, nor the other way round, as in C."""
    is_none = np.isnan(x)
    if is_none.any():
        begins_with_none = is_none.take([0], axis)
        x = np.where(is_none, -np.inf, x)
        x = np.where(begins_with_none, 0, x)
    place: Array = x.argmax(axis, keepdims=keeps_axis)
    return place.astype(dtype)


def _largest(x: Array, axis: int, keeps_axis: bool) -> Array:
    place = _largest_place(x, axis, True, np.int64)
    made = np.take_along_axis(x, place, axis)
    return made if keeps_axis else made.squeeze(axis)


def _least_place(x: Array, axis: int, keeps_axis: bool, dtype: type[np.generic]) -> Array:
    return _largest_place(-x, axis, keeps_axis, dtype)


def _least(x: Array, axis: int, keeps_axis: bool) -> Array:
    return -_largest(-x, axis, keeps_axis)


def _order(x: Array, count: int) -> Array:
    """Of equal ones, the first."""
    return np.argsort(-x, axis=-1, kind="stable")[..., :count]


def _largest_ones(x: Array, count: int) -> Array:
    return np.take_along_axis(x, _order(x, count), -1)


def _largest_places(x: Array, count: int) -> Array:
    return _order(x, count).astype(np.int32)


def _one_hot(x: Array, depth: int, on: float, off: float) -> Array:
    """Of a number that is no place, off."""
    return np.where(x[..., None] == np.arange(depth), np.float32(on), np.float32(off))


def _gathered(x: Array, places: Array, axis: int) -> Array:
    return x.take(places, axis)


def _arithmetic(operator: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    def compute(one: Array, other: Array, dtype: type[np.generic]) -> Array:
        return np.asarray(operator(one, other)).astype(dtype)  # what is fixed is int64

    return compute


OPERATORS: dict[str, Callable[..., Array]] = {
    "cast": _cast,
    "largest_place": _largest_place,
    "least_place": _least_place,
    "largest": _largest,
    "least": _least,
    "largest_ones": _largest_ones,
    "largest_places": _largest_places,
    "one_hot": _one_hot,
    "gathered": _gathered,
    "is_more": np.greater,
    "is_not_less": np.greater_equal,
    "is_less": np.less,
    "is_not_more": np.less_equal,
    "is_equal": np.equal,
    "is_another": np.not_equal,
    "sum": _arithmetic(np.add),
    "difference": _arithmetic(np.subtract),
    "product": _arithmetic(np.multiply),
}
