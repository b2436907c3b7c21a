"""Drives a master with TLS, client certificates and tokens: tritonclient, gRPC's companions and curl get in, or not.

Run by secured.py, with the folder of keys as the third argument. It knows nothing of ours.
"""

import asyncio
import ssl
import subprocess
import sys
from pathlib import Path

import gevent.ssl
import grpc
import numpy as np
import tritonclient.grpc as by_grpc
import tritonclient.grpc.aio as by_grpc_aio
import tritonclient.http as by_http
import tritonclient.http.aio as by_http_aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.utils import InferenceServerException

ONES = np.ones((1, 2, 2), np.float32)
MODEL = "judged"


def inputs(module):
    both = [module.InferInput(name, [1, 2, 2], "FP32") for name in ("x1", "x2")]
    for tensor in both:
        tensor.set_data_from_numpy(ONES)
    return both


def refused(call, *words):
    """The call fails, and its text has one of these words."""
    try:
        call()
    except Exception as error:
        text = f"{type(error).__name__} {error}"
    else:
        text = "nothing was refused"
    assert any(word in text for word in words), (words, text)


def check_grpc(address, keys, token):
    ca, mine, key = (str(keys / name) for name in ("ca.pem", "client.pem", "client.key"))
    secured = {"ssl": True, "root_certificates": ca, "private_key": key, "certificate_chain": mine}
    with by_grpc.InferenceServerClient(address, **secured) as client:
        assert (client.infer(MODEL, inputs(by_grpc), headers=token).as_numpy("y") == 2).all()
        assert client.is_server_ready(headers=token)
        for call in (
            lambda: client.infer(MODEL, inputs(by_grpc)),
            lambda: client.infer(MODEL, inputs(by_grpc), headers={"authorization": "Bearer wrong"}),
            client.is_server_ready,
            client.get_server_metadata,
            client.get_model_repository_index,
            client.get_inference_statistics,
            lambda: client.load_model(MODEL),
        ):
            refused(call, "UNAUTHENTICATED")
    for options in ({"ssl": True, "root_certificates": ca}, {}):  # no certificate of the client's; no TLS
        with by_grpc.InferenceServerClient(address, **options) as client:
            refused(lambda: client.infer(MODEL, inputs(by_grpc), headers=token, client_timeout=10), "UNAVAILABLE")


def check_companions(address, keys, token):
    """Health needs no token, reflection does."""
    ca, mine, key = ((keys / name).read_bytes() for name in ("ca.pem", "client.pem", "client.key"))
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(ca, key, mine)) as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=MODEL))
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        refused(lambda: ProtoReflectionDescriptorDatabase(channel).get_services(), "UNAUTHENTICATED")


def check_http(address, keys, token):
    pair = {"certfile": str(keys / "client.pem"), "keyfile": str(keys / "client.key")}
    options = {"ssl": True, "ssl_options": {"ca_certs": str(keys / "ca.pem"), **pair}, "insecure": False}
    with by_http.InferenceServerClient(address, **options) as client:
        assert (client.infer(MODEL, inputs(by_http), headers=token).as_numpy("y") == 2).all()
        for call in (
            lambda: client.infer(MODEL, inputs(by_http)),
            client.get_server_metadata,
            client.get_model_repository_index,
            client.get_inference_statistics,
        ):
            refused(call, "401")
    with by_http.InferenceServerClient(
        address,
        ssl=True,
        ssl_context_factory=lambda: gevent.ssl.create_default_context(cafile=str(keys / "ca.pem")),
    ) as client:
        refused(lambda: client.infer(MODEL, inputs(by_http), headers=token), "SSL", "Connection", "reset")


async def check_aio(grpc_address, http_address, keys, token):
    context = ssl.create_default_context(cafile=str(keys / "ca.pem"))
    context.load_cert_chain(keys / "client.pem", keys / "client.key")
    async with by_http_aio.InferenceServerClient(http_address, ssl=True, ssl_context=context) as client:
        assert ((await client.infer(MODEL, inputs(by_http_aio), headers=token)).as_numpy("y") == 2).all()
    ca, mine, key = (str(keys / name) for name in ("ca.pem", "client.pem", "client.key"))
    secured = {"ssl": True, "root_certificates": ca, "private_key": key, "certificate_chain": mine}
    async with by_grpc_aio.InferenceServerClient(grpc_address, **secured) as client:
        # With headers it hands grpcio a number as metadata, and fails by itself (tritonclient 2.73.0).
        try:
            await client.infer(MODEL, inputs(by_grpc_aio))
        except InferenceServerException as error:
            text = str(error)
        else:
            text = "nothing was refused"
        assert "UNAUTHENTICATED" in text, text


def curl(address, keys, path, *options, certificate=True):
    """The status, 0 for none."""
    mine = ("--cert", str(keys / "client.pem"), "--key", str(keys / "client.key")) if certificate else ()
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", str(keys / "ca.pem"), *mine, *options]
    return int(subprocess.run([*command, f"https://{address}{path}"], capture_output=True, text=True).stdout)


def check_curl(address, keys, token):
    bearer = ("-H", f"authorization: {token['authorization']}")
    body = ("-d", '{"instances": {"x": 5}}')
    for path in ("/healthz", "/readyz"):
        assert curl(address, keys, path) == 200
        assert curl(address, keys, path, certificate=False) == 0
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", f"/v2/models/{MODEL}/stats", "/docs", "/openapi.json"):
        assert curl(address, keys, path) == 401, path
        assert curl(address, keys, path, *bearer) == 200, path
    assert curl(address, keys, f"/model/{MODEL}:echo", *body) == 401
    assert curl(address, keys, f"/model/{MODEL}:echo", *body, *bearer) == 200


def main() -> None:
    grpc_address, http_address, folder = sys.argv[1:]
    keys, token = Path(folder), {"authorization": "Bearer a-token-of-the-judge"}
    for name, check in (
        ("grpc", lambda: check_grpc(grpc_address, keys, token)),
        ("companions", lambda: check_companions(grpc_address, keys, token)),
        ("http", lambda: check_http(http_address, keys, token)),
        ("aio", lambda: asyncio.run(check_aio(grpc_address, http_address, keys, token))),
        ("curl", lambda: check_curl(http_address, keys, token)),
    ):
        check()
        print(f"{name}: passed", flush=True)


if __name__ == "__main__":
    main()
