"""The names of MindSpore Serving 2.x: `from mindspore_serving.server import register` in a servable_config.py."""

from mindspore_serving.server import register

__all__ = ["register"]
