"""Target: the URL of a REST call. It names a target, or a RequestRefused says what is missing."""

from mindspore_serving.cluster.errors import RequestRefused
from mindspore_serving.master.rest_url import parse_target

SEEDS = [
    b"/model/add:add_common",
    b"/version/12/model/add:m/",
    b"/model/add/version/-0:m?x=1",
    b"http://host:1/model/add/version/4294967295:m",
    b"/model//version/00000000000000000000001x:m",
]


def run(data: bytes) -> None:
    """Reads the URL as the door does: one character a byte."""
    try:
        target = parse_target(data.decode("latin-1"))
    except RequestRefused:
        return
    assert target.servable
    assert target.method
    assert 0 <= target.version <= 4294967294
