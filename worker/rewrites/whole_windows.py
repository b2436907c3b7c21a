"""Convolutions whose window is as wide as the image, as one along the other axis, or a product.

The operator for images computes what lies between two pixels of its output too: hardly anything if a row has many, and
all but one of a row where that has one. So it takes ten times as long as these.
"""

from collections.abc import Sequence
from math import prod

import numpy as np

from mindspore_serving.worker.rewrites.dense import panel_of, panels
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import Step
from mindspore_serving.worker.rewrites.packed_weights import Array, packed_by

_OPEN = 0  # of a view: what is left
_TURNED = (0, 1, 3, 2)  # columns before rows
_Placed = tuple[Step, tuple[int, ...]]  # with the shape of what it makes


def plainer_steps(
    graph: GraphFile, x: str, shape: Sequence[int], fixed: tuple[Array, Array], told: Sequence[int], clamp: int
) -> list[_Placed]:
    """What does the same as a convolution of images of this shape; nothing for other windows.

    fixed: weights and bias. told: of the window, in the order of kernels/layers.c. For one group.
    """
    (rows, columns), (count, _, height, width) = told[:2], shape
    is_as_wide = columns == width and told[9] == 1 and (told[5], told[7]) == (1, 0)
    is_as_high = rows == height and told[8] == 1 and (told[4], told[6]) == (1, 0)
    if is_as_wide and is_as_high:
        return _product(graph, x, count, fixed, clamp)
    return _along_rows(graph, x, shape, fixed, told, clamp) if is_as_wide and width > 1 else []


def _product(graph: GraphFile, x: str, count: int, fixed: tuple[Array, Array], clamp: int) -> list[_Placed]:
    """One pixel is made of all of an image."""
    weights, bias = fixed
    outs, depth = len(weights), prod(weights.shape[1:])
    packed = (panels(weights.reshape(outs, depth).T), np.pad(bias, (0, -outs % panel_of(outs))))
    return [
        (Step("view", [x], [_OPEN, depth]), (count, depth)),
        (Step("dense", [0, *map(graph.new.constant, packed)], [outs, clamp]), (count, outs)),
        (Step("view", [1], [_OPEN, outs, 1, 1]), (count, outs, 1, 1)),
    ]


def _along_rows(
    graph: GraphFile, x: str, shape: Sequence[int], fixed: tuple[Array, Array], told: Sequence[int], clamp: int
) -> list[_Placed]:
    """Each column of each channel becomes a channel, whose only row is what went down."""
    count, channels, height, width = shape
    weights, bias = fixed
    outs, lines, size = len(weights), channels * width, told[8]
    turned = weights.swapaxes(2, 3).reshape(outs, lines, 1, -1)
    window = [1, told[0], 1, told[2], 1, told[4], 0, told[6], 1, size]
    operator, packed, numbers = packed_by(turned, bias, window, 1, clamp)
    return [
        (Step("transposition", [x], _TURNED), (count, channels, width, height)),
        (Step("view", [0], [_OPEN, lines, 1, height]), (count, lines, 1, height)),
        (Step(operator, [1, *map(graph.new.constant, packed)], numbers), (count, outs, 1, size)),
        (Step("view", [2], [_OPEN, outs, size, 1]), (count, outs, size, 1)),
    ]
