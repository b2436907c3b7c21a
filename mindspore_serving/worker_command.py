"""`python -m worker`: a worker process, which may use a core to wait where there is one to spare."""

from mindspore_serving.spare_cores import Crowd, may_poll
from mindspore_serving.systemd import ServiceManager
from mindspore_serving.worker import process
from mindspore_serving.worker.config import WorkerConfig


def run(config: WorkerConfig, notify: ServiceManager) -> int:
    """Serves until a signal comes or the master refuses. Returns the exit code. Raises ServingError."""
    return process.run(config, notify, is_crowded=Crowd() if may_poll(config.busy_poll) else None)
