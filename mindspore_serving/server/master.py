"""`mindspore_serving.server.master`: the doors' calls under their other name, and `master.context`."""

from mindspore_serving import context
from mindspore_serving.server.deployment import start_grpc_server, start_restful_server, stop

__all__ = ["context", "start_grpc_server", "start_restful_server", "stop"]
