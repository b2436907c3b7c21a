"""The front desk: the doors for clients, the ROUTER socket that workers connect to, the clock, waiting callers.

In reading order:
    config         every setting, with its default
    server         the life of a master: open, serve, drain, stop
    free_address   whether an address can be listened at
    tls            a door's certificate and key
    service_table  the gRPC services: paths to handlers of raw bytes
    lean_door      the gRPC door, with lean_connection, lean_call, grpc_head and grpc_messages; on http2, our own HTTP/2
    grpc_api       the same door by grpcio, for --grpc-engine grpcio
    ms_service     MSService/Predict: a request's bytes in, a reply's bytes out
    wire_tensors   protobuf tensors <-> the cluster's
    rest_api       the RESTful door
    rest_url       which servable, version and method a URL names
    rest_json      JSON bodies <-> the cluster's values
    tensor_rules   what every tensor of a client has to obey
    predict        one prediction, whichever door it came through
    front_desk     drives the dispatcher; callers wait here
    worker_socket  the ROUTER socket

The names of MindSpore Serving 1.2 (start_grpc_server, ...) are here too; see mindspore_serving/start_scripts.py.
"""

import importlib
from typing import Any

_START_SCRIPT_NAMES = {
    "start_grpc_server": "start_grpc_server",
    "start_master_server": "start_master_server",
    "start_restful_server": "start_restful_server",
    "stop": "stop_master",
}


def __getattr__(name: str) -> Any:
    # Lazily: a start script composes master and worker, which this package itself must not.
    if name in _START_SCRIPT_NAMES:
        return getattr(importlib.import_module("mindspore_serving.start_scripts"), _START_SCRIPT_NAMES[name])
    if name == "context":
        return importlib.import_module("mindspore_serving.context")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
