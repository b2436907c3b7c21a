"""Lines for whoever started this process. Where nobody can read them (a full disk, a closed pipe), work goes on."""

import contextlib
import os
import sys

from mindspore_serving.cluster.errors import SetupError


def tell(line: str) -> None:
    """Prints it to standard output, as far as that is possible."""
    with contextlib.suppress(OSError, ValueError):  # ValueError: it was closed
        print(line, flush=True)


def tell_reason(line: str) -> None:
    """The same to standard error."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def report(text: str) -> None:
    """Prints what a command was asked for. Raises SetupError when that is impossible: then it was in vain."""
    try:
        print(text, flush=True)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SetupError(f"standard output cannot be written: {reason}") from error


def give_up_unread() -> None:
    """At the end: what could not be printed goes nowhere. Python would end with a traceback, and a code of its own."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.close(nowhere)
