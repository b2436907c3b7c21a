"""Networks as users write them: what is left of their operators, and that they give the numbers of the network."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindspore_serving.worker import kernels, mindspore_model, rewritten_file
from mindspore_serving.worker.mindir_file import parse, read_inputs
from mindspore_serving.worker.rewrites import ALL, AS_IT_IS, Rewriting, rewrite
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.target import Target
from tests.worker.rewriting import ORDER, chains_of_instances, export_networks, rewritten_operators
from tests.worker.test_branches import numbers

with_kernels = pytest.mark.skipif(kernels.library() is None, reason="the kernels are not compiled")

KERNELS: dict[str, dict[str, int]] = {
    "added_in_place": {"chain": 1, "convolution": 1, "combination": 4},
    "added_to_what_is_read_before": {
        "chain": 1,
        "view": 6,
        "dense": 3,
        "layer_norm": 2,
        "combination": 2,
        "reduction": 1,
    },
    "added_to_what_is_read_behind": {"chain": 2, "view": 2, "dense": 1, "activation": 2, "combination": 2},
    "input_added_to": {"chain": 1, "view": 2, "dense": 1, "combination": 1},
    "resized_in_place": {"chain": 2, "convolution": 2, "combination": 2, "ResizeBilinearV2": 1},
    "standardized": {"chain": 1, "convolution": 1},
    "tokens": {
        "chain": 1,
        "concatenation": 1,
        "combination": 2,
        "view": 3,
        "dense": 1,
        "part": 4,
        "transposition": 5,
        "products": 2,
        "softmax": 1,
    },
    "tiled": {"chain": 1, "activation": 1, "concatenation": 1, "view": 2, "dense": 1},
    "of_tokens_alone": {"Shape": 1, "TupleGetItem": 1, "BroadcastTo": 1, "chain": 1, "concatenation": 1},
    "rolled": {"chain": 1, "view": 3, "dense": 1, "part": 4, "concatenation": 2, "transposition": 1},
    "looked_up": {"chain": 1, "transposition": 1, "products": 1, "view": 1, "combination": 2, "softmax": 1},
    "as_it_was": {"chain": 1, "view": 2, "dense": 1, "activation": 1},
    "stacked": {
        "chain": 1,
        "convolution": 1,
        "activation": 3,
        "view": 2,
        "concatenation": 1,
        "reduction": 2,
        "combination": 1,
    },
    "of_length_one": {"chain": 1, "view": 2, "dense": 1, "activation": 4, "reduction": 2, "combination": 5},
    "by_lengths": {"chain": 1, "view": 2, "dense": 1, "activation": 4, "reduction": 3, "combination": 7},
    "norm_of_groups": {"chain": 1, "convolution": 1, "group_norm": 1, "activation": 1},
    "norm_of_groups_relu": {"chain": 1, "convolution": 1, "group_norm": 1},
    "norm_of_one_group": {"chain": 1, "view": 2, "dense": 1, "group_norm": 1},
}
# What changes a value that somebody reads by another name, or next to what more than makes values; other lengths.
LEFT = {
    "input_copied_over": "InplaceCopy",
    "input_changed_by_a_branch": "Partial",
    "changed_and_read_by_another_name": "InplaceAddsExt",
    "noted": "InplaceAddExt",
    "of_lengths_of_another_kind": "LpNorm",
}
# Their inputs: by an operator that rules know, by one that they do not, and in one of two graphs.
CHANGING = ["input_added_to", "input_copied_over", "input_changed_by_a_branch"]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("user_networks")
    export_networks("user_networks", folder)
    return folder


@with_kernels
@pytest.mark.parametrize("name", KERNELS)
def test_kernels_take_it_all(networks: Path, name: str, on_thread: Callable[[Callable[[], Any]], Any]) -> None:
    path = networks / f"{name}.mindir"
    found = Counter(on_thread(lambda: rewritten_operators(path, ALL)))
    assert {operator: count for operator, count in found.items() if operator not in ORDER} == KERNELS[name]
    assert all(on_thread(lambda: chains_of_instances(path, ALL)))


@pytest.mark.parametrize("rewriting", [AS_IT_IS, Rewriting.FASTER, ALL & ~Rewriting.KERNELS, ALL])
@pytest.mark.parametrize("name", [*KERNELS, *LEFT])
def test_a_file_gives_the_numbers_of_its_network(
    networks: Path, name: str, rewriting: Rewriting, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    expected = np.load(networks / f"{name}.npz")
    found = on_thread(partial(numbers, networks / f"{name}.mindir", expected["x"], rewriting))
    np.testing.assert_allclose(found, expected["made"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rewriting", [AS_IT_IS, ALL])
@pytest.mark.parametrize("name", CHANGING)
def test_a_graph_that_writes_over_its_input_has_it_for_itself(
    networks: Path, name: str, rewriting: Rewriting, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    """The memory that a master shares may only be read: such a model killed its worker with the first image."""
    path = networks / f"{name}.mindir"
    x = np.load(networks / f"{name}.npz")["x"]

    def call() -> Any:
        inputs = read_inputs(path, Target())
        assert [one.changed for one in inputs] == [True]
        graph, tensors = mindspore_model.open_graph(path, inputs, Target(), rewriting)
        graph.open(tensors)
        expected, given = graph.learn([x.copy()])[0], x.copy()
        assert graph.direct
        np.testing.assert_array_equal(graph([given])[0], expected)
        return given

    np.testing.assert_array_equal(on_thread(call), x)


def test_a_graph_that_cannot_be_followed_may_write_over_all(networks: Path, tmp_path: Path) -> None:
    """A damaged file is for MindSpore to refuse, which names it; to read its inputs ends in no traceback."""
    model = parse((networks / "noted.mindir").read_bytes())
    model.graph.node.add(op_type="ReLU", input=["nobody"])  # it makes nothing
    damaged = tmp_path / "damaged.mindir"
    damaged.write_bytes(model.SerializeToString())
    assert [one.changed for one in read_inputs(damaged, Target())] == [True]


@pytest.mark.parametrize("name", ["added_in_place", "noted", "changed_and_read_by_another_name"])
def test_what_it_has_made_itself_it_may_write_over(networks: Path, name: str) -> None:
    assert [one.changed for one in read_inputs(networks / f"{name}.mindir", Target())] == [False]


@pytest.mark.parametrize("name", LEFT)
def test_what_may_not_be_another_operator_stays(
    networks: Path, name: str, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    assert LEFT[name] in on_thread(lambda: rewritten_operators(networks / f"{name}.mindir", ALL))


def test_branches_stay_next_to_changes_that_must(networks: Path) -> None:
    """And the graph is as it was."""
    model = parse((networks / "printed_in_place.mindir").read_bytes())
    before = model.SerializeToString(deterministic=True)
    assert rewrite(model, ALL) == {}
    assert model.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("name", ["standardized", "looked_up"])
def test_what_is_made_of_parameters_is_in_the_file(
    networks: Path, name: str, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    path = networks / f"{name}.mindir"
    assert on_thread(lambda: rewritten_file.places(path, Rewriting.FASTER))[Rewriting.FASTER] > 0
    left = {
        "standardized": ["Conv2D", "ReLU"],
        "looked_up": ["Transpose", "MatMulExt", "ExpandDims", "Muls", "Add", "Softmax"],
    }
    found = on_thread(lambda: rewritten_operators(path, Rewriting.FASTER))
    assert [operator for operator in found if operator not in ORDER] == left[name]


def test_what_does_nothing_goes(networks: Path, on_thread: Callable[[Callable[[], Any]], Any]) -> None:
    found = on_thread(lambda: rewritten_operators(networks / "as_it_was.mindir", Rewriting.FASTER))
    left = [operator for operator in found if operator not in ORDER]
    assert left == ["Reshape", "FusedMatMulBiasAdd", "Reshape", "ReLU"]


def test_nodes_that_are_made_have_names_of_their_own_whoever_makes_them(networks: Path) -> None:
    model = parse((networks / "tokens.mindir").read_bytes())
    names: list[str] = []
    for _ in range(2):
        graph = GraphFile(model)
        new, value = graph.new.constant(1.0), graph.value(graph.nodes[-1].output[0])
        assert value is not None
        graph.replace([graph.nodes[-1]], [new, graph.new.node("Add", [new, new], value, graph.nodes[-1].output[0])])
        graph.save()
        names.append(new.output[0])
    assert len(set(names)) == 2
