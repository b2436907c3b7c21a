"""The control port's keys for start scripts, which have no options: an environment variable names their folder.

Scripts of MindSpore Serving 1.2 bind where their users told them, and go on doing so: without keys they are warned.
"""

import logging
import os
from pathlib import Path

from mindspore_serving.cluster.addresses import Endpoint, UnixPath, is_loopback
from mindspore_serving.master.curve import MasterKeys, read_master_keys
from mindspore_serving.worker.curve import WorkerKeys, read_worker_keys

CURVE_DIR_VARIABLE = "MINDSPORE_SERVING_CURVE_DIR"

logger = logging.getLogger("mindspore_serving")


def script_master_keys(address: Endpoint) -> MasterKeys | None:
    """The keys for a control port there, None when the variable is not set. Raises SetupError."""
    if isinstance(address, UnixPath):
        return None  # of this user's own worker processes
    folder = os.environ.get(CURVE_DIR_VARIABLE)
    if folder:
        return read_master_keys(Path(folder))
    if not is_loopback(address):
        logger.warning(
            "whoever reaches the master server at %s can read requests and answer them: set %s to a folder that "
            "`mindspore-serving keygen` made",
            address,
            CURVE_DIR_VARIABLE,
        )
    return None


def script_worker_keys() -> WorkerKeys | None:
    """The keys of a worker in a script, None when the variable is not set. Raises SetupError."""
    folder = os.environ.get(CURVE_DIR_VARIABLE)
    return read_worker_keys(Path(folder)) if folder else None
