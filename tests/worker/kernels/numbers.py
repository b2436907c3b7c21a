"""Numbers that kernels are given."""

import numpy as np

from tests.worker.kernel_calls import Array

CLAMPS = ((-np.inf, np.inf), (0, np.inf), (0, 6))  # in the order of operators.c


def whole_numbers(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


def normal_numbers(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(1, 3, shape).astype(np.float32)


def sigmoid(x: Array) -> Array:
    half: Array = np.tanh(x / 2) / 2
    return half + 0.5
