"""Any legal sequence of frames, made by the h2 library and split at any byte: every request is answered exactly once.

And any illegal one, by damaging those bytes: the state machine never raises, and says at most once that it is over.
"""

from collections import Counter

import h2.config
import h2.connection
import h2.events
import h2.settings
from hypothesis import given, settings
from hypothesis import strategies as st

from mindspore_serving.master.http2.connection import Connection
from mindspore_serving.master.http2.events import ConnectionEnded, DataReceived, Event, RequestReceived, StreamEnded
from mindspore_serving.master.http2.limits import Limits
from mindspore_serving.master.http2.openings import Openings
from tests.master.http2.peer import REQUEST

GREETING = ((b":status", b"200"), (b"content-type", b"application/grpc"))
GOOD = ((b"grpc-status", b"0"),)
LIMITS = Limits(window_bytes=70_000, connection_window_bytes=140_000, max_streams=8)
OPENINGS = Openings()  # one for all that is tried: each connection begins like some before


class EchoServer:
    """Answers each request, when it is complete, with its body."""

    def __init__(self) -> None:
        self.http2 = Connection(tuple, LIMITS, 0.0, OPENINGS)
        self.bodies: dict[int, bytes] = {}
        self.answered: Counter[int] = Counter()
        self.over = 0

    def receive(self, content: bytes) -> None:
        buffer = bytearray(content)
        for event in self.http2.receive(memoryview(buffer), 0.0):
            self.take(event)
        buffer[:] = bytes(len(buffer))  # the next receipt overwrites it

    def take(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            assert event.stream_id not in self.bodies and not self.answered[event.stream_id]
            self.bodies[event.stream_id] = b""
            if event.ended:
                self.answer(event.stream_id)
        elif isinstance(event, DataReceived):
            self.bodies[event.stream_id] += b"".join(event.pieces)
            self.http2.grant(event.stream_id, event.size)
            if event.ended:
                self.answer(event.stream_id)
        elif isinstance(event, StreamEnded):
            self.bodies.pop(event.stream_id, None)
        else:
            self.over += 1

    def answer(self, stream_id: int) -> None:
        self.answered[stream_id] += 1
        if stream_id % 4 == 1:
            self.http2.send_response(stream_id, GREETING, b"echo:", self.bodies.pop(stream_id), GOOD)
            return
        self.http2.send_headers(stream_id, GREETING)
        self.http2.send_body(stream_id, b"echo:", self.bodies.pop(stream_id))
        self.http2.send_trailers(stream_id, GOOD, ((b"of", b"%d" % stream_id),))


class Client:
    """The h2 library, which checks what the server says as well."""

    def __init__(self, server: EchoServer) -> None:
        self.server = server
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=False))
        self.h2.initiate_connection()
        self.asked: dict[int, bytes] = {}
        self.open: dict[int, bytearray] = {}  # whose request goes on
        self.replies: dict[int, bytearray] = {}
        self.complete: Counter[int] = Counter()
        self.refused: set[int] = set()

    def exchange(self, cuts: list[int]) -> None:
        """Carries bytes both ways until both are silent, in pieces of these sizes."""
        turn = 0
        while True:
            to_server, to_client = self.h2.data_to_send(), self.server.http2.data_to_send()
            if not to_server and not to_client:
                return
            for content, receive in ((to_server, self.server.receive), (to_client, self.hear)):
                while content:
                    size = cuts[turn % len(cuts)]
                    turn += 1
                    receive(content[:size])
                    content = content[size:]

    def hear(self, content: bytes) -> None:
        for event in self.h2.receive_data(content):
            if isinstance(event, h2.events.DataReceived):
                self.replies[event.stream_id] += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.complete[event.stream_id] += 1
            elif isinstance(event, h2.events.StreamReset):
                self.refused.add(event.stream_id)
                self.open.pop(event.stream_id, None)
            else:
                assert not isinstance(event, h2.events.ConnectionTerminated), event

    def ask(self, more: list[tuple[bytes, bytes]]) -> None:
        if self.h2.open_outbound_streams >= LIMITS.max_streams:
            return
        stream_id = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream_id, [*REQUEST, *more])
        self.open[stream_id], self.replies[stream_id] = bytearray(), bytearray()

    def say(self, which: int, size: int, padding: int | None, ended: bool) -> None:
        if not self.open:
            return
        stream_id = list(self.open)[which % len(self.open)]
        room = self.h2.local_flow_control_window(stream_id) - (0 if padding is None else padding + 1)
        size = max(0, min(size, room, self.h2.max_outbound_frame_size - 256))
        if room < 0:
            padding = None
        self.h2.send_data(stream_id, bytes([stream_id % 251]) * size, end_stream=ended, pad_length=padding)
        self.open[stream_id] += bytes([stream_id % 251]) * size
        if ended:
            self.asked[stream_id] = bytes(self.open.pop(stream_id))

    def end_with_trailers(self, which: int) -> None:
        if self.open:
            stream_id = list(self.open)[which % len(self.open)]
            self.h2.send_headers(stream_id, [(b"checksum", b"%d" % which)], end_stream=True)
            self.asked[stream_id] = bytes(self.open.pop(stream_id))

    def cancel(self, which: int) -> None:
        if self.open:
            stream_id = list(self.open)[which % len(self.open)]
            self.h2.reset_stream(stream_id, 8)
            del self.open[stream_id]

    def configure(self, window: int, frame: int, table: int) -> None:
        codes = h2.settings.SettingCodes
        self.h2.update_settings(
            {codes.INITIAL_WINDOW_SIZE: window, codes.MAX_FRAME_SIZE: frame, codes.HEADER_TABLE_SIZE: table}
        )


