"""A server that gives every request back: what a door alone can do, without a master behind it. echo.py ENGINE PORT."""

import asyncio
import signal
import sys

from mindspore_serving.cluster.addresses import Address
from mindspore_serving.master.grpc_api import GrpcDoor
from mindspore_serving.master.lean_door import LeanDoor
from mindspore_serving.master.service_table import CallInfo, Unary

ENGINES: dict[str, type[LeanDoor] | type[GrpcDoor]] = {"lean": LeanDoor, "grpcio": GrpcDoor}
MAX_MESSAGE_MB = 512


async def serve(engine: str, port: int) -> None:
    """Serves until SIGTERM."""

    async def echo(body: bytes, info: CallInfo) -> bytes:
        del info
        return body

    told_to_stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_stop.set)
    door = ENGINES[engine]({"mindspore.serving.proto.MSService": {"Predict": Unary(echo)}}, MAX_MESSAGE_MB)
    address = door.bind(Address("127.0.0.1", port))
    await door.start()
    print(f"listening on {address}", flush=True)
    await told_to_stop.wait()
    await door.stop()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
