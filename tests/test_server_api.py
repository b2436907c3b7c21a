"""The arguments of the 2.x start calls: what they refuse, in the original's words; and how start configs merge."""

import http.client
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from mindspore_serving import context, server
from mindspore_serving.client import Client, SSLConfig
from mindspore_serving.restarts import HEALTHY_SECONDS, LONGEST_WAIT_SECONDS, Ended, Restarts
from mindspore_serving.server.start_config import ServableStartConfig, worker_specs
from tests.processes import free_port

KEY = b"0123456789ABCDEF"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in ("add", "sub"):
        for version in ("1", "2"):
            (tmp_path / name / version).mkdir(parents=True)
        (tmp_path / name / "servable_config.py").touch()
    return tmp_path


def config(directory: Path, name: str = "add", *args: Any, **kwargs: Any) -> ServableStartConfig:
    return ServableStartConfig(str(directory), name, *args, **kwargs)


@pytest.mark.parametrize(
    "arguments, text",
    [
        ({"servable_directory": 3}, "Parameter 'servable_directory' should be str, but actually <class 'int'>"),
        ({"servable_name": ""}, "Parameter 'servable_name' should not be empty str"),
        ({"device_ids": "0"}, "Parameter 'device_ids' should be int or tuple/list of int"),
        ({"device_ids": [0, True]}, "Parameter 'device_ids' should be int or tuple/list of int"),
        ({"device_ids": -1}, "The item value '-1' in parameter 'device_ids' should be >= 0"),
        ({"device_ids": (1, 1)}, "The item value '1' in parameter 'device_ids' should not be repeated"),
        ({"version_number": "1"}, "Parameter 'version_number' should be int, but actually <class 'str'>"),
        ({"version_number": True}, "Parameter 'version_number' should be int, but actually <class 'bool'>"),
        ({"version_number": -1}, "Parameter 'version_number' should be >= 0"),
        ({"device_type": "TPU"}, "Unsupported device type 'TPU', only support 'Ascend', 'GPU', 'CPU' and None"),
        ({"device_type": ""}, "Parameter 'device_type' should not be empty str"),
        ({"device_type": 1}, "Parameter 'device_type' should be str, but actually <class 'int'>"),
        ({"num_parallel_workers": 65}, "Parameter 'num_parallel_workers' should be in range [0,64]"),
        ({"dec_key": "0" * 16}, "Parameter 'dec_key' should be bytes, but actually <class 'str'>"),
        ({"dec_key": b"short"}, "Parameter 'dec_key' should be bytes of length 16, 24 or 32"),
        ({"dec_key": KEY, "dec_mode": "ROT13"}, "Parameter 'dec_mode' can only be AES-GCM or AES-CBC"),
        ({"dec_key": KEY, "dec_mode": 1}, "Parameter 'dec_mode' should be str"),
    ],
)
def test_a_start_config_that_cannot_be_is_refused(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(RuntimeError) as refused:
        ServableStartConfig(**{"servable_directory": ".", "servable_name": "add", **arguments})
    assert str(refused.value).startswith(text)


def test_a_start_config_has_its_arguments_as_read_only_properties(directory: Path) -> None:
    made = config(directory, "add", [2, 0], 1, "cpu", 3, KEY, "AES-CBC")
    assert made.device_ids == (2, 0)
    assert (made.servable_directory, made.servable_name) == (str(directory), "add")
    assert (made.version_number, made.device_type, made.num_parallel_workers) == (1, "cpu", 3)
    assert (made.dec_key, made.dec_mode) == (KEY, "AES-CBC")
    with pytest.raises(AttributeError):
        made.device_ids = ()  # type: ignore[misc]
    assert config(directory).num_parallel_workers == 1
    assert [config(directory, device_type=kind).kind for kind in (None, "None", "gpu", "Davinci")] == [
        *("CPU", "CPU", "GPU", "Ascend")
    ]


def test_configs_of_one_servable_and_version_merge(directory: Path) -> None:
    specs = worker_specs(
        [
            config(directory, "add", (0, 1)),
            config(directory, "sub", num_parallel_workers=1),
            config(directory, "add", (1, 2), 2, num_parallel_workers=4),
            config(directory, "add", 0, 1),
        ]
    )
    assert [(spec.name, spec.version, spec.target.device_id, spec.extra) for spec in specs] == [
        ("add", 2, 0, None),
        ("add", 2, 1, None),
        ("add", 2, 2, None),
        ("add", 2, 0, 0),
        ("sub", 2, 0, 0),
        ("add", 1, 0, None),
    ]
    assert len({spec.slot for spec in specs}) == len(specs)
    assert specs[3].log_name == "log_add_extra0_version2.log"
    assert specs[5].log_name == "log_add_device0_version1.log"


def test_merged_configs_have_the_version_that_0_stands_for(directory: Path) -> None:
    from mindspore_serving.server._servable_local import merge_config

    merged = merge_config(
        [config(directory, "add", (1, 3)), config(directory, "sub", 2, 1), config(directory, "add", 0)]
    )
    assert [(m.servable_name, m.version_number, m.device_ids) for m in merged] == [
        ("add", 2, (0, 1, 3)),
        ("sub", 1, (2,)),
    ]


@pytest.mark.parametrize(
    "make, text",
    [
        (
            lambda d: [config(d, dec_key=KEY), config(d)],
            "The dec key or dec mode of servable name add is different in multiple configurations.",
        ),
        (lambda d: [config(d, "nope")], "Check servable config failed, directory '"),
        (lambda d: [config(d / "add", "1")], "Check servable config failed, file '"),
        (
            lambda d: [config(d, device_ids=0, device_type="GPU", num_parallel_workers=2)],
            "num_parallel_workers of servable name add is more than its device ids",
        ),
        (
            lambda d: [config(d, device_ids=0, device_type="GPU"), config(d, device_ids=1)],
            "The device type of servable name add is different in multiple configurations.",
        ),
    ],
)
def test_configs_that_do_not_fit_together_are_refused(
    directory: Path, make: Callable[[Path], list[ServableStartConfig]], text: str
) -> None:
    with pytest.raises(RuntimeError) as refused:
        worker_specs(make(directory))
    assert str(refused.value).startswith(text)


def test_one_servable_in_two_directories_is_refused(directory: Path) -> None:
    with pytest.raises(RuntimeError, match="The servable directory of servable name add is different"):
        worker_specs([config(directory), config(directory / "more")])


def test_a_key_is_on_no_command_line(directory: Path) -> None:
    from mindspore_serving.cluster.addresses import UnixPath

    (spec,) = worker_specs([config(directory, "add", 0, dec_key=KEY)])
    assert KEY.decode() not in " ".join(spec.arguments(UnixPath("/x"))) + repr(spec)


@pytest.mark.parametrize(
    "address, text",
    [
        (5500, "Parameter 'address' should be str, but actually <class 'int'>"),
        ("", "Parameter 'address' should not be empty str"),
        ("localhost", "Serving Error: The format of the Serving gRPC address 'localhost' is illegal"),
        ("127.0.0.1:", "Serving Error: Missing ip or port of the Serving gRPC address '127.0.0.1:'"),
        (":5500", "Serving Error: Missing ip or port of the Serving gRPC address ':5500'"),
        (
            "127.0.0.1:5000000",
            "Serving Error: The port of the Serving gRPC address '127.0.0.1:5000000' is out of legal range [1 ~ 65535]",
        ),
        ("127.0.0.1:x", "Serving Error: The type of Serving gRPC address '127.0.0.1:x' port is not a number"),
        ("unix:", "Serving Error: Empty grpc server unix domain socket address"),
        ("unix:/nowhere/x", "Serving Error: Serving gRPC server start failed, create server failed, address unix:"),
        ("127.0.256.1:5500", "Serving Error: Serving gRPC server start failed, create server failed, address 127."),
        (
            "127.0.0.1:5000:5000",
            "Serving Error: Serving gRPC server start failed, create server failed, address 127.0.0.1:5000:5000: ",
        ),
    ],
)
def test_an_address_that_cannot_be_is_refused(address: Any, text: str) -> None:
    with pytest.raises(RuntimeError) as refused:
        server.start_grpc_server(address)
    server.stop()
    assert str(refused.value).startswith(text)


@pytest.mark.parametrize(
    "address, text",
    [
        ("localhost", "Serving Error: The format of the RESTful server address 'localhost' is illegal"),
        ("127.0.0.1:", "Serving Error: Missing ip or port of the RESTful server address '127.0.0.1:'"),
        ("127.0.0.1:70000", "Serving Error: The port of the RESTful server address '127.0.0.1:70000' is out of legal"),
        ("unix:x", "Serving Error: RESTful server does not support binding to unix domain socket"),
        (
            "127.0.256.1:5500",
            "Serving Error: RESTful server start failed, bind to the socket address 127.0.256.1:5500 failed",
        ),
    ],
)
def test_a_restful_address_that_cannot_be_is_refused(address: str, text: str) -> None:
    with pytest.raises(RuntimeError) as refused:
        server.start_restful_server(address)
    server.stop()
    assert str(refused.value).startswith(text)


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: server.start_restful_server("127.0.0.1:1", ssl_config=3), "The type of ssl_config should be class of"),
        (
            lambda: server.start_grpc_server("127.0.0.1:1", 513),
            "Parameter 'max_msg_mb_size' should be in range [1,512]",
        ),
        (
            lambda: server.start_grpc_server("127.0.0.1:1", ssl_config=3),
            "The type of ssl_config should be type of",
        ),
        (lambda: server.SSLConfig("c", ""), "Parameter 'private_key' should not be empty str"),
        (lambda: server.SSLConfig("c", "k", verify_client=True), "Parameter 'custom_ca' should be given when"),
        (
            lambda: server.start_grpc_server("127.0.0.1:1", ssl_config=server.SSLConfig("/nowhere.crt", "k")),
            "Serving Error: Serving gRPC server start failed, create server failed, address 127.0.0.1:1: "
            "load certificate_chain from /nowhere.crt failed: No such file",
        ),
        (
            lambda: server.start_restful_server("127.0.0.1:1", ssl_config=server.SSLConfig(__file__, __file__)),
            f"Serving Error: load certificate_chain from {__file__} failed: it is not in PEM format",
        ),
        (lambda: server.start_servables([]), "Parameter 'servable_configs' should not be empty"),
        (
            lambda: server.start_servables("add"),
            "Parameter 'servable_configs' should be ServableStartConfig or",
        ),
        (lambda: server.start_servables([], enable_lite=1), "Parameter 'enable_lite' should be bool"),
        (lambda: context.set_max_enqueued_requests(0), "Parameter 'max_enqueued_requests' should be >= 1"),
    ],
)
def test_a_call_that_cannot_be_is_refused(call: Callable[[], Any], text: str) -> None:
    with pytest.raises(RuntimeError) as refused:
        call()
    assert str(refused.value).startswith(text)


