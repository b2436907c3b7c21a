"""MindSpore's thread waits for batches at the line itself; the link's own thread never misses one."""

import errno
import itertools
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest
import zmq

from mindspore_serving.cluster.codec import decode, encode
from mindspore_serving.cluster.direct import FrameReader, Outbox
from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.cluster.messages import (
    BatchDone,
    FromMaster,
    Go,
    Heartbeat,
    MayRun,
    Message,
    NotUnderstood,
    Probe,
    Refused,
    Register,
    Registered,
    RunBatch,
)
from mindspore_serving.cluster.patience import Patience
from mindspore_serving.cluster.session import Offer
from mindspore_serving.cluster.tensors import Stacked
from mindspore_serving.worker.lent_line import LentLine
from mindspore_serving.worker.link import Link
from mindspore_serving.worker.loan import Loan
from mindspore_serving.worker.lookout import Lookout
from mindspore_serving.worker.talks import End
from mindspore_serving.worker.work_thread import WorkThread
from tests.processes import until

WAIT_SECONDS = 60.0
MANY_LOOKS = 30_000  # which take longer than a wait that is called short
Done = Callable[[BatchDone], None]


class Master:
    """One that takes every worker, and talks to it past ZeroMQ, if it may."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]") -> None:
        self._router = context.socket(zmq.ROUTER)
        self._router.setsockopt(zmq.RCVTIMEO, int(WAIT_SECONDS * 1000))
        port = self._router.bind_to_random_port("tcp://127.0.0.1")
        self.endpoint = f"tcp://127.0.0.1:{port}"
        self._registration = 0
        self._reader = FrameReader()
        self.direct: socket.socket | None = None
        self.heard: list[Message] = []

    def welcome(self, connects: bool = True) -> Register:
        """Waits for a worker to register."""
        while True:
            self.worker, *frames = self._router.recv_multipart()
            message = decode(frames)
            if isinstance(message, Register) and message.registration > self._registration:
                break  # and no repetition
        self._registration = message.registration
        assert message.direct is not None
        if self.direct is not None:
            self.direct.close()
        if connects:
            self.direct = socket.socket(socket.AF_UNIX)
            self.direct.settimeout(WAIT_SECONDS)
            self.direct.connect(message.direct.address)
            self.direct.sendall(message.direct.proof)
        self.say(Registered(WAIT_SECONDS, message.registration))
        return message

    def say(self, *messages: FromMaster) -> None:
        """All at once."""
        if self.direct is None:
            for message in messages:
                self._router.send_multipart([self.worker, *encode(message)])
            return
        outbox = Outbox()
        for message in messages:
            outbox.put(encode(message))
        self.direct.sendall(b"".join(outbox.chunks()))

    def nudge(self) -> None:
        """Wakes the link's thread, by ZeroMQ."""
        self._router.send_multipart([self.worker, *encode(Probe())])

    def hear(self) -> Message:
        """The next word that is no heartbeat."""
        assert self.direct is not None
        deadline = time.monotonic() + WAIT_SECONDS
        while not self.heard:
            assert time.monotonic() < deadline, "nothing but heartbeats"
            count = self.direct.recv_into(self._reader.buffer())
            assert count, "the worker hung up"
            messages = [decode(frames) for frames in self._reader.received(count)]
            self.heard += [message for message in messages if not isinstance(message, Heartbeat)]
        return self.heard.pop(0)

    def close(self) -> None:
        if self.direct is not None:
            self.direct.close()
        self._router.close(0)


@dataclass
class Hand:
    """A link, and what it was told to run, in which thread. Nothing runs until the test calls `done`."""

    link: Link
    submitted: "queue.Queue[tuple[RunBatch, Done, str]]" = field(default_factory=queue.Queue)
    registered: "queue.Queue[str]" = field(default_factory=queue.Queue)
    ends: list[End] = field(default_factory=list)

    @property
    def line(self) -> LentLine:
        return self.link.lent_line


def batch(number: int, alone: bool = False) -> RunBatch:
    return RunBatch(number, "echo", 1, (Stacked("|u1", (1, 1), b"x"),), alone=alone)


def answer(number: int) -> BatchDone:
    return BatchDone(number, (), {0: Failure(Code.FAILED, "as it was told")})


@pytest.fixture
def context() -> Iterator["zmq.Context[zmq.Socket[bytes]]"]:
    with zmq.Context[zmq.Socket[bytes]]() as found:
        yield found


@pytest.fixture
def master(context: "zmq.Context[zmq.Socket[bytes]]") -> Iterator[Master]:
    found = Master(context)
    yield found
    found.close()


