"""Whole servers under the same load, side by side: ours, the original where it is installed, echoes as ceilings.

    python -m benchmarks.serving [--quick] [--original DIR] [--workloads add,mlp] [--callers 1,8,64] ...

The servers of a workload all run; in each round each of them is loaded in turn, in one order and then in the other, so
that a slow moment of the machine hits all alike. Ratios are made within a round. See docs/benchmarks.md.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import grpc
import numpy as np

from benchmarks.findings import Findings, Load, Round
from benchmarks.peers import Peer, PeerError, Running, available
from benchmarks.picture import draw
from benchmarks.processor import cpu_seconds
from benchmarks.workloads import FURTHER, METHOD, WORKLOADS
from mindspore_serving.bench.config import BenchConfig
from mindspore_serving.bench.inputs import NamedValues, random_instance
from mindspore_serving.bench.load import PREDICT, open_channel
from mindspore_serving.bench.payload import Expected, decode
from mindspore_serving.bench.run import measure
from mindspore_serving.client.wire_values import request_bytes
from mindspore_serving.cluster.addresses import Address
from mindspore_serving.cluster.errors import SetupError

SEED = 1
WARM_UP_CALLERS = 8
TURNS = 4
LONGEST_SECONDS = 15.0
T = TypeVar("T")


def main() -> int:
    arguments = read_arguments()
    try:
        with tempfile.TemporaryDirectory() as folder:
            findings = run(arguments, Path(folder))
    except (PeerError, SetupError) as error:
        print(error, file=sys.stderr)
        return 1
    print("\n" + "\n\n".join(findings.tables()))
    print("".join(f"\n{note}" for note in findings.notes()))
    arguments.out.mkdir(parents=True, exist_ok=True)
    found = {"machine": machine(), "cells": findings.as_json()}
    (arguments.out / "serving.json").write_text(json.dumps(found, indent=1) + "\n")
    (arguments.out / "serving.svg").write_text(draw(findings))
    print(f"\nwritten: {arguments.out}/serving.json, {arguments.out}/serving.svg; machine: {machine()}")
    if findings.errors:
        print(f"{findings.errors} calls failed or got a wrong reply", file=sys.stderr)
    return 1 if findings.errors else 0


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description="Servers side by side.")
    parser.add_argument("--quick", action="store_true", help="a minute: add and mlp, 1 and 8 callers, short rounds")
    usual = [name for name, workload in WORKLOADS.items() if not workload.is_further]
    further = [name for name, workload in WORKLOADS.items() if workload.is_further]
    parser.add_argument(
        "--workloads",
        type=workload_names,
        help=f"of {','.join(usual)} (default: these), {','.join(further)}; {FURTHER}: all of the latter",
    )
    parser.add_argument("--callers", type=list_of(int), help="default: 1,8,64")
    parser.add_argument("--instances", type=list_of(int), help="instances a request (default: 1,16; image: 1)")
    parser.add_argument("--rounds", type=int, help="default: 5")
    parser.add_argument("--seconds", type=float, help="of each measurement, at least (default: 1)")
    parser.add_argument(
        "--peers", help="only servers whose names contain one of these words (asleep: see docs/performance.md)"
    )
    parser.add_argument("--original", type=Path, help="where benchmarks/original/setup.sh has installed the original")
    parser.add_argument("--engine", choices=("auto", "h2load", "grpcio"), default="auto", help="what sends the load")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"), help="for serving.json and serving.svg")
    arguments = parser.parse_args()
    whole, quick = (usual, [1, 8, 64], 5, 1.0), (["add", "mlp"], [1, 8], 2, 0.5)
    names = ("workloads", "callers", "rounds", "seconds")
    for name, default in zip(names, quick if arguments.quick else whole, strict=True):
        if getattr(arguments, name) is None:
            setattr(arguments, name, default)
    return arguments


def run(arguments: argparse.Namespace, folder: Path) -> Findings:
    """Measures everything that was asked for. Raises PeerError when a server cannot be started."""
    words = arguments.peers.split(",") if arguments.peers else []
    everyone = available(folder, arguments.original and arguments.original.resolve(), arguments.workloads)
    peers = [peer for peer in everyone if (any(word in peer.name for word in words) if words else not peer.is_extra)]
    if not peers:
        raise PeerError(f"no server is called so, only {', '.join(peer.name for peer in everyone)}")
    findings = Findings([peer.name for peer in peers], frozenset(peer.name for peer in peers if peer.is_echo))
    for workload in arguments.workloads:
        with ExitStack() as stack:
            running = {}
            for peer in peers:
                logs = folder / f"{workload}-{peer.name}".replace(" ", "-")
                logs.mkdir()
                running[peer.name] = peer.start(workload, logs)
                stack.callback(running[peer.name].stop)
            _compare_replies(workload, peers, running)
            for instances in arguments.instances or WORKLOADS[workload].instances:
                _rounds(arguments, Load(workload, instances, 0), peers, running, findings)
    return findings


def _rounds(
    arguments: argparse.Namespace, work: Load, peers: list[Peer], running: dict[str, Running], findings: Findings
) -> None:
    """All numbers of callers for one workload and number of instances."""
    warm = [
        measure(_config(arguments, running[peer.name], work._replace(callers=WARM_UP_CALLERS), 2 * arguments.seconds))
        for peer in peers
    ]
    slowest = min(found.calls_per_second for found in warm)
    for callers in arguments.callers:
        load = work._replace(callers=callers)
        # So long that each caller calls several times, however slow the slowest server is.
        turns = TURNS * callers / slowest if slowest else LONGEST_SECONDS
        seconds = max(arguments.seconds, min(turns, LONGEST_SECONDS))
        for number in range(arguments.rounds):
            for peer in peers if number % 2 == 0 else reversed(peers):
                findings.add(load, peer.name, _round(arguments, running[peer.name], load, seconds))
        rates = "  ".join(f"{peer.name} {findings.rate(load, peer.name) or 0:.0f}" for peer in peers)
        print(f"{load.workload}, {load.instances} instances, {callers} callers: requests/s  {rates}", flush=True)


def _round(arguments: argparse.Namespace, running: Running, load: Load, seconds: float) -> Round:
    before = cpu_seconds(running.master), cpu_seconds(running.workers)
    found = measure(_config(arguments, running, load, seconds))
    spent = cpu_seconds(running.master) - before[0], cpu_seconds(running.workers) - before[1]
    # The one that is checked before, the one after, and those that the end of the time has cut short, half done.
    calls = found.tally.calls + 2 + load.callers / 2
    milliseconds = found.milliseconds()
    for text, count in found.tally.errors.items():
        print(f"{load}: {count} x {text}", file=sys.stderr, flush=True)
    return Round(
        requests_per_second=found.calls_per_second,
        mean_milliseconds=milliseconds["mean"],
        p50_milliseconds=milliseconds["p50"],
        p99_milliseconds=milliseconds["p99"],
        master_cpu_microseconds=spent[0] / calls * 1e6,
        worker_cpu_microseconds=spent[1] / calls * 1e6,
        load_cpu_share=found.tally.cpu_seconds / found.tally.seconds,
        errors=found.tally.failed,
    )


def _config(arguments: argparse.Namespace, running: Running, load: Load, seconds: float) -> BenchConfig:
    return BenchConfig(
        address=Address("127.0.0.1", running.port),
        servable=load.workload,
        method=METHOD,
        input=WORKLOADS[load.workload].inputs,
        instances=load.instances,
        callers=load.callers,
        seconds=seconds,
        warm_up_seconds=0.0,  # a server is warm after its first round; its CPU is counted from here on
        engine=arguments.engine,
        seed=SEED,
    )


def _compare_replies(workload: str, peers: list[Peer], running: dict[str, Running]) -> None:
    """The servers that compute something should compute the same. Raises PeerError."""
    instances = [random_instance(WORKLOADS[workload].inputs, np.random.default_rng(SEED)) for _ in range(3)]
    body = request_bytes(workload, METHOD, 0, instances)
    first: tuple[str, list[NamedValues]] | None = None
    for peer in peers:
        if peer.is_echo:
            continue
        with open_channel(f"127.0.0.1:{running[peer.name].port}") as channel:
            try:
                reply: bytes = _predict(channel)(body, timeout=60.0)
            except grpc.RpcError as error:
                raise PeerError(f"{peer.name} does not answer to {workload}: {error}") from error
        values = decode(reply)
        if isinstance(values, str):
            raise PeerError(f"{peer.name} answers to {workload} with an error: {values}")
        if first is None:
            first = peer.name, values
        elif fault := Expected(b"", tuple(first[1])).fault(reply):
            raise PeerError(f"{peer.name} and {first[0]} disagree about {workload}: {fault}")


def _predict(channel: grpc.Channel) -> "grpc.UnaryUnaryMultiCallable[bytes, bytes]":
    return channel.unary_unary(PREDICT)


def machine() -> str:
    """What this ran on, in a line; the load average is that of the last five minutes, this run included."""
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    name = cpu[0].partition(": ")[2] if cpu else platform.machine()
    system = f"Linux {platform.release()}, Python {platform.python_version()}, grpcio {grpc.__version__}"
    return f"{os.cpu_count()} cores of {name}, load average {os.getloadavg()[1]:.1f}, {system}"


def workload_names(text: str) -> list[str]:
    """Names with commas between; FURTHER stands for all that are not measured otherwise."""
    if unknown := [name for name in text.split(",") if name not in WORKLOADS and name != FURTHER]:
        raise argparse.ArgumentTypeError(f"'{unknown[0]}' is not one of {', '.join(WORKLOADS)} or {FURTHER}")
    further = [name for name, workload in WORKLOADS.items() if workload.is_further]
    return [one for name in text.split(",") for one in (further if name == FURTHER else [name])]


def list_of(read: Callable[[str], T]) -> Callable[[str], list[T]]:
    def read_all(text: str) -> list[T]:
        try:
            return [read(word) for word in text.split(",")]
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{text}' is not numbers with commas between") from None

    return read_all


if __name__ == "__main__":
    sys.exit(main())
