"""What a DEALER's monitor tells of its connection to a master: whether it is of use to go on, and what to say of it."""

import errno
from enum import Enum, auto

import zmq

from mindspore_serving.cluster.key_files import MASTER_PUBLIC
from mindspore_serving.worker.curve import WorkerKeys

HEARD = (
    zmq.Event.CONNECTED
    | zmq.Event.CONNECT_DELAYED
    | zmq.Event.CONNECT_RETRIED
    | zmq.Event.CLOSED
    | zmq.Event.DISCONNECTED
    | zmq.Event.HANDSHAKE_SUCCEEDED
    | zmq.Event.HANDSHAKE_FAILED_AUTH
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
)
# The master closes without a word when it cannot read what a worker says: a wrong master.key. One that stops does too.
CLOSES_THAT_REFUSE = 5
FIRST_COMPLAINT_SECONDS = 5.0  # a worker may well be started before its master
LONGEST_SILENCE_SECONDS = 300.0  # between two complaints; the time doubles from one to the next
_DENIED = 400  # ZeroMQ RFC 27: final, while 300 and 500 are not
_MECHANISM_MISMATCH = 0x11000002  # ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH of zmq.h
_ADMITTED = "the folder 'workers' in the master's --curve-dir"
_FOREIGN = "what listens there does not speak the control protocol: is it the --ctrl port of a master?"
_CLOSES = (errno.EPIPE, errno.ECONNRESET)


class _State(Enum):
    """How far the connection came."""

    START = auto()
    UNKNOWN_HOST = auto()
    NOBODY = auto()
    CONNECTED = auto()
    SILENT = auto()
    CLOSED = auto()
    GREETED = auto()


_MOVES = {
    zmq.Event.CONNECTED: _State.CONNECTED,
    zmq.Event.CLOSED: _State.NOBODY,
    zmq.Event.HANDSHAKE_SUCCEEDED: _State.GREETED,
    zmq.Event.HANDSHAKE_FAILED_AUTH: _State.CLOSED,
    zmq.Event.HANDSHAKE_FAILED_PROTOCOL: _State.CLOSED,
}
_FIRST_MOVES = {  # from START
    zmq.Event.CONNECT_DELAYED: _State.NOBODY,
    zmq.Event.CONNECT_RETRIED: _State.UNKNOWN_HOST,
}
_NOBODY = "nobody accepts connections there: is a master running, and is this its --ctrl port?"
_SILENT = "it accepts connections and says nothing: is it the --ctrl port of a master?"
_COMPLAINTS = {
    _State.START: _NOBODY,
    _State.UNKNOWN_HOST: "its name has no address: is --master right?",
    _State.NOBODY: _NOBODY,
    _State.CONNECTED: _SILENT,
    _State.SILENT: _SILENT,
    _State.CLOSED: "it closes connections at once: is it the --ctrl port of a master?",
    _State.GREETED: "it does not answer the registration: the master hangs, or it is none",
}


class Handshakes:
    """Judges the events of zmq_socket_monitor(3). One for each socket."""

    def __init__(self, keys: WorkerKeys | None) -> None:
        self._keys = keys
        self._closes = 0
        self._state = _State.START
        self._complain_at: float | None = None  # while it is not answered
        self._silence_seconds = FIRST_COMPLAINT_SECONDS

    def refusal(self, event: int, value: int) -> str | None:
        """Why it makes no sense to try again; None when it does."""
        was, self._state = self._state, self._state_after(event, value)
        keys = self._keys
        match event:
            case zmq.Event.HANDSHAKE_SUCCEEDED:
                self._closes = 0
            case zmq.Event.DISCONNECTED if was is _State.CONNECTED:
                # A failed handshake would have been told: these were no words of ZeroMQ's, and it gives up.
                return _FOREIGN
            case zmq.Event.HANDSHAKE_FAILED_AUTH if value == _DENIED:
                key = f"the key {keys.pair.public.decode()} in '{keys.folder}'" if keys else "this worker"
                return f"{key} is not admitted: add its worker.key to {_ADMITTED}"
            case zmq.Event.HANDSHAKE_FAILED_PROTOCOL if value != _MECHANISM_MISMATCH:
                return _FOREIGN
            case zmq.Event.HANDSHAKE_FAILED_PROTOCOL if keys is None:
                return f"it admits only workers with a key: give this one --curve-dir, with a key of {_ADMITTED}"
            case zmq.Event.HANDSHAKE_FAILED_PROTOCOL:
                return "it has no keys, and this worker has: start the master with --curve-dir, or this worker without"
            case zmq.Event.HANDSHAKE_FAILED_NO_DETAIL if keys and value in _CLOSES:
                self._closes += 1
                if self._closes == CLOSES_THAT_REFUSE:
                    return (
                        "it does not understand this worker: either it has no keys and should be started with "
                        f"--curve-dir, or '{keys.folder / MASTER_PUBLIC}' is not the public key of this very master, "
                        "or it is not the --ctrl port of a master"
                    )
        return None

    def asked(self, now: float) -> str | None:
        """The master is asked to register this worker: what to say of it, if it was asked for long in vain.

        That is None most of the time: a fault that lasts is told again, but seldom.
        """
        if self._complain_at is None:
            self._complain_at = now + self._silence_seconds
        if now < self._complain_at:
            return None
        self._silence_seconds = min(2 * self._silence_seconds, LONGEST_SILENCE_SECONDS)
        self._complain_at = now + self._silence_seconds
        return f"{_COMPLAINTS[self._state]} Trying on."

    def answered(self) -> None:
        """The master said something."""
        self._complain_at = None
        self._silence_seconds = FIRST_COMPLAINT_SECONDS

    def _state_after(self, event: int, value: int) -> _State:
        if event == zmq.Event.HANDSHAKE_FAILED_NO_DETAIL:
            return _State.CLOSED if value in _CLOSES else _State.SILENT
        moves = _MOVES | _FIRST_MOVES if self._state is _State.START else _MOVES
        return moves.get(zmq.Event(event), self._state)
