"""The weights of convolutions as the operators of kernels/ want them."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

_PACKED = 8  # weights of so many outputs lie beside each other: kernels/kernels.h
# By how many outputs a tile has in a row; for four the points are 0, both roots of 1/2, both of 2, and infinity.
_TRANSFORMS = {
    2: np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]),
    4: np.array(
        [
            [1, 0, 0],
            *([-1 / 1.5, -root / 1.5, -0.5 / 1.5] for root in (0.5**0.5, -(0.5**0.5))),
            *([1 / 6, root / 6, 2 / 6] for root in (2**0.5, -(2**0.5))),
            [0, 0, 1],
        ]
    ),
}
_GAINED = 0.85  # of the products that four outputs need, those that 16 may: weights are twice as many
_LEAST_CHANNELS, _LEAST_PIXELS = 32, 12  # in and out; in a row and a column


def packed_by(
    weights: Array, bias: Array, told: Sequence[int], group: int, clamp: int
) -> tuple[str, tuple[Array, Array], list[int]]:
    """The operator for a convolution by this window, the weights and bias that it wants, and what it is told."""
    outs, ins, *_ = weights.shape
    if is_worth_winograd((outs, ins), told, group):
        return "winograd", transform(weights, bias, _side_of_tiles(told[8:10])), [*told, outs, clamp]
    return "convolution", pack(weights, bias, group), [*told, outs, group, clamp]


def is_worth_winograd(channels: tuple[int, int], told: Sequence[int], group: int) -> bool:
    """Whether fewer products gain more than it takes to transform tiles, and to read larger weights."""
    (*window, _, _), outs = told[:8], told[8:10]
    is_known = tuple(window) == (3, 3, 1, 1, 1, 1) and group == 1
    return is_known and min(channels) >= _LEAST_CHANNELS and min(outs) >= _LEAST_PIXELS


def _side_of_tiles(outs: Sequence[int]) -> int:
    """How many outputs in a row, and rows of them, are one tile. Between rows of tiles there is a place for none."""
    small, large = [(math.prod(-(-size // side) + 1 for size in outs) * (side + 2) ** 2) for side in (2, 4)]
    return 4 if large < _GAINED * small else 2


def pack(weights: Array, bias: Array, group: int) -> tuple[Array, Array]:
    """As convolve() in kernels/kernels.h wants them."""
    outs, ins, *_ = weights.shape
    if ins == 1 and outs == group:
        return weights.reshape(outs, -1), bias
    missing = -(outs // group) % _PACKED
    by_group = np.pad(weights.reshape(group, outs // group, -1), ((0, 0), (0, missing), (0, 0)))
    blocks = by_group.reshape(group, -1, _PACKED, by_group.shape[-1])
    return blocks.swapaxes(2, 3), np.pad(bias.reshape(group, -1), ((0, 0), (0, missing)))


def transform(weights: Array, bias: Array, side: int) -> tuple[Array, Array]:
    """As convolve_by_winograd() wants them. Source: see winograd.c; the matrix is its G. side: of tiles of outputs."""
    matrix = _TRANSFORMS[side]
    turned = np.einsum("ir,ocrs,js->ijoc", matrix, weights.astype(np.float64), matrix)
    outs, ins, *_ = weights.shape
    padded = np.pad(turned.reshape(-1, outs, ins), ((0, 0), (0, -outs % _PACKED), (0, 0))).astype(np.float32)
    blocks = padded.reshape(len(padded), -1, _PACKED, ins)
    return blocks.swapaxes(2, 3), np.pad(bias, (0, -outs % _PACKED))
