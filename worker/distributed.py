"""1.2's distributed servables, one model over several Ascend devices, are not supported: each of these calls says so.

To import this is no mistake: servables and start scripts for one device do it, and never use it.
"""

from typing import Any, NoReturn

from mindspore_serving.cluster.errors import ServableError


def refuse(*_: Any, **__: Any) -> NoReturn:
    """Takes what any of the calls took. Raises RuntimeError."""
    raise ServableError(
        "distributed servables are not supported, see docs/compatibility.md: serve a model that fits one device"
    )


declare_distributed_servable = refuse
start_distributed_servable = refuse
start_distributed_servable_in_master = refuse
startup_worker_agents = refuse
