"""Calls every method of `add_sub`: client.py [HOST:PORT], by default 127.0.0.1:5500. Exit code 1: a wrong number."""

import sys
from collections.abc import Mapping

import numpy as np

from mindspore_serving.client import Client

X1 = np.array([[1, 2], [3, 4]], np.float32)
X2 = np.array([[10, 20], [30, 40]], np.float32)
X3 = np.array([[5, 5], [5, 5]], np.float32)
# method -> its inputs, and the outputs that are right
CALLS = {
    "add_only": ({"x1": X1, "x2": X2}, {"y": X1 + X2}),
    "sub_only": ({"x1": X1, "x2": X2}, {"y": X1 - X2}),
    "add_sub": ({"x1": X1, "x2": X2, "x3": X3}, {"y": (X1 + X2) - X3}),
    "add_and_sub": ({"x1": X1, "x2": X2}, {"sum": X1 + X2, "difference": X1 - X2}),
}


def is_right(results: object, expected: Mapping[str, np.ndarray]) -> bool:
    """Whether the results are one instance's, with the expected outputs and no other."""
    if not isinstance(results, list) or len(results) != 1 or results[0].keys() != expected.keys():
        return False
    return all(np.array_equal(results[0][name], value) for name, value in expected.items())


def main(address: str) -> int:
    wrong = 0
    for method, (inputs, expected) in CALLS.items():
        with Client(address, "add_sub", method) as client:
            results = client.infer(inputs)
        right = is_right(results, expected)
        wrong += not right
        print(f"{method}: {'right' if right else 'wrong'}: {results}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:5500"))
