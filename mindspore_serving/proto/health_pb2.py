"""The messages of gRPC's health service. Not generated: see private_pool.py."""

from mindspore_serving.proto.private_pool import names_in

globals().update(names_in("health.proto"))