@pytest.fixture
def connect(context: "zmq.Context[zmq.Socket[bytes]]") -> Iterator[Callable[..., Hand]]:
    """Starts links; ends them with the test."""
    hands: list[Hand] = []

    def start(*masters: Master) -> Hand:
        def submit(one: RunBatch, done: Done) -> None:
            made.submitted.put((one, done, threading.current_thread().name))

        link = Link(
            context,
            [one.endpoint for one in masters],
            None,
            "hand-1",
            Offer("echo", 1, (), "CPU:0", "here", 1),
            submit,
            lambda name: made.registered.put(name),
            lambda end: made.ends.append(end),
        )
        made = Hand(link)
        hands.append(made)
        link.start()
        return made

    yield start
    for one in hands:
        one.link.drain(0.0)
        one.link.join(WAIT_SECONDS)
        assert not one.link.is_alive()


@pytest.fixture
def hand(connect: Callable[..., Hand], master: Master) -> Hand:
    """One that serves the master, past ZeroMQ."""
    found = connect(master)
    master.welcome()
    found.registered.get(timeout=WAIT_SECONDS)
    return found


def look_until(hand: Hand, there: Callable[[], bool]) -> None:
    """Looks, as MindSpore's thread does."""

    def looked() -> bool:
        hand.line.look()
        return there()

    until(looked, "what was sent")


def ready(hand: Hand) -> None:
    """The direct connection is there: the master's proof may still be on its way."""
    until(hand.line.take_over, "the direct connection")
    hand.line.give_back()


ME = threading.current_thread().name


def test_who_looks_takes_the_batch_and_answers_it(hand: Hand, master: Master) -> None:
    ready(hand)
    assert hand.line.take_over()
    assert hand.line.look()  # in vain
    master.say(batch(1))
    look_until(hand, lambda: not hand.submitted.empty())
    one, done, thread = hand.submitted.get()
    assert (one.batch_id, thread) == (1, ME)
    assert not hand.line.look()  # there is work in hand
    hand.line.give_back()
    done(answer(1))
    assert master.hear() == answer(1)


def test_with_work_in_hand_nobody_takes_over(hand: Hand, master: Master) -> None:
    ready(hand)
    master.say(batch(1))
    _, done, thread = hand.submitted.get(timeout=WAIT_SECONDS)
    assert thread != ME
    assert not hand.line.take_over()
    done(answer(1))
    assert master.hear() == answer(1)
    assert hand.line.take_over()
    hand.line.give_back()


def test_what_came_and_was_not_looked_for_is_read_when_it_is_given_back(hand: Hand, master: Master) -> None:
    ready(hand)
    assert hand.line.take_over()
    master.say(batch(1))
    hand.line.give_back()
    one, done, thread = hand.submitted.get(timeout=WAIT_SECONDS)
    assert one.batch_id == 1 and thread != ME
    done(answer(1))


def test_while_a_small_batch_runs_the_next_one_waits_for_who_runs_it(hand: Hand, master: Master) -> None:
    ready(hand)
    for number in range(1, 6):
        assert hand.line.take_over()
        if number == 1:
            master.say(batch(1))
        look_until(hand, lambda: not hand.submitted.empty())
        hand.line.keep_or_give_back()
        one, done, thread = hand.submitted.get()
        assert (one.batch_id, thread) == (number, ME)
        master.say(batch(number + 1))
        done(answer(number))
        assert master.hear() == answer(number)
    hand.line.give_back()
    one, done, _ = hand.submitted.get(timeout=WAIT_SECONDS)
    assert one.batch_id == 6
    done(answer(6))


def test_while_a_batch_runs_long_the_link_reads_again(hand: Hand, master: Master) -> None:
    ready(hand)
    assert hand.line.take_over()
    master.say(batch(1))
    look_until(hand, lambda: not hand.submitted.empty())
    hand.line.keep_or_give_back()
    _, done, _ = hand.submitted.get()
    master.say(batch(2))
    master.nudge()
    one, done_too, thread = hand.submitted.get(timeout=WAIT_SECONDS)
    assert one.batch_id == 2 and thread != ME
    done(answer(1))
    done_too(answer(2))
    assert (master.hear(), master.hear()) == (answer(1), answer(2))


def test_while_a_large_batch_runs_the_link_reads_the_next_one(hand: Hand, master: Master) -> None:
    ready(hand)
    assert hand.line.take_over()
    large = Stacked("|u1", (1, 1 << 17), bytes(1 << 17))
    master.say(RunBatch(1, "echo", 1, (large,)))
    look_until(hand, lambda: not hand.submitted.empty())
    hand.line.keep_or_give_back()
    _, done, _ = hand.submitted.get()
    master.say(batch(2))
    one, done_too, thread = hand.submitted.get(timeout=WAIT_SECONDS)
    assert one.batch_id == 2 and thread != ME
    done(answer(1))
    done_too(answer(2))


