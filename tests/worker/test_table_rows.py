"""Which inputs of a file name rows of a table, and of how many."""

from pathlib import Path

import pytest

from mindspore_serving.worker.mindir_file import read_inputs
from mindspore_serving.worker.target import Target
from tests.worker.conftest import Workshop


@pytest.fixture
def rows_of_inputs(workshop: Workshop, tmp_path: Path) -> list[int]:
    """Of a network with inputs in two tables, in one along another axis, in one behind a sum, and in none."""

    def work() -> list[int]:
        import mindspore as ms
        from mindspore import nn, ops

        class Lookups(nn.Cell):
            def __init__(self) -> None:
                super().__init__()
                self.words = nn.Embedding(7, 2)
                self.few = nn.Embedding(5, 2)
                self.table = ms.Parameter(ms.ops.ones((2, 3), ms.float32), name="table")

            def construct(self, both, column, computed, longer, number):  # type: ignore[no-untyped-def]
                words = self.words(both) + self.few(ops.expand_dims(both, 0))[0]
                others = ops.gather(self.table, column, 1) + self.words(computed + 1).sum()
                return words, others + number.sum(), ms.mint.nn.functional.embedding(longer, self.few.embedding_table)

        file, numbers = tmp_path / "lookups.mindir", ms.Tensor([1, 2], ms.int32)
        given = (numbers, numbers, numbers, ms.Tensor([[1], [2]], ms.int64), numbers)
        ms.export(Lookups(), *given, file_name=str(file), file_format="MINDIR")
        return [one.rows for one in read_inputs(file, Target())]

    return workshop.on_mindspore_thread(work)


def test_the_smallest_table_counts_and_what_is_computed_is_not_followed(rows_of_inputs: list[int]) -> None:
    assert rows_of_inputs == [5, 3, 0, 5, 0]
