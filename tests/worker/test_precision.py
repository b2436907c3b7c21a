"""What is computed in half precision is computed in single: numbers, types of inputs and outputs, and what stays."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindspore_serving.worker import kernels, rewritten_file, tuning_trial
from mindspore_serving.worker.mindir_file import parse
from mindspore_serving.worker.rewrites import ALL, AS_IT_IS, Rewriting, rewrite
from mindspore_serving.worker.rewrites.precision import compute_in_single, has_half_precision
from mindspore_serving.worker.target import Target
from tests.worker.rewriting import ORDER, export_networks, rewritten_operators
from tests.worker.test_mint_networks import outputs

OnThread = Callable[[Callable[[], Any]], Any]
HALF, SINGLE = np.float16, np.float32
# The types of outputs.
OUTPUTS = {
    "outputs": [*([HALF] * 3), np.bool_, *([HALF] * 3), np.int32, HALF, HALF, SINGLE],
    "parts_alone": [HALF, HALF],
    "fixed": [HALF, HALF],
}
HALVES = {"layers": [True], "encoder": [True], "of_mint": [True], "weights": [True, False], "told": [True, True]}
BRAINS = ["of_mint_in_bfloat16", "dense_in_bfloat16"]
WHOLE = ["layers", "encoder", "of_mint", "of_mint_in_bfloat16", "dense_in_bfloat16"]
IN_SINGLE = [Rewriting.FASTER, ALL & ~Rewriting.KERNELS, ALL]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("half_networks")
    export_networks("half_networks", folder)
    return folder


def compare(networks: Path, name: str, rewriting: Rewriting, on_thread: OnThread, slack: float) -> list[Any]:
    expected = np.load(networks / f"{name}.npz")
    found = on_thread(partial(outputs, networks / f"{name}.mindir", expected["x"], rewriting))
    assert len(found) == len(expected.files) - 1
    for number, array in enumerate(found):
        np.testing.assert_allclose(array.astype(np.float32), expected[f"made{number}"], rtol=slack, atol=slack)
    return [array.dtype for array in found]


@pytest.mark.parametrize("rewriting", IN_SINGLE)
@pytest.mark.parametrize("name", HALVES)
def test_numbers_are_those_of_single_precision_and_types_as_they_were(
    networks: Path, name: str, rewriting: Rewriting, on_thread: OnThread
) -> None:
    found = compare(networks, name, rewriting, on_thread, slack=1e-3)  # in the end they are rounded
    assert found == [np.float16 if is_half else np.float32 for is_half in HALVES[name]]


@pytest.mark.parametrize("rewriting", [AS_IT_IS, *IN_SINGLE])
@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_stay_of_half_precision_wherever_they_come_from(
    networks: Path, name: str, rewriting: Rewriting, on_thread: OnThread
) -> None:
    assert compare(networks, name, rewriting, on_thread, slack=1e-2) == OUTPUTS[name]
    assert compute_in_single(parse((networks / f"{name}.mindir").read_bytes())) > 0


@pytest.mark.parametrize("name", HALVES)
def test_a_file_that_is_not_rewritten_gives_about_the_same(networks: Path, name: str, on_thread: OnThread) -> None:
    found = compare(networks, name, AS_IT_IS, on_thread, slack=2e-2)
    assert found == [np.float16 if is_half else np.float32 for is_half in HALVES[name]]


@pytest.mark.parametrize("rewriting", [AS_IT_IS, *IN_SINGLE])
@pytest.mark.parametrize("name", BRAINS)
def test_bfloat16_which_has_no_kernels_becomes_float32_whatever_is_asked(
    networks: Path, name: str, rewriting: Rewriting, on_thread: OnThread
) -> None:
    assert compare(networks, name, rewriting, on_thread, slack=1e-4) == [np.float32]


@pytest.mark.skipif(kernels.library() is None, reason="the kernels are not compiled")
@pytest.mark.parametrize("name", WHOLE)
def test_kernels_take_it_all_but_the_last_cast(networks: Path, name: str, on_thread: OnThread) -> None:
    found = on_thread(lambda: rewritten_operators(networks / f"{name}.mindir", ALL))
    assert [operator for operator in found if operator[0].isupper() and operator not in ORDER] == (
        [] if name in BRAINS else ["Cast"]
    )


@pytest.mark.parametrize("name", ["so_many", "counting"])
def test_a_number_that_may_be_a_type_or_an_output_that_is_changed_keeps_a_file_as_it_is(
    networks: Path, name: str
) -> None:
    model = parse((networks / f"{name}.mindir").read_bytes())
    before = model.SerializeToString(deterministic=True)
    assert has_half_precision(model)
    assert compute_in_single(model) == 0
    assert model.SerializeToString(deterministic=True) == before


def test_weights_that_lie_elsewhere_keep_it_too(networks: Path) -> None:
    model = parse((networks / "weights.mindir").read_bytes())
    model.graph.parameter[0].raw_data = b""
    assert compute_in_single(model) == 0


def test_a_file_in_single_precision_has_nothing_of_it(networks: Path) -> None:
    model = parse((networks / "layers.mindir").read_bytes())
    assert compute_in_single(model) > 0
    assert not [one for one in model.graph.parameter if one.data_type != 1]
    rewrite(model, Rewriting.FASTER)
    with rewritten_file.rewritten_file(networks / "dense_in_bfloat16.mindir", Rewriting.RUNNABLE) as file:
        assert not has_half_precision(parse(file.read_bytes()))


def test_tuning_takes_no_other_types(networks: Path, monkeypatch: pytest.MonkeyPatch, on_thread: OnThread) -> None:
    """Though their numbers are the same."""
    path = networks / "weights.mindir"
    assert on_thread(partial(tuning_trial.file_calls, path, Target(), (AS_IT_IS, Rewriting.FASTER), {}))

    def in_single(model: Any, rewriting: Rewriting, *, together: bool) -> dict[Rewriting, int]:
        places = rewrite(model, rewriting, together=together)
        if Rewriting.FASTER in rewriting:
            makers = {node.output[0]: node for node in model.graph.node}
            outputs = makers[makers[model.graph.output[0].name].input[0]]
            outputs.input[0] = makers[outputs.input[0]].input[0]  # as the first one is before the last cast
        return places

    monkeypatch.setattr(rewritten_file, "rewrite", in_single)
    assert not on_thread(partial(tuning_trial.file_calls, path, Target(), (AS_IT_IS, Rewriting.FASTER), {}))


def test_tuning_forgives_the_rounding_of_half_precision(networks: Path, on_thread: OnThread) -> None:
    ways = (AS_IT_IS, ALL)
    for name in ("layers", "encoder"):
        path = networks / f"{name}.mindir"
        assert on_thread(partial(tuning_trial.file_calls, path, Target(), ways, {}))
