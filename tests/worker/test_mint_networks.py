"""Networks of mindspore.mint: they run on a CPU, and give what older functions, or numpy, make of the same weights."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindspore_serving.cluster.errors import ServableError
from mindspore_serving.worker import kernels, mindspore_model
from mindspore_serving.worker.declarations import Model
from mindspore_serving.worker.mindir_file import read_inputs
from mindspore_serving.worker.rewrites import ALL, AS_IT_IS, Rewriting
from mindspore_serving.worker.rewrites.newer import MISSING
from mindspore_serving.worker.target import Target
from tests.worker.rewriting import ORDER, export_networks, rewritten_operators

OnThread = Callable[[Callable[[], Any]], Any]
NAMES = [
    *("convolution", "convolution_same", "convolution_in_groups", "convolution_of_lines", "convolution_of_volumes"),
    *("transposed", "transposed_without_bias", "norm", "norm_of_rows", "norm_of_lines", "norm_without_factors"),
    *("norm_of_padded", "norm_of_fixed_moments", "added_to_products", "changed_view"),
    *("of_infinities", "around_attention", "attention_as_one", "norm_of_instances", "older"),
    *("layer_norm", "table", "activations", "powers", "along_axes", "in_order", "views", "windows", "attended"),
]
# What is one operator by kernels.
WHOLE = [
    *("convolution", "convolution_same", "convolution_in_groups", "convolution_of_lines", "transposed"),
    *("transposed_without_bias", "attended"),
]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mint_networks")
    export_networks("mint_networks", folder)
    return folder


def outputs(path: Path, x: Any, rewriting: Rewriting) -> list[Any]:
    graph, tensors = mindspore_model.open_graph(path, read_inputs(path, Target()), Target(), rewriting)
    graph.open(tensors)
    graph.learn([x])
    return graph([x])


@pytest.mark.parametrize("rewriting", [AS_IT_IS, Rewriting.FASTER, ALL & ~Rewriting.KERNELS, ALL])
@pytest.mark.parametrize("name", NAMES)
def test_a_file_gives_what_its_network_means(
    networks: Path, name: str, rewriting: Rewriting, on_thread: OnThread
) -> None:
    expected = np.load(networks / f"{name}.npz")
    found = on_thread(partial(outputs, networks / f"{name}.mindir", expected["x"], rewriting))
    assert len(found) == len(expected.files) - 1
    for number, array in enumerate(found):
        wanted = expected[f"made{number}"]
        assert array.shape == wanted.shape, number
        assert array.dtype == (np.int64 if wanted.dtype.kind == "i" else np.float32), number
        np.testing.assert_allclose(array, wanted, rtol=1e-4, atol=1e-4, err_msg=f"output {number}")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left_that_has_no_kernel(networks: Path, name: str, on_thread: OnThread) -> None:
    path = networks / f"{name}.mindir"
    assert MISSING.keys().isdisjoint(on_thread(lambda: rewritten_operators(path, Rewriting.RUNNABLE)))


@pytest.mark.skipif(kernels.library() is None, reason="the kernels are not compiled")
@pytest.mark.parametrize("name", WHOLE)
def test_kernels_take_it_all(networks: Path, name: str, on_thread: OnThread) -> None:
    found = on_thread(lambda: rewritten_operators(networks / f"{name}.mindir", ALL))
    assert next(operator for operator in found if operator not in ORDER) == "chain"
    assert found.count("chain") == 1
    assert not [operator for operator in found if operator[0].isupper() and operator not in ORDER]


def test_a_view_of_what_is_changed_stays_one(networks: Path, on_thread: OnThread) -> None:
    path = networks / "view_of_what_is_changed.mindir"
    assert "TransposeExtView" in on_thread(lambda: rewritten_operators(path, ALL))


def test_an_operator_without_a_kernel_is_named(networks: Path, on_thread: OnThread) -> None:
    model = Model("unfolded.mindir")
    with pytest.raises(ServableError) as told:
        on_thread(lambda: mindspore_model.load(model, networks, Target(), rewriting=ALL))
    path = networks / "unfolded.mindir"
    assert str(told.value) == (
        f"model file '{path}' does not run: MindSpore has no kernel on a CPU for the operator Im2ColExt"
    )
