"""What the commands share: a config dataclass becomes options, mistakes become one line, logs go to standard error."""

import argparse
import dataclasses
import importlib
import io
import logging
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn, Protocol, TypeVar

from mindspore_serving import WHY_NOT_COMPILED
from mindspore_serving.cluster.errors import ServingError, SetupError
from mindspore_serving.cluster.settings import Setting
from mindspore_serving.systemd import ServiceManager
from mindspore_serving.telling import give_up_unread, tell_reason

Config = TypeVar("Config")
logger = logging.getLogger("mindspore_serving")


class _Logged(Protocol):
    @property
    def log_level(self) -> str: ...


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def run(
    config: type[_Logged], prog: str, description: str, arguments: Sequence[str] | None, *, process: str, extra: str
) -> int:
    """Reads the arguments, then runs the module `process`. A failure's reason is the last line. Returns the exit code.

    The module is imported only now: --help and mistakes need nothing that a plain installation lacks.
    """
    settings = parse(config, prog, description, arguments)
    write_whole_lines()
    set_up_logging(settings.log_level)
    notify = ServiceManager(_tell_what_runs)
    try:
        module = import_process(process, prog, extra)
        return int(module.run(settings, notify))
    except ServingError as error:
        notify(f"STATUS={error}")  # before the last line: whoever started this may wait for either
        tell_reason(str(error))
        return 1
    except KeyboardInterrupt:
        tell_reason("interrupted")
        return 128 + signal.SIGINT
    finally:
        give_up_unread()


def write_whole_lines() -> None:
    """Each line on standard output leaves by one write, since processes of one master, or workers, may share it.

    Where PYTHONUNBUFFERED is set, as in many a container, print() writes the end of a line by itself: then two lines
    became one, for which whoever counts them waited in vain.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True, write_through=False)


def _tell_what_runs() -> None:
    """Not sooner than the process is ready: a mistake of the user's is told in one line."""
    if WHY_NOT_COMPILED is not None:
        logger.info("the hot path runs from its Python sources: %s", WHY_NOT_COMPILED)


def import_process(module: str, prog: str, extra: str) -> Any:
    """The module that does a command's work. Raises SetupError when the installation lacks what it needs."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("mindspore_serving"):
            raise
        raise SetupError(
            f"{prog} needs the package {error.name}, which a plain installation leaves out: "
            f"pip install 'mindspore-serving-cluster[{extra}]'"
        ) from error


def parse(config: type[Config], prog: str, description: str, arguments: Sequence[str] | None) -> Config:
    """The config that these arguments ask for. A mistake ends the process with one line and exit code 2."""
    parser = _Parser(prog=prog, description=description, allow_abbrev=False)
    settings: dict[str, Setting] = {}
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        setting = settings[field.name] = field.metadata["setting"]
        option = "--" + field.name.replace("_", "-")
        if setting.is_switch:
            parser.add_argument(
                option, dest=field.name, action="store_const", const="yes", default=argparse.SUPPRESS, help=setting.help
            )
            continue
        if setting.positional:
            parser.add_argument(
                field.name, metavar=setting.form, nargs="+" if setting.repeated else None, help=setting.help
            )
            continue
        required = field.default is dataclasses.MISSING
        default = "" if required or field.default in (None, ()) else f" (default: {field.default})"
        parser.add_argument(
            option,
            dest=field.name,
            metavar=setting.form,
            required=required,
            action="append" if setting.repeated else "store",
            default=argparse.SUPPRESS,
            help=setting.help + default,
        )
    given = vars(parser.parse_args(arguments))
    try:
        return config(**{name: _read(settings[name], value) for name, value in given.items()})
    except SetupError as error:
        parser.error(str(error))


def _read(setting: Setting, value: Any) -> Any:
    return tuple(setting.read(item) for item in value) if setting.repeated else setting.read(value)


def set_up_logging(level: str, process: str = "") -> None:
    """Logs of ours to standard error, from this level on; standard output is for the lines that scripts wait for.

    `process` stands in every line behind the logger's name. May be called again.
    """
    form = f"%(asctime)s %(levelname)s %(name)s{process}: %(message)s"
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format=form, force=True)
    logging.getLogger("mindspore_serving").setLevel(level.upper())
