"""Calls both methods of `add`: client.py [HOST:PORT], by default 127.0.0.1:5500. Exit code 1: a wrong sum."""

import sys

import numpy as np

from mindspore_serving.client import Client


def main(address: str) -> int:
    ones = np.ones((2, 2), np.float32)
    with Client(address, "add", "add_common") as client:
        three = client.infer([{"x1": ones * n, "x2": ones * n} for n in (1, 2, 3)])
    print(three)
    with Client(address, "add", "add_cast") as client:
        one = client.infer([{"x1": np.ones((2, 2), np.int32), "x2": np.ones((2, 2), np.int32)}])
    print(one)
    expected = [2, 4, 6, 2]
    got = [*three, *one] if isinstance(three, list) and isinstance(one, list) else []
    right = len(got) == len(expected) and all(
        "y" in result and np.array_equal(result["y"], ones * n) for result, n in zip(got, expected, strict=True)
    )
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:5500"))
