"""Client: one servable's method behind one address, blocking or pending."""

import json
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, TypeAlias, cast

import grpc

from mindspore_serving.client.ssl_config import SSLConfig
from mindspore_serving.client.wire_values import fill_request, read_reply
from mindspore_serving.proto import ms_service_pb2 as pb
from mindspore_serving.proto.ms_service_pb2_grpc import MSServiceStub

Instances: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]]
Results: TypeAlias = list[dict[str, Any]] | dict[str, Any]

_MEGABYTE = 1 << 20
_MAX_MESSAGE_BYTES = 512 * _MEGABYTE
# Only UNAVAILABLE: nothing has answered such a call, so that sending it again cannot give a second answer.
_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{"service": "mindspore.serving.proto.MSService"}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.05s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
_CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.per_rpc_retry_buffer_size", _MAX_MESSAGE_BYTES),  # gRPC never retries a call above it: 256 KiB by default
)


class PendingResult:
    """What infer_async returns: the call is on its way."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def result(self, timeout: float | None = None) -> Results:
        """What infer would have returned, as soon as it is there; waits at most `timeout` seconds.

        Raises TimeoutError when it is not there by then; the call goes on.
        """
        try:
            reply = self._call.result(timeout)
        except grpc.FutureTimeoutError:
            raise TimeoutError(f"no reply within {timeout} s") from None
        except grpc.FutureCancelledError:
            return {"error": "Grpc Error, (1, 'cancelled'), the call was cancelled"}
        except grpc.RpcError as error:
            return _grpc_error(error)
        return read_reply(reply)

    def done(self) -> bool:
        """Whether result() returns at once."""
        return bool(self._call.done())

    def cancel(self) -> bool:
        """Asks the server to forget the call. False when it is too late."""
        return bool(self._call.cancel())


class Client:
    """Calls one method of one servable.

    Client("127.0.0.1:5500", "add", "add_common") or, as in 1.2, Client("127.0.0.1", 5500, "add", "add_common").
    The address may be "unix:PATH". version_number 0 asks for the newest version. ssl_config, an SSLConfig, connects by
    TLS. Use it in a `with` statement, or close() it.

    Raises RuntimeError for arguments that cannot be.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        address, servable_name, method_name, version_number, ssl_config = _read_arguments(args, kwargs)
        self.address = address
        self.servable_name = servable_name
        self.method_name = method_name
        self.version_number = version_number
        self._channel: grpc.Channel | None = (
            grpc.insecure_channel(address, options=_CHANNEL_OPTIONS)
            if ssl_config is None
            else grpc.secure_channel(address, ssl_config.credentials, options=_CHANNEL_OPTIONS)
        )
        # Public in both generations: scripts of their users may let it go.
        self.stub: Any = cast(Any, MSServiceStub)(self._channel)

    def infer(self, instances: Instances, *, timeout: float | None = None) -> Results:
        """Runs one instance (a dict of inputs) or a list of them, and waits for the results, at most `timeout` seconds.

        An input is a numpy array or number of any shape, str, bytes, bool, int or float. Returns a list with a dict of
        outputs for each instance, in order; an instance that failed has {"error": text} in its place. When the whole
        request failed, or the server cannot be reached, returns {"error": text}. Arrays are read-only.

        Raises RuntimeError for values that cannot be sent, and when the client is closed.
        """
        return self.infer_async(instances, timeout=timeout).result()

    def infer_async(self, instances: Instances, *, timeout: float | None = None) -> PendingResult:
        """Like infer, but returns at once; `.result()` of what it returns gives what infer would have returned."""
        if self._channel is None:
            raise RuntimeError("this Client is closed")
        request = pb.PredictRequest()
        request.servable_spec.name = self.servable_name
        request.servable_spec.method_name = self.method_name
        request.servable_spec.version_number = self.version_number
        fill_request(request, instances)
        return PendingResult(self.stub.Predict.future(request, timeout=timeout))

    def close(self) -> None:
        """Closes the connection; calls on their way end with an error. May be called again."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _grpc_error(error: Any) -> dict[str, Any]:
    return {"error": f"Grpc Error, {error.code().value}, {error.details()}"}


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


def _read_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, str, str, int, SSLConfig | None]:
    # The two generations differ in their second argument: 1.2 has a port there.
    is_1_2 = "ip" in kwargs or "port" in kwargs or (len(args) > 1 and not isinstance(args[1], str))
    try:
        address, servable, method, version, ssl_config = (_of_1_2 if is_1_2 else _of_2)(*args, **kwargs)
    except TypeError as error:
        text = str(error).partition(" ")[2]
        raise RuntimeError(
            f"Client() {text}: it takes (address, servable_name, method_name, version_number=0, ssl_config=None) "
            "or (ip, port, servable_name, method_name, version_number=0)"
        ) from None
    _check_str("servable_name", servable)
    _check_str("method_name", method)
    _check_int("version_number", version, 0, None)
    return address, servable, method, version, ssl_config


def _check_str(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise RuntimeError(f"Parameter '{name}' should be str, but actually {type(value)}")
    if not value:
        raise RuntimeError(f"Parameter '{name}' should not be empty str")


def _check_int(name: str, value: Any, low: int, high: int | None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise RuntimeError(f"Parameter '{name}' should be int, but actually {type(value)}")
    if high is not None and not low <= value <= high:
        raise RuntimeError(f"Parameter '{name}' should be in range [{low},{high}]")
    if value < low:
        raise RuntimeError(f"Parameter '{name}' should be >= {low}")
