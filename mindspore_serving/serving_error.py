"""How the start calls of both generations word what went wrong: as the original did."""

from collections.abc import Iterator
from contextlib import contextmanager

from mindspore_serving.cluster.errors import SetupError


@contextmanager
def as_serving_error(what: str = "") -> Iterator[None]:
    """A SetupError's text begins as it did in the original, with `what` failed."""
    try:
        yield
    except SetupError as error:
        raise SetupError(f"Serving Error: {what}{str(error).removeprefix('Serving Error: ')}") from error
