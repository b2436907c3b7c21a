"""Client: one servable's method behind one address or several, blocking or pending."""

import random
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, cast, overload

import grpc

from mindspore_serving.client.alarm import Alarm
from mindspore_serving.client.arguments import check_seconds, check_window, read_arguments
from mindspore_serving.client.calls import CLOSED, PREDICT, Calls, Ending, Results, RpcFailure
from mindspore_serving.client.pending import PendingResult
from mindspore_serving.client.ssl_config import SSLConfig
from mindspore_serving.client.wire_values import request_bytes
from mindspore_serving.proto import ms_service_pb2 as pb
from mindspore_serving.proto.ms_service_pb2_grpc import MSServiceStub

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from mindspore_serving.client.arguments import Options

Instances: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]]


class Client:
    """Calls one method of one servable. Threads may share it.

    Client("127.0.0.1:5500", "add", "add_common") or, as in 1.2, Client("127.0.0.1", 5500, "add", "add_common"): then
    instances that all failed alike have an error each, as in 1.2, where 2.x gives one {"error": text}.
    The address may be "unix:PATH", or several: "a:5500,b:5500" takes turns between two masters and leaves out one that
    does not answer. version_number 0 asks for the newest version. ssl_config, an SSLConfig, connects by TLS. The other
    options, by name only, are those of `Options` (arguments.py); docs/client.md explains them and the rules of retries.
    Use it in a `with` statement, or close() it.

    Raises RuntimeError for arguments that cannot be.
    """

    @overload
    def __init__(
        self,
        address: str,
        servable_name: str,
        method_name: str,
        version_number: int = 0,
        ssl_config: SSLConfig | None = None,
        **options: "Unpack[Options]",
    ) -> None: ...

    @overload
    def __init__(
        self,
        ip: str,
        port: int,
        servable_name: str,
        method_name: str,
        version_number: int = 0,
        **options: "Unpack[Options]",
    ) -> None: ...

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        arguments = read_arguments(args, kwargs)
        self.address = arguments.address
        self.servable_name = arguments.servable_name
        self.method_name = arguments.method_name
        self.version_number = arguments.version_number
        self._is_1_2 = arguments.is_1_2
        self._timeout = arguments.timeout
        self._token = arguments.token
        self._calls = Calls(arguments.rules, len(arguments.targets))
        self._alarm = Alarm()
        self._is_closed = threading.Event()
        ssl_config, options = arguments.ssl_config, arguments.channel_options
        self._channels = [
            grpc.insecure_channel(target, options=options)
            if ssl_config is None
            else grpc.secure_channel(target, ssl_config.credentials, options=options)
            for target in arguments.targets
        ]
        self._predict: list[Any] = [
            channel.unary_unary(PREDICT, response_deserializer=pb.PredictReply.FromString) for channel in self._channels
        ]
        # Public in both generations: scripts of their users may let it go.
        self.stub: Any = cast(Any, MSServiceStub)(self._channels[0])

    def infer(self, instances: Instances, *, timeout: float | None = None) -> Results:
        """Runs one instance (a dict of inputs) or a list of them, and waits for the results, at most `timeout` seconds.

        An input is a numpy array or number of any shape, str, bytes, bool, int or float. Returns a list with a dict of
        outputs for each instance, in order; an instance that failed has {"error": text} in its place. When the whole
        request failed, or no server can be reached in time, returns {"error": text}. Arrays are read-only.
        `timeout` None: the Client's.

        Raises RuntimeError for values that cannot be sent, and when the client is closed.
        """
        body, timeout = self._prepare(instances, timeout)
        call = self._calls.begin(timeout, time.monotonic())
        while True:
            ending = self._attempt(body, *call.attempt(time.monotonic()))
            wait = call.ended(ending, time.monotonic(), random.random())
            if wait is None or self._is_closed.wait(wait):
                return call.result()

    def infer_async(self, instances: Instances, *, timeout: float | None = None) -> PendingResult:
        """Like infer, but returns at once; `.result()` of what it returns gives what infer would have returned."""
        body, timeout = self._prepare(instances, timeout)

        def start(channel: int, seconds_left: float | None) -> Any:
            return self._predict[channel].future(body, timeout=seconds_left, metadata=self._token.metadata())

        return PendingResult(self._calls.begin(timeout, time.monotonic()), start, self._alarm)

    def stream(
        self, requests: Iterable[Instances], *, window: int = 16, timeout: float | None = None
    ) -> Iterator[Results]:
        """What infer returns for each of `requests`, in their order, with up to `window` calls on their way at once.

        `requests` is read as results are taken, so it may be endless. `timeout` is that of each call. Leaving the
        loop cancels what is on its way. Raises what infer raises, and what `requests` raises.
        """
        check_window(window)
        return self._stream(requests, window, timeout)

    def close(self) -> None:
        """Closes the connections; calls on their way end with an error. May be called again."""
        self._is_closed.set()
        for channel in self._channels:
            channel.close()
        self._alarm.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prepare(self, instances: Instances, timeout: float | None) -> tuple[bytes, float | None]:
        if self._is_closed.is_set():
            raise RuntimeError("this Client is closed")
        if timeout is None:
            timeout = self._timeout
        else:
            check_seconds("timeout", timeout)
        spec = (self.servable_name, self.method_name, self.version_number)
        return request_bytes(*spec, instances, self._is_1_2), timeout

    def _attempt(self, body: bytes, channel: int, seconds_left: float | None) -> Ending | None:
        try:
            reply: pb.PredictReply | None = self._predict[channel](
                body, timeout=seconds_left, metadata=self._token.metadata()
            )
        except grpc.RpcError as error:
            return CLOSED if self._is_closed.is_set() else RpcFailure.of(error)
        except ValueError:
            if self._is_closed.is_set():
                return CLOSED  # by another thread, just now
            raise
        return reply

    def _stream(self, requests: Iterable[Instances], window: int, timeout: float | None) -> Iterator[Results]:
        pending: deque[PendingResult] = deque()
        end: BaseException | None = None
        source = iter(requests)
        try:
            while end is None:
                try:
                    pending.append(self.infer_async(next(source), timeout=timeout))
                except Exception as error:  # StopIteration, or a fault: what came before it is still handed out
                    end = error
                # What is there already is handed out before more is read: the source may be slow.
                while pending and (end is not None or len(pending) == window or pending[0].done()):
                    result = pending[0].result()  # still pending: Ctrl-C in here cancels it with the others
                    pending.popleft()
                    yield result
            if not isinstance(end, StopIteration):
                raise end
        finally:
            for call in pending:
                call.cancel()
