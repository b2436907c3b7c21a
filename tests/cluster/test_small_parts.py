"""Addresses, settings, arguments, leases, slots and columns."""

import pytest

from mindspore_serving.cluster.addresses import Address, UnixPath, for_zeromq, parse_address, parse_endpoint
from mindspore_serving.cluster.arguments import check_int, check_str
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.cluster.leases import Leases
from mindspore_serving.cluster.scheduler import Slots
from mindspore_serving.cluster.settings import choice, integer, seconds
from mindspore_serving.cluster.tensors import Stacked, Tensor, Value, from_column, to_column


@pytest.mark.parametrize(
    "text, address",
    [
        ("5500", Address("127.0.0.1", 5500)),
        ("0.0.0.0:1", Address("0.0.0.0", 1)),
        ("[::1]:65535", Address("::1", 65535)),
        ("serving.example:80", Address("serving.example", 80)),
    ],
)
def test_an_address_is_read(text: str, address: Address) -> None:
    assert parse_address(text, "--grpc") == address
    assert parse_address(str(address), "--grpc") == address


@pytest.mark.parametrize(
    "text", ["", ":5500", "host:", "host", "host:x", "host:0", "host:65536", "tcp://host:1", "1:²"]
)
def test_a_bad_address_is_refused_and_named(text: str) -> None:
    with pytest.raises(SetupError, match="--grpc"):
        parse_address(text, "--grpc")


def test_an_endpoint_may_be_a_unix_socket() -> None:
    assert parse_endpoint("unix:/run/x", "--ctrl") == UnixPath("/run/x")
    assert str(UnixPath("/run/x")) == "unix:/run/x"
    assert parse_endpoint("5500", "--ctrl") == Address("127.0.0.1", 5500)
    assert for_zeromq(UnixPath("/run/x")) == "ipc:///run/x"
    assert for_zeromq(Address("::1", 5)) == "tcp://[::1]:5"
    with pytest.raises(SetupError, match="--ctrl 'unix:' has no path"):
        parse_endpoint("unix:", "--ctrl")
    with pytest.raises(SetupError, match="at most 107 bytes"):
        parse_endpoint("unix:" + "x" * 108, "--ctrl")


def test_a_master_needs_a_host() -> None:
    with pytest.raises(SetupError, match="HOST:PORT"):
        parse_address("6500", "--master", default_host=None)


def test_settings_name_what_they_refuse() -> None:
    assert (integer("--n", 0, 5)("5"), seconds("--s")("0.5"), choice("--c", "CPU", "GPU")("cpu")) == (5, 0.5, "CPU")
    for read, text in ((integer("--n", 0, 5), "6"), (integer("--n", 0, 5), "x"), (integer("--n", 0, 5), "-1")):
        with pytest.raises(SetupError, match="--n"):
            read(text)
    for text in ("x", "-1", "nan", "inf"):
        with pytest.raises(SetupError, match="--s"):
            seconds("--s")(text)
    with pytest.raises(SetupError, match="not one of CPU, GPU"):
        choice("--c", "CPU", "GPU")("TPU")


@pytest.mark.parametrize(
    "check, text",
    [
        (lambda: check_str("ip", 5), "Parameter 'ip' should be str, but actually <class 'int'>"),
        (lambda: check_str("ip", ""), "Parameter 'ip' should not be empty str"),
        (lambda: check_int("port", "1"), "Parameter 'port' should be int, but actually <class 'str'>"),
        (lambda: check_int("port", True), "Parameter 'port' should be int, but actually <class 'bool'>"),
        (lambda: check_int("port", 0, 1, 65535), "Parameter 'port' should be in range [1,65535]"),
        (lambda: check_int("device_id", -1), "Parameter 'device_id' should be >= 0"),
    ],
)
def test_arguments_are_refused_with_the_texts_users_know(check: object, text: str) -> None:
    with pytest.raises(RuntimeError) as refused:
        check()  # type: ignore[operator]
    assert str(refused.value) == text


def test_leases_run_out_in_the_order_of_renewal() -> None:
    leases = Leases(3.0)
    for now, holder in enumerate("abca"):
        leases.renew(holder, float(now))
    assert leases.next_expiry(2.9) == 3.0, "that of a, until it is due: then it is seen that it has been renewed"
    assert leases.next_expiry(3.0) == 4.0
    assert leases.expired(3.9) == []
    assert leases.expired(5.0) == ["b", "c"]
    assert leases.next_expiry(5.0) == 6.0
    assert leases.next_expiry(7.0) == 6.0
    leases.end("a")
    assert leases.next_expiry(5.0) is None


def test_slots_prefer_the_idle_and_take_turns() -> None:
    slots: Slots[str] = Slots(2)
    assert slots.pick() is None and slots.idle() is None
    slots.place("a", 1, 2)
    slots.place("b", 0, 2)
    slots.place("c", 0, 2)
    assert slots.idle() == slots.pick() == "b"
    slots.place("b", 1, 2)
    assert slots.pick() == "c"
    slots.place("c", 2, 2)
    assert slots.idle() is None
    assert slots.pick() == "a"
    slots.remove("a")
    assert slots.pick() == "b"


@pytest.mark.parametrize(
    "values",
    [
        [Tensor("<f4", (1,), b"abcd")],
        [Tensor("<f4", (1,), b"abcd"), Tensor("<f4", (1,), b"efgh")],
        [Tensor("<f4", (1,), b"abcd"), Tensor("<f4", (), b"efgh")],
        [Tensor("<f4", (0,), b""), Tensor("<f4", (0,), b"")],
        [Tensor("|u1", (), b"a"), "text", b"bytes"],
        ["text", "more"],
    ],
)
def test_values_come_back_out_of_a_column(values: list[Value]) -> None:
    assert list(from_column(to_column(values))) == values


def test_instances_that_agree_are_stacked() -> None:
    same = [Tensor("<i2", (1,), b"ab"), Tensor("<i2", (1,), b"cd")]
    assert to_column(same) == Stacked("<i2", (2, 1), b"abcd")
    assert not isinstance(to_column([same[0], Tensor("<u2", (1,), b"cd")]), Stacked)
