"""What a worker makes of handshakes that fail: which are final, and which are tried again."""

import errno
from pathlib import Path

import zmq

from mindspore_serving.cluster.key_files import KeyPair
from mindspore_serving.worker.curve import CLOSES_THAT_REFUSE, Handshakes, WorkerKeys

KEYS = WorkerKeys(Path("mine"), KeyPair(b"public", b"secret"), b"master")
CLOSED = (zmq.Event.HANDSHAKE_FAILED_NO_DETAIL, errno.EPIPE)
UNREADABLE = 0x10000014  # ZMQ_PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_INITIATE


def test_a_master_that_closes_again_and_again_does_not_understand_the_key() -> None:
    seen = Handshakes(KEYS)
    assert [seen.refusal(*CLOSED) for _ in range(CLOSES_THAT_REFUSE - 1)] == [None] * (CLOSES_THAT_REFUSE - 1)
    assert "'mine/master.key' is not the public key of this very master" in (seen.refusal(*CLOSED) or "")


def test_a_good_handshake_makes_the_closes_before_it_forgotten() -> None:
    seen = Handshakes(KEYS)
    for _ in range(3 * CLOSES_THAT_REFUSE):
        assert seen.refusal(*CLOSED) is None
        assert seen.refusal(zmq.Event.HANDSHAKE_SUCCEEDED, 0) is None


def test_a_master_that_is_silent_or_busy_is_tried_again() -> None:
    for keys in (KEYS, None):
        seen = Handshakes(keys)
        for _ in range(3 * CLOSES_THAT_REFUSE):
            assert seen.refusal(zmq.Event.HANDSHAKE_FAILED_NO_DETAIL, errno.EAGAIN) is None
            assert seen.refusal(zmq.Event.HANDSHAKE_FAILED_AUTH, 300) is None
            assert seen.refusal(zmq.Event.DISCONNECTED, 0) is None


def test_a_worker_without_a_key_tries_a_master_that_closes_for_ever() -> None:
    seen = Handshakes(None)
    assert [seen.refusal(*CLOSED) for _ in range(3 * CLOSES_THAT_REFUSE)] == [None] * 3 * CLOSES_THAT_REFUSE


def test_what_speaks_no_zeromq_is_no_master() -> None:
    refusal = Handshakes(None).refusal(zmq.Event.HANDSHAKE_FAILED_PROTOCOL, UNREADABLE)
    assert refusal == "what listens there does not speak the control protocol: is it the --ctrl port of a master?"
