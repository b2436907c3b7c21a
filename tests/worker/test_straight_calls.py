"""Calls past MindSpore: which graphs take them, that each number is what MindSpore gives, and who answers otherwise."""

import ctypes
import logging
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.worker import kernels, mindspore_model, stacked_model, straight_calls
from mindspore_serving.worker.batch_sizes import equal, sample
from mindspore_serving.worker.declarations import Model
from mindspore_serving.worker.loaded_model import LoadedModel
from mindspore_serving.worker.mindir_file import DYNAMIC, read_inputs
from mindspore_serving.worker.model_stage import run_each, run_stacked
from mindspore_serving.worker.plain_steps import CallError
from mindspore_serving.worker.rewrites import ALL, AS_IT_IS, straight
from mindspore_serving.worker.rewrites.kernel_nodes import OPERATORS
from mindspore_serving.worker.rewrites.straight import Chain, StraightGraph
from mindspore_serving.worker.stacked_model import StackedModel
from mindspore_serving.worker.straight_calls import StraightCalls
from mindspore_serving.worker.target import Target
from tests.worker.kernel_calls import GUARD, MARK, described, library
from tests.worker.rewriting import export_networks
from tests.worker.test_kernel_rules import KERNELS as WITH_KERNELS
from tests.worker.test_kernel_rules import LEFT_ALONE

pytestmark = pytest.mark.skipif(kernels.library() is None, reason="the kernels are not compiled")

Array = npt.NDArray[Any]
OnThread = Callable[[Callable[[], Any]], Any]

OPEN_SIZE = 13  # of any open dimension but the first
STRAIGHT = [
    *("sum", "sum_of_one", "sum_of_eight", "three", "three_of_one", "nested", "deep", "deep_of_one", "rows"),
    *("words", "words_of_int64", "words_of_floats", "words_of_one", "words_of_mint", "two_tables", "half", "where"),
    *("more", "not_less", "padded", "padded_of_int64", "whole", "by_whole_numbers", "in_classes", "in_classes_of_one"),
    *("classified", "with_values", "with_values_of_one", "ranked", "trees", "of_an_open_axis", "narrowed"),
]
OTHERS = ["given", "seen", "counted", "large", "other_axis", "compared"]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("straight_networks")
    export_networks("straight_networks", folder)
    return folder


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kernel_networks")
    export_networks("kernel_networks", folder)
    return folder


class Opened:
    """A graph, called; `tensors` are those that MindSpore was given."""

    def __init__(self, path: Path) -> None:
        import mindspore

        self.tensors: list[Any] = []
        inputs = read_inputs(path, Target())
        make = mindspore.Tensor.from_numpy

        def noted(array: Array) -> Any:
            self.tensors.append(array)
            return make(array)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(mindspore.Tensor, "from_numpy", noted)
            self.calls, open_tensors = mindspore_model.open_graph(path, inputs, Target(), ALL)
        if open_tensors:
            self.calls.open(open_tensors)

    def past_mindspore(self, arrays: Sequence[Array]) -> list[Array]:
        before = len(self.tensors)
        outputs = self.calls(arrays)
        assert len(self.tensors) == before, "MindSpore was called"
        return outputs


def arrays_of(path: Path, rows: int, seed: int = 3) -> list[Array]:
    chance = np.random.default_rng(seed)
    inputs = read_inputs(path, Target())
    known = [[OPEN_SIZE if size == DYNAMIC else size for size in given.shape] for given in inputs]
    is_open = [given.shape[:1] == (DYNAMIC,) for given in inputs]
    shapes = [(rows, *sizes[1:]) if has_rows else tuple(sizes) for sizes, has_rows in zip(known, is_open, strict=True)]
    return [sample(chance, shape, given.dtype) for shape, given in zip(shapes, inputs, strict=True)]


