"""What our side says on the streams: responses, resets, windows for the requests. On a stream that is gone, nothing."""

from mindspore_serving.master.http2 import frames
from mindspore_serving.master.http2.errors import ErrorCode
from mindspore_serving.master.http2.headers import Field, Fields
from mindspore_serving.master.http2.limits import Patience
from mindspore_serving.master.http2.outbox import Outbox
from mindspore_serving.master.http2.streams import Stream, Streams


class Responses:
    """A stream is forgotten when its response is complete, or was reset."""

    def __init__(self, patience: Patience, streams: Streams, out: Outbox) -> None:
        self._patience = patience
        self._streams = streams
        self._out = out

    def send_response(self, stream_id: int, fields: Fields, prefix: bytes, body: bytes, trailers: Fields) -> None:
        """What send_headers(), send_body() and send_trailers() would say, at once: on a stream without a word yet."""
        stream = self._streams.open.get(stream_id)
        if stream is None or not stream.we_may_send:
            return
        if self._out.put_response(stream, fields, prefix, body, trailers):
            self._patience.earn()  # as for the body's frame
            self._through(stream)
        else:
            self.send_headers(stream_id, fields)
            self.send_body(stream_id, prefix, body)
            self.send_trailers(stream_id, trailers)

    def send_headers(self, stream_id: int, fields: Fields, passing: tuple[Field, ...] = (), end: bool = False) -> None:
        """The fields of the response; `passing` ones are not expected to recur. `end`: nothing follows."""
        stream = self._streams.open.get(stream_id)
        if stream is not None and stream.we_may_send:
            self._out.put_headers(stream, fields, passing, end)
            if end:
                stream.we_may_send = False
                self._through(stream)

    def send_body(self, stream_id: int, prefix: bytes, body: bytes) -> None:
        """Two pieces of the response's body, in one frame where they fit. They wait for the peer's windows."""
        stream = self._streams.open.get(stream_id)
        if stream is not None and stream.we_may_send:
            self._out.put_body(stream, prefix, body, self._streams.now)

    def send_trailers(self, stream_id: int, fields: Fields, passing: tuple[Field, ...] = ()) -> None:
        """The fields after the body, which end the response."""
        stream = self._streams.open.get(stream_id)
        if stream is not None and stream.we_may_send:
            stream.we_may_send = False
            if self._out.put_trailers(stream, fields, passing):
                self._through(stream)

    def grant(self, stream_id: int, count: int) -> None:
        """Lets the peer send so many bytes more of the request's body."""
        stream = self._streams.open.get(stream_id)
        if stream is not None and stream.they_may_send and count > 0:
            stream.credit += count
            self._out.put(frames.window_frame(stream_id, count))

    def unsent(self, stream_id: int) -> int:
        """The bytes of a response's body that still wait."""
        stream = self._streams.open.get(stream_id)
        return 0 if stream is None else stream.unsent

    def data_to_send(self) -> bytes:
        """What may leave now; more may follow when that has left."""
        data, ended = self._out.take()
        for stream in ended:
            self._through(stream)
        return data

    def _through(self, stream: Stream) -> None:
        """The response is complete. A peer that still sends its request need not go on (§8.1)."""
        self._patience.earn()
        if stream.they_may_send:
            self._out.put(frames.reset_frame(stream.id, ErrorCode.NO_ERROR))
        self._streams.close(stream.id, stream.they_may_send)

    def forget(self, stream_id: int, more_may_come: bool) -> None:
        """Nothing more is sent on the stream."""
        stream = self._streams.open.get(stream_id)
        if stream is not None and stream.queue is not None:
            self._out.drop(stream)
        self._streams.close(stream_id, more_may_come)
