"""Addresses, options and tokens of a Client: what they become, and how mistakes are reported."""

import json
import os
import socket
from pathlib import Path
from typing import Any, cast

import pytest

from mindspore_serving.client import AsyncClient, Client, SSLConfig
from mindspore_serving.client.addresses import stays_on_this_host, targets
from mindspore_serving.client.arguments import read_arguments
from tests.client.fake_master import fake_master


@pytest.mark.parametrize(
    "text, expected",
    [
        ("127.0.0.1:5500", ["127.0.0.1:5500"]),
        ("[::1]:5500", ["[::1]:5500"]),
        ("host:1", ["host:1"]),
        ("unix:/tmp/a", ["unix:/tmp/a"]),
        ("dns:///host:1", ["dns:///host:1"]),
        ("10.0.0.1:1,10.0.0.2:2", ["ipv4:10.0.0.1:1,10.0.0.2:2"]),
        ("10.0.0.1:1, 10.0.0.2:2", ["ipv4:10.0.0.1:1,10.0.0.2:2"]),
        ("[::1]:1,[fe80::2]:2", ["ipv6:[::1]:1,[fe80::2]:2"]),
        ("ipv4:10.0.0.1:1,10.0.0.2:2", ["ipv4:10.0.0.1:1,10.0.0.2:2"]),
        ("a:1,b:2", ["a:1", "b:2"]),
        ("a:1,10.0.0.2:2,[::1]:3,unix:/tmp/a", ["a:1", "10.0.0.2:2", "[::1]:3", "unix:/tmp/a"]),
        ("a:1,a:1", ["a:1"]),
    ],
)
def test_addresses_become_targets(text: str, expected: list[str]) -> None:
    assert list(targets(text, secure=False)) == expected


def test_with_tls_each_address_has_a_channel_whose_certificate_is_checked_for_it() -> None:
    assert targets("10.0.0.1:1,10.0.0.2:2", secure=True) == ("10.0.0.1:1", "10.0.0.2:2")


@pytest.mark.parametrize(
    "text, message",
    [
        ("localhost", "the address 'localhost' is not HOST:PORT, [IPv6]:PORT or unix:PATH"),
        ("http://a:1", "the address 'http://a:1' is not HOST:PORT, [IPv6]:PORT or unix:PATH"),
        ("::1:5500", "the address '::1:5500' is not HOST:PORT, [IPv6]:PORT or unix:PATH"),
        ("[x]:5500", "the address '[x]:5500' is not HOST:PORT, [IPv6]:PORT or unix:PATH"),
        ("unix:", "the address 'unix:' is not HOST:PORT, [IPv6]:PORT or unix:PATH"),
        ("a:1,b", "the address 'b' is not HOST:PORT, [IPv6]:PORT or unix:PATH"),
        ("a:1,,b:2", "the address 'a:1,,b:2' has an empty place: write HOST:PORT,HOST:PORT"),
        ("a:0", "the port of the address 'a:0' should be in range [1,65535]"),
        ("a:70000", "the port of the address 'a:70000' should be in range [1,65535]"),
    ],
)
def test_what_is_no_address_is_refused(text: str, message: str) -> None:
    with pytest.raises(RuntimeError) as refused:
        Client(text, "s", "m")
    assert str(refused.value) == message


@pytest.mark.parametrize("text", ["127.0.0.1:1", "localhost:1", "[::1]:1", "unix:a,127.0.0.9:1", "ipv4:127.0.0.1:1"])
def test_these_addresses_stay_on_this_host(text: str) -> None:
    assert stays_on_this_host(text)


