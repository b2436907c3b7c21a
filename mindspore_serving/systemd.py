"""Tells systemd how far this process is: the sd_notify protocol, a datagram to the socket that $NOTIFY_SOCKET names.

Protocol: sd_notify(3). Written here because it is five lines, and the packages that offer it are not maintained or need
a C compiler.
"""

import os
import socket
from collections.abc import Callable


class ServiceManager:
    """Whoever started this process and wants to know how far it is; perhaps nobody.

    `on_ready` is called before it hears for the first time that the process is ready.
    """

    def __init__(self, on_ready: Callable[[], None] | None = None) -> None:
        self._on_ready = on_ready

    def __call__(self, state: str) -> None:
        """Sends one state, such as "READY=1". Does nothing when nobody listens: a service must run without systemd too.

        Source: sd_notify(3).
        """
        if state == "READY=1" and self._on_ready is not None:
            self._on_ready()
            self._on_ready = None
        path = os.environ.get("NOTIFY_SOCKET", "")
        if not path.startswith(("/", "@")):
            return
        address = "\0" + path[1:] if path.startswith("@") else path
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            try:
                channel.sendto(state.encode(), address)
            except OSError:
                return

    @property
    def watchdog_seconds(self) -> float | None:
        """Within which it wants to hear WATCHDOG=1, again and again; None: it does not.

        Source: sd_watchdog_enabled(3).
        """
        microseconds, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
        if not microseconds.isdigit() or int(microseconds) == 0 or pid not in ("", str(os.getpid())):
            return None
        return int(microseconds) / 1e6
