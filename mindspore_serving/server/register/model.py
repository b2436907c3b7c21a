"""`register.model`: the original's module of models. See mindspore_serving/worker/register.py."""

from mindspore_serving.worker.register import Model, declare_model

__all__ = ["Model", "declare_model"]