def test_when_nobody_looks_any_more_the_link_reads_again(hand: Hand, master: Master) -> None:
    ready(hand)
    assert hand.line.take_over()
    assert hand.line.look()
    master.say(batch(1))

    def comes() -> bool:
        master.nudge()
        return not hand.submitted.empty()

    until(comes, "the batch")
    _, done, thread = hand.submitted.get()
    assert thread != ME
    done(answer(1))


def test_all_but_batches_and_what_comes_after_it_is_for_the_link(hand: Hand, master: Master) -> None:
    ready(hand)
    assert hand.line.take_over()
    master.say(Go(7), batch(1))  # a Go that nobody has asked for changes nothing
    look_until(hand, lambda: not hand.submitted.empty())
    one, done, thread = hand.submitted.get()
    assert one.batch_id == 1 and thread != ME
    hand.line.give_back()
    done(answer(1))


def test_a_suspect_is_asked_for_by_who_looks(hand: Hand, master: Master) -> None:
    ready(hand)
    assert hand.line.take_over()
    master.say(batch(1, alone=True))
    look_until(hand, lambda: not hand.line.look())
    hand.line.give_back()
    assert master.hear() == MayRun(1)
    master.say(Go(1))
    one, done, _ = hand.submitted.get(timeout=WAIT_SECONDS)
    assert one.alone
    done(answer(1))


def test_a_refusal_ends_the_worker_though_another_thread_read_it(hand: Hand, master: Master) -> None:
    ready(hand)
    assert hand.line.take_over()
    master.say(Refused("not you"))
    look_until(hand, lambda: bool(hand.ends))
    hand.line.give_back()
    assert [end.refusal for end in hand.ends] == ["not you"]
    assert not hand.line.take_over()  # it has no connection any more
    assert not hand.line.look()


def test_when_the_master_hangs_up_the_worker_registers_again(hand: Hand, master: Master) -> None:
    ready(hand)
    assert hand.line.take_over()
    assert master.direct is not None
    master.direct.close()
    until(lambda: not hand.line.look(), "the end of the connection")
    hand.line.give_back()
    assert master.welcome().registration == 2


