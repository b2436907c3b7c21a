"""What a user's program imports: Client. Needs only grpcio, protobuf and numpy.

In reading order:
    client         Client: connects, calls, reports
    wire_values    Python values <-> protobuf tensors
"""

from mindspore_serving.client.client import Client, PendingResult

__all__ = ["Client", "PendingResult"]
