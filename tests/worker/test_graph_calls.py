"""The short way into a compiled graph: taken where it gives what the public call gives, and nowhere else."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mindspore_serving.worker.graph_calls import Execute, GraphCalls
from mindspore_serving.worker.loaded_model import MAX_DYNAMIC_BATCH
from mindspore_serving.worker.mindir_file import read_inputs
from mindspore_serving.worker.mindspore_model import executor, forget_compiled, open_graph, set_device
from mindspore_serving.worker.target import Target
from tests.worker.conftest import Workshop, run
from tests.worker.test_servables import BATCH, column, results

Array = npt.NDArray[Any]


def pair(rows: int) -> list[Array]:
    return [np.arange(rows * 2, dtype=np.float32).reshape(rows, 2), np.ones((rows, 2), np.float32)]


def load(file: Path, execute: Execute | None) -> GraphCalls:
    import mindspore
    from mindspore import nn

    set_device(Target())
    cell, make = nn.GraphCell(mindspore.load(str(file))), mindspore.Tensor.from_numpy
    return GraphCalls(cell, file, make, execute, forget_compiled=forget_compiled)


def watched(seen: list[str]) -> Execute:
    """MindSpore's own way into a compiled graph, which notes the phases."""

    def execute_and_note(tensors: tuple[Any, ...], phase: str) -> Any:
        seen.append(phase)
        execute = executor()
        assert execute is not None
        return execute(tensors, phase)

    return execute_and_note


@pytest.fixture
def batch(models: Path) -> Path:
    return models / "batch" / "1" / "model.mindir"


def test_a_learnt_shape_is_called_directly_and_gives_the_same(workshop: Workshop, batch: Path) -> None:
    seen: list[str] = []

    def work() -> None:
        calls = load(batch, watched(seen))
        for rows in (4, 2):
            assert calls.learn(pair(rows))[0].tolist() == (pair(rows)[0] + 1).tolist()
        seen.clear()
        for rows in (2, 4, 2):
            assert calls(pair(rows))[0].tolist() == (pair(rows)[0] + 1).tolist()

    workshop.on_mindspore_thread(work)
    assert len(seen) == 3
    assert len(set(seen)) == 2


def test_a_shape_that_was_not_learnt_never_meets_another_shapes_graph(workshop: Workshop, batch: Path) -> None:
    def work() -> tuple[int, ...]:
        calls = load(batch, executor())
        calls.learn(pair(4))
        return calls(pair(3))[0].shape

    assert workshop.on_mindspore_thread(work) == (3, 2)


def test_outputs_outlive_later_calls_and_odd_memory_is_read_rightly(workshop: Workshop, batch: Path) -> None:
    def work() -> None:
        calls = load(batch, executor())
        calls.learn(pair(4))
        (first,) = calls(pair(4))
        twisted = [np.asfortranarray(array * 3) for array in pair(4)]
        raw = bytearray(33)
        misaligned = np.frombuffer(raw, np.float32, 8, offset=1).reshape(4, 2)
        misaligned[:] = 7
        assert calls(twisted)[0].tolist() == ((pair(4)[0] + 1) * 3).tolist()
        assert calls([misaligned, pair(4)[1]])[0].tolist() == [[8, 8]] * 4
        assert first.tolist() == (pair(4)[0] + 1).tolist()

    workshop.on_mindspore_thread(work)


def test_small_and_large_outputs_are_those_of_the_public_call(workshop: Workshop, batch: Path) -> None:
    def work() -> None:
        calls = load(batch, executor())
        for rows in (1, 2048, 2049, 20_000):  # 8 bytes each, on either side of what is copied
            calls.learn(pair(rows))
            (first,), (second,) = calls(pair(rows)), calls([2 * array for array in pair(rows)])
            assert calls.direct
            assert np.array_equal(first, pair(rows)[0] + 1)
            assert np.array_equal(second, 2 * (pair(rows)[0] + 1))

    workshop.on_mindspore_thread(work)


@pytest.mark.parametrize("size", [3, None])
def test_a_call_that_fails_is_its_own_callers_trouble(workshop: Workshop, tmp_path: Path, size: int | None) -> None:
    """MindSpore refuses each further call of the compiled graph: the servable was dead until its worker was started
    again, by one request that named a row which a table does not have.
    """
    seen: list[str] = []

    def work() -> None:
        import mindspore as ms

        file, given = tmp_path / "table.mindir", ms.Tensor(shape=[size], dtype=ms.int32)
        if size is not None:
            given = ms.Tensor([0] * size, ms.int32)
        ms.export(ms.nn.Embedding(5, 2), given, file_name=str(file), file_format="MINDIR")
        calls = load(file, watched(seen))
        if size is None:
            calls.open([given])
        rows = [np.array([0, 4, 1], np.int32)]
        expected = [output.tolist() for output in calls.learn(rows)]
        with pytest.raises(RuntimeError, match="range"):
            calls([np.array([0, 5, 1], np.int32)])
        seen.clear()
        for _ in range(3):
            assert [output.tolist() for output in calls(rows)] == expected
        assert calls.direct

    workshop.on_mindspore_thread(work)
    assert len(seen) == 2  # the first of them compiles


