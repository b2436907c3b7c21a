"""The servable `lenet`: an image file in, the digit that it shows out."""

import numpy as np
from lenet.picture import to_input

from mindspore_serving.server import register

model = register.declare_model(model_file="lenet.mindir", model_format="MindIR", with_batch_dim=True)


def preprocess(image):
    """The client's bytes arrive as a 1-D uint8 array."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 1:
        raise ValueError("the input 'image' should be the bytes of a PNG file")
    return to_input(image.tobytes())


def postprocess(scores):
    """The ten scores become the most probable digit and its probability (softmax)."""
    weights = np.exp(scores - scores.max())
    digit = scores.argmax()
    return digit, weights[digit] / weights.sum()


@register.register_method(output_names=["digit", "probability"])
def predict(image):
    """A function, the model, a function."""
    tensor = register.add_stage(preprocess, image, outputs_count=1)
    scores = register.add_stage(model, tensor, outputs_count=1)
    return register.add_stage(postprocess, scores, outputs_count=2)
