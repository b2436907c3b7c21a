"""Rewritten graphs give the numbers of the file, do what each rule says, and leave alone what no rule knows."""

import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mindspore_serving.worker import kernels, mindspore_model, rewritten_file, stacked_model, tuning_trial
from mindspore_serving.worker.declarations import Model
from mindspore_serving.worker.engine_settings import EngineSettings
from mindspore_serving.worker.mindir_file import parse
from mindspore_serving.worker.model_stage import run_stacked
from mindspore_serving.worker.rewrites import ALL, AS_IT_IS, Rewriting, rewrite
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.stacked_model import StackedModel
from mindspore_serving.worker.target import Target
from mindspore_serving.worker.tuning_process import Trial
from tests.processes import Processes, free_port
from tests.worker.conftest import Workshop
from tests.worker.rewriting import export_networks, operators, rewritten_operators, same_numbers

Array = npt.NDArray[Any]

OF_MINDSPORE = ALL & ~Rewriting.KERNELS  # what comes in are operators of MindSpore's: the others, test_kernel_rules.py

# The operators that come and go when a network's file is rewritten.
RESHAPED = {"Reshape": 2}
PRODUCT = {"StridedSlice": 1, "OnesLike": 1, "BatchMatMul": 1, **RESHAPED}
CHANGES: dict[str, dict[str, int]] = {
    "norm": {"BatchNorm": -1, "TupleGetItem": -1, "BiasAdd": 1},
    "norm_of_bias": {"BatchNorm": -1, "TupleGetItem": -1},
    "norm_of_groups": {"BatchNorm": -1, "TupleGetItem": -1, "BiasAdd": 1},
    "norm_of_transposed": {"BatchNorm": -1, "TupleGetItem": -1, "BiasAdd": 1},
    "norm_of_transposed_of_bias": {"BatchNorm": -1, "TupleGetItem": -1},
    "mean": RESHAPED,
    "mean_kept": RESHAPED,
    "mean_of_one_axis": RESHAPED,
    "sum": RESHAPED,
    "old_sum": RESHAPED,
    "mean_of_words": {"ReduceMean": -1, "Mul": 1, **PRODUCT},
    "mean_of_words_kept": {"ReduceMean": -1, "Mul": 1, **PRODUCT},
    "sum_in_between": {"SumExt": -1, **PRODUCT},
    "old_sum_in_between": {"ReduceSum": -1, **PRODUCT},
    "larger": {"ResizeNearestNeighbor": -1, "Mul": 1, **RESHAPED},
    "larger_too": {"ResizeNearestNeighborV2": -1, "Mul": 1, **RESHAPED},
    "square": {"Pow": -1, "Mul": 1},
    "cube": {"Pow": -1, "Mul": 2},
    "root": {"Pow": -1, "Sqrt": 1},
    "gelu": {"GeLU": -1, "Mul": 4, "Add": 1, "Sigmoid": 1},
    "biased": {"MatMul": -1, "Add": -1, "ReLU": -1, "FusedMatMulBiasAdd": 1},
    "biased_first": {"MatMul": -1, "Add": -1, "ReLU": -1, "FusedMatMulBiasAdd": 1},
    "biased_sum_besides": {"MatMul": -1, "Add": -1, "FusedMatMulBiasAdd": 1},
}
SWAPPED = {"pooled": ["MaxPool", "ReLU"], "pooled_same": ["MaxPool", "ReLU6"]}
SWAPPED_BY_SERIES = {"pooled_sigmoid": ["MaxPool", "Sigmoid"], "pooled_elu": ["MaxPool", "Elu"]}
LEFT_ALONE = [
    "norm_of_transposed_of_groups",
    "norm_beside",
    "norm_of_rows_alone",
    "norm_in_training",
    "norm_alone",
    "mean_of_few_in_between",
    "mean_of_axes_apart",
    "mean_of_the_batch",
    "mean_of_a_matrix",
    "mean_of_open_sizes",
    "mean_beside_open_sizes",
    "pooled_softplus",
    "larger_by_half",
    "larger_with_corners",
    "smaller",
    "power_of_a_third",
    "power_of_itself",
    "biased_product_besides",
    "biased_by_one",
    "biased_by_rows",
    "product",
    "product_of_two",
    "loop",
]

# Of rows: with and without a bias before the norm, once and twice.
NORMS_OF_ROWS = {
    "norm_of_rows": {"BatchNorm": -1, "TupleGetItem": -1, "Reshape": -2, "MatMul": -1, "BiasAdd": -1, "ReLU": -1},
    "norms_of_rows": {"BatchNorm": -2, "TupleGetItem": -2, "Reshape": -4, "MatMul": -2, "BiasAdd": -1},
}


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks")
    export_networks("rewritable", folder)
    return folder