def agree(found: Sequence[Array], expected: Sequence[Array]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def slack_of(name: str) -> float:
    """How far numbers may be from those of the file as it is, as tuning has it: in half precision, or behind Tanh."""
    if name == "half":
        return 2000.0
    return 100.0 if name.startswith(("gru", "rnn", "deep", "tanh")) else 10.0


def check(path: Path, *, is_straight: bool) -> None:
    """The graph gives the numbers of the file as it is, without MindSpore if it is straight."""
    graph, inputs = Opened(path), read_inputs(path, Target())
    plain, tensors = mindspore_model.open_graph(path, inputs, Target(), AS_IT_IS)
    if tensors:
        plain.open(tensors)
    sizes = (2, 1, 7)
    expected = {rows: plain.learn(arrays_of(path, rows)) for rows in sizes}
    for rows in sizes:
        graph.calls.learn(arrays_of(path, rows))
    assert (graph.calls.straight is not None) == is_straight
    for rows, outputs in expected.items():
        call = graph.past_mindspore if is_straight else graph.calls
        assert all(map(partial(equal, slack=slack_of(path.stem)), call(arrays_of(path, rows)), outputs)), rows


@pytest.mark.parametrize("name", STRAIGHT)
def test_a_graph_of_nothing_but_kernels_is_called_without_mindspore(
    networks: Path, name: str, on_thread: OnThread
) -> None:
    on_thread(partial(check, networks / f"{name}.mindir", is_straight=True))


@pytest.mark.parametrize("name", OTHERS)
def test_any_other_graph_is_not(networks: Path, name: str, on_thread: OnThread) -> None:
    path = networks / f"{name}.mindir"

    def work() -> None:
        graph = Opened(path)
        graph.calls.learn(arrays_of(path, 2))
        assert graph.calls.straight is None
        (found, *_), (expected, *_) = graph.calls(arrays_of(path, 2)), graph.calls.learn(arrays_of(path, 2))
        if name != "counted":
            agree([found], [expected])

    on_thread(work)


# Of the networks of test_kernel_rules.py those of which something is left to MindSpore.
NOT_STRAIGHT = {
    *("lstm_from_another_state", "lstm_from_the_end", "lstm_last_of_open_sizes", "lstm_twice"),
    *("gru_from_another_state", "gru_from_the_end", "backward"),
    *("norm_scaled", "norm_mean", "norm_of_two_axes", "between_others", "spread_by_hand", "newer_sum_of_double"),
    *("filled_with_another_value", "with_many"),
    *("convolution_of_open_sizes", "pooling_of_open_sizes", "by_itself_of_few_rows"),
    *("transposed_of_groups", "transposed_of_more", "transposed_of_phases_without_taps", "transposed_dilated"),
    *("transposed_of_open_sizes", "transposed_within"),
    *("mean_of_apart", "average_of_parts", "prelu_of_small_planes"),
    *("products_of_few_rows", "products_of_turned", "dense_of_turned_input"),
}


@pytest.mark.parametrize("name", [*WITH_KERNELS, *LEFT_ALONE])
def test_whatever_kernels_compute_is_computed_without_mindspore_too(
    others: Path, name: str, on_thread: OnThread
) -> None:
    on_thread(partial(check, others / f"{name}.mindir", is_straight=name not in NOT_STRAIGHT))


def test_arrays_that_lie_in_pieces_or_askew_are_read_as_they_are(networks: Path, on_thread: OnThread) -> None:
    path = networks / "sum.mindir"
    numbers = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    askew = np.frombuffer(b"\0" + numbers.tobytes(), np.uint8)[1:].view(np.float32).reshape(4, 3, 2)
    assert not askew.flags.aligned

    def work() -> None:
        graph = Opened(path)
        graph.calls.learn([numbers, numbers])
        for array in (numbers[::2], numbers[:, ::-1], np.asfortranarray(numbers), askew):
            np.testing.assert_array_equal(graph.past_mindspore([array, array])[0], array + array)

    on_thread(work)


def test_inputs_that_do_not_fit_are_named_and_the_next_ones_are_computed(networks: Path, on_thread: OnThread) -> None:
    path = networks / "rows.mindir"

    def work() -> None:
        graph = Opened(path)
        graph.calls.learn(arrays_of(path, 3))
        x, y = arrays_of(path, 3)
        with pytest.raises(CallError, match=re.escape("inputs of shapes [3, 13, 2], [3, 5, 2] do not fit")):
            graph.calls([x, y[:, :5]])
        np.testing.assert_array_equal(graph.past_mindspore([x, y])[0], np.maximum(x, 0) * y)

    on_thread(work)


@pytest.mark.parametrize(
    ("name", "number", "says"),
    [
        ("words", 50, "row 50 is looked up in a table that has 50 rows"),
        ("words", -51, "row -51 is looked up in a table that has 50 rows"),
        ("words_of_mint", 50, "row 50 is looked up in a table that has 50 rows"),
        ("words_of_int64", 1 << 32, "a whole number of int64 is used as one of int32, and is too large for that"),
        ("words_of_one", 50, "row 50 is looked up in a table that has 50 rows"),
        ("two_tables", 5, "row 5 is looked up in a table that has 4 rows"),
    ],
)
def test_a_row_that_is_not_there_is_the_fault_of_the_instance_that_asks_for_it(
    networks: Path, name: str, number: int, says: str, on_thread: OnThread
) -> None:
    path = networks / f"{name}.mindir"

    def work() -> None:
        model = loaded(path, with_batch_dim=name != "words_of_one")
        shapes = [(3, *spec.instance_shape) for spec in model.inputs]
        good = [np.ones(shape, spec.dtype) for shape, spec in zip(shapes, model.inputs, strict=True)]
        bad = [array.copy() for array in good]
        bad[-1][1, 2] = number
        with pytest.raises(CallError, match=f"^{re.escape(says)}$"):
            model.run(bad if model.inputs[0].batched else [array[1] for array in bad])
        assert run_stacked(model, bad) is None  # it is seen before
        expected, found = run_each(model, good, range(3)), run_each(model, bad, range(3))
        text = f"Given model input {len(bad) - 1} names row {number} of a table that has {model.inputs[-1].rows}"
        assert found[1] == Failure(Code.INVALID_INPUTS, text)
        for place in (0, 2):
            np.testing.assert_array_equal(cast(Any, found[place])[0], cast(Any, expected[place])[0])

    on_thread(work)


@pytest.mark.parametrize("name", ["words", "words_of_int64", "words_of_floats", "words_of_mint"])
def test_numbers_below_zero_count_rows_from_the_end(networks: Path, name: str, on_thread: OnThread) -> None:
    """As MindSpore's do."""
    path = networks / f"{name}.mindir"

    def work() -> None:
        graph, inputs = Opened(path), read_inputs(path, Target())
        plain, tensors = mindspore_model.open_graph(path, inputs, Target(), AS_IT_IS)
        plain.open(tensors)
        x = np.array([[-1, 0, 49, -50, 3, -2, 1]]).astype(inputs[0].dtype)
        (expected,) = plain.learn([x])
        agree(graph.calls.learn([x]), [expected])
        agree(graph.past_mindspore([x]), [expected])

    on_thread(work)


@pytest.mark.parametrize("name", STRAIGHT)
def test_such_a_model_is_loaded_whatever_samples_it_is_warmed_up_with(
    networks: Path, name: str, on_thread: OnThread
) -> None:
    assert on_thread(lambda: loaded(networks / f"{name}.mindir", not name.endswith("of_one"))).is_straight


@pytest.mark.parametrize("name", ["largest", "least"])
def test_places_are_mindspores_where_numbers_are_equal_or_none(networks: Path, name: str, on_thread: OnThread) -> None:
    path = networks / f"{name}_of_given.mindir"
    none, more = float("nan"), float("inf")
    rows = [
        [1, 3, 3, 0],
        [none, 1, 2, 0],
        [0, none, 2, none],
        [none] * 4,
        [0, -more, none, more],
        [-more, none, -more, none],
    ]

    def work() -> None:
        graph = Opened(path)
        graph.calls.learn([np.ones((2, 4), np.float32)])
        plain, tensors = mindspore_model.open_graph(path, read_inputs(path, Target()), Target(), AS_IT_IS)
        plain.open(tensors)
        x = np.asarray(rows, np.float32)
        for found, expected in zip(graph.past_mindspore([x]), plain.learn([x]), strict=True):
            np.testing.assert_array_equal(found, expected)

    on_thread(work)


def test_whole_numbers_lose_the_bits_that_a_network_casts_away(networks: Path, on_thread: OnThread) -> None:
    """As MindSpore's do: it is rows of tables alone that are not to be other ones."""
    path = networks / "narrowed.mindir"
    x = np.array([[0, -1, 300, 2**33 + 5, 2**31, -(2**31) - 1]], np.int64)

    def work() -> None:
        graph, inputs = Opened(path), read_inputs(path, Target())
        plain, tensors = mindspore_model.open_graph(path, inputs, Target(), AS_IT_IS)
        plain.open(tensors)
        graph.calls.learn(arrays_of(path, 1))
        for found, expected in zip(graph.past_mindspore([x]), plain.learn([x]), strict=True):
            np.testing.assert_array_equal(found, expected)

    on_thread(work)


@pytest.mark.parametrize("name", ["more", "not_less", "padded"])
def test_masks_are_what_they_were_where_numbers_are_equal_or_none(
    networks: Path, name: str, on_thread: OnThread
) -> None:
    path = networks / f"{name}.mindir"
    special = {"padded": np.array([0, 1, 3, 2**24 + 3, -(2**31), 2**31 - 1], np.int32)}
    x = special.get(name, np.array([0, 1, -1, np.nan, np.inf, 0.5], np.float32))[np.newaxis]

    def work() -> None:
        graph, inputs = Opened(path), read_inputs(path, Target())
        (expected,) = mindspore_model.open_graph(path, inputs, Target(), AS_IT_IS)[0].learn([x])
        graph.calls.learn(arrays_of(path, 1))
        np.testing.assert_array_equal(graph.past_mindspore([x])[0], expected)

    on_thread(work)


@pytest.mark.filterwarnings("error")
def test_numbers_that_have_no_place_in_another_type_are_no_warning(networks: Path, on_thread: OnThread) -> None:
    path = networks / "half.mindir"

    def work() -> None:
        graph = Opened(path)
        (x,) = arrays_of(path, 2)
        graph.calls.learn([x])
        x[0] = 6e4
        (found,) = graph.past_mindspore([x])
        assert np.isinf(found[0]).any()
        assert np.isfinite(found[1]).all()

    on_thread(work)


def test_any_shape_may_come_and_few_are_remembered(
    networks: Path, on_thread: OnThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(straight_calls, "_MOST_SHAPES", 3)
    path = networks / "rows.mindir"

    def work() -> None:
        graph = Opened(path)
        graph.calls.learn(arrays_of(path, 3))
        for rows in (1, 2, 3, 4, 5, 1):
            x, y = arrays_of(path, rows)
            np.testing.assert_array_equal(graph.past_mindspore([x, y])[0], np.maximum(x, 0) * y)

    on_thread(work)


class Wrong:
    """Something in it is broken, of one instance or of several."""

    def __init__(self, graph: StraightGraph, one: int = 1, several: int = 1) -> None:
        self._right, self._one, self._several = StraightCalls(graph), one, several

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        return [output + self._one for output in self._right(arrays)]

    def one_by_one(self, arrays: Sequence[Array]) -> list[Array]:
        return [output + self._several for output in self._right.one_by_one(arrays)]


@pytest.mark.parametrize("name", ["sum", "sum_of_one"])
def test_calls_that_give_other_numbers_are_not_used(
    networks: Path, name: str, on_thread: OnThread, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mindspore_model, "StraightCalls", Wrong)
    path = networks / f"{name}.mindir"

    def work() -> None:
        graph = Opened(path)
        x, y = arrays_of(path, 2)
        with caplog.at_level(logging.DEBUG, "mindspore_serving.worker"):
            graph.calls.learn([x, y])
        assert graph.calls.straight is None
        np.testing.assert_array_equal(graph.calls([x, y])[0], x + y)

    on_thread(work)
    assert f"model file '{path}': calls past MindSpore do not give its numbers" in caplog.text


def test_weights_that_are_many_are_not_held_twice(
    networks: Path, on_thread: OnThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = networks / "sum.mindir"
    monkeypatch.setattr(straight, "MOST_BYTES", path.stat().st_size - 1)
    assert on_thread(lambda: Opened(path)).calls.straight is None


def loaded(path: Path, with_batch_dim: bool, rewriting: Any = ALL) -> Any:
    model = Model(path.name, with_batch_dim=with_batch_dim)
    (found,) = mindspore_model.load(model, path.parent, Target(), rewriting=rewriting)
    return found


@pytest.mark.parametrize("name", ["sum_of_one", "three_of_one", "deep_of_one", "words_of_one"])
@pytest.mark.parametrize("count", [1, 2, 5, 64, 100])
def test_any_number_of_instances_goes_through_a_model_of_one_in_one_call(
    networks: Path, name: str, count: int, on_thread: OnThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacked_model, "_WORTH", 1e6)  # whatever it takes: this is about its numbers
    path = networks / f"{name}.mindir"
    chance = np.random.default_rng(7)

    def work() -> None:
        several, one = loaded(path, False), loaded(path, False, AS_IT_IS)
        assert isinstance(several, StackedModel)
        assert several.plan.most == 64
        instances = [sample(chance, (count, *spec.shape), spec.dtype) for spec in one.inputs]
        found, expected = run_stacked(several, instances), run_stacked(one, instances)
        assert found is not None
        assert expected is not None
        agree(found, expected)

    on_thread(work)


def test_a_model_that_gains_nothing_runs_one_instance_a_call(
    networks: Path, on_thread: OnThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacked_model, "_WORTH", 0.0)
    assert isinstance(on_thread(lambda: loaded(networks / "sum_of_one.mindir", False)), LoadedModel)


def test_instances_that_would_be_given_other_numbers_run_one_by_one(
    networks: Path, on_thread: OnThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mindspore_model, "StraightCalls", partial(Wrong, one=0))
    assert isinstance(on_thread(lambda: loaded(networks / "sum_of_one.mindir", False)), LoadedModel)


def test_batches_open_or_fixed_need_no_graph_of_their_own(networks: Path, on_thread: OnThread) -> None:
    an_open, a_fixed = (
        on_thread(partial(loaded, networks / f"{name}.mindir", True)) for name in ("sum", "sum_of_eight")
    )
    assert (an_open.sizes, a_fixed.sizes) == ((), (1, 2, 4, 8))
    for model in (an_open, a_fixed):
        x, y = np.random.default_rng(1).standard_normal((2, 5, 3, 2)).astype(np.float32)
        (found,) = on_thread(partial(run_stacked, model, [x, y]))
        np.testing.assert_array_equal(found, x + y)


def test_the_library_reads_and_writes_what_it_is_told_and_no_more() -> None:
    """Of several instances, each by itself."""
    shapes = [(0, 2, 0, OPERATORS.index("combination"), 2, 2, 0, 1, 0, 0), (3, 2), (2,), (3, 2)]
    counts, sizes = described(shapes)
    x, y = np.arange(24, dtype=np.float32), np.array([10, 20], np.float32)
    made = np.full(24 + 2 * GUARD, MARK, np.float32)
    addresses = [0, x.ctypes.data, y.ctypes.data, made.ctypes.data + 4 * GUARD]
    values = (ctypes.c_void_p * 4)(*addresses)
    apart = (ctypes.c_int64 * 4)(0, 6, 0, 0)
    assert library().compute_one_by_one(values, counts, sizes, apart, ctypes.c_int64(4)) == 0
    np.testing.assert_array_equal(made[GUARD:-GUARD].reshape(4, 3, 2), x.reshape(4, 3, 2) + y)
    assert set(made[:GUARD]) | set(made[-GUARD:]) == {MARK}


def test_a_program_of_other_sizes_has_no_shape(networks: Path) -> None:
    graph = StraightGraph((Chain((0, 2, 0, OPERATORS.index("combination"), 2, 2, 0, 1, 0, 0), (0, 1)),), (2,))
    x, y = np.ones((3, 2), np.float32), np.ones((5, 2), np.float32)
    with pytest.raises(CallError, match=re.escape("inputs of shapes [3, 2], [5, 2] do not fit")):
        StraightCalls(graph)([x, y])
    np.testing.assert_array_equal(StraightCalls(graph)([x, x])[0], x + x)
