"""The servable `add`: two methods over one model that adds two 2x2 float32 matrices."""

import numpy as np

from mindspore_serving.server import register

# The model has no batch dimension: an instance is the model's whole input.
model = register.declare_model(model_file="tensor_add.mindir", model_format="MindIR", with_batch_dim=False)


def to_float32(x1, x2):
    """Lets a client send matrices of any number type."""
    return x1.astype(np.float32), x2.astype(np.float32)


@register.register_method(output_names=["y"])
def add_common(x1, x2):
    """Only the model: x1 and x2 are float32."""
    return register.add_stage(model, x1, x2, outputs_count=1)


@register.register_method(output_names=["y"])
def add_cast(x1, x2):
    """A function before the model."""
    x1, x2 = register.add_stage(to_float32, x1, x2, outputs_count=2)
    return register.add_stage(model, x1, x2, outputs_count=1)
