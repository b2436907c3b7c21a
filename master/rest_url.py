"""Which servable, version and method a URL names. It is searched for keywords, not matched, as the original did."""

import re
from functools import lru_cache
from typing import NamedTuple

from mindspore_serving.cluster.errors import Code, RequestRefused

_MAX_VERSION = 4294967294
_ORIGIN = re.compile(r"https?://[^/]*", re.IGNORECASE)  # of a URL in absolute form: its port is no method


class Target(NamedTuple):
    """What a URL asks for. Version 0: the newest."""

    servable: str
    version: int
    method: str


@lru_cache(maxsize=256)  # clients ask for the same again and again
def parse_target(url: str) -> Target:
    """Reads `/model/NAME[/version/N]:METHOD`, the two parts in any order. Raises RequestRefused."""
    place, _, method = _ORIGIN.sub("", url, count=1).partition(":")
    servable = _after("model", place)
    if not servable:
        raise _refused("the keyword:[model] must contain.")
    version = _version(_after("version", place))
    method = method.removesuffix("/")
    if not method:
        raise _refused("the keyword:[service method] must contain.")
    return Target(servable, version, method)


def _after(keyword: str, place: str) -> str:
    """The part of the path that follows this one; empty when there is none."""
    _, _, rest = place.partition(f"/{keyword}/")
    return rest.partition("/")[0]


def _version(text: str) -> int:
    if not text:
        return 0
    number = re.match(r"[+-]?[0-9]+", text)  # what follows the digits was never looked at, and is not now
    if number is None:
        raise _refused(f"the keyword:[version] value invalid, request version number {text}")
    digits = number[0].lstrip("+-").lstrip("0")
    version = int(digits or "0") if len(digits) <= 10 else _MAX_VERSION + 1
    if version > _MAX_VERSION or (version and number[0].startswith("-")):
        raise _refused(f"version number range failed, request version number {text}")
    return version


def _refused(text: str) -> RequestRefused:
    return RequestRefused(Code.INVALID_INPUTS, f"please check url, {text}")