def wrong(tensors: tuple[Any, ...], phase: str) -> Any:
    return tensors[0]


def gone(tensors: tuple[Any, ...], phase: str) -> Any:
    raise TypeError("another signature")


@pytest.mark.parametrize(
    "execute, text", [(wrong, "gave other numbers"), (gone, "does not take a direct call (TypeError)")]
)
def test_where_the_direct_call_differs_the_public_one_stays(
    workshop: Workshop, batch: Path, caplog: pytest.LogCaptureFixture, execute: Execute, text: str
) -> None:
    def work() -> None:
        calls = load(batch, execute)
        calls.learn(pair(4))
        assert not calls.direct
        calls.learn(pair(2))
        assert calls(pair(4))[0].tolist() == (pair(4)[0] + 1).tolist()

    with caplog.at_level(logging.WARNING, "mindspore_serving.worker"):
        workshop.on_mindspore_thread(work)
    (said,) = caplog.messages
    assert text in said
    assert str(batch) in said


def test_a_mindspore_without_tensors_that_share_memory_does_too(
    workshop: Workshop, batch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its from_numpy() is to go, as it says."""

    def work() -> None:
        import mindspore

        set_device(Target())
        monkeypatch.delattr(mindspore.Tensor, "from_numpy")
        calls, _ = open_graph(batch, read_inputs(batch, Target()), Target())
        assert calls.learn(pair(4))[0].tolist() == calls(pair(4))[0].tolist() == (pair(4)[0] + 1).tolist()
        assert calls.direct

    workshop.on_mindspore_thread(work)


def test_an_open_batch_gives_the_same_at_every_size(workshop: Workshop) -> None:
    servable = workshop.make(BATCH, "open")
    for count in (1, 2, 3, 5, 8, 31, MAX_DYNAMIC_BATCH, MAX_DYNAMIC_BATCH + 1, 150):
        done = run(
            servable, "add", count, column(*[[i, 0] for i in range(count)]), column(*[[1, 1] for _ in range(count)])
        )
        assert results(done) == [[i + 1, 1] for i in range(count)]


def test_open_shapes_of_several_sizes_share_one_graph(workshop: Workshop, models: Path) -> None:
    import mindspore

    def work() -> None:
        calls = load(models / "open" / "1" / "model.mindir", executor())
        calls.learn(pair(2))  # a graph of this size alone
        calls.open([mindspore.Tensor(shape=[None, 2], dtype=mindspore.float32)] * 2)
        for rows in (1, 3):
            calls.learn(pair(rows))
        for rows in (1, 2, 3, 5, 64):
            for call in (calls, calls.run_open):
                assert call(pair(rows))[0].tolist() == (pair(rows)[0] + 1).tolist()
        calls.forget(pair(2))
        assert calls(pair(2))[0].tolist() == (pair(2)[0] + 1).tolist()
        assert calls.direct

    workshop.on_mindspore_thread(work)


def test_outputs_within_each_other_come_in_a_row(workshop: Workshop, models: Path) -> None:
    import mindspore

    def work() -> None:
        calls = load(models / "nested" / "1" / "model.mindir", executor())
        calls.open([mindspore.Tensor(shape=[None, 2], dtype=mindspore.float32)])
        a = np.asarray([[1, 2], [3, 4], [5, 6]], np.float32)
        for outputs in (calls.learn([a]), calls([a])):
            assert [array.dtype.name for array in outputs] == [*["float32"] * 3, "int64", *["float32"] * 2]
            assert [array.tolist() for array in outputs] == [
                *((a + 1).tolist(), (a * 2).tolist(), (a - 1).tolist()),
                *(3, [3.0, 7.0, 11.0], 0.5),
            ]
        assert calls.direct

    workshop.on_mindspore_thread(work)


@pytest.mark.parametrize("has_direct_call", [True, False])
def test_outputs_that_are_inputs_or_weights_or_each_other_are_copied(
    workshop: Workshop, models: Path, has_direct_call: bool
) -> None:
    """A function changes them in place: that would end the worker where a request cannot be written."""

    def work() -> None:
        calls = load(models / "itself" / "1" / "model.mindir", executor() if has_direct_call else None)
        given = np.ones((256, 256), np.float32)
        calls.learn([given])
        for _ in range(2):
            outputs = calls([given])
            assert [output.ravel()[1] for output in outputs] == [1, 2, 1, 1]
            for output in outputs:
                output -= 5
            assert [output.ravel()[1] for output in outputs] == [-4, -3, -4, -4]
            assert given[0, 1] == 1

    workshop.on_mindspore_thread(work)


def test_an_output_that_is_no_tensor_is_named(workshop: Workshop, models: Path) -> None:
    def work() -> None:
        with pytest.raises(TypeError, match=r"^output 1 is no tensor, but a 'str'$"):
            load(models / "named" / "1" / "model.mindir", executor()).learn([np.ones((3, 2), np.float32)])

    workshop.on_mindspore_thread(work)