def test_a_fault_of_the_link_ends_the_worker_with_its_reason(
    context: "zmq.Context[zmq.Socket[bytes]]", master: Master
) -> None:
    """It ended as if it had been told to, with exit code 0."""
    ends: queue.Queue[End] = queue.Queue()

    def fail(_: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    link = Link(
        *(context, [master.endpoint], None, "hand-1", Offer("echo", 1, (), "CPU:0", "here", 1)),
        *(lambda batch, done: None, fail, ends.put),
    )
    link.start()
    master.welcome()
    end = ends.get(timeout=WAIT_SECONDS)
    assert end.has_failed
    assert end.refusal == "OSError: [Errno 28] No space left on device"
    link.join(WAIT_SECONDS)


def test_nonsense_ends_the_connection_and_nothing_else(hand: Hand, master: Master) -> None:
    ready(hand)
    assert hand.line.take_over()
    assert master.direct is not None
    master.direct.sendall(b"\xff" * 64)
    until(lambda: not hand.line.look(), "the end of the connection")
    hand.line.give_back()
    assert master.welcome().registration == 2


def test_a_message_that_cannot_be_read_is_answered(hand: Hand, master: Master) -> None:
    """It may have been a batch, for which the master would wait without end."""
    ready(hand)
    assert master.direct is not None
    outbox = Outbox()
    outbox.put([encode(batch(1))[0][:-1]])
    master.direct.sendall(b"".join(outbox.chunks()))
    assert master.hear() == NotUnderstood()
    master.say(batch(2))
    assert hand.submitted.get(timeout=WAIT_SECONDS)[0].batch_id == 2


def test_nobody_looks_where_there_are_several_masters_or_zeromq_only(
    connect: Callable[..., Hand], context: "zmq.Context[zmq.Socket[bytes]]", master: Master
) -> None:
    other = Master(context)
    both, alone = connect(master, other), None
    try:
        for one in (master, other):
            one.welcome()
            both.registered.get(timeout=WAIT_SECONDS)
        assert not both.line.take_over() and not both.line.look()
        third = Master(context)
        try:
            alone = connect(third)
            third.welcome(connects=False)
            alone.registered.get(timeout=WAIT_SECONDS)
            assert not alone.line.take_over() and not alone.line.look()
            third.say(batch(1))
            _, done, _ = alone.submitted.get(timeout=WAIT_SECONDS)
            done(answer(1))
        finally:
            third.close()
    finally:
        other.close()


@pytest.fixture
def models(hand: Hand, master: Master) -> Iterator[WorkThread]:
    """A thread that may not look, and so sleeps at the line."""
    ready(hand)
    found = WorkThread("MindSpore")
    found.while_idle(Lookout(hand.line, None, Patience()))
    found.call(lambda: None)
    yield found
    found.close()


def answered_by(hand: Hand, master: Master, number: int) -> str:
    """Who took this batch in."""
    master.say(batch(number))
    one, done, thread = hand.submitted.get(timeout=WAIT_SECONDS)
    assert one.batch_id == number
    done(answer(number))
    assert master.hear() == answer(number)
    return thread


def sleeps_at_the_line(hand: Hand, master: Master, models: WorkThread, numbers: Iterator[int]) -> None:
    """Waits until it does: it has taken a batch in."""

    def takes_it_in() -> bool:
        models.call(lambda: None)  # after each work it goes to where the line is
        return answered_by(hand, master, next(numbers)) == "MindSpore"

    until(takes_it_in, "a batch that it was woken up by")


def test_a_thread_that_may_not_look_sleeps_at_the_line(hand: Hand, master: Master, models: WorkThread) -> None:
    numbers = itertools.count(1)
    sleeps_at_the_line(hand, master, models, numbers)


def test_who_sleeps_at_the_line_keeps_it_though_it_does_not_look() -> None:
    loan = Loan()
    loan.is_open = loan.rests = True
    assert not loan.is_due(runs=False)
    assert loan.is_due(runs=True)
    loan.rests = False
    assert loan.is_due(runs=False)


def test_work_of_others_wakes_up_who_sleeps_at_the_line(hand: Hand, master: Master, models: WorkThread) -> None:
    numbers = itertools.count(1)
    sleeps_at_the_line(hand, master, models, numbers)
    assert [models.call(partial(int, number)) for number in range(100)] == list(range(100))


def test_the_end_of_the_link_wakes_it_up(hand: Hand, master: Master, models: WorkThread) -> None:
    numbers = itertools.count(1)
    sleeps_at_the_line(hand, master, models, numbers)
    hand.link.drain(0.0)
    hand.link.join(WAIT_SECONDS)
    models.while_idle(None)
    assert models.call(lambda: "awake") == "awake"


def test_a_master_that_is_started_again_finds_it_at_the_line(hand: Hand, master: Master, models: WorkThread) -> None:
    numbers = itertools.count(1)
    sleeps_at_the_line(hand, master, models, numbers)
    assert master.direct is not None
    master.direct.close()
    master.welcome()
    hand.registered.get(timeout=WAIT_SECONDS)
    sleeps_at_the_line(hand, master, models, numbers)


def test_the_thread_of_a_worker_looks_once_batches_come_quickly(hand: Hand, master: Master) -> None:
    """And each batch is answered, whichever thread reads it."""
    models = WorkThread("MindSpore")
    threads: set[str] = set()
    patience = Patience(poll_seconds=WAIT_SECONDS)  # to look, the waits need not be short
    models.while_idle(Lookout(hand.line, lambda: False, patience))
    number = 0
    while "MindSpore" not in threads or number < 100:
        number += 1
        master.say(batch(number))
        _, done, thread = hand.submitted.get(timeout=WAIT_SECONDS)
        threads.add(thread)
        models.post(0, partial(done, answer(number)))
        assert master.hear() == answer(number)
    models.while_idle(None)
    models.close()


@pytest.mark.parametrize("instances, asks", [(1, False), (3, True)])
def test_who_works_for_several_asks_whether_others_wait_for_a_core(
    hand: Hand, master: Master, instances: int, asks: bool
) -> None:
    ready(hand)
    master.say(RunBatch(1, "echo", instances, (Stacked("|u1", (instances, 1), b"x" * instances),)))
    _, done, _ = hand.submitted.get(timeout=WAIT_SECONDS)
    done(answer(1))
    assert master.hear() == answer(1)
    asked = threading.Event()

    def is_crowded() -> bool:
        asked.set()
        return True

    def look_for_long() -> bool:
        patience = Patience(poll_seconds=WAIT_SECONDS)
        for _ in range(20):  # it has seen short waits
            patience.begins(0.0)
            patience.ends(0.0001)
        looks = itertools.count()
        lookout = Lookout(hand.line, is_crowded, patience)
        # Where somebody else's turn has ended the look, it would sleep.
        lookout.begins(lambda: asked.is_set() or lookout.is_asleep or next(looks) >= MANY_LOOKS)
        hand.line.give_back()
        return asked.is_set()

    if asks:
        until(look_for_long, "a look that nobody else's turn has ended")
    else:
        assert not look_for_long()
