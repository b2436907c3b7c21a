"""Ports of the loopback address for processes that are started, killed and started again."""

import random
import socket
from collections import deque
from contextlib import ExitStack
from pathlib import Path

from mindspore_serving.cluster.addresses import LOOPBACK

_FIRST_PORT = 10000  # known services are below
_LEAST_CHOICE = 10000
_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
_REMEMBERED = 2  # one in so many of the ports that a process may choose from

_given: deque[int] = deque()  # those that this process was given last: nobody may listen there yet


def free_ports(count: int, number: int = 0, choosers: int = 1) -> list[int]:
    """So many in a row that nobody uses now.

    None that the kernel gives to outgoing connections, where it leaves enough: such a one would keep a process that is
    started again from its own port, and none that was given a short while ago: who asks twice may use neither yet.
    number: of several choosers, each of which gets ports of its own.
    """
    end = max(int(_OUTGOING.read_text().split()[0]), _FIRST_PORT + _LEAST_CHOICE)
    share = (end - _FIRST_PORT) // choosers
    start = _FIRST_PORT + number * share
    while True:
        first = random.randrange(start, start + share - count)
        ports = list(range(first, first + count))
        if any(port in _given for port in ports):
            continue
        with ExitStack() as probes:
            try:
                for port in ports:
                    probes.enter_context(socket.socket()).bind((LOOPBACK, port))
            except OSError:  # one of them is taken
                continue
        _given.extend(ports)
        while len(_given) > share // _REMEMBERED:
            _given.popleft()
        return ports