class Certificates:
    """Files of a server, a friend (of the same CA) and a stranger."""

    def __init__(self, folder: Path) -> None:
        ours, theirs = trustme.CA(), trustme.CA()
        self.ca = str(folder / "ca.crt")
        ours.cert_pem.write_to_path(self.ca)
        self.files: dict[str, tuple[str, str]] = {}
        for name, ca in (("localhost", ours), ("friend", ours), ("stranger", theirs)):
            issued = ca.issue_cert(name)
            self.files[name] = (str(folder / f"{name}.crt"), str(folder / f"{name}.key"))
            issued.cert_chain_pems[0].write_to_path(self.files[name][0])
            issued.private_key_pem.write_to_path(self.files[name][1])


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def test_tls_of_the_restful_server_lets_in_who_shows_a_certificate(certificates: Certificates) -> None:
    port = free_port()
    ssl_config = server.SSLConfig(*certificates.files["localhost"], certificates.ca, True)
    server.start_restful_server(f"127.0.0.1:{port}", 100, ssl_config)
    try:
        answers: dict[str, Any] = {}
        for name in ("friend", "stranger"):
            context = ssl.create_default_context(cafile=certificates.ca)
            context.load_cert_chain(*certificates.files[name])
            connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=30)
            try:
                connection.request("GET", "/healthz")
                answers[name] = connection.getresponse().status
            except OSError as error:
                answers[name] = error
            finally:
                connection.close()
        with pytest.raises(RuntimeError, match="Serving Error: RESTful server is already running"):
            server.start_restful_server(f"127.0.0.1:{port}")
    finally:
        server.stop()
    assert answers["friend"] == 200
    assert isinstance(answers["stranger"], OSError)


