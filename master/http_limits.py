"""What the connections of the RESTful door may take."""

from dataclasses import dataclass

from mindspore_serving.master.open_files import share_of_a_door

_MOST_CONNECTIONS = 4096


@dataclass(frozen=True)
class HttpLimits:
    """What one connection, and all of them together, may take."""

    head_seconds: float = 10.0  # from the first byte (for the first request: from the connection) to the last of a head
    rest_seconds: float = 5.0  # for a body that goes on after its answer: read, so that the client sees the answer
    idle_seconds: float = 75.0  # between requests: longer than usual load balancers wait, so that they close first
    stalled_seconds: float = 30.0  # without a byte read by a client whose answer waits
    connections: int = 0  # at once; 0: as many as the open files of this process allow

    @property
    def most_connections(self) -> int:
        """The number that holds."""
        return self.connections or min(_MOST_CONNECTIONS, share_of_a_door())
