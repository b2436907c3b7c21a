"""`from mindspore_serving import log`: what users' scripts and servable configs of MindSpore Serving log with.

A line is `[LEVEL] SERVING(pid,thread,process):time [file:line] text`, on standard error. GLOG_v says from which level
on: 0 debug, 1 info, 2 warning (the default), 3 error; MS_SUBMODULE_LOG_v="{SERVING:1}" goes before it.
"""

import logging
import os
import re
import sys

_LEVELS = {"0": logging.DEBUG, "1": logging.INFO, "2": logging.WARNING, "3": logging.ERROR}
_FORM = (
    "[%(levelname)s] SERVING(%(process)d,%(thread)x,%(processName)s):%(asctime)s [%(filename)s:%(lineno)d] %(message)s"
)

_logger = logging.getLogger("mindspore_serving")


def level_of_environment() -> int:
    """The level that GLOG_v and MS_SUBMODULE_LOG_v ask for; warning when they ask for nothing that there is."""
    ours = re.search(r"SERVING:\s*([0-3])", os.environ.get("MS_SUBMODULE_LOG_v", ""))
    return _LEVELS.get(ours[1] if ours else os.environ.get("GLOG_v", ""), logging.WARNING)


def worker_level() -> str:
    """The --log-level of a start script's workers. From info on they tell the time of every batch, as they used to."""
    level = level_of_environment()
    return "debug" if level <= logging.INFO else logging.getLevelName(level).lower()


def set_up() -> None:
    """Makes this process write log lines so, unless it has arranged that itself. May be called again."""
    if not _logger.handlers and not logging.getLogger().handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter(_FORM))
        _logger.addHandler(handler)
        _logger.setLevel(level_of_environment())


def debug(text: str, *arguments: object) -> None:
    """Logs `text % arguments`."""
    set_up()
    _logger.debug(text, *arguments, stacklevel=2)


def info(text: str, *arguments: object) -> None:
    """Logs `text % arguments`."""
    set_up()
    _logger.info(text, *arguments, stacklevel=2)


def warning(text: str, *arguments: object) -> None:
    """Logs `text % arguments`."""
    set_up()
    _logger.warning(text, *arguments, stacklevel=2)


def error(text: str, *arguments: object) -> None:
    """Logs `text % arguments`."""
    set_up()
    _logger.error(text, *arguments, stacklevel=2)
