"""What a file tells of a value."""

from dataclasses import dataclass

from mindspore_serving.worker.rewrites.file_constants import INT64


@dataclass(frozen=True)
class Value:
    """Type, of TensorProto.DataType, and shape; -1 where a dimension is open."""

    data_type: int
    shape: tuple[int, ...]


UNRANKED = (-2,)  # in place of a shape of which not even the number of axes is known
SIZE = Value(INT64, (0,))  # a number of a shape, as files have it
