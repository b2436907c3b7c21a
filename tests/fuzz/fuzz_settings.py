"""Target: everything that people write as a setting: addresses, numbers, servables, cores, keys. Only SetupError."""

from collections.abc import Callable
from typing import Any

from mindspore_serving.cluster.addresses import for_zeromq, is_loopback, parse_address, parse_endpoint
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.cluster.key_files import check_worker_name, parse_key_file
from mindspore_serving.cluster.settings import choice, integer, seconds
from mindspore_serving.master.config import parse_local_servable
from mindspore_serving.operator.config import read_servable_on_devices
from mindspore_serving.worker.config import read_cores

_READERS: tuple[Callable[[str], Any], ...] = (
    lambda text: (is_loopback(endpoint := parse_endpoint(text, "--ctrl")), for_zeromq(endpoint), str(endpoint)),
    lambda text: parse_address(text, "--master", None).host.encode("idna"),
    parse_local_servable,
    read_servable_on_devices,
    read_cores,
    integer("--device", 0, 65535),
    seconds("--drain-seconds"),
    choice("--log-level", "debug", "info"),
    check_worker_name,
    lambda text: parse_key_file(text.encode("utf-8", "surrogateescape"), "file", with_secret=len(text) % 2 == 0),
)

_KEY = 'curve\n public-key = "' + "a" * 40
_TEXTS = ("127.0.0.1:5500", "[::1]:6500", "unix:/x", "add:0,1", "0-3,5", "1e3", "٣", _KEY)
SEEDS = [bytes([index]) + text.encode() for index in range(len(_READERS)) for text in _TEXTS]


def run(data: bytes) -> None:
    """The first byte chooses the setting."""
    reader = _READERS[(data[0] if data else 0) % len(_READERS)]
    text = data[1:].decode("utf-8", "surrogateescape").replace("\0", "")  # as the command line gives it
    try:
        reader(text)
    except SetupError:
        return
