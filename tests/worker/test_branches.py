"""Branches that depend on shapes alone: a file with them gives the numbers of its network, however it is loaded."""

import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindspore_serving.worker import kernels, mindspore_model, rewrites, rewritten_file
from mindspore_serving.worker.declarations import Model
from mindspore_serving.worker.mindir_file import parse, read_inputs
from mindspore_serving.worker.rewrites import ALL, AS_IT_IS, Rewriting
from mindspore_serving.worker.rewrites.assigned import write_assignments_out
from mindspore_serving.worker.rewrites.branches import decide_branches
from mindspore_serving.worker.rewrites.newer import operators
from mindspore_serving.worker.target import Target
from mindspore_serving.worker.tuning_trial import file_calls
from tests.worker.rewriting import export_networks, rewritten_operators

with_kernels = pytest.mark.skipif(kernels.library() is None, reason="the kernels are not compiled")

DECIDED = ["encoder", "encoder_norm_first", "encoder_of_a_view", "encoder_of_padded", "to_itself", "checked", "both"]
DECIDED += ["in_turn", "largest_of_axes", "by_deviation", "deep", "scaled", "resized", "assigned"]
ASSIGNED_OTHERWISE = ["by_steps", "to_one", "of_a_number", "repeated", "of_two_axes", "to_instances"]
STAYING = ["by_its_numbers", "between", *(f"assigned_{way}" for way in ASSIGNED_OTHERWISE)]
UNDECIDED = ["printed", *STAYING]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("branches")
    export_networks("open_networks", folder)
    return folder


def numbers(path: Path, x: Any, rewriting: Rewriting, *more: Any) -> Any:
    """What a file makes of these instances. more: further inputs."""
    graph, tensors = mindspore_model.open_graph(path, read_inputs(path, Target()), Target(), rewriting)
    if tensors:
        graph.open(tensors)
    return graph.learn([x, *more])[0]


