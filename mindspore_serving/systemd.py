"""Tells systemd how far this process is: the sd_notify protocol, a datagram to the socket that $NOTIFY_SOCKET names.

Protocol: sd_notify(3). Written here because it is five lines, and the packages that offer it are not maintained or need
a C compiler.
"""

import os
import socket


def notify(state: str) -> None:
    """Sends one state, such as "READY=1". Does nothing when nobody listens: a service must run without systemd too."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.sendto(state.encode(), address)
        except OSError:
            return
