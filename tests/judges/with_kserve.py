"""Drives a master with KServe's two clients. Not part of `make judges`: kserve is heavy.

    python3 -m venv V; V/bin/pip install kserve==0.21.0 mlserver==1.7.1
    .venv/bin/python -m tests.judges.run V/bin/python with_kserve.py

MLServer's command line, over HTTP: V/bin/mlserver infer -u HOST:PORT -m judged -i IN -o OUT
Its `--transport grpc` ends before it connects: "The 'grpc' transport is not yet supported." (1.7.1)
"""

import asyncio
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

ONES = np.ones((1, 2, 2), np.float32)


def tensor(name, array, datatype, binary):
    given = InferInput(name=name, shape=list(array.shape), datatype=datatype)
    given.set_data_from_numpy(array, binary_data=binary)
    return given


async def check(infer):
    for binary in (True, False):
        both = [tensor(name, ONES, "FP32", binary) for name in ("x1", "x2")]
        answer = await infer(InferRequest("judged", both, request_id="k1"))
        assert (answer.outputs[0].as_numpy() == 2).all()
        assert answer.id == "k1" and answer.model_version in ("1", None)  # its HTTP client leaves the version out
    half = tensor("x", ONES.astype(np.float16), "FP16", True)
    answer = await infer(InferRequest("judged.echo", [half]))
    assert answer.outputs[0].as_numpy().dtype == np.float16
    try:
        await infer(InferRequest("nobody", [half]))
    except Exception as error:
        text = str(error)
    else:
        text = "nothing was refused"
    assert "'nobody' is not known" in text, text


async def main(grpc_address, http_address):
    rest, base = InferenceRESTClient(config=RESTConfig(protocol="v2")), f"http://{http_address}"
    assert await rest.is_server_ready(base) and await rest.is_server_live(base)
    assert await rest.is_model_ready(base, "judged")
    await check(lambda request: rest.infer(base, request, model_name=request.model_name))
    await rest.close()
    print("http: passed", flush=True)
    grpc = InferenceGRPCClient(url=grpc_address)
    assert await grpc.is_server_ready() and await grpc.is_server_live() and await grpc.is_model_ready("judged")
    await check(grpc.infer)
    await grpc.close()
    print("grpc: passed", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
