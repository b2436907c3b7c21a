"""What a worker tells of its methods' tensors: what is known where they meet a model, and nothing else."""

import pytest

from mindspore_serving.cluster.messages import TensorType
from tests.worker.conftest import Workshop

METHODS = """
model = register.declare_model("model.mindir", "MindIR", with_batch_dim={batch})

def f(a):
    return a

@register.register_method(output_names=["y", "a"])
def straight(a, b):
    return register.add_stage(model, a, b, outputs_count=1), a

@register.register_method(output_names=["y"])
def through(a, b):
    first = register.add_stage(f, a, outputs_count=1)
    second = register.add_stage(model, first, b, outputs_count=1)
    return register.add_stage(f, second, outputs_count=1)
"""


@pytest.mark.parametrize(
    "model, batch, given, shape",
    [
        ("batch", True, (2,), (2,)),
        ("batch", False, (4, 2), (4, 2)),
        ("open", True, (2,), (2,)),
        ("open", False, (-1, 2), (-1, -1)),
    ],
)
def test_a_tensor_is_known_where_it_meets_a_model(
    workshop: Workshop, model: str, batch: bool, given: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    straight, through = workshop.make(METHODS.format(batch=batch), model).methods
    known = TensorType("<f4", given)
    assert straight.input_types == (known, known)
    assert straight.output_types == (TensorType("<f4", shape), known)
    assert through.input_types == (None, known)
    assert through.output_types == (None,)
