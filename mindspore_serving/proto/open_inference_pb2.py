"""The messages of the Open Inference Protocol. Not generated: see private_pool.py."""

from mindspore_serving.proto.private_pool import names_in

globals().update(names_in("open_inference.proto"))
