"""Echo calls through both gRPC doors, in turns: calls a second, CPU time a call, and their ratio. On 2 cores or more.

h2load makes the load where it is installed (Debian: nghttp2-client), otherwise two grpcio clients do.
"""

import argparse
import asyncio
import multiprocessing
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import grpc.aio

from mindspore_serving.cluster.addresses import Address
from mindspore_serving.master.config import GRPC_ENGINES
from mindspore_serving.master.grpc_api import GrpcDoor
from mindspore_serving.master.grpc_messages import message_prefix
from mindspore_serving.master.lean_door import LeanDoor
from mindspore_serving.master.service_table import CallInfo, ServiceTable, Unary

BODY = bytes(range(100))
CLIENTS = 2
PATH = "/Echo/Say"


class Round(NamedTuple):
    """One measurement."""

    calls_per_second: float
    cpu_microseconds: float


async def _echo(body: bytes, _: CallInfo) -> bytes:
    return body


async def _serve(engine: str, parent: Connection) -> None:
    table: ServiceTable = {"Echo": {"Say": Unary(_echo)}}
    door = LeanDoor(table, 1) if engine == "lean" else GrpcDoor(table, 1)
    address = door.bind(Address("127.0.0.1", 0))
    await door.start()
    parent.send(str(address))
    while await asyncio.to_thread(parent.recv):
        parent.send(time.process_time())
    await door.stop()


def _server(engine: str, parent: Connection) -> None:
    asyncio.run(_serve(engine, parent))


def _verify(target: str) -> None:
    with grpc.insecure_channel(target) as channel:
        say: Any = channel.unary_unary(PATH)
        reply = say(BODY, timeout=30)
    if reply != BODY:
        raise SystemExit(f"{target} does not echo")


async def _call(target: str, calls: int, callers: int) -> None:
    async with grpc.aio.insecure_channel(target) as channel:
        say: Any = channel.unary_unary(PATH)

        async def caller() -> None:
            for _ in range(calls // callers):
                await say(BODY, timeout=60)

        await asyncio.gather(*(caller() for _ in range(callers)))


def _client(target: str, calls: int, callers: int) -> None:
    asyncio.run(_call(target, calls, callers))


def _load(target: str, calls: int, callers: int) -> float:
    """Makes the calls. Returns how many a second were answered."""
    started_at = time.perf_counter()
    if shutil.which("h2load") is None:
        processes = [
            multiprocessing.Process(target=_client, args=(target, calls // CLIENTS, max(1, callers // CLIENTS)))
            for _ in range(CLIENTS if callers > 1 else 1)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        return calls / (time.perf_counter() - started_at)
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder) / "body"
        body.write_bytes(message_prefix(BODY) + BODY)
        fields = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
        amount = ["-n", str(calls), "-c", "1", "-m", str(callers)]
        command = ["h2load", *amount, *fields, "-d", str(body), f"http://{target}{PATH}"]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    finished = re.search(r"finished in .*?, ([\d.]+) req/s", said)
    if finished is None or f" {calls} succeeded" not in said:
        raise SystemExit(f"h2load failed:\n{said}")
    return float(finished[1])


def measure(engine: str, calls: int, callers: int) -> Round:
    """One round against a server of its own."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=_server, args=(engine, theirs))
    server.start()
    target = ours.recv()

    def cpu_seconds() -> float:
        ours.send(True)
        return float(ours.recv())

    _verify(target)
    _load(target, max(callers, calls // 10), callers)
    before = cpu_seconds()
    per_second = _load(target, calls, callers)
    used = cpu_seconds() - before
    _verify(target)
    ours.send(False)
    server.join()
    return Round(per_second, used / calls * 1e6)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description="Echo calls through both gRPC doors.")
    parser.add_argument("--calls", type=int, default=10_000, help="in a round (default: 10000)")
    parser.add_argument("--rounds", type=int, default=3, help="of each door, in turns (default: 3)")
    arguments = parser.parse_args()
    print("callers   lean calls/s  us CPU   grpcio calls/s  us CPU   ratio of calls/s, of CPU")
    for callers in (1, 8, 64):
        rounds: dict[str, list[Round]] = {engine: [] for engine in GRPC_ENGINES}
        for _ in range(arguments.rounds):
            for engine in GRPC_ENGINES:
                rounds[engine].append(measure(engine, arguments.calls, callers))
        lean, grpcio = (Round(*map(statistics.median, zip(*rounds[engine], strict=True))) for engine in GRPC_ENGINES)
        print(
            f"{callers:7} {lean.calls_per_second:14.0f} {lean.cpu_microseconds:7.1f} {grpcio.calls_per_second:16.0f} "
            f"{grpcio.cpu_microseconds:7.1f} {lean.calls_per_second / grpcio.calls_per_second:12.1f} "
            f"{grpcio.cpu_microseconds / lean.cpu_microseconds:12.1f}",
            flush=True,
        )


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main()
