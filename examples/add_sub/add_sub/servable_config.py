"""The servable `add_sub`: two models, and methods that use one of them, both in a row, or both side by side."""

from mindspore_serving.server import register

# The models have no batch dimension: an instance is a model's whole input.
add = register.declare_model(model_file="tensor_add.mindir", model_format="MindIR", with_batch_dim=False)
sub = register.declare_model(model_file="tensor_sub.mindir", model_format="MindIR", with_batch_dim=False)


@register.register_method(output_names=["y"])
def add_only(x1, x2):
    """x1 + x2"""
    return register.add_stage(add, x1, x2, outputs_count=1)


@register.register_method(output_names=["y"])
def sub_only(x1, x2):
    """x1 - x2"""
    return register.add_stage(sub, x1, x2, outputs_count=1)


@register.register_method(output_names=["y"])
def add_sub(x1, x2, x3):
    """(x1 + x2) - x3: what one model returns goes into the other."""
    both = register.add_stage(add, x1, x2, outputs_count=1)
    return register.add_stage(sub, both, x3, outputs_count=1)


@register.register_method(output_names=["sum", "difference"])
def add_and_sub(x1, x2):
    """x1 + x2 and x1 - x2: the same inputs go into both models."""
    total = register.add_stage(add, x1, x2, outputs_count=1)
    difference = register.add_stage(sub, x1, x2, outputs_count=1)
    return total, difference
