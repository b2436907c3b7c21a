"""The front desk: the doors for clients, the ROUTER socket that workers connect to, the clock, waiting callers.

In reading order:
    config         every setting, with its default
    server         the life of a master: open, serve, drain, stop
    security       who may talk to a master, read from the files of its settings
    parting        how the doors let go of their clients before it stops
    free_address   whether an address can be listened at
    listeners      where the doors listen, and who comes in, by socket_transport, with TLS secure_transport upon it;
                   open_files: how many may
    tls            a door's certificate and key
    tokens         bearer tokens, and the guard before every service
    service_table  what a gRPC service is: paths to handlers of raw bytes; services has all of ours
    lean_door      the gRPC door, with lean_connection, lean_call, grpc_head and grpc_messages; on http2, our own HTTP/2
    grpc_api       the same door by grpcio, for --grpc-engine grpcio
    ms_service     MSService/Predict: a request's bytes in, a reply's bytes out
    message_forms  messages that are alike but for their tensors' bytes; on wire_spans
    request_forms, reply_forms  such requests and replies of MSService
    message_fields protobuf messages of too many fields are refused before they are parsed
    wire_tensors   protobuf tensors <-> the cluster's
    error_status   what becomes of each kind of fault in gRPC and in HTTP, where they have real statuses
    v2_types       what the Open Inference Protocol v2 speaks of
    v2_target      which servable, version and method one of its models is
    v2_infer       one of its inferences: a batch in, results stacked
    v2_about       its metadata, statistics, index
    v2_grpc        its gRPC service; v2_messages: its messages, v2_stream: ModelStreamInfer
    v2_forms       its inferences that are alike but for their raw tensors
    v2_memory      its tensors in clients' memory: client_memory, what clients register; region_table, of all processes;
                   memory_part, which is read and written
    v2_rest        its URLs; v2_json: its bodies
    health_service, reflection_service: gRPC's own companions
    rest_api       the RESTful door
    rest_protocol  bounds on its connections; http_heads: on requests' heads; joined_writes: one packet for each answer
    whole_calls    calls that came in one read need no ASGI application
    rest_body      bodies within a limit, packed and unpacked; waits: time-outs, and clients that have gone
    json_reader, json_child: large bodies are read by a process of their own; json_containers: how many arrays they have
    rest_url       which servable, version and method a URL names
    rest_json      JSON bodies <-> the cluster's values
    tensor_rules   what every tensor of a client has to obey
    predict        one prediction, whichever door it came through
    front_desk     drives the dispatcher; callers wait here, each with a promise
    worker_socket  the ROUTER socket
    direct_line    a connection past it, to a worker of this machine; shared_memory: for large tensors
    patient_selector  what the event loop waits by: it may look for a while before it sleeps
    curve          the keys of the control port
    zap            who of the workers may connect

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
