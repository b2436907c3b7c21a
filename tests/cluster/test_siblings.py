"""Where the processes of one master are, and how a worker finds them."""

import pytest

from mindspore_serving.cluster.addresses import Address, UnixPath, for_zeromq, from_zeromq
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.cluster.siblings import Households, Sibling, control_endpoints, sibling_endpoint, siblings_of


def test_processes_listen_at_ports_in_a_row_or_at_numbered_paths() -> None:
    assert control_endpoints(Address("h", 6500), 3) == (Address("h", 6500), Address("h", 6501), Address("h", 6502))
    assert control_endpoints(UnixPath("/run/c"), 3) == (UnixPath("/run/c"), UnixPath("/run/c.1"), UnixPath("/run/c.2"))
    assert control_endpoints(Address("h", 65535), 1) == (Address("h", 65535),)


def test_ports_and_paths_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SetupError, match="--ctrl h:65535: 2 processes take the ports from 65535 on"):
        control_endpoints(Address("h", 65535), 2)
    longest = UnixPath("/" + 106 * "x")
    with pytest.raises(SetupError, match="at most 107 bytes"):
        control_endpoints(longest, 2)


def test_each_process_tells_of_the_others_by_port_or_file_name() -> None:
    ports = control_endpoints(Address("h", 6500), 3)
    assert [siblings_of(ports, slot) for slot in range(3)] == [(6501, 6502), (6500, 6502), (6500, 6501)]
    paths = control_endpoints(UnixPath("/run/c"), 2)
    assert [siblings_of(paths, slot) for slot in range(2)] == [("c.1",), ("c",)]


@pytest.mark.parametrize(
    "master, sibling, found",
    [
        ("tcp://host:6500", 6501, "tcp://host:6501"),
        ("tcp://[::1]:6500", 6501, "tcp://[::1]:6501"),
        ("ipc:///run/c", "c.1", "ipc:///run/c.1"),
        ("ipc://c", "c.1", "ipc://c.1"),
    ],
)
def test_a_sibling_is_where_the_worker_found_the_master(master: str, sibling: Sibling, found: str) -> None:
    assert sibling_endpoint(master, sibling) == found


@pytest.mark.parametrize(
    "master, sibling",
    [
        ("tcp://host:6500", "c.1"),
        ("ipc:///run/c", 6501),
        ("ipc:///run/c", "../d"),
        ("ipc:///run/c", "d\0"),
        ("ipc:///run/c", 200 * "d"),
        ("inproc://name", 6501),
    ],
)
def test_what_cannot_be_a_sibling_is_none(master: str, sibling: Sibling) -> None:
    assert sibling_endpoint(master, sibling) is None


@pytest.mark.parametrize("endpoint", [Address("host", 6500), Address("::1", 6500), UnixPath("/run/c")])
def test_an_endpoint_of_zeromq_is_shown_as_people_wrote_it(endpoint: Address | UnixPath) -> None:
    assert from_zeromq(for_zeromq(endpoint)) == str(endpoint)


def test_siblings_hear_of_it_when_the_last_of_them_knows_the_worker() -> None:
    households: Households[str] = Households()
    for one, others in {"a": "bc", "b": "ca", "c": "ab"}.items():
        households.met(one, others)
    households.met("alone", ())
    assert households.registered("a") == [] and households.registered("b") == []
    assert households.registered("alone") == []
    assert sorted(households.registered("c")) == ["a", "b", "c"]
    households.lost("b")
    households.lost("c")
    assert households.registered("c") == []
    assert sorted(households.registered("b")) == ["a", "b", "c"]
