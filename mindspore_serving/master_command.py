"""`python -m master`: one process, or a parent that keeps several."""

from typing import Any

from mindspore_serving.command_line import import_process, set_up_logging
from mindspore_serving.master.config import MasterConfig
from mindspore_serving.master_child import Voice
from mindspore_serving.master_processes import MasterProcesses
from mindspore_serving.siblings import Place
from mindspore_serving.spare_cores import may_poll
from mindspore_serving.systemd import ServiceManager


def run(config: MasterConfig, notify: ServiceManager) -> int:
    """Serves until a signal comes. Returns the exit code. Raises ServingError.

    `notify` tells a service manager how far we are (sd_notify's words).
    """
    # Not beside workers of its own: it would take Python's lock from them.
    polls = may_poll(config.busy_poll) and not config.servable
    if config.processes == 1:
        return int(_master().run(config, notify, polls=polls))

    def life(place: Place, voice: Voice) -> int:
        set_up_logging(config.log_level, f"[{place.slot + 1}]")
        return int(_master().run(config, voice, place, polls=polls))

    return MasterProcesses(config, notify, life).run()


def _master() -> Any:
    # Imported where it is run: the parent of several needs nothing of it.
    return import_process("mindspore_serving.master_process", "python -m master", "master")
