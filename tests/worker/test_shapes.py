"""Sizes that files leave open: what is known of them, and what rules can take then."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindspore_serving.worker import kernels, rewritten_file
from mindspore_serving.worker.mindir_file import parse
from mindspore_serving.worker.rewrites import ALL, Rewriting
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.shapes import tell_shapes
from mindspore_serving.worker.rewrites.sizes import OPEN, Size, named, product
from tests.worker.rewriting import ORDER, chains_of_instances, export_networks, rewritten_operators, same_numbers

pytestmark = pytest.mark.usefixtures("called_by_mindspore")
with_kernels = pytest.mark.skipif(kernels.library() is None, reason="the kernels are not compiled")

KERNELS: dict[str, dict[str, int]] = {
    "viewed": {"chain": 1, "convolution": 1, "view": 1, "dense": 1},
    "viewed_by_the_input": {"chain": 1, "convolution": 1, "view": 1, "dense": 1},
    "by_moments": {"chain": 1, "view": 2, "dense": 1, "combination": 1},
    "padded": {"chain": 1, "convolution": 1, "pooling": 1},
    "padded_by_zeros": {"chain": 1, "convolution": 1},
    "padded_by_more_than_a_window": {"chain": 1, "convolution": 1},
    "padded_by_two_numbers": {"chain": 1, "convolution": 1},
    "padded_by_ones": {"chain": 1, "padding": 1, "convolution": 1},
    "padded_all_around": {"chain": 1, "padding": 1},
    "padded_before_averages": {"chain": 1, "padding": 1, "convolution": 2},
    "padded_besides": {"chain": 1, "padding": 1, "convolution": 1, "combination": 1},
    "padded_instances": {"chain": 1, "padding": 1, "convolution": 1},
    "with_all_between": {
        "Split": 1,
        "TupleGetItem": 2,
        "chain": 2,
        "convolution": 1,
        "activation": 1,
        "concatenation": 1,
        "reduction": 2,
        "combination": 4,
        "transposition": 2,
        "view": 9,
        "dense": 3,
        "products": 2,
        "softmax": 1,
    },
    "largest": {"chain": 1, "convolution": 1, "pooling": 1},
    "largest_of_rows": {"chain": 1, "convolution": 1, "pooling": 1},
    "stem": {"chain": 1, "convolution": 3, "pooling": 1, "view": 1, "dense": 1},
}
LEFT_ALONE = ["padded_open", "padded_by_edges", "cut_off"]
# What a network's last value is told to be, where the file leaves sizes open.
TOLD = {
    "viewed_by_another": (OPEN, OPEN),
    "by_moments": (OPEN, 3, 3, 8),
    "padded": (OPEN, 6, 5, 7),
    "padded_by_zeros": (OPEN, 6, 7, 8),
    "padded_by_ones": (OPEN, 6, 15, 12),
    "padded_instances": (OPEN, 6, 10, 11),
    "padded_open": (OPEN, 6, OPEN, 13),
    "largest": (OPEN, 6, 6, 7),
    "largest_of_rows": (OPEN, 6, 6, 6),
    "with_all_between": (OPEN, 3),
}


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("open_networks")
    export_networks("open_networks", folder)
    return folder


@with_kernels
@pytest.mark.parametrize("name", KERNELS)
def test_rules_take_what_was_open_and_give_the_same_numbers(
    networks: Path, name: str, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    path = networks / f"{name}.mindir"
    found = Counter(on_thread(lambda: rewritten_operators(path, ALL)))
    assert {operator: count for operator, count in found.items() if operator not in ORDER} == KERNELS[name]
    assert on_thread(lambda: same_numbers(path, ALL, slack=10.0))
    are_apart = [name != "padded_instances"] * KERNELS[name]["chain"]
    assert on_thread(lambda: chains_of_instances(path, ALL)) == are_apart


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_what_stays_open_or_is_no_padding_with_a_number_is_left_to_mindspore(
    networks: Path, name: str, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    path = networks / f"{name}.mindir"
    assert on_thread(lambda: rewritten_file.places(path))[Rewriting.KERNELS] == 0
    assert on_thread(lambda: same_numbers(path, ALL))


@with_kernels
@pytest.mark.parametrize("name", ["largest_rounded_up", "largest_and_where"])
def test_pools_that_do_more_than_ours_stay(
    networks: Path, name: str, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    path = networks / f"{name}.mindir"
    found = Counter(on_thread(lambda: rewritten_operators(path, ALL)))
    assert (found["MaxPool3DWithArgmax"], found["pooling"]) == (1, 0)
    assert on_thread(lambda: same_numbers(path, ALL, slack=10.0))


@pytest.mark.parametrize("name", TOLD)
def test_sizes_are_told_as_far_as_they_follow_from_others(networks: Path, name: str) -> None:
    graph = GraphFile(parse((networks / f"{name}.mindir").read_bytes()))
    last = [node for node in graph.nodes if graph.op(node) not in {*ORDER, "Constant"}][-1]
    tell_shapes(graph)
    value = graph.value(last.output[0])
    assert value is not None and value.shape == TOLD[name]


@pytest.mark.parametrize(("name", "count"), [("viewed", 0), ("viewed_by_the_input", 0), ("viewed_by_another", 1)])
def test_a_shape_that_is_known_is_not_computed(networks: Path, name: str, count: int) -> None:
    graph = GraphFile(parse((networks / f"{name}.mindir").read_bytes()))
    tell_shapes(graph)
    assert [graph.op(node) for node in graph.nodes].count("Shape") == count


SIZES = st.builds(Size, st.integers(1, 50), st.lists(st.sampled_from("abc"), max_size=3).map(sorted).map(tuple))


@given(SIZES, SIZES)
def test_a_product_over_either_of_its_parts_is_the_other(one: Size, other: Size) -> None:
    made = one.times(other)
    assert (made.over(one), made.over(other)) == (other, one)
    assert product([one, other]) == made == other.times(one)


@given(SIZES, SIZES)
def test_a_quotient_is_known_where_it_is_a_size(one: Size, other: Size) -> None:
    found = one.over(other)
    if found is None:
        assert one.number % other.number or any(one.names.count(name) < other.names.count(name) for name in other.names)
    else:
        assert found.times(other) == one


def test_only_a_size_without_names_is_known() -> None:
    batch = named("x", 0)
    assert (batch.known, batch.times(Size(3)).known, batch.times(Size(3)).over(batch)) == (OPEN, OPEN, Size(3))
    assert batch.over(named("y", 0)) is None
    assert Size(6).over(Size(0)) is None
