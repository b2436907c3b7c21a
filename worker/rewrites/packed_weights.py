"""The weights of convolutions as the operators of kernels/ want them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

_PACKED = 8  # weights of so many outputs lie beside each other: kernels/kernels.h
_TRANSFORM = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
_LEAST_CHANNELS, _LEAST_PIXELS = 32, 12  # in and out; in a row and a column


def packed_by(
    weights: Array, bias: Array, told: Sequence[int], group: int, clamp: int
) -> tuple[str, tuple[Array, Array], list[int]]:
    """The operator for a convolution by this window, the weights and bias that it wants, and what it is told."""
    outs, ins, *_ = weights.shape
    if is_worth_winograd((outs, ins), told, group):
        return "winograd", transform(weights, bias), [*told, outs, clamp]
    return "convolution", pack(weights, bias, group), [*told, outs, group, clamp]


def is_worth_winograd(channels: tuple[int, int], told: Sequence[int], group: int) -> bool:
    """Whether fewer products gain more than it takes to transform tiles, and to read larger weights."""
    (*window, _, _), outs = told[:8], told[8:10]
    is_known = tuple(window) == (3, 3, 1, 1, 1, 1) and group == 1
    return is_known and min(channels) >= _LEAST_CHANNELS and min(outs) >= _LEAST_PIXELS


def pack(weights: Array, bias: Array, group: int) -> tuple[Array, Array]:
    """As convolve() in kernels/kernels.h wants them."""
    outs, ins, *_ = weights.shape
    if ins == 1 and outs == group:
        return weights.reshape(outs, -1), bias
    missing = -(outs // group) % _PACKED
    by_group = np.pad(weights.reshape(group, outs // group, -1), ((0, 0), (0, missing), (0, 0)))
    blocks = by_group.reshape(group, -1, _PACKED, by_group.shape[-1])
    return blocks.swapaxes(2, 3), np.pad(bias.reshape(group, -1), ((0, 0), (0, missing)))


def transform(weights: Array, bias: Array) -> tuple[Array, Array]:
    """As convolve_by_winograd() wants them. Source: see winograd.c; the matrix is its G."""
    turned = np.einsum("ir,ocrs,js->ijoc", _TRANSFORM, weights.astype(np.float64), _TRANSFORM)
    outs, ins, *_ = weights.shape
    padded = np.pad(turned.reshape(-1, outs, ins), ((0, 0), (0, -outs % _PACKED), (0, 0))).astype(np.float32)
    blocks = padded.reshape(len(padded), -1, _PACKED, ins)
    return blocks.swapaxes(2, 3), np.pad(bias, (0, -outs % _PACKED))
