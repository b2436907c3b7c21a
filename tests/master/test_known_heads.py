"""Heads of calls that came before."""

import re

import pytest

from mindspore_serving.master.known_heads import KnownHeads
from mindspore_serving.master.promise import Promise, kept
from mindspore_serving.master.whole_calls import Headers, Reply, WholeHead

POST = b"POST /model/add:add HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n"


class Calls:
    """Answers with the body; `fault` breaks it."""

    urls = re.compile(rb"/model/[\w./:-]+")

    def __init__(self, fault: bool = False) -> None:
        self._fault = fault

    def answer(self, url: str, headers: Headers, body: bytes) -> Promise[Reply] | None:
        if self._fault:
            raise ZeroDivisionError
        return kept(Reply(body))

    def explain(self, error: BaseException) -> Reply:
        raise AssertionError from error


def head(body_bytes: int = 4, calls: Calls | None = None) -> WholeHead:
    return WholeHead(calls or Calls(), "/model/add:add", [(b"host", b"x")], body_bytes, True)


@pytest.mark.parametrize("body", [b"body", b"\r\n\r\n"])
def test_what_came_before_is_known(body: bytes) -> None:
    heads, learnt = KnownHeads(), head()
    heads.learn(POST + body, learnt)
    assert heads.find(POST + b"else") is learnt
    assert heads.find(POST + b"\r\n\r\n") is learnt


@pytest.mark.parametrize(
    "received",
    [
        b"",
        b"\r\n\r\n",
        POST,
        POST + b"bod",
        POST + b"body!",
        POST + b"body" + POST,
        POST.replace(b"host: x", b"host: y") + b"body",
        b"\r\n" + POST + b"body",
        POST.lower() + b"body",
    ],
)
def test_anything_else_is_for_the_parser(received: bytes) -> None:
    heads = KnownHeads()
    heads.learn(POST + b"body", head())
    assert heads.find(received) is None


@pytest.mark.parametrize(
    ("received", "body_bytes"),
    [
        (b"", 0),  # a body that came later than its head
        (POST + b"bodyPOST", 4),
        (POST + b"body" + POST + b"body", 4),
        (POST[:-4] + b"\r\nx-long: %s\r\n\r\nbody" % (b"y" * 3000), 4),
    ],
)
def test_what_is_more_or_less_than_one_short_head_and_its_body_is_not_learnt(received: bytes, body_bytes: int) -> None:
    heads = KnownHeads()
    heads.learn(received, head(body_bytes))
    assert heads.find(received) is None
    assert heads.find(POST + b"body") is None


def test_no_number_of_clients_fills_the_memory() -> None:
    heads = KnownHeads()
    many = [POST.replace(b"host: x", b"host: %d" % number) + b"body" for number in range(5000)]
    for received in many:
        heads.learn(received, head())
    known = [received for received in many if heads.find(received) is not None]
    assert many[-1] in known
    assert len(known) <= 512


def test_a_fault_of_ours_breaks_the_answer_not_the_connection() -> None:
    work = head(calls=Calls(fault=True)).ask(b"body")
    assert work is not None
    assert isinstance(work.error, ZeroDivisionError)
