"""The servable that clients of other projects are tried on: a model, and methods in Python."""

import time

from mindspore_serving.server import register

add_model = register.declare_model(model_file="tensor_add.mindir", model_format="MindIR", with_batch_dim=False)


def words(count):
    return " ".join(["word"] * int(count))


def slow(seconds):
    time.sleep(float(seconds))
    return seconds


def fail(x):
    raise ValueError("this method always fails")


@register.register_method(output_names=["y"])
def add(x1, x2):
    return register.add_stage(add_model, x1, x2, outputs_count=1)


@register.register_method(output_names=["y"])
def echo(x):
    return x


@register.register_method(output_names=["y"])
def text(x):
    return register.add_stage(words, x, outputs_count=1)


@register.register_method(output_names=["y"])
def wait(x):
    return register.add_stage(slow, x, outputs_count=1)


@register.register_method(output_names=["y"])
def broken(x):
    return register.add_stage(fail, x, outputs_count=1)