@pytest.mark.parametrize("text", ["a:1", "10.0.0.1:1", "127.0.0.1:1,a:1", "dns:///a:1", "ipv4:127.0.0.1:1,10.0.0.1:1"])
def test_these_addresses_do_not(text: str) -> None:
    assert not stays_on_this_host(text)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"timeout": 0}, "Parameter 'timeout' should be more than 0 seconds, but is 0"),
        ({"timeout": "5"}, "Parameter 'timeout' should be a number of seconds, but is '5'"),
        ({"timeout": float("nan")}, "Parameter 'timeout' should be a number of seconds, but is nan"),
        ({"outage_seconds": -1}, "Parameter 'outage_seconds' should be more than 0 seconds, but is -1"),
        ({"retry": 1}, "Parameter 'retry' should be bool, but actually <class 'int'>"),
        ({"health_check": "no"}, "Parameter 'health_check' should be bool, but actually <class 'str'>"),
        ({"token": b"t"}, "Parameter 'token' should be str, but actually <class 'bytes'>"),
        ({"token": ""}, "Parameter 'token' should not be empty str"),
        ({"token": "a b"}, "Parameter 'token' should hold one line of printable ASCII without blanks"),
        ({"token": "t", "token_file": "f"}, "give either token or token_file, not both"),
        ({"token_file": "/nowhere"}, "token_file '/nowhere' cannot be read: No such file or directory"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(RuntimeError) as refused:
            cast(Any, kind)("127.0.0.1:1", "s", "m", **options)
        assert str(refused.value) == message


@pytest.mark.parametrize(
    "servable, version, message",
    [
        ("s\ud83d", 0, r"the text 's\ud83d' cannot be sent: its character 1 is no character"),
        ("s", -1, "Parameter 'version_number' should be >= 0"),
        ("s", 1 << 64, "Parameter 'version_number' should be in range [0,18446744073709551615]"),
    ],
)
def test_names_and_versions_that_cannot_be_sent_are_refused(servable: str, version: int, message: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(RuntimeError) as refused:
            kind("127.0.0.1:1", servable, "m", version)
        assert str(refused.value) == message


def test_an_unknown_option_is_named_with_those_that_there_are() -> None:
    with pytest.raises(RuntimeError, match=r"unexpected keyword argument 'retries': it takes .* timeout, retry, "):
        Client("127.0.0.1:1", "s", "m", retries=3)  # type: ignore[call-overload]


def test_none_is_the_default_of_every_option() -> None:
    nothing = dict.fromkeys(("timeout", "retry", "outage_seconds", "health_check", "token", "token_file"))
    first, second = (read_arguments(("a:1", "s", "m"), options) for options in ({}, dict(nothing)))
    assert (first.rules, first.channel_options, first.timeout) == (second.rules, second.channel_options, None)


def config(*args: Any, **options: Any) -> Any:
    return json.loads(str(dict(read_arguments(args, options).channel_options)["grpc.service_config"]))


def test_several_masters_are_asked_for_their_health_and_one_is_not() -> None:
    assert "healthCheckConfig" not in config("a:1", "s", "m")
    assert config("a:1", "s", "m", health_check=True)["healthCheckConfig"] == {"serviceName": ""}
    assert config("a:1,b:1", "s", "m")["healthCheckConfig"] == {"serviceName": ""}
    assert "healthCheckConfig" not in config("a:1,b:1", "s", "m", health_check=False)


def test_grpc_retries_by_itself_where_it_can_go_elsewhere_and_the_user_allows_it() -> None:
    assert "retryPolicy" in config("10.0.0.1:1,10.0.0.2:1", "s", "m")["methodConfig"][0]
    assert "retryPolicy" not in config("a:1,b:1", "s", "m")["methodConfig"][0]
    assert "retryPolicy" not in config("a:1", "s", "m", retry=False)["methodConfig"][0]


def test_a_token_is_not_sent_unencrypted_to_another_host() -> None:
    with pytest.raises(RuntimeError) as refused:
        Client("10.0.0.1:1", "s", "m", token="secret")
    assert str(refused.value) == (
        "the token would cross the network unencrypted to '10.0.0.1:1': give ssl_config=SSLConfig(...), "
        "or allow_plaintext_token=True if nobody can listen there"
    )
    Client("10.0.0.1:1", "s", "m", token="secret", allow_plaintext_token=True).close()
    Client("10.0.0.1:1", "s", "m", ssl_config=SSLConfig(), token="secret").close()


def test_a_token_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    with fake_master() as master, Client(master.address, "s", "m", token_file=str(file)) as client:
        client.infer({"x": 1})
        (tmp_path / "new").write_text("the-second\n")
        os.replace(tmp_path / "new", file)
        client.infer_async({"x": 1}).result()
        file.unlink()
        client.infer({"x": 1})
        shown = [sent["authorization"] for sent in master.metadata]
    assert shown == ["Bearer first", "Bearer the-second", "Bearer the-second"]


@pytest.mark.parametrize("content", [b"", b"a\nb", b"\xff\n"])
def test_a_token_file_that_holds_no_token_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(RuntimeError, match=r"token_file '.*' should hold one line of printable ASCII without blanks"):
        Client("127.0.0.1:1", "s", "m", token_file=str(tmp_path / "token"))


def test_a_proxy_of_the_environment_is_not_asked_for_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as proxy, fake_master() as master:
        proxy.bind(("127.0.0.1", 0))  # refuses every connection
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        with Client(master.address, "s", "m", retry=False) as client:
            assert isinstance(client.infer({"x": 1}), list)
