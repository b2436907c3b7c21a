"""What a worker makes of handshakes that fail: which are final, and which are tried again."""

import errno
from pathlib import Path

import pytest
import zmq

from mindspore_serving.cluster.key_files import KeyPair
from mindspore_serving.worker.curve import WorkerKeys
from mindspore_serving.worker.handshakes import (
    CLOSES_THAT_REFUSE,
    FIRST_COMPLAINT_SECONDS,
    LONGEST_SILENCE_SECONDS,
    Handshakes,
)

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


def test_what_hangs_up_in_a_way_that_zeromq_gives_up_on_is_no_master() -> None:
    seen = Handshakes(KEYS)
    assert seen.refusal(zmq.Event.CONNECTED, 7) is None
    assert "does not speak the control protocol" in (seen.refusal(zmq.Event.DISCONNECTED, 7) or "")


def test_a_connection_that_ends_after_its_handshake_is_made_again() -> None:
    for failed in ((), (CLOSED,), ((zmq.Event.HANDSHAKE_FAILED_NO_DETAIL, errno.EAGAIN),)):
        seen = Handshakes(None)
        told = [
            (zmq.Event.CONNECTED, 7),
            *(failed or [(zmq.Event.HANDSHAKE_SUCCEEDED, 0)]),
            (zmq.Event.DISCONNECTED, 7),
        ]
        assert [seen.refusal(*event) for event in told] == [None] * len(told)


TOLD = {
    "its name has no address": [(zmq.Event.CONNECT_RETRIED, 100)],
    "nobody accepts connections there": [(zmq.Event.CONNECT_DELAYED, 115), (zmq.Event.CLOSED, 7)],
    "it accepts connections and says nothing": [(zmq.Event.CONNECTED, 7)],
    "it closes connections at once": [(zmq.Event.CONNECTED, 7), CLOSED, (zmq.Event.DISCONNECTED, 7)],
    "it does not answer the registration": [(zmq.Event.CONNECTED, 7), (zmq.Event.HANDSHAKE_SUCCEEDED, 0)],
}


@pytest.mark.parametrize("text", TOLD)
def test_a_master_that_does_not_answer_is_complained_of_seldom_until_it_does(text: str) -> None:
    seen = Handshakes(None)
    for event, value in TOLD[text]:
        assert seen.refusal(event, value) is None
    assert seen.asked(0.0) is None
    assert seen.asked(FIRST_COMPLAINT_SECONDS - 0.1) is None
    moments = [moment for moment in range(3600) if (said := seen.asked(float(moment))) and said.startswith(text)]
    assert moments[:4] == [5, 15, 35, 75]
    assert moments[-1] - moments[-2] == LONGEST_SILENCE_SECONDS
    seen.answered()
    assert seen.asked(4000.0) is None
    assert (seen.asked(4000.0 + FIRST_COMPLAINT_SECONDS) or "").startswith(text)
