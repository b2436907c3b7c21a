"""What the benchmarks call: the model's name, its method's inputs and output. export_models.py makes the models."""

from dataclasses import dataclass

from mindspore_serving.bench.input_spec import InputSpec


@dataclass(frozen=True, slots=True)
class Workload:
    """A servable of one method, `predict`. `what` is for the reader of the tables.

    `is_further`: measured only when it is asked for by its name, or by FURTHER, which stands for all such.
    """

    name: str
    what: str
    inputs: tuple[InputSpec, ...]
    instances: tuple[int, ...] = (1, 16)  # in a request, unless other numbers are asked for
    is_further: bool = False


def _further(name: str, what: str, *inputs: InputSpec, instances: tuple[int, ...] = (1, 16)) -> Workload:
    return Workload(name, what, inputs, instances, is_further=True)


_ADD = (InputSpec("x1", "float32", (2, 2)), InputSpec("x2", "float32", (2, 2)))
METHOD = "predict"
FURTHER = "further"
WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("add", "sum of two 2x2 float32, the tutorial's model, without a batch axis", _ADD),
        Workload("add_batch", "the same with a batch axis", _ADD),
        Workload("mlp", "784-512-256-10 with ReLU", (InputSpec("x", "float32", (784,)),)),
        Workload("image", "3x224x224 to ReduceMean and Dense", (InputSpec("x", "float32", (3, 224, 224)),), (1,)),
        Workload("lenet", "LeNet-5 on 1x32x32", (InputSpec("x", "float32", (1, 32, 32)),)),
        _further(
            "neighbours", "8 inputs of 4 float32, 8 sums", *(InputSpec(name, "float32", (4,)) for name in "abcdefgh")
        ),
        _further("words", "128 int32 looked up in a table, their mean, Dense", InputSpec("x", "int32", (128,))),
        _further("encoder", "transformer of 2 layers of 128, 64 words", InputSpec("x", "float32", (64, 128))),
        _further("bert", "2 layers of BERT, 128 words", InputSpec("x", "float32", (128, 768)), instances=(1,)),
        _further("lstm", "LSTM of 2 layers of 128 over 32x64", InputSpec("x", "float32", (32, 64))),
        _further("speech", "convolutions over a sequence, 40x100", InputSpec("x", "float32", (40, 100))),
        _further("recommender", "26 int32 looked up in a large table, MLP", InputSpec("x", "int32", (26,))),
        _further("unet", "U-Net on 3x128x128", InputSpec("x", "float32", (3, 128, 128)), instances=(1,)),
        _further("mobile", "layers of MobileNet on 3x96x96", InputSpec("x", "float32", (3, 96, 96))),
        _further("resnet", "ResNet-18 on 3x224x224", InputSpec("x", "float32", (3, 224, 224)), instances=(1,)),
        _further(
            "inception", "a block of Inception on 3x96x96", InputSpec("x", "float32", (3, 96, 96)), instances=(1,)
        ),
        _further("generator", "transposed convolutions, 100 to 3x64x64", InputSpec("x", "float32", (100,))),
        _further("large_mlp", "2048-4096-1000 with ReLU", InputSpec("x", "float32", (2048,))),
        _further("blur", "convolution, 3x256x256 in and out", InputSpec("x", "float32", (3, 256, 256)), instances=(1,)),
        _further("around", "Python functions before and behind the MLP, 784 uint8", InputSpec("x", "uint8", (784,))),
        _further("text", "a Python function alone, str of 100", InputSpec("x", "str", (100,))),
        _further("bytes", "a Python function alone, bytes of 10,000", InputSpec("x", "bytes", (10_000,))),
    )
}
