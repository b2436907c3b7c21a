"""Networks for test_straight_calls.py: `-m tests.worker.straight_networks FOLDER` writes FOLDER/name.mindir."""

import sys
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import mint, nn, ops

OPEN = None
PAIRS = [OPEN, 3, 2], [OPEN, 3, 2]


class Sum(nn.Cell):
    """The tutorial's."""

    def construct(self, x: Any, y: Any) -> Any:
        return x + y


class Three(nn.Cell):
    """Three outputs, one of them twice."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = ms.Parameter(ms.Tensor(np.arange(6).reshape(3, 2), ms.float32), name="weights")

    def construct(self, x: Any, y: Any) -> Any:
        total = x + y
        return total, x * self.weights, total


class Nested(nn.Cell):
    """The same, within each other."""

    def construct(self, a: Any, b: Any) -> Any:
        return a + b, (a * b, [a - b, (ops.relu(a),)])


class Deep(nn.Cell):
    """More steps than one chain has."""

    def construct(self, x: Any) -> Any:
        for _ in range(50):
            x = ops.tanh(x) * 1.5
        return x


class Given(nn.Cell):
    """One of the outputs is an input."""

    def construct(self, x: Any, y: Any) -> Any:
        return x + y, y


class Seen(nn.Cell):
    """What is given, otherwise arranged: nothing is computed."""

    def construct(self, x: Any) -> Any:
        return x.reshape(-1, 6)


class Counted(nn.Cell):
    """It counts its calls, besides."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = ms.Parameter(ms.Tensor([0.0], ms.float32), name="calls")

    def construct(self, x: Any) -> Any:
        ops.assign_add(self.calls, ms.Tensor([1.0], ms.float32))
        return x + 1.0


class Whole(nn.Cell):
    """Of whole numbers."""

    def construct(self, x: Any) -> Any:
        return x + 1


class Rows(nn.Cell):
    """Open sizes of two inputs, which have to be the same."""

    def construct(self, x: Any, y: Any) -> Any:
        return ops.relu(x) * y


class Large(nn.Cell):
    """More weights than are held twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Dense(2048, 4200)

    def construct(self, x: Any) -> Any:
        return self.layer(x)


class Words(nn.Cell):
    """What a table says of each word, and their mean."""

    def __init__(self, table: Any, cast: Any = None) -> None:
        super().__init__()
        self.table, self.cast, self.layer = table, cast, nn.Dense(16, 5)

    def construct(self, x: Any) -> Any:
        if self.cast is not None:
            x = x.astype(self.cast)
        return self.layer(self.table(x).mean(-2))


class TwoTables(nn.Cell):
    """Two tables, one of which is asked twice, and is that of a layer too."""

    def __init__(self) -> None:
        super().__init__()
        self.one = ms.Parameter(ms.Tensor(np.arange(60).reshape(10, 6) / 60, ms.float32), name="one")
        self.other = ms.Parameter(ms.Tensor(np.arange(24).reshape(4, 6) / 24, ms.float32), name="other")

    def construct(self, x: Any, y: Any) -> Any:
        sums = ops.gather(self.one, x, 0) + ops.gather(self.other, y, 0) * ops.gather(self.one, y, 0)
        return ops.matmul(sums, self.one.T)


class OtherAxis(nn.Cell):
    """Columns of a table."""

    def __init__(self) -> None:
        super().__init__()
        self.table = ms.Parameter(ms.Tensor(np.arange(60).reshape(10, 6) / 60, ms.float32), name="table")

    def construct(self, x: Any) -> Any:
        return ops.gather(self.table, x, 1).sum(0)


class Half(nn.Cell):
    """As networks for Ascend compute."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Dense(6, 4, weight_init="ones").to_float(ms.float16)

    def construct(self, x: Any) -> Any:
        return ops.relu(self.layer(x))


