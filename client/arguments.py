"""The arguments of Client and AsyncClient: both generations' forms, and our options. Refusals are RuntimeErrors."""

import math
from dataclasses import dataclass
from typing import Any, TypedDict

from mindspore_serving.client.addresses import stays_on_this_host, targets
from mindspore_serving.client.bearer_token import BearerToken
from mindspore_serving.client.channel_options import channel_options
from mindspore_serving.client.retries import OUTAGE_SECONDS, RetryRules
from mindspore_serving.client.ssl_config import SSLConfig
from mindspore_serving.client.wire_values import encode_text

_LARGEST_VERSION = (1 << 64) - 1  # that the protocol has room for


class Options(TypedDict, total=False):
    """What Client and AsyncClient also take, by name; None is the default. docs/client.md explains each."""

    timeout: float | None  # seconds that a call may take in all; without it there is no deadline
    retry: bool | None  # a call that may not have been answered is sent again; False: for methods with side effects
    outage_seconds: float | None  # for how long a call without a deadline is sent again; 10 by default
    health_check: bool | None  # ask each master whether it is ready (grpc.health.v1); by default if there are several
    token: str | None  # shown to the master as `authorization: Bearer TOKEN`
    token_file: str | None  # the same, read from a file, again whenever it changes
    allow_plaintext_token: bool | None  # send the token to another host without TLS


@dataclass(frozen=True, slots=True)
class ClientArguments:
    """What a Client is made of."""

    address: str
    servable_name: str
    method_name: str
    version_number: int
    ssl_config: SSLConfig | None
    is_1_2: bool  # it was made as in 1.2, and expects 1.2's answers
    targets: tuple[str, ...]  # one for each channel
    channel_options: tuple[tuple[str, int | str], ...]
    token: BearerToken
    timeout: float | None
    rules: RetryRules


def read_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> ClientArguments:
    """Raises RuntimeError for arguments that cannot be."""
    options = {name: kwargs[name] for name in Options.__annotations__ if kwargs.get(name) is not None}
    named = {name: value for name, value in kwargs.items() if name not in Options.__annotations__}
    # The two generations differ in their second argument: 1.2 has a port there.
    is_1_2 = "ip" in kwargs or "port" in kwargs or (len(args) > 1 and not isinstance(args[1], str))
    try:
        address, servable, method, version, ssl_config = (_of_1_2 if is_1_2 else _of_2)(*args, **named)
    except TypeError as error:
        text = str(error).partition(" ")[2]
        raise RuntimeError(
            f"Client() {text}: it takes (address, servable_name, method_name, version_number=0, ssl_config=None) "
            f"or (ip, port, servable_name, method_name, version_number=0), and {', '.join(Options.__annotations__)}"
        ) from None
    _check_str("servable_name", servable)
    _check_str("method_name", method)
    _check_int("version_number", version, 0, None)
    _check_int("version_number", version, 0, _LARGEST_VERSION)
    return _with_options((address, servable, method, version, ssl_config, is_1_2), options)


def check_seconds(name: str, value: Any) -> None:
    """Raises RuntimeError for anything but a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RuntimeError(f"Parameter '{name}' should be a number of seconds, but is {value!r}")


def check_window(window: Any) -> None:
    """Raises RuntimeError for anything but a number of calls."""
    _check_int("window", window, 1, None)


def _with_options(
    checked: tuple[str, str, str, int, SSLConfig | None, bool], options: dict[str, Any]
) -> ClientArguments:
    address, *_, ssl_config, _ = checked
    for name in ("retry", "health_check", "allow_plaintext_token"):
        if not isinstance(options.get(name, False), bool):
            raise RuntimeError(f"Parameter '{name}' should be bool, but actually {type(options[name])}")
    for name in ("token", "token_file"):
        if name in options:
            _check_str(name, options[name])
    for name in ("timeout", "outage_seconds"):
        if name in options:
            check_seconds(name, options[name])
            if options[name] <= 0:
                raise RuntimeError(f"Parameter '{name}' should be more than 0 seconds, but is {options[name]}")
    channels = targets(address, ssl_config is not None)
    local = stays_on_this_host(address)
    token = BearerToken(options.get("token"), options.get("token_file"))
    if token.metadata() and ssl_config is None and not local and not options.get("allow_plaintext_token", False):
        raise RuntimeError(
            f"the token would cross the network unencrypted to '{address}': give ssl_config=SSLConfig(...), "
            "or allow_plaintext_token=True if nobody can listen there"
        )
    retry = options.get("retry", True)
    return ClientArguments(
        *checked,
        channels,
        channel_options(
            retries=retry and len(channels) == 1,  # else calls.py goes on to the next channel at once
            health_check=options.get("health_check", "," in address),
            local=local,
        ),
        token,
        options.get("timeout"),
        RetryRules(retry, options.get("outage_seconds", OUTAGE_SECONDS)),
    )


def _of_1_2(ip: Any, port: Any, servable_name: Any, method_name: Any, version_number: Any = 0) -> tuple[Any, ...]:
    _check_str("ip", ip)
    _check_int("port", port, 1, 65535)
    host = f"[{ip}]" if ":" in ip and not ip.startswith("[") else ip
    return f"{host}:{port}", servable_name, method_name, version_number, None


def _of_2(
    address: Any, servable_name: Any, method_name: Any, version_number: Any = 0, ssl_config: Any = None
) -> tuple[Any, ...]:
    _check_str("address", address)
    if ssl_config is not None and not isinstance(ssl_config, SSLConfig):
        raise RuntimeError("The type of ssl_config should be type of SSLConfig")
    return address, servable_name, method_name, version_number, ssl_config


def _check_str(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise RuntimeError(f"Parameter '{name}' should be str, but actually {type(value)}")
    if not value:
        raise RuntimeError(f"Parameter '{name}' should not be empty str")
    encode_text(value)


def _check_int(name: str, value: Any, low: int, high: int | None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise RuntimeError(f"Parameter '{name}' should be int, but actually {type(value)}")
    if high is not None and not low <= value <= high:
        raise RuntimeError(f"Parameter '{name}' should be in range [{low},{high}]")
    if value < low:
        raise RuntimeError(f"Parameter '{name}' should be >= {low}")