def test_a_certificate_with_the_key_of_another_is_refused(certificates: Certificates) -> None:
    (certificate, _), (_, key) = certificates.files["localhost"], certificates.files["friend"]
    with pytest.raises(RuntimeError) as refused:
        server.start_restful_server("127.0.0.1:1", ssl_config=server.SSLConfig(certificate, key))
    assert str(refused.value) == f"Serving Error: private_key {key} is not consistent with certificate {certificate}"


def test_tls_lets_in_who_shows_a_certificate_and_nobody_else(certificates: Certificates) -> None:
    files, ca_file = certificates.files, certificates.ca
    port = free_port()
    server.start_grpc_server(f"127.0.0.1:{port}", 100, server.SSLConfig(*files["localhost"], ca_file, True))
    try:
        answers = {}
        for name, ssl_config in (
            ("friend", SSLConfig(*files["friend"], ca_file)),
            ("stranger", SSLConfig(*files["stranger"], ca_file)),
            ("nobody", SSLConfig(custom_ca=ca_file)),
            ("plain", None),
        ):
            with Client(f"localhost:{port}", "add", "add_common", ssl_config=ssl_config, retry=False) as client:
                answers[name] = str(client.infer({"x": 1}, timeout=5))
    finally:
        server.stop()
    assert "servable is not available" in answers.pop("friend")
    assert all("Grpc Error, (14, 'unavailable')" in answer for answer in answers.values()), answers


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda: SSLConfig("a"), "Parameter 'certificate' and 'private_key' should be given together"),
        (lambda: SSLConfig(custom_ca="/nowhere.crt"), "custom_ca '/nowhere.crt' cannot be read: No such file"),
        (lambda: SSLConfig(custom_ca=3), "Parameter 'custom_ca' should be str"),  # type: ignore[arg-type]
        (
            lambda: Client("a:1", "add", "m", ssl_config=3),  # type: ignore[call-overload]
            "The type of ssl_config should be type of SSLConfig",
        ),
    ],
)
def test_a_clients_ssl_config_that_cannot_be_is_refused(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(RuntimeError) as refused:
        make()
    assert str(refused.value).startswith(text)


def test_all_the_names_that_the_original_promised_are_there() -> None:
    for name in server.__all__:
        assert getattr(server, name) is not None
    assert server.master.context is context
    with pytest.raises(AttributeError):
        _ = server.nothing_of_the_kind


def test_a_worker_that_was_told_to_end_is_not_started_again() -> None:
    for rule in (True, False):
        assert Restarts(rule).wait_seconds(Ended(True, True, 5.0, was_told=True)) is None
        assert Restarts(rule).wait_seconds(Ended(True, True, 5.0)) == 1.0


def test_a_worker_that_never_answered_is_started_again_only_where_the_rule_says_so() -> None:
    killed = Ended(True, False, 5.0)
    assert Restarts(only_after_an_answer=True).wait_seconds(killed) is None
    assert Restarts(only_after_an_answer=False).wait_seconds(killed) == 1.0


def test_each_soon_end_doubles_the_wait_and_a_healthy_life_resets_it() -> None:
    restarts = Restarts(only_after_an_answer=False)
    waits = [restarts.wait_seconds(Ended(False, False, 0.5)) for _ in range(8)]
    assert waits == [1, 2, 4, 8, 16, LONGEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS]
    assert restarts.wait_seconds(Ended(True, True, HEALTHY_SECONDS)) == 1.0


@pytest.mark.parametrize(
    "call",
    [
        "server.distributed.declare_servable(rank_size=8, stage_size=1)",
        "server.distributed.start_servable('servables', 'matmul', rank_table_json_file='ranks.json')",
        "server.distributed.startup_agents('127.0.0.1:6200', ['a.mindir'])",
        "worker.distributed.declare_distributed_servable(rank_size=8, stage_size=1)",
        "worker.distributed.start_distributed_servable('servables', 'matmul', 'ranks.json')",
        "worker.distributed.start_distributed_servable_in_master('servables', 'matmul', 'ranks.json')",
        "worker.distributed.startup_worker_agents('127.0.0.1', 6200, ['a.mindir'])",
    ],
)
def test_distributed_servables_are_refused_where_they_are_called(call: str) -> None:
    with pytest.raises(RuntimeError, match="distributed servables are not supported, see docs/"):
        exec(f"from mindspore_serving import server, worker\n{call}")  # noqa: S102 - as scripts of their users write it
