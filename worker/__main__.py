"""`python -m worker`: one servable on one device, registered at a master."""

import sys
from collections.abc import Sequence

from mindspore_serving.allocator import keep_free_memory
from mindspore_serving.command_line import run
from mindspore_serving.worker.config import WorkerConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a worker until it is told to stop. Returns the exit code."""
    keep_free_memory()
    return run(
        WorkerConfig,
        "python -m worker",
        "Serves one servable on one device for a MindSpore Serving master.",
        arguments,
        process="mindspore_serving.worker_command",
        extra="worker",
    )


if __name__ == "__main__":
    sys.exit(main())
