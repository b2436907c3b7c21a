"""The names of MindSpore Serving 2.x: a master in the script's process, workers as its children.

In reading order:
    start_config   ServableStartConfig, and how several of them merge
    deployment     start_servables, start_grpc_server, start_restful_server, stop
    door_address   what the doors listen at
    ssl_config     SSLConfig
    master         the same calls under their other name, and master.context
    register       what a servable_config.py says
    distributed    says that there are no distributed servables
"""

import importlib
from typing import Any

__all__ = [
    "SSLConfig",
    "ServableStartConfig",
    "master",
    "register",
    "start_grpc_server",
    "start_restful_server",
    "start_servables",
    "stop",
]

_PLACES = {
    "SSLConfig": "ssl_config",
    "ServableStartConfig": "start_config",
    "start_grpc_server": "deployment",
    "start_restful_server": "deployment",
    "start_servables": "deployment",
    "stop": "deployment",
}


def __getattr__(name: str) -> Any:
    # Lazily: a servable_config.py imports `register` from here, and a worker needs no master for that.
    if name in _PLACES:
        return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
    if name in ("distributed", "master", "register"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
