"""Where MindSpore Serving 2.x had merge_config, and where its own tests look for it."""

from mindspore_serving.server.start_config import merge_config

__all__ = ["merge_config"]
