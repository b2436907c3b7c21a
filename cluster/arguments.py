"""The checks that the Python calls of both generations make on their arguments, with the texts users know."""

from typing import Any

from mindspore_serving.cluster.errors import SetupError


def check_str(name: str, value: Any) -> None:
    """Raises SetupError unless `value` is a str that is not empty."""
    if not isinstance(value, str):
        raise SetupError(f"Parameter '{name}' should be str, but actually {type(value)}")
    if not value:
        raise SetupError(f"Parameter '{name}' should not be empty str")


def check_int(name: str, value: Any, low: int = 0, high: int | None = None) -> None:
    """Raises SetupError unless `value` is an int (True is none) of at least `low` and at most `high`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise SetupError(f"Parameter '{name}' should be int, but actually {type(value)}")
    if high is not None and not low <= value <= high:
        raise SetupError(f"Parameter '{name}' should be in range [{low},{high}]")
    if value < low:
        raise SetupError(f"Parameter '{name}' should be >= {low}")


def check_bool(name: str, value: Any) -> None:
    """Raises SetupError unless `value` is a bool."""
    if not isinstance(value, bool):
        raise SetupError(f"Parameter '{name}' should be bool, but actually {type(value)}")
