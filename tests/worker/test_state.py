"""What a network changes at each call is no constant: rewritten files remember what MindSpore does."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindspore_serving.worker import mindspore_model
from mindspore_serving.worker.mindir_file import parse, read_inputs
from mindspore_serving.worker.rewrites import ALL, AS_IT_IS, Rewriting
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.in_place import changed_parameters
from mindspore_serving.worker.target import Target
from tests.worker.rewriting import export_networks

NAMES = ["counted", "counted_in_place", "counted_later", "counted_by_branch", "following", "trained", "twice"]
CALLS = 4


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("state_networks")
    export_networks("state_networks", folder)
    return folder


def calls(path: Path, rewriting: Rewriting) -> list[Any]:
    """What several calls give, each of the same numbers."""
    inputs = read_inputs(path, Target())
    graph, tensors = mindspore_model.open_graph(path, inputs, Target(), rewriting)
    graph.open(tensors)
    x = np.ones((2, *inputs[0].shape[1:]), np.float32)
    return [graph.learn([x])[0] for _ in range(CALLS)]


@pytest.mark.parametrize("rewriting", [Rewriting.FASTER, ALL & ~Rewriting.KERNELS, ALL])
@pytest.mark.parametrize("name", NAMES)
def test_a_rewritten_file_gives_at_each_call_what_the_file_gives(
    networks: Path, name: str, rewriting: Rewriting, on_thread: Callable[[Callable[[], Any]], Any]
) -> None:
    path = networks / f"{name}.mindir"
    expected, found = [on_thread(partial(calls, path, how)) for how in (AS_IT_IS, rewriting)]
    assert not np.array_equal(expected[1], expected[-1])
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_that_change_are_known(networks: Path, name: str) -> None:
    graph = GraphFile(parse((networks / f"{name}.mindir").read_bytes()))
    changed = {given.split(":")[-1] for given in changed_parameters(graph)}
    of_norm = {f"norm.{part}" for part in ("gamma", "beta", "moving_mean", "moving_variance")}
    others = {"following": {"norm.moving_mean"}, "trained": of_norm, "twice": {"weight"}}
    assert changed == others.get(name, {"calls"})
