"""`python -m worker`: one servable on one device, registered at a master."""

import sys
from collections.abc import Sequence

from mindspore_serving.command_line import parse, set_up_logging
from mindspore_serving.systemd import notify
from mindspore_serving.worker.config import WorkerConfig
from mindspore_serving.worker.process import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a worker until it is told to stop. Returns the exit code."""
    config = parse(
        WorkerConfig, "python -m worker", "Serves one servable on one device for a MindSpore Serving master.", arguments
    )
    set_up_logging(config.log_level)
    return run(config, notify)


if __name__ == "__main__":
    sys.exit(main())
