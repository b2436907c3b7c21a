"""What the benchmarks call: the model's name, its method's inputs and output. export_models.py makes the models."""

from dataclasses import dataclass

from mindspore_serving.bench.input_spec import InputSpec


@dataclass(frozen=True, slots=True)
class Workload:
    """A servable of one method, `predict`, over one model. `what` is for the reader of the tables."""

    name: str
    what: str
    inputs: tuple[InputSpec, ...]
    instances: tuple[int, ...] = (1, 16)  # in a request, unless other numbers are asked for


_ADD = (InputSpec("x1", "float32", (2, 2)), InputSpec("x2", "float32", (2, 2)))
METHOD = "predict"
WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("add", "sum of two 2x2 float32, the tutorial's model, without a batch axis", _ADD),
        Workload("add_batch", "the same with a batch axis", _ADD),
        Workload("mlp", "784-512-256-10 with ReLU", (InputSpec("x", "float32", (784,)),)),
        Workload("image", "3x224x224 to ReduceMean and Dense", (InputSpec("x", "float32", (3, 224, 224)),), (1,)),
        Workload("lenet", "LeNet-5 on 1x32x32", (InputSpec("x", "float32", (1, 32, 32)),)),
    )
}