@pytest.mark.parametrize("name", NORMS_OF_ROWS)
def test_a_norm_of_rows_is_part_of_the_product_before_it(
    networks: Path, name: str, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    path = networks / f"{name}.mindir"
    before, after = Counter(operators(path)), Counter(on_thread(lambda: rewritten_operators(path, OF_MINDSPORE)))
    assert after.pop("FusedMatMulBiasAdd") == before["MatMul"]
    after.subtract(before)
    assert {operator: count for operator, count in after.items() if count} == NORMS_OF_ROWS[name]
    for rewriting in (OF_MINDSPORE, OF_MINDSPORE & ~Rewriting.TRANSPOSED):
        assert on_thread(partial(same_numbers, path, rewriting))


def places(path: Path) -> dict[Rewriting, int]:
    """Without kinds that have none."""
    return {kind: count for kind, count in rewritten_file.places(path, OF_MINDSPORE).items() if count}


def count_places(path: Path) -> int:
    return sum(places(path).values())


@pytest.mark.parametrize("name", CHANGES)
def test_a_rule_changes_the_operators_that_it_says_and_no_number(
    networks: Path, name: str, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    path = networks / f"{name}.mindir"
    assert on_thread(lambda: places(path)) == {Rewriting.FASTER: 1}
    before, after = (
        Counter(on_thread(lambda: operators(path))),
        Counter(on_thread(lambda: rewritten_operators(path, OF_MINDSPORE))),
    )
    after.subtract(before)
    assert {operator: count for operator, count in after.items() if count} == CHANGES[name]
    assert on_thread(lambda: same_numbers(path, OF_MINDSPORE))


@pytest.mark.parametrize("name", ["fixed", "fixed_besides"])
def test_what_is_made_of_parameters_alone_is_made_once(
    networks: Path, name: str, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    path = networks / f"{name}.mindir"
    found = Counter(on_thread(lambda: rewritten_operators(path, Rewriting.FASTER)))
    found.subtract(operators(path))
    made = ("Split", "Transpose", "Reshape", "Add", "Concat", "BroadcastTo")
    changes = {**dict.fromkeys(made, -1), "TupleGetItem": -2}
    assert {operator: count for operator, count in found.items() if count} == changes
    assert on_thread(lambda: same_numbers(path, Rewriting.FASTER))


def test_what_is_made_once_keeps_its_type_and_its_shape(
    networks: Path, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    """A number without axes has none, and a sum of another type is left to MindSpore."""
    path = networks / "of_weights.mindir"
    found = Counter(on_thread(lambda: rewritten_operators(path, Rewriting.FASTER)))
    assert (found["ReduceMean"], found["MeanExt"], found["SumExt"]) == (0, 0, 1)
    assert on_thread(lambda: same_numbers(path, Rewriting.FASTER))


@pytest.mark.parametrize(("name", "left"), [("fixed", 1), ("fixed_besides", 120)])
def test_of_a_parameter_that_nothing_needs_any_more_one_number_stays(networks: Path, name: str, left: int) -> None:
    model = parse((networks / f"{name}.mindir").read_bytes())
    rewrite(model, OF_MINDSPORE)
    (weights,) = [given for given in model.graph.parameter if given.name.endswith("weights")]
    assert len(weights.raw_data) == 4 * left


@pytest.mark.parametrize("name", SWAPPED)
def test_the_pool_comes_first_and_each_number_stays(
    networks: Path, name: str, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    path = networks / f"{name}.mindir"
    assert on_thread(lambda: rewritten_operators(path, OF_MINDSPORE)) == SWAPPED[name]
    assert on_thread(lambda: same_numbers(path, OF_MINDSPORE, slack=0.0))


@pytest.mark.parametrize("name", SWAPPED_BY_SERIES)
def test_the_pool_comes_before_what_is_computed_by_series(
    networks: Path, name: str, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    path = networks / f"{name}.mindir"
    assert on_thread(lambda: rewritten_operators(path, OF_MINDSPORE)) == SWAPPED_BY_SERIES[name]
    assert on_thread(lambda: same_numbers(path, OF_MINDSPORE))


def test_the_pool_passes_relu_and_the_bias_of_the_convolution(
    networks: Path, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    path = networks / "pooled_bias.mindir"
    kinds = {"Conv2D", "MaxPool", "BiasAdd", "ReLU"}
    found = [operator for operator in on_thread(lambda: rewritten_operators(path, OF_MINDSPORE)) if operator in kinds]
    assert found == ["Conv2D", "MaxPool", "BiasAdd", "ReLU"]
    assert on_thread(lambda: same_numbers(path, OF_MINDSPORE, slack=0.0))


def test_what_is_used_besides_stays_before_the_pool(
    networks: Path, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    path = networks / "pooled_besides.mindir"
    found = on_thread(lambda: rewritten_operators(path, OF_MINDSPORE))
    assert found.index("ReLU") < found.index("MaxPool")
    assert on_thread(lambda: same_numbers(path, OF_MINDSPORE))


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_what_no_rule_knows_stays_as_it_is(
    networks: Path, name: str, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    path = networks / f"{name}.mindir"
    assert on_thread(lambda: count_places(path)) == 0
    with rewritten_file.rewritten_file(path, OF_MINDSPORE) as file:
        assert file == path


def test_weights_of_products_are_transposed(networks: Path, on_thread: Callable[[Callable[[], Any]], Any]) -> None:
    path = networks / "dense.mindir"
    assert on_thread(lambda: places(path)) == {Rewriting.FASTER: 1, Rewriting.TRANSPOSED: 2}
    assert on_thread(lambda: same_numbers(path, OF_MINDSPORE))
    shapes = []
    with rewritten_file.rewritten_file(path, Rewriting.TRANSPOSED) as file:
        graph = GraphFile(parse(file.read_bytes()))
        for node in graph.nodes:
            if graph.op(node) == "MatMul":
                assert graph.constant(node.input[3]) is False
                shapes.append(getattr(graph.value(node.input[1]), "shape", None))
    assert shapes == [(12, 7), (7, 4)]


def test_a_bias_is_part_of_the_product_whether_or_not_its_weight_is_transposed(
    networks: Path, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    path = networks / "dense.mindir"
    for rewriting, is_transposed in ((Rewriting.FASTER, True), (OF_MINDSPORE, False)):
        with rewritten_file.rewritten_file(path, rewriting) as file:
            graph = GraphFile(parse(file.read_bytes()))
            (fused,) = [node for node in graph.nodes if graph.op(node) == "FusedMatMulBiasAdd"]
            assert graph.constant(fused.input[4]) is is_transposed
            assert "ReLU" not in map(graph.op, graph.nodes)  # part of it, too


def test_products_that_hold_their_bias_run_many_instances_in_one_call(
    networks: Path, on_thread: Callable[[Callable[[], Any]], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """MindSpore's vmap has no rule of its own for them: it is taken at its numbers, as any other."""
    monkeypatch.setattr(stacked_model, "_WORTH", 1e6)  # whatever it takes: this is about its numbers
    model = Model("dense_of_one.mindir", with_batch_dim=False)
    load = partial(mindspore_model.load, model, networks, Target())
    (as_it_is,) = on_thread(partial(load, lambda _: False, rewriting=AS_IT_IS))
    (fused,) = on_thread(partial(load, lambda _: True, rewriting=OF_MINDSPORE))
    assert isinstance(fused, StackedModel)
    rows = [np.random.default_rng(5).normal(size=(20, 1, 12)).astype(np.float32)]
    (expected,), (found,) = (on_thread(partial(run_stacked, one, rows)) for one in (as_it_is, fused))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "found"),
    [("dense_twice", {Rewriting.FASTER: 2, Rewriting.TRANSPOSED: 2}), ("norm_twice", {Rewriting.FASTER: 2})],
)
def test_a_layer_at_two_places_is_written_anew_and_keeps_its_one_weight(
    networks: Path, name: str, found: dict[Rewriting, int], on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    path = networks / f"{name}.mindir"
    assert on_thread(lambda: places(path)) == found
    assert on_thread(lambda: same_numbers(path, OF_MINDSPORE))
    with rewritten_file.rewritten_file(path, OF_MINDSPORE) as file:
        model = parse(file.read_bytes())
    loads = [node.output[0] for node in model.graph.node if node.op_type.startswith("REF::Load")]
    used = [name for node in model.graph.node for name in node.input if "MakeTuple" not in node.op_type]
    assert max(used.count(load) for load in loads) == 2


@pytest.mark.parametrize("seed", range(8))
def test_networks_by_chance_give_the_same_numbers(
    networks: Path, seed: int, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    path = networks / f"chance_{seed}.mindir"
    assert on_thread(lambda: count_places(path)) > 0
    assert on_thread(lambda: same_numbers(path, OF_MINDSPORE))
    assert on_thread(lambda: same_numbers(path, ALL, slack=10.0))


def test_a_rewritten_file_is_for_nobody_else_and_goes(networks: Path) -> None:
    with rewritten_file.rewritten_file(networks / "norm.mindir", ALL) as file:
        assert file.name == "norm.mindir"
        assert file.parent.stat().st_mode & 0o077 == 0
    assert not file.parent.exists()


def test_a_file_that_is_encrypted_damaged_or_too_large_stays(
    models: Path, networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert count_places(models / "secret" / "1" / "model.mindir") == 0
    (tmp_path / "damaged.mindir").write_bytes(b"no model")
    assert count_places(tmp_path / "damaged.mindir") == 0
    monkeypatch.setattr(rewritten_file, "_MOST_BYTES", 1000)
    assert count_places(networks / "norm.mindir") == 0


def test_without_room_for_it_the_file_is_loaded_as_it_is(
    networks: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(networks / "nowhere"))
    with rewritten_file.rewritten_file(networks / "norm.mindir", ALL) as file:
        assert file == networks / "norm.mindir"
    assert "norm.mindir' is loaded as it is, rewritten it finds no place" in caplog.text


def test_a_fault_of_a_rule_leaves_the_file_as_it_is(
    networks: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> dict[Rewriting, int]:
        raise KeyError("an operator that nobody thought of")

    monkeypatch.setattr(rewritten_file, "rewrite", broken)
    with rewritten_file.rewritten_file(networks / "norm.mindir", ALL) as file:
        assert file == networks / "norm.mindir"
    assert "norm.mindir' is not rewritten: a fault of ours" in caplog.text


def test_a_rewritten_file_that_mindspore_does_not_read_is_loaded_as_it_was(
    networks: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    on_thread: Callable[[Callable[[], Any]], Any],
) -> None:
    def in_no_order(model: Any, rewriting: Rewriting, **_: Any) -> dict[Rewriting, int]:
        if Rewriting.FASTER not in rewriting:
            return {}
        nodes = list(model.graph.node)[::-1]
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        return {Rewriting.FASTER: 1}

    monkeypatch.setattr(rewritten_file, "rewrite", in_no_order)
    assert on_thread(partial(same_numbers, networks / "norm.mindir", ALL))
    assert "norm.mindir' is not read as it was rewritten" in caplog.text


def far_away(model: Any) -> None:
    """A parameter in another file."""
    model.graph.parameter.add(name="far away").external_data.location = "mean_variables/data_0"


def in_training(model: Any) -> None:
    """BatchNorm computes mean and variance itself."""
    (norm,) = [node for node in model.graph.node if "BatchNorm" in node.op_type]
    (constant,) = [node for node in model.graph.node if node.output[0] == norm.input[5]]
    constant.attribute[0].i = 1


def shared(model: Any) -> None:
    """The weight of the convolution is loaded once more."""
    convolution = next(node for node in model.graph.node if "Conv2D" in node.op_type)
    (load,) = [node for node in model.graph.node if node.output[0] == convolution.input[1]]
    again = model.graph.node.add()
    again.CopyFrom(load)
    again.output[0] = again.name = "loaded again"


@pytest.mark.parametrize("name, change", [("mean", far_away), ("norm", in_training), ("norm", shared)])
def test_a_file_that_is_not_all_that_it_seems_stays(
    networks: Path, tmp_path: Path, name: str, change: Callable[[Any], None]
) -> None:
    model = parse((networks / f"{name}.mindir").read_bytes())
    change(model)
    (tmp_path / "changed.mindir").write_bytes(model.SerializeToString())
    assert count_places(networks / f"{name}.mindir") == 1
    assert count_places(tmp_path / "changed.mindir") == 0


def test_a_trial_measures_a_rewritten_graph_only_when_it_gives_the_same_numbers(
    networks: Path, on_thread: Callable[[Callable[[], Any]], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = networks / "norm.mindir"
    assert len(on_thread(lambda: tuning_trial.file_calls(path, Target(), (AS_IT_IS, Rewriting.FASTER), {}))) == 2

    def wrong(model: Any, rewriting: Rewriting, *, together: bool) -> dict[Rewriting, int]:
        if Rewriting.FASTER not in rewriting:
            return {}
        bias = model.graph.parameter[-1]
        bias.raw_data = np.full(tuple(bias.dims), 0.3, np.float32).tobytes()
        return {Rewriting.FASTER: 1}

    monkeypatch.setattr(rewritten_file, "rewrite", wrong)
    assert on_thread(lambda: tuning_trial.file_calls(path, Target(), (AS_IT_IS, ALL), {})) == []
    open_sizes = networks / "mean_of_open_sizes.mindir"
    assert on_thread(lambda: tuning_trial.file_calls(open_sizes, Target(), (AS_IT_IS, ALL), {})) == []


@pytest.mark.parametrize(
    "name, before, now, sizes",
    [
        ("dense", AS_IT_IS, Rewriting.FASTER, 2),  # 16 instances, and one
        ("dense", AS_IT_IS, Rewriting.TRANSPOSED, 3),
        ("dense", Rewriting.FASTER, ALL, 3),
        ("dense", Rewriting.TRANSPOSED, ALL, 2),  # they were before
        ("dense_of_one", Rewriting.FASTER, ALL, 2),  # the batch is fixed
    ],
)
def test_where_weights_are_transposed_many_instances_are_measured_too(
    networks: Path,
    on_thread: Callable[[Callable[[], Any]], Any],
    name: str,
    before: Rewriting,
    now: Rewriting,
    sizes: int,
) -> None:
    calls = on_thread(partial(tuning_trial.file_calls, networks / f"{name}.mindir", Target(), (before, now), {}))
    assert len(calls) == sizes
    assert all(on_thread(call) > 0 for ways in calls for call in ways)


def test_of_an_open_batch_fewer_instances_are_measured_where_they_take_long_and_as_many_in_each_trial(
    networks: Path, on_thread: Callable[[Callable[[], Any]], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []

    def measure(call: Any, _: Any) -> float:
        rows.append(len(call.args[0][0]))
        return 0.02 * rows[-1]

    monkeypatch.setattr(tuning_trial, "measure", measure)
    path, batches = networks / "dense.mindir", dict[str, int]()
    for expected in ([1, 4, 1, 5], [1, 5]):
        for ways in on_thread(lambda: tuning_trial.file_calls(path, Target(), (AS_IT_IS,), batches)):
            ways[0]()
        assert (rows, batches) == (expected, {str(path): 5})
        rows.clear()


def test_a_trial_tells_how_many_places_there_are(networks: Path, tmp_path: Path) -> None:
    (tmp_path / "model.mindir").write_bytes((networks / "mean.mindir").read_bytes())
    for rewritten in (False, True):
        settings, deadline = EngineSettings(rewritten=rewritten), time.monotonic() + 120
        trial = Trial(settings, tmp_path, Target(), deadline, before=AS_IT_IS if rewritten else None)
        try:
            assert len(trial.measure()) == 2
            assert trial.threads != 1.0  # it has been told
            if rewritten:
                assert [len(found) for found in trial.measure_both(0)] == [2, 2]
            first = os.sched_getaffinity(trial.pid)
            trial.measure(1)
            if 1 < len(os.sched_getaffinity(0)) <= 4:
                assert os.sched_getaffinity(trial.pid) != first  # it has taken its turn on the next core
            of_kernels = 0 if kernels.library() is None else 2
            assert trial.places == {**dict.fromkeys(Rewriting, 0), Rewriting.FASTER: 1, Rewriting.KERNELS: of_kernels}
            assert trial.batches == {str(tmp_path / "model.mindir"): 16}
        finally:
            trial.close()


def test_a_trial_does_not_measure_what_gives_other_numbers(networks: Path, tmp_path: Path) -> None:
    (tmp_path / "model.mindir").write_bytes((networks / "dice.mindir").read_bytes())
    trial = Trial(EngineSettings(rewritten=True), tmp_path, Target(), time.monotonic() + 120, before=AS_IT_IS)
    try:
        assert (trial.measure_both(0), trial.places[Rewriting.FASTER]) == (([], []), 1)
    finally:
        trial.close()


def test_a_user_chooses_rewritten_graphs(workshop: Workshop, networks: Path, run: Processes) -> None:
    place = workshop.write(
        """
        model = register.declare_model(model_file="norm.mindir", model_format="MindIR")

        @register.register_method(output_names=["y"])
        def predict(x):
            return register.add_stage(model, x, outputs_count=1)
        """
    )
    (place / "1").mkdir()
    (place / "1" / "norm.mindir").write_bytes((networks / "norm.mindir").read_bytes())
    told = {"MINDSPORE_SERVING_REWRITES": "on"}
    arguments = ("--servable", "mine", "--directory", str(place.parent), "--master", f"127.0.0.1:{free_port()}")
    worker = run.start("-m", "worker", *arguments, "--tune", "off", environment=told)
    worker.wait_for("rewritten graphs\n")  # behind the instructions that this CPU needs
    worker.wait_for("Start servable success")
