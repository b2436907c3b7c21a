"""`python -m master`: the process that clients and workers connect to, with servables of its own if asked."""

import sys
from collections.abc import Sequence

from mindspore_serving.command_line import run
from mindspore_serving.master.config import MasterConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a master until it is told to stop. Returns the exit code."""
    return run(
        MasterConfig,
        "python -m master",
        "The master of a MindSpore Serving cluster: clients and workers connect to it.",
        arguments,
        process="mindspore_serving.master_command",
        extra="master",
    )


if __name__ == "__main__":
    sys.exit(main())
