"""The batch sizes that a model with a fixed one can run at as well: powers of two, each proven before it is used.

MindSpore's CPU backend compiles a graph again for inputs of another size. For many graphs that is the same function of
each instance, and a small batch costs less than a padded one; for some it is not (a reshape to a fixed shape, a mean
over the batch). So each size is compared with the padded run, and the first that differs ends the list.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Run = Callable[[Sequence[Array]], list[Array]]

_SEED = 20  # any: the same numbers for each load
_TOLERANCE = {2: 2e-3, 4: 1e-5, 8: 1e-12}  # of the largest output, by the bytes of a float: sums may be reordered


class Input(Protocol):
    """What is needed of an InputSpec."""

    @property
    def dtype(self) -> "np.dtype[Any]": ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def batched(self) -> bool: ...


def proven_sizes(run: Run, inputs: Sequence[Input], batch_size: int) -> tuple[int, ...]:
    """The sizes at which the model gives the numbers that a batch filled up to `batch_size` gives, in order."""
    if any(size < 0 for given in inputs for size in given.shape):
        return (batch_size,)
    rng = np.random.default_rng(_SEED)
    full = [sample(rng, given.shape, given.dtype) for given in inputs]
    sizes = []
    size = 1
    while size < batch_size:
        if not _agrees(run, inputs, full, size, batch_size):
            return (batch_size,)
        sizes.append(size)
        size *= 2
    return (*sizes, batch_size)


def _agrees(run: Run, inputs: Sequence[Input], full: Sequence[Array], size: int, batch_size: int) -> bool:
    pairs = list(zip(full, inputs, strict=True))
    small = [array[:size] if given.batched else array for array, given in pairs]
    padded = [
        np.concatenate([array[:size], np.repeat(array[:1], batch_size - size, axis=0)]) if given.batched else array
        for array, given in pairs
    ]
    expected = [output[:size] for output in run(padded)]
    try:
        found = run(small)
    except Exception:
        return False  # a shape in the graph is fixed
    return len(found) == len(expected) and all(map(equal, found, expected))


def equal(found: Array, expected: Array, slack: float = 1.0) -> bool:
    """The same numbers, but for the order in which floating point numbers were summed up.

    slack: how many times as far apart they may be as the sums of one graph, run twice.
    """
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    if found.dtype.kind != "f":
        return bool(np.array_equal(found, expected))
    scale = float(np.max(np.abs(expected), initial=0.0, where=np.isfinite(expected)))
    tolerance = slack * _TOLERANCE[found.dtype.itemsize] * scale
    return bool(np.allclose(found, expected, rtol=0.0, atol=tolerance, equal_nan=True))


def sample(rng: np.random.Generator, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> Array:
    """Numbers as a model may be given them."""
    if dtype.kind == "f":
        return rng.standard_normal(shape, np.float32).astype(dtype, copy=False)
    return rng.integers(0, 2, shape).astype(dtype)  # small: an integer may be an index