@pytest.mark.parametrize("rewriting", [AS_IT_IS, ALL & ~Rewriting.KERNELS, ALL])
@pytest.mark.parametrize("name", DECIDED)
def test_a_file_gives_the_numbers_of_its_network(
    networks: Path, name: str, rewriting: Rewriting, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    """As they are, MindSpore 2.10 gives other ones for some of these, and cannot run others."""
    path = networks / f"{name}.mindir"
    expected = np.load(networks / f"{name}.npz")
    assert parse(path.read_bytes()).functions
    more = [expected["x1"]] if "x1" in expected else []
    found = on_thread(partial(numbers, path, expected["x"], rewriting, *more))
    np.testing.assert_allclose(found, expected["made"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", DECIDED)
def test_what_is_left_is_one_graph_whose_nodes_come_in_order(networks: Path, name: str) -> None:
    model = parse((networks / f"{name}.mindir").read_bytes())
    write_assignments_out(model)
    assert decide_branches(model)
    assert not model.functions
    assert {"Switch", "Partial"}.isdisjoint(
        {node.op_type.removeprefix("REF::").split(":")[0] for node in model.graph.node}
    )
    seen = {given.name for given in (*model.graph.input, *model.graph.parameter)}
    for node in model.graph.node:
        assert seen.issuperset(node.input)
        assert seen.isdisjoint(node.output)
        seen.update(node.output)
    assert seen.issuperset(given.name for given in model.graph.output)


def test_what_is_asked_behind_many_layers_is_known(networks: Path) -> None:
    """Though functions may not call each other as often as there are layers."""
    model = parse((networks / "deep.mindir").read_bytes())
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(300)
    try:
        assert write_assignments_out(model)
        assert decide_branches(model)
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize("name", UNDECIDED)
def test_what_depends_on_more_than_shapes_or_does_more_than_to_compute_stays(networks: Path, name: str) -> None:
    content = (networks / f"{name}.mindir").read_bytes()
    model = parse(content)
    assert not write_assignments_out(model)
    assert not decide_branches(model)
    assert model == parse(content)


@pytest.mark.parametrize("rewriting", [AS_IT_IS, Rewriting.FASTER, ALL & ~Rewriting.KERNELS, ALL])
@pytest.mark.parametrize("name", ["last_cut_off", "changes", "one_more", "so_many_times"])
def test_an_axis_that_is_cut_or_repeated_has_another_size(
    networks: Path, name: str, rewriting: Rewriting, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    """Which is open as that of before is, and not the same."""
    expected = np.load(networks / f"{name}.npz")
    found = on_thread(partial(numbers, networks / f"{name}.mindir", expected["x"], rewriting))
    np.testing.assert_allclose(found, expected["made"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rewriting", [Rewriting.FASTER, ALL & ~Rewriting.KERNELS, ALL])
@pytest.mark.parametrize("name", STAYING)
def test_with_branches_that_stay_a_file_gives_its_numbers(
    networks: Path, name: str, rewriting: Rewriting, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    path = networks / f"{name}.mindir"
    found = np.load(networks / f"{name}.npz")
    for x in (found["x"], -found["x"]):  # which takes the other way
        expected = on_thread(partial(numbers, path, x, AS_IT_IS))
        np.testing.assert_allclose(on_thread(partial(numbers, path, x, rewriting)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rewriting", [AS_IT_IS, ALL])
@pytest.mark.parametrize(("name", "sizes"), [("by_its_numbers", ()), ("by_the_numbers_of_four", (4,)), ("between", ())])
def test_a_model_with_branches_that_stay_has_one_graph(
    networks: Path,
    name: str,
    sizes: tuple[int, ...],
    rewriting: Rewriting,
    on_thread: Callable[[Callable[[], Any]], Any],
) -> None:
    """MindSpore 2.10 cannot compile it once more for another number of instances, and loses the first one by trying."""
    found = np.load(networks / f"{name}.npz")["x"]

    def work() -> list[Any]:
        (loaded,) = mindspore_model.load(Model(f"{name}.mindir"), networks, Target(), rewriting=rewriting)
        assert loaded.sizes == sizes
        return [loaded.run([x])[0] for x in (found, -found)]

    for made, x in zip(on_thread(work), (found, -found), strict=True):
        expected = on_thread(partial(numbers, networks / f"{name}.mindir", x, AS_IT_IS))
        np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["by_its_numbers", "by_the_numbers_of_four"])
def test_a_model_with_branches_that_stay_can_be_measured(
    networks: Path, name: str, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    def work() -> list[float]:
        calls = file_calls(networks / f"{name}.mindir", Target(), (AS_IT_IS, ALL), {})
        return [call() for ways in calls for call in ways]

    assert min(on_thread(work)) > 0


@pytest.mark.parametrize("rewriting", [AS_IT_IS, ALL])
def test_inputs_that_are_not_of_instances_may_have_other_lengths(
    networks: Path, rewriting: Rewriting, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    model = Model("of_two_lengths.mindir", with_batch_dim=False)
    x, y = np.ones((4, 9, 16), np.float32), np.ones((2, 7), np.float32)

    def work() -> Any:
        (loaded,) = mindspore_model.load(model, networks, Target(), rewriting=rewriting)
        return loaded.run([x, y])[0]

    np.testing.assert_array_equal(on_thread(work), np.full(2 * 9 * 16, 2.0 - 14.0))


@pytest.mark.parametrize("rewriting", [AS_IT_IS, ALL])
def test_what_a_branch_changes_is_changed(
    networks: Path, rewriting: Rewriting, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    path = networks / "counting.mindir"

    def work() -> list[float]:
        graph, tensors = mindspore_model.open_graph(path, read_inputs(path, Target()), Target(), rewriting)
        graph.open(tensors)
        return [float(graph.learn([np.ones((3, 9, 16), np.float32)])[0].mean()) for _ in range(3)]

    first, second, third = on_thread(work)
    assert first + 0.9 < second < third - 0.9


@with_kernels
def test_layers_around_branches_that_stay_are_rewritten_but_for_what_these_share(
    networks: Path, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    found = {
        name: Counter(on_thread(partial(rewritten_operators, networks / f"{name}.mindir", ALL)))
        for name in ("between", "assigned_to_one")
    }
    assert [found[name]["Conv2D"] for name in found] == [1, 0]
    assert [found[name]["convolution"] for name in found] == [2, 2]
    assert all(found[name]["Switch"] == 1 for name in found)


def test_a_graph_that_calls_itself_stays(networks: Path) -> None:
    model = parse((networks / "resized.mindir").read_bytes())
    for function in model.functions:
        call, last = function.node.add(), function.node[-1]
        call.CopyFrom(last)
        call.op_type, call.name, call.output[:] = f"REF::{function.name}", "again", ["again"]
        call.input[:] = [function.input[0].name]
        function.output[0].name = "again"
    assert not decide_branches(model)
    assert "Switch" in operators(model)


def test_graphs_that_call_each_other_without_end_in_sight_stay(networks: Path) -> None:
    """Each calls the next one twice: a small file, and a million nodes."""
    model = parse((networks / "resized.mindir").read_bytes())
    x = "x of"
    del model.functions[:]
    for number in range(20):
        function = model.functions.add(name=f"f{number}")
        function.input.add(name=x + function.name)
        for place in range(2):
            made = f"{function.name} made {place}"
            op = f"REF::f{number + 1}" if number < 19 else "ReLU"
            function.node.add(op_type=op, name=made, input=[x + function.name], output=[made])
        function.output.add(name=made)
    model.graph.node.add(op_type="REF::f0", name="all", input=[model.graph.input[0].name], output=["all"])
    model.graph.output[0].name = "all"
    del model.graph.node[:-1]
    assert not decide_branches(model)
    del model.functions[12:]
    model.functions[11].node[0].op_type = model.functions[11].node[1].op_type = "ReLU"
    assert decide_branches(model)


def test_in_a_large_file_branches_are_decided_and_nothing_else(networks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewritten_file, "_MOST_BYTES", 1000)
    path = networks / "encoder.mindir"
    with rewritten_file.rewritten_file(path, ALL) as file:
        model = parse(file.read_bytes())
    assert not model.functions
    assert not any(rewritten_file.places(path, ALL).values())


def test_a_fault_of_a_rule_leaves_branches_decided(
    networks: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("an operator that nobody thought of")

    monkeypatch.setattr(rewrites, "tell_shapes", broken)
    with rewritten_file.rewritten_file(networks / "encoder.mindir", ALL) as file:
        assert not parse(file.read_bytes()).functions
    assert "is not rewritten: a fault of ours" in caplog.text


def test_who_cannot_be_helped_is_told(networks: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = parse((networks / "encoder.mindir").read_bytes())
    model.graph.parameter.add(name="far away").external_data.location = "encoder_variables/data_0"
    path = tmp_path / "encoder.mindir"
    path.write_bytes(model.SerializeToString())
    with rewritten_file.rewritten_file(path, ALL) as file:
        assert file == path
    assert f"model file '{path}' has branches, and parameters in further files" in caplog.text
    assert "Export it with a fixed number of instances" in caplog.text