class Where(nn.Cell):
    """A mask that is given: as numbers, which it becomes here."""

    def construct(self, x: Any) -> Any:
        return 1.0 - x.astype(ms.float32)


class Formula(nn.Cell):
    """A function of what is given."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def construct(self, x: Any) -> Any:
        return self.function(x)


def more(x: Any) -> Any:
    """Masks by each comparison, and by what logic makes of them."""
    either = ops.logical_or(x < -1, ops.logical_not(x <= 1.0))
    return x.masked_fill(x > 0.5, 3.0) + (either & (x != 0)).astype(ms.float32)


def not_less(x: Any) -> Any:
    """By other values, one of which is fixed."""
    kept = ops.where(x >= x.mean(-1, keep_dims=True), x, 0.0)
    return kept + (x == ms.Tensor(np.array([0, 1, 0, 1, 0, 1]), ms.float32)).astype(ms.float32)


def padded(x: Any) -> Any:
    """The mask of an attention, of words."""
    seen = ops.not_equal(x, 0).expand_dims(1).astype(ms.float32)
    return (1.0 - (x == 3).astype(ms.float32)).expand_dims(1) * -10000.0 + seen


def compared(x: Any) -> Any:
    """Whole numbers with each other, which may be too large for floats."""
    return (x > ops.flip(x, (1,))).astype(ms.float32)


class Classes(nn.Cell):
    """What a classifier says of its scores."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.layer, self.function = nn.Dense(6, 9), function

    def construct(self, x: Any) -> Any:
        return self.function(self.layer(x))


def classified(scores: Any) -> Any:
    return ops.softmax(scores), scores.argmax(1), mint.argmax(scores, -1, True), ops.argmin(scores, -1)


def with_values(scores: Any) -> Any:
    return ops.max(scores, 1), ops.min(scores, -1, keepdims=True)


def largest_of_given(x: Any) -> Any:
    return x.argmax(1), ops.max(x, 1)


def least_of_given(x: Any) -> Any:
    return ops.argmin(x, 1), ops.min(x, 1)


def ranked(scores: Any) -> Any:
    """All of both, and one of either."""
    return ops.topk(scores, 3), ops.topk(scores, 2)[0] * 2.0, ops.topk(scores, 4)[1]


def in_classes(x: Any) -> Any:
    """Which a sum of them would count."""
    return ops.one_hot(x, 5, ms.Tensor(2.0), ms.Tensor(-1.0)).sum(1)


def of_one(x: Any) -> Any:
    return ops.one_hot(x, 5, ms.Tensor(1.0), ms.Tensor(0.0)) * 2.0


def with_values_of_one(x: Any) -> Any:
    largest, where = ops.max(ops.relu(x), 0)
    return largest, where, x.argmin(0) + ms.Tensor([1, 2, 3, 4, 5, 6], ms.int64)


class Trees(nn.Cell):
    """Of depth one: which column to look at, from which number on, and what leaf that leads to."""

    def __init__(self) -> None:
        super().__init__()
        chance = np.random.default_rng(5)
        self.columns = ms.Tensor(chance.integers(0, 6, 10), ms.int32)
        self.least = ms.Tensor(chance.standard_normal(10), ms.float32)
        self.first = ms.Tensor(np.arange(10) * 2, ms.int32)
        self.leaves = ms.Tensor(chance.standard_normal(20), ms.float32)

    def construct(self, x: Any) -> Any:
        is_more = ops.gather(x, self.columns, 1) > self.least
        return ops.gather(self.leaves, is_more.astype(ms.int32) + self.first, 0).sum(1)


def by_whole_numbers(x: Any) -> Any:
    return (x + 1) * x - ms.Tensor([[3, 2, 1]], ms.int32)


def narrowed(x: Any) -> Any:
    """Of int64, to fewer bits."""
    return x.astype(ms.int32), x.astype(ms.uint8), x.astype(ms.int32) + 1


def of_an_open_axis(x: Any) -> Any:
    return x.argmax(1) + 1


