"""The options of a Client's gRPC channels, the service config among them. docs/client.md has them for other clients."""

import json
from typing import Any

_MEGABYTE = 1 << 20
_MAX_MESSAGE_BYTES = 512 * _MEGABYTE
SERVICE = "mindspore.serving.proto.MSService"

# Only UNAVAILABLE: no server has answered such a call, so that sending it again cannot give a second answer.
_RETRY_POLICY = {
    "maxAttempts": 5,  # gRPC makes no more, whatever stands here (gRFC A6); retries.py goes on from there
    "initialBackoff": "0.05s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
# gRPC stops retrying while fewer than half of the tokens are left: a failed attempt takes one, a success gives 0.05.
_RETRY_THROTTLING = {"maxTokens": 100, "tokenRatio": 0.05}


def channel_options(*, retries: bool, health_check: bool, local: bool) -> tuple[tuple[str, int | str], ...]:
    """The options of one channel. `retries`: gRPC itself tries again; `local`: every address is on this host."""
    method: dict[str, Any] = {"name": [{"service": SERVICE}]}
    config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}], "methodConfig": [method]}
    if retries:
        method["retryPolicy"] = _RETRY_POLICY
        config["retryThrottling"] = _RETRY_THROTTLING
    if health_check:
        config["healthCheckConfig"] = {"serviceName": ""}  # the master as a whole (grpc.health.v1)
    options: list[tuple[str, int | str]] = [
        ("grpc.service_config", json.dumps(config)),
        ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
        ("grpc.per_rpc_retry_buffer_size", _MAX_MESSAGE_BYTES),  # a call above it is never retried; default 256 KiB
        # A master that restarts is found again within a second; the defaults grow to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        # The time limit of one attempt to connect, despite its name: for so long a vanished host can hold up a call.
        # Less would never connect over a slow line, or when the first SYN is lost (it is sent again after 1 s).
        ("grpc.min_reconnect_backoff_ms", 2000),
        # A host that vanished is noticed 40 s after its last word. Only with open calls, and rarely: a server of the
        # default settings takes more for an attack (ENHANCE_YOUR_CALM, too_many_pings; gRFC A8).
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
    ]
    if local:
        options.append(("grpc.enable_http_proxy", 0))  # http_proxy in the environment cannot mean this host
    return tuple(options)