small = st.integers(0, 10)
fields = st.tuples(st.sampled_from([b"x", b"grpc-timeout", b"y-bin"]), st.sampled_from([b"", b"1S", b"a" * 200]))
steps = st.one_of(
    st.tuples(st.just("ask"), st.lists(fields, max_size=3)),
    st.tuples(st.just("say"), small, st.integers(0, 40_000), st.one_of(st.none(), st.integers(0, 255)), st.booleans()),
    st.tuples(st.just("end_with_trailers"), small),
    st.tuples(st.just("cancel"), small),
    st.tuples(
        st.just("configure"),
        st.integers(0, 100_000),
        st.integers(16_384, 70_000),
        st.sampled_from([0, 100, 4096, 9999]),
    ),
    st.tuples(st.just("ping")),
    st.tuples(st.just("exchange"), st.lists(st.integers(1, 5000), min_size=1, max_size=5)),
)


def play(client: Client, script: list[tuple[object, ...]]) -> None:
    for name, *arguments in script:
        if name == "ping":
            client.h2.ping(b"whatever")
        else:
            getattr(client, str(name))(*arguments)


@given(st.lists(steps, max_size=40), st.lists(st.integers(1, 3000), min_size=1, max_size=4))
@settings(max_examples=150)
def test_every_legal_request_is_answered_once(script: list[tuple[object, ...]], cuts: list[int]) -> None:
    server = EchoServer()
    client = Client(server)
    client.exchange(cuts)  # h2 takes the ACK of its first settings for that of whatever settings follow
    play(client, script)
    client.configure(100_000, 16_384, 4096)
    while client.open:
        client.exchange(cuts)
        for _ in range(len(client.open)):
            client.say(0, 10, None, True)
    client.exchange(cuts)
    assert server.over == 0
    for stream_id, body in client.asked.items():
        if stream_id not in client.refused:
            assert client.replies[stream_id] == b"echo:" + body
            assert client.complete[stream_id] == server.answered[stream_id] == 1
    assert server.http2.is_idle


@given(
    st.lists(steps, max_size=15),
    st.lists(st.tuples(st.integers(0, 3000), st.binary(max_size=9), st.integers(0, 9)), min_size=1, max_size=4),
    st.integers(1, 500),
)
@settings(max_examples=150)
def test_damaged_bytes_never_raise(
    script: list[tuple[object, ...]], damages: list[tuple[int, bytes, int]], cut: int
) -> None:
    server = EchoServer()
    client = Client(server)
    play(client, [step for step in script if step[0] != "exchange"])
    said = bytearray(client.h2.data_to_send())
    for at, new, removed in damages:
        place = at % (len(said) + 1)
        said[place : place + removed] = new
    ended = 0
    for start in range(0, len(said), cut):
        events = server.http2.receive(memoryview(said)[start : start + cut], 0.0)
        ended += sum(isinstance(event, ConnectionEnded) for event in events)
        server.http2.data_to_send()
    assert ended <= 1
    assert len(server.http2._partial) <= LIMITS.max_frame_bytes + 9
