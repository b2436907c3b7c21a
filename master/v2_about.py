"""What the Open Inference Protocol tells about the server and its models, as documents in the names of its messages.

The RESTful door sends them as JSON, the gRPC door as the messages of the same fields.
"""

import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from mindspore_serving.cluster.messages import ANY_SIZE, MethodSpec, TensorType
from mindspore_serving.cluster.registry import Route
from mindspore_serving.cluster.statistics import Duration
from mindspore_serving.master.client_memory import ClientMemory
from mindspore_serving.master.front_desk import FrontDesk, Phase
from mindspore_serving.master.service_table import STOPPING_TEXT
from mindspore_serving.master.v2_target import Model, find_model, find_target
from mindspore_serving.master.v2_types import BYTES, DATATYPES

NAME = "mindspore-serving-cluster"
EXTENSIONS = ("binary_tensor_data", "model_configuration", "parameters", "statistics")  # what works, no more
PLATFORM = "mindspore"
NO_REPLICA = "no servable has a live replica: start a worker, or wait for one to load"
_NANOSECONDS = 1e9
_MILLISECONDS = 1e3

Document = dict[str, Any]


def server_metadata(memory: ClientMemory) -> Document:
    """Of ServerMetadata and GET /v2."""
    extensions = (*EXTENSIONS, "system_shared_memory") if memory.is_on else EXTENSIONS
    return {"name": NAME, "version": own_version(), "extensions": extensions}


def regions(memory: ClientMemory, name: str) -> list[Document]:
    """Of SystemSharedMemoryStatus: the region of this name, or all where it is empty. Raises CallFault."""
    return [
        {"name": region.name, "key": region.key, "offset": region.offset, "byte_size": region.nbytes}
        for region in memory.regions(name)
    ]


def why_not_ready(desk: FrontDesk) -> str:
    """Why the server as a whole takes no requests, in a line; empty when it does."""
    if desk.phase is not Phase.OPEN:
        return STOPPING_TEXT
    if desk.has_ready_replica:
        return ""
    gone = [f"servable {one.servable} version {one.version}: {one.reason}" for one in desk.health()]
    return NO_REPLICA + (f" ({'; '.join(gone)})" if gone else "")


def why_model_not_ready(desk: FrontDesk, name: str, version: str) -> str:
    """Why this model takes no requests; empty when it does. Raises CallFault for one that is not known."""
    model = find_model(desk, name, version)
    if desk.phase is not Phase.OPEN:
        return STOPPING_TEXT
    reasons = [route.health().reason for route in model.routes]
    return f"{model.routes[-1]} is not ready: {reasons[-1]}" if all(reasons) else ""


def model_metadata(desk: FrontDesk, name: str, version: str) -> Document:
    """Of ModelMetadata and GET /v2/models/M. Raises CallFault.

    Of a tensor whose type is not known (a Python function takes or gives it) the datatype says BYTES and the shape
    [-1]: something has to stand there. In JSON its parameters say type_known false.
    """
    method = find_target(desk, name, version).method
    versions = [str(route.version) for route in find_model(desk, name, version).routes if route.ready]
    return {
        "name": name,
        "versions": versions,
        "platform": PLATFORM,
        "inputs": [_tensor(*item) for item in _inputs(method)],
        "outputs": [_tensor(*item) for item in _outputs(method)],
    }


def model_config(desk: FrontDesk, name: str, version: str) -> Document:
    """Of ModelConfig and GET /v2/models/M/config: a type that is not known is TYPE_INVALID. Raises CallFault."""
    target = find_target(desk, name, version)
    return {
        "name": name,
        "platform": PLATFORM,
        "backend": PLATFORM,
        "max_batch_size": target.method.batch_size,
        "input": [_config_tensor(*item) for item in _inputs(target.method)],
        "output": [_config_tensor(*item) for item in _outputs(target.method)],
        "parameters": {
            "method": {"string_value": target.method.name},
            "methods": {"string_value": ",".join(target.route.methods)},
        },
    }


def repository_index(desk: FrontDesk, ready_only: bool) -> list[Document]:
    """Of RepositoryIndex: every version that was ever served here."""
    draining = desk.phase is not Phase.OPEN
    return [
        {
            "name": one.servable,
            "version": str(one.version),
            "state": "READY" if one.ready and not draining else "UNAVAILABLE",
            "reason": STOPPING_TEXT if draining else one.reason,
        }
        for one in desk.health()
        if (one.ready and not draining) or not ready_only
    ]


def model_names(desk: FrontDesk) -> list[str]:
    """The servables that take requests."""
    return list(dict.fromkeys(one.servable for one in desk.health() if one.ready))


def statistics(desk: FrontDesk, name: str, version: str) -> Document:
    """Of ModelStatistics: each version of this model, or of all servables when the name is empty. Raises CallFault."""
    names = [name] if name else list(dict.fromkeys(one.servable for one in desk.health()))
    models = [find_model(desk, each, version) for each in names]
    return {"model_stats": [_model_statistics(desk, model, route) for model in models for route in model.routes]}


def _model_statistics(desk: FrontDesk, model: Model, route: Route) -> Document:
    methods = route.methods if model.method is None else [model.method]
    counters, seconds_ago = desk.statistics(route.servable, route.version, methods)
    last = 0 if seconds_ago is None else int((time.time() - seconds_ago) * _MILLISECONDS)
    return {
        "name": model.name,
        "version": str(route.version),
        "last_inference": last,
        "inference_count": counters.inferences,
        "execution_count": counters.executions,
        "inference_stats": {
            "success": _duration(counters.succeeded),
            "fail": _duration(counters.failed),
            "queue": _duration(counters.queued),
            **_computed(counters.computed),
            **{part: _duration(Duration()) for part in ("cache_hit", "cache_miss")},
        },
        "batch_stats": [{"batch_size": size, **_computed(batch)} for size, batch in sorted(counters.batches.items())],
        # Only in JSON: the protocol's message for gRPC has no place for it.
        "batch_cuts": {cut.value: count for cut, count in counters.cuts.items()},
    }


def _computed(duration: Duration) -> Document:
    """Not measured apart: what a worker does is one thing to us. perf_analyzer wants to see all three counted alike."""
    unknown = _duration(Duration(duration.count))
    return {"compute_input": unknown, "compute_infer": _duration(duration), "compute_output": unknown}


def _duration(duration: Duration) -> Document:
    return {"count": duration.count, "ns": int(duration.seconds * _NANOSECONDS)}


_Named = tuple[str, TensorType | None]


def _inputs(method: MethodSpec) -> list[_Named]:
    return list(zip(method.inputs, method.input_types or (None,) * len(method.inputs), strict=True))


def _outputs(method: MethodSpec) -> list[_Named]:
    return list(zip(method.outputs, method.output_types or (None,) * len(method.outputs), strict=True))


def _tensor(name: str, known: TensorType | None) -> Document:
    if known is None:
        return {"name": name, "datatype": BYTES, "shape": [ANY_SIZE], "parameters": {"type_known": False}}
    return {"name": name, "datatype": DATATYPES[known.dtype], "shape": [ANY_SIZE, *known.shape]}


def _config_tensor(name: str, known: TensorType | None) -> Document:
    datatype = "INVALID" if known is None else DATATYPES[known.dtype]
    dims: Sequence[int] = [ANY_SIZE] if known is None else known.shape
    return {"name": name, "data_type": f"TYPE_{datatype}", "dims": list(dims)}


def own_version() -> str:
    """Of this package."""
    try:
        return version(NAME)
    except PackageNotFoundError:
        return "not installed"  # run from a checkout
