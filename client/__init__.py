"""What a user's program imports: Client, AsyncClient. Needs only grpcio, protobuf and numpy.

In reading order:
    client           Client: blocking and pending calls
    async_client     AsyncClient: the same for asyncio
    pending          PendingResult: what infer_async returns; alarm: the thread that wakes its retries
    calls            all of a call but the I/O: where an attempt goes, what its end means, what the caller is told
    retries          when and where a call is tried again
    arguments        both generations' arguments, and the options
    addresses        an address text -> the targets of gRPC
    channel_options  the options of gRPC's channels
    ssl_config       SSLConfig: the files of TLS
    bearer_token     the token of a call
    wire_values      Python values <-> protobuf tensors
"""

from mindspore_serving.client.async_client import AsyncClient
from mindspore_serving.client.client import Client
from mindspore_serving.client.pending import PendingResult
from mindspore_serving.client.ssl_config import SSLConfig

__all__ = ["AsyncClient", "Client", "PendingResult", "SSLConfig"]