# name -> network, shapes of its inputs, and their type where that is not float32
OTHERS: dict[str, tuple[Any, tuple[list[int | None], ...], Any]] = {
    "words": (Words(nn.Embedding(50, 16)), ([OPEN, 7],), ms.int32),
    "words_of_int64": (Words(nn.Embedding(50, 16)), ([OPEN, 7],), ms.int64),
    "words_of_floats": (Words(nn.Embedding(50, 16), ms.int32), ([OPEN, 7],), ms.float32),
    "words_of_one": (Words(nn.Embedding(50, 16)), ([7],), ms.int32),
    "words_of_mint": (Words(mint.nn.Embedding(50, 16)), ([OPEN, 7],), ms.int64),
    "two_tables": (TwoTables(), ([OPEN, 3], [OPEN, 3]), ms.int32),
    "half": (Half(), ([OPEN, 6],), ms.float16),
    "where": (Where(), ([OPEN, 6],), ms.bool_),
    "other_axis": (OtherAxis(), ([OPEN],), ms.int32),
    "whole": (Whole(), ([OPEN, 3],), ms.int32),
    "by_whole_numbers": (Formula(by_whole_numbers), ([OPEN, 3],), ms.int32),
    "narrowed": (Formula(narrowed), ([OPEN, 6],), ms.int64),
    "in_classes": (Formula(in_classes), ([OPEN, 7],), ms.int32),
    "in_classes_of_one": (Formula(of_one), ([7],), ms.int64),
    "padded": (Formula(padded), ([OPEN, 6],), ms.int32),
    "padded_of_int64": (Formula(padded), ([OPEN, 6],), ms.int64),
    "compared": (Formula(compared), ([OPEN, 6],), ms.int32),
}
NETWORKS: dict[str, tuple[Any, tuple[list[int | None], ...]]] = {
    "sum": (Sum(), PAIRS),
    "sum_of_one": (Sum(), ([3, 2], [3, 2])),
    "sum_of_eight": (Sum(), ([8, 3, 2], [8, 3, 2])),
    "three": (Three(), PAIRS),
    "nested": (Nested(), PAIRS),
    "three_of_one": (Three(), ([3, 2], [3, 2])),
    "deep": (Deep(), ([OPEN, 5],)),
    "deep_of_one": (Deep(), ([5],)),
    "rows": (Rows(), ([OPEN, OPEN, 2], [OPEN, OPEN, 2])),
    "classified": (Classes(classified), ([OPEN, 6],)),
    "with_values": (Classes(with_values), ([OPEN, 6],)),
    "with_values_of_one": (Formula(with_values_of_one), ([5, 6],)),
    "largest_of_given": (Formula(largest_of_given), ([OPEN, 4],)),
    "least_of_given": (Formula(least_of_given), ([OPEN, 4],)),
    "ranked": (Classes(ranked), ([OPEN, 6],)),
    "trees": (Trees(), ([OPEN, 6],)),
    "of_an_open_axis": (Formula(of_an_open_axis), ([OPEN, OPEN, 3],)),
    "more": (Formula(more), ([OPEN, 6],)),
    "not_less": (Formula(not_less), ([OPEN, 6],)),
    "given": (Given(), PAIRS),
    "seen": (Seen(), ([OPEN, 3, 2],)),
    "counted": (Counted(), ([OPEN, 3],)),
    "large": (Large(), ([OPEN, 2048],)),
}


def main(folder: str) -> None:
    """Writes them all."""
    of_floats = {name: (network, shapes, ms.float32) for name, (network, shapes) in NETWORKS.items()}
    for name, (network, shapes, kind) in {**of_floats, **OTHERS}.items():
        tensors = [ms.Tensor(shape=shape, dtype=kind) for shape in shapes]
        ms.export(network, *tensors, file_name=str(Path(folder, name)), file_format="MINDIR")


if __name__ == "__main__":
    main(sys.argv[1])
