"""What the link waits for: each source that has something is told again and again until it has been taken."""

import socket

import zmq

from mindspore_serving.cluster.session_events import Event
from mindspore_serving.worker.watches import READABLE, WRITABLE, Watches

WAIT_SECONDS = 60.0


def nothing() -> list[Event]:
    return []


def test_a_zeromq_socket_is_ready_until_it_is_empty() -> None:
    with (
        zmq.Context[zmq.Socket[bytes]]() as context,
        context.socket(zmq.PAIR) as ours,
        context.socket(zmq.PAIR) as peer,
    ):
        ours.bind("inproc://ours")
        peer.connect("inproc://ours")
        watches = Watches()
        watches.watch("peer", ours, nothing)
        for number in range(3):
            peer.send(b"%d" % number)
        for number in range(3):  # its FD tells of the first one only
            assert watches.wait(WAIT_SECONDS) == [("peer", nothing)]
            assert ours.recv() == b"%d" % number
        assert watches.wait(0.0) == []
        peer.send(b"after")
        ours.send(b"a send may swallow the news")
        watches.ask_again(ours)
        assert watches.wait(WAIT_SECONDS) == [("peer", nothing)]
        watches.unwatch(ours)
        watches.close()


def test_a_plain_socket_is_ready_for_what_is_asked() -> None:
    one, other = socket.socketpair()
    with one, other:
        watches = Watches()
        watches.watch("one", one, nothing)
        assert watches.wait(0.0) == []
        watches.watch("one", one, nothing, READABLE | WRITABLE)
        assert watches.wait(WAIT_SECONDS) == [("one", nothing)]
        watches.watch("one", one, nothing)
        other.send(b"x")
        assert watches.wait(WAIT_SECONDS) == [("one", nothing)]
        watches.unwatch(one)
        assert watches.wait(0.0) == []
        watches.close()
