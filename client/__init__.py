"""What a user's program imports: Client. Needs only grpcio, protobuf and numpy.

In reading order:
    client         Client: connects, calls, reports
    ssl_config     SSLConfig: the files of TLS
    wire_values    Python values <-> protobuf tensors
"""

from mindspore_serving.client.client import Client, PendingResult
from mindspore_serving.client.ssl_config import SSLConfig

__all__ = ["Client", "PendingResult", "SSLConfig"]
