"""`mindspore-serving`, or `python -m mindspore_serving`: the commands of those who write and run servables."""

import sys
from collections.abc import Sequence
from typing import NamedTuple

from mindspore_serving.bench.config import BenchConfig
from mindspore_serving.chaos.config import ChaosConfig
from mindspore_serving.command_line import run
from mindspore_serving.operator.config import CheckConfig, KeygenConfig, NewConfig, UpConfig

PROG = "mindspore-serving"


class Command(NamedTuple):
    """A config, what it does, the module that does it, and the extra that the module needs."""

    config: (
        type[BenchConfig]
        | type[ChaosConfig]
        | type[CheckConfig]
        | type[KeygenConfig]
        | type[NewConfig]
        | type[UpConfig]
    )
    description: str
    module: str
    extra: str


COMMANDS = {
    "bench": Command(
        BenchConfig,
        "Loads a running server, checks its replies, and prints how long callers waited.",
        "mindspore_serving.bench.run",
        "master",
    ),
    "check": Command(
        CheckConfig,
        "Loads servables as a worker would and prints their methods, models and versions, and every mistake.",
        "mindspore_serving.operator.check",
        "worker",
    ),
    "new": Command(
        NewConfig,
        "Writes a servable for a MindIR file, ready to be served.",
        "mindspore_serving.operator.new",
        "worker",
    ),
    "keygen": Command(
        KeygenConfig,
        "Writes the keys with which a master and workers of other machines know each other.",
        "mindspore_serving.operator.keygen",
        "master",
    ),
    "up": Command(
        UpConfig,
        "Serves servables on this machine: a master and a worker for each device, which are kept running.",
        "mindspore_serving.operator.up",
        "all",
    ),
    "chaos": Command(
        ChaosConfig,
        "Makes random faults on a cluster of its own under checked load, and says what was lost or wrong.",
        "mindspore_serving.operator.chaos",
        "all",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print(_usage())
        return 0 if words else 2
    command = COMMANDS.get(words[0])
    if command is None:
        known = ", ".join(COMMANDS)
        print(f"{PROG}: there is no command '{words[0]}', only {known} (see {PROG} --help)", file=sys.stderr)
        return 2
    prog = f"{PROG} {words[0]}"
    return run(command.config, prog, command.description, words[1:], process=command.module, extra=command.extra)


def _usage() -> str:
    lines = [f"  {name:6} {command.description}" for name, command in COMMANDS.items()]
    return "\n".join([f"usage: {PROG} COMMAND ...", "", *lines, "", f"{PROG} COMMAND --help says more of each."])


if __name__ == "__main__":
    sys.exit(main())
