"""The command `bench`: one checked reply first, then the load, then a checked reply again, and the findings."""

from collections.abc import Callable
from typing import Any

import grpc
import numpy as np

from mindspore_serving.bench.config import BenchConfig
from mindspore_serving.bench.h2load import find_h2load, run_h2load
from mindspore_serving.bench.inputs import NamedValues, random_instance, read_values
from mindspore_serving.bench.load import PREDICT, Load, error_text, open_channel
from mindspore_serving.bench.payload import Expected, deal, decode
from mindspore_serving.bench.processes import run_processes
from mindspore_serving.bench.report import Findings, write_json
from mindspore_serving.bench.tally import Tally
from mindspore_serving.client.wire_values import request_bytes
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.telling import report


def run(config: BenchConfig, notify: Callable[[str], None]) -> int:
    """Prints the findings. Returns 1 when a call failed or a reply was wrong. Raises SetupError before any load."""
    del notify  # this is no service
    try:
        findings = measure(config)
    except KeyboardInterrupt:
        raise SetupError("bench: interrupted before the end") from None
    report(findings.as_text())
    if config.json is not None:
        write_json(findings, config.json)
    return 1 if findings.tally.failed else 0


def measure(config: BenchConfig) -> Findings:
    """Runs the load that `config` describes. Raises SetupError when it cannot begin."""
    bodies, wanted = _requests(config)
    with open_channel(str(config.address)) as channel:
        expected = tuple(
            _first_reply(channel, config, body, values) for body, values in zip(bodies, wanted, strict=True)
        )
        engine = _engine(config, bodies)
        tally = _by_h2load(config, bodies, expected) if engine == "h2load" else _by_grpcio(config, bodies, expected)
        _check_again(channel, config, bodies[0], expected[0], tally)
    callers = config.closed_callers
    loop = (
        f"open loop, {config.rate:g} calls/s ({config.arrivals})"
        if callers is None
        else f"closed loop, {callers} caller{'s' if callers > 1 else ''}"
    )
    return Findings(
        loop=loop,
        engine=engine,
        instances=config.instances,
        request_bytes=len(bodies[0]),
        processes=1 if engine == "h2load" else config.processes,
        tally=tally,
    )


def _requests(config: BenchConfig) -> tuple[list[bytes], list[list[NamedValues] | None]]:
    """The different requests, and what --expect says of each reply."""
    if config.inputs is not None:
        values = read_values(config.inputs, "--inputs")
    else:
        generator = np.random.default_rng(config.seed)
        values = [random_instance(config.input, generator) for _ in range(config.instances)]
    dealt = deal(values, config.instances)
    try:
        bodies = [request_bytes(config.servable, config.method, config.version, instances) for instances in dealt]
    except RuntimeError as error:
        raise SetupError(f"these inputs cannot be sent: {error}") from error
    if config.expect is None:
        return bodies, [None] * len(bodies)
    expect = read_values(config.expect, "--expect")
    if len(expect) not in (1, len(values)):
        raise SetupError(f"--expect has {len(expect)} instances, the inputs have {len(values)}: give one, or as many")
    every = expect * len(values) if len(expect) == 1 else expect
    return bodies, [*deal(every, config.instances)]


def _first_reply(channel: Any, config: BenchConfig, body: bytes, wanted: list[NamedValues] | None) -> Expected:
    try:
        reply = channel.unary_unary(PREDICT)(body, timeout=config.timeout_seconds)
    except grpc.RpcError as error:
        raise SetupError(_no_reply(error, config)) from None
    found = decode(reply)
    if isinstance(found, str):
        raise SetupError(f"the server at {config.address} refuses this call: {found}")
    if wanted is not None and (fault := Expected(b"", tuple(wanted)).fault(reply)):
        raise SetupError(f"the first reply is not what --expect {config.expect} says: {fault}")
    return Expected(reply, tuple(found if wanted is None else wanted))


def _no_reply(error: Any, config: BenchConfig) -> str:
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return f"no gRPC server can be reached at {config.address}: start it first ({error.details()})"
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"the server at {config.address} did not answer within {config.timeout_seconds:g} s (--timeout-seconds)"
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        return f"the server at {config.address} is no MindSpore Serving: it does not know {PREDICT}"
    return f"the server at {config.address} answers with {error_text(error)}"


def _engine(config: BenchConfig, bodies: list[bytes]) -> str:
    if config.engine == "h2load" and len(bodies) > 1:
        raise SetupError(f"h2load sends one request only, these inputs make {len(bodies)}: give --engine grpcio")
    if config.engine != "auto":
        return config.engine
    return "h2load" if config.rate is None and len(bodies) == 1 and find_h2load() else "grpcio"


def _by_h2load(config: BenchConfig, bodies: list[bytes], expected: tuple[Expected, ...]) -> Tally:
    return run_h2load(
        config.address,
        bodies[0],
        len(expected[0].reply),
        callers=config.closed_callers or 1,
        warm_up_seconds=config.warm_up_seconds,
        seconds=config.seconds,
        timeout_seconds=config.timeout_seconds,
    )


def _by_grpcio(config: BenchConfig, bodies: list[bytes], expected: tuple[Expected, ...]) -> Tally:
    callers = config.closed_callers
    shares = config.processes if callers is None else min(config.processes, callers)
    return run_processes(
        [
            Load(
                target=str(config.address),
                bodies=tuple(bodies),
                expected=expected,
                warm_up_seconds=config.warm_up_seconds,
                seconds=config.seconds,
                timeout_seconds=config.timeout_seconds,
                callers=0 if callers is None else len(range(share, callers, shares)),
                rate=config.rate or 0.0,
                arrivals=config.arrivals,
                share=share,
                shares=shares,
                seed=config.seed,
            )
            for share in range(shares)
        ]
    )


def _check_again(channel: Any, config: BenchConfig, body: bytes, expected: Expected, tally: Tally) -> None:
    try:
        fault = expected.fault(channel.unary_unary(PREDICT)(body, timeout=config.timeout_seconds))
    except grpc.RpcError as error:
        fault = error_text(error)
    if fault is not None:
        tally.fail(f"after the load: {fault}")
