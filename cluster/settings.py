"""How a setting is declared: a field of a process's frozen config dataclass, with its help line and how to read it."""

import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field
from typing import Any

from mindspore_serving.cluster.errors import SetupError


@dataclass(frozen=True, slots=True)
class Setting:
    """What the command line shows of a field. `read` turns a text into the field's type and raises SetupError."""

    form: str
    help: str
    read: Callable[[str], Any]
    repeated: bool = False
    positional: bool = False  # an argument without an option's name

    @property
    def is_switch(self) -> bool:
        """An option without a value: False unless it is given."""
        return not self.form


def argument(form: str, help_line: str, read: Callable[[str], Any], repeated: bool = False) -> Any:
    """A dataclass field that is given without an option's name: once, or once and more."""
    return field(metadata={"setting": Setting(form, help_line, read, repeated, True)})


def same_as(config: type[Any], name: str, default: Any = MISSING) -> Any:
    """A dataclass field that is the setting `name` of another config; with its default, unless another is given."""
    there = config.__dataclass_fields__[name]
    return field(default=there.default if default is MISSING else default, metadata=there.metadata)


def switch(help_line: str) -> Any:
    """A dataclass field that is a switch: False, or True when its option is given."""
    return field(default=False, metadata={"setting": Setting("", help_line, bool)})


def setting(
    form: str, help_line: str, read: Callable[[str], Any], default: Any = MISSING, repeated: bool = False
) -> Any:
    """A dataclass field that is a setting. Without a default it is required."""
    return field(default=default, metadata={"setting": Setting(form, help_line, read, repeated)})


def integer(what: str, low: int, high: int) -> Callable[[str], int]:
    """Reads a whole number in a range."""

    def read(text: str) -> int:
        if _WHOLE.fullmatch(text) is None:
            raise SetupError(f"{what} '{text}' is not a whole number")
        if not low <= int(text) <= high:
            raise SetupError(f"{what} {text} should be in range [{low},{high}]")
        return int(text)

    return read


def seconds(what: str) -> Callable[[str], float]:
    """Reads a duration in seconds."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1e6:
            raise SetupError(f"{what} '{text}' is not a number of seconds from 0 to 1000000")
        return value

    return read


def choice(what: str, *options: str) -> Callable[[str], str]:
    """Reads one of a few words, in any case."""

    def read(text: str) -> str:
        for option in options:
            if text.lower() == option.lower():
                return option
        raise SetupError(f"{what} '{text}' is not one of {', '.join(options)}")

    return read


def busy_poll() -> Any:
    """A dataclass field that says whether a process may use a core to wait: see mindspore_serving/spare_cores.py."""
    return setting(
        "MODE",
        "auto: while calls come quickly one after the other, look for the next one for a millisecond or two instead of "
        "sleeping, where there are two cores or more and no quota of CPU time; off: always sleep (default: "
        f"${BUSY_POLL_VARIABLE}, else {BUSY_POLL_MODES[0]})",
        choice("--busy-poll", *BUSY_POLL_MODES),
        None,
    )


_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)
LOG_LEVELS = ("debug", "info", "warning", "error")
BUSY_POLL_MODES = ("auto", "off")
BUSY_POLL_VARIABLE = "MINDSPORE_SERVING_BUSY_POLL"
