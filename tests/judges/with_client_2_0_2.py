"""Drives a master with the unmodified client of MindSpore Serving 2.0.2, which needs Python 3.7: not in `make judges`.

python3.7 -m venv V; V/bin/pip install mindspore_serving==2.0.2 protobuf==3.20.3 grpcio numpy
.venv/bin/python -m tests.judges.run V/bin/python with_client_2_0_2.py
"""

import sys

import numpy as np

from mindspore_serving.client import Client

DTYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64")


def check(address):
    add, echo = Client(address, "judged", "add"), Client(address, "judged", "echo")
    ones = np.ones((2, 2), np.float32)
    instances = [{"x1": ones * number, "x2": ones} for number in range(3)]
    assert [answer["y"].tolist() for answer in add.infer(instances)] == [
        (ones * (number + 1)).tolist() for number in range(3)
    ]
    future = add.infer_async(instances[1])
    assert (future.result()[0]["y"] == 2).all()
    for dtype in (*DTYPES, "bool"):
        array = np.array([[0, 1], [1, 0]], dtype)
        (answer,) = echo.infer({"x": array})
        assert answer["y"].dtype == array.dtype and (answer["y"] == array).all(), (dtype, answer)
    for value in ("text ä", b"\x00\xff", 7, 1.5, True):
        (answer,) = echo.infer([{"x": value}])
        assert answer["y"] == value, (value, answer)
    mixed = [instances[0], {"x1": ones, "x2": ones.astype(np.int32)}]
    good, bad = add.infer(mixed)
    assert (good["y"] == 1).all() and "data type" in bad["error"], bad
    faults = {
        "Cannot find input x2": add.infer({"x1": ones}),
        "servable is not available": Client(address, "nobody", "add").infer(instances[0]),
        "method is not available": Client(address, "judged", "nothing").infer(instances[0]),
        "always fails": Client(address, "judged", "broken").infer({"x": 1}),
        "Instances count of request cannot be 0": add.infer([]),
    }
    for text, answer in faults.items():
        assert text in str(answer), (text, answer)
    assert "error" in Client(address, "judged", "add", 7).infer(instances[0])


def main():
    grpc_address, _ = sys.argv[1:]
    check(grpc_address)
    print("tcp: passed", flush=True)


if __name__ == "__main__":
    main()
