"""Ports that several processes share: who may listen there, and who may not."""

import socket

import pytest

from mindspore_serving.cluster.addresses import Address
from mindspore_serving.master.free_address import check_free, reserve, share

HOST = "127.0.0.1"


def listener(port: int = 0, *, shared: bool = False, reuse: bool = True) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
    if shared:
        share(made)
    try:
        made.bind((HOST, port))
        made.listen()
    except OSError:
        made.close()
        raise
    return made


def port_of(bound: socket.socket) -> int:
    return int(bound.getsockname()[1])


def test_those_who_share_listen_at_a_reserved_port_and_get_all_its_connections() -> None:
    with reserve(Address(HOST, 0)) as holder:
        port = port_of(holder)
        with listener(port, shared=True) as one, listener(port, shared=True) as other:
            for each in (one, other):
                each.setblocking(False)
            for _ in range(20):
                socket.create_connection((HOST, port), timeout=60).close()
            accepted = 0
            for each in (one, other):
                while True:
                    try:
                        connection, _ = each.accept()
                    except BlockingIOError:
                        break
                    connection.close()
                    accepted += 1
            assert accepted == 20


def test_nobody_else_may_have_a_reserved_port() -> None:
    with reserve(Address(HOST, 0)) as holder:
        address = Address(HOST, port_of(holder))
        with pytest.raises(OSError, match="in use"):
            check_free(address)
        with pytest.raises(OSError, match="in use"):
            reserve(address)
        with pytest.raises(OSError, match="in use"):
            listener(address.port)


@pytest.mark.parametrize("shared", [False, True])
def test_a_port_at_which_others_listen_cannot_be_reserved(shared: bool) -> None:
    with listener(shared=shared) as taken, pytest.raises(OSError, match="in use"):
        reserve(Address(HOST, port_of(taken)))


def test_a_port_with_lingering_connections_of_an_earlier_owner_can_be_reserved() -> None:
    with listener() as earlier:
        port = port_of(earlier)
        client = socket.create_connection((HOST, port), timeout=60)
        served, _ = earlier.accept()
        served.close()  # who closes first keeps the connection's remains
        assert client.recv(1) == b""
        client.close()
    with reserve(Address(HOST, port)) as holder, listener(port, shared=True) as one:
        assert port_of(holder) == port_of(one)
