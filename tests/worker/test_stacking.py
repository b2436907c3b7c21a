"""Models without a batch axis run several instances in one call, where that gives the same numbers and pays."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mindspore_serving.worker import mindspore_model, tuning_cache
from mindspore_serving.worker.batch_plan import BatchPlan
from mindspore_serving.worker.config import AGAIN, AUTO, OFF
from mindspore_serving.worker.declarations import Model
from mindspore_serving.worker.engine_settings import EngineSettings
from mindspore_serving.worker.loaded_model import InputSpec, OutputSpec, ReadyModel
from mindspore_serving.worker.model_stage import run_each, run_stacked
from mindspore_serving.worker.stacked_model import StackedModel, can_be_stacked, stacked
from mindspore_serving.worker.stacking import may_stack
from mindspore_serving.worker.target import Target
from tests.worker.conftest import Workshop

Array = npt.NDArray[Any]
PLAIN = EngineSettings()


class Clock:
    """Time that passes only as it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> tuple[float, ...]:
        return (self.now,)


class Halving:
    """A model of one input of shape (2,), whose call takes a millisecond."""

    def __init__(self, clock: Clock, seconds: float = 0.001) -> None:
        self.inputs: tuple[InputSpec, ...] = (InputSpec("a", np.dtype(np.float32), (2,), False),)
        self.outputs: tuple[OutputSpec, ...] = (OutputSpec(np.dtype(np.float32), (2,)),)
        self.outputs_count = 1
        self.path = Path("halving.mindir")
        self.batch_size = 1
        self.sizes: tuple[int, ...] = (1,)
        self.plan = BatchPlan({1: seconds}, fill=True)
        self.seconds_per_call = seconds
        self.is_straight = False
        self.clock = clock
        self.calls = 0

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        self.calls += 1
        self.clock.now += self.seconds_per_call
        return [arrays[0] / 2]


class Together:
    """What GraphCalls of a graph of several instances does: `seconds` a call, `compiling` at first."""

    def __init__(self, clock: Clock, seconds: float, compiling: float, give: Callable[[Array], Array]) -> None:
        self._clock, self._seconds, self._compiling, self._give = clock, seconds, compiling, give

    def learn(self, arrays: Sequence[Array]) -> list[Array]:
        self._clock.now += self._compiling
        return self(arrays)

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        self._clock.now += self._seconds
        return [self._give(arrays[0])]


def half(array: Array) -> Array:
    return array / 2


def made(
    seconds: float = 0.001,
    compiling: float = 0.01,
    give: Callable[[Array], Array] = half,
    single: Halving | None = None,
) -> ReadyModel:
    """What becomes of the halving model, with a vmap like this."""
    clock = Clock() if single is None else single.clock
    return stacked(single or Halving(clock), lambda: Together(clock, seconds, compiling, give), clock)


def numbers(count: int) -> Array:
    return np.arange(2 * count, dtype=np.float32).reshape(count, 2)


def test_sizes_that_give_the_same_numbers_and_pay_are_used() -> None:
    model = made()
    assert isinstance(model, StackedModel)
    assert model.sizes == (1, 4, 16, 64)
    assert [(spec.shape, spec.batched, spec.instance_shape) for spec in model.inputs] == [((64, 2), True, (2,))]
    assert (model.batch_size, model.plan.most, model.outputs_count) == (1, 64, 1)
    for count in (1, 2, 4, 5, 16, 40, 64, 100):
        outputs = run_stacked(model, [numbers(count)])
        assert outputs is not None
        assert np.array_equal(outputs[0], numbers(count) / 2)


def test_an_instance_alone_goes_the_way_that_it_went_before() -> None:
    single = Halving(Clock())
    model = made(single=single)
    before = single.calls
    run_stacked(model, [numbers(1)])
    assert single.calls == before + 1
    run_stacked(model, [numbers(2)])
    assert single.calls == before + 1


def test_no_further_size_is_compiled_when_the_time_is_over() -> None:
    assert made(compiling=0.2).sizes == (1, 16, 64)
    assert made(compiling=1.0).sizes == (1, 16)


def test_a_size_that_costs_hardly_less_than_its_instances_is_not_used() -> None:
    assert made(seconds=0.010).sizes == (1, 16, 64)
    assert not isinstance(made(seconds=0.060), StackedModel)


def test_a_single_wrong_number_leaves_the_model_alone() -> None:
    def wrong(array: Array) -> Array:
        given = array / 2
        given[-1, -1] += 0.5
        return given

    assert not isinstance(made(give=wrong), StackedModel)


def test_a_graph_of_another_shape_or_none_leaves_the_model_alone() -> None:
    assert not isinstance(made(give=lambda array: array[0] / 2), StackedModel)

    def fail(_: Array) -> Array:
        raise RuntimeError("For 'Conv2D', vmap is not supported.\nC++ Call Stack")

    assert not isinstance(made(give=fail), StackedModel)


def test_a_model_that_remembers_is_left_alone() -> None:
    class Counting(Halving):
        def run(self, arrays: Sequence[Array]) -> list[Array]:
            return [output + self.calls // 20 for output in super().run(arrays)]

    single = Counting(Clock())
    assert not isinstance(made(give=half, single=single), StackedModel)


def test_what_is_long_or_has_a_batch_axis_or_open_shapes_is_not_tried() -> None:
    model = Halving(Clock())
    assert can_be_stacked(model)
    assert not can_be_stacked(Halving(Clock(), seconds=0.1))
    for spec in (
        InputSpec("a", np.dtype(np.float32), (4, 2), True),
        InputSpec("a", np.dtype(np.float32), (-1, 2), False),
    ):
        model.inputs = (spec,)
        assert not can_be_stacked(model)
    model.inputs = ()
    assert not can_be_stacked(model)


# --- with MindSpore


def load(workshop: Workshop, models: Path, name: str, asked: bool = True) -> ReadyModel:
    model = Model("model.mindir", with_batch_dim=False)
    folder = models / name / "1"

    def at_once() -> ReadyModel:
        mindspore_model.set_device(Target())
        (loaded,) = mindspore_model.load(model, folder, Target(), lambda _: asked)
        return loaded

    return workshop.on_mindspore_thread(at_once)


@pytest.mark.parametrize("name", ["fixed", "both", "ints", "mean", "flat"])
def test_mindspore_gives_the_same_for_each_instance_however_many_come(
    workshop: Workshop, models: Path, name: str
) -> None:
    """Not all of these can be stacked; whether or not, none may give another number."""
    one, many = load(workshop, models, name, asked=False), load(workshop, models, name)
    assert not isinstance(one, StackedModel)
    rng = np.random.default_rng(3)
    for count in (1, 3, 20):
        arrays = [
            rng.integers(-9, 9, (count, *spec.instance_shape)).astype(spec.dtype) for spec in one.inputs
        ]  # small: their sums are exact
        expected = workshop.on_mindspore_thread(partial(run_stacked, one, arrays))
        found = workshop.on_mindspore_thread(partial(run_stacked, many, arrays))
        assert expected is not None and found is not None
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_an_addition_runs_many_instances_in_one_call(workshop: Workshop, models: Path) -> None:
    model = load(workshop, models, "fixed")
    assert isinstance(model, StackedModel)
    assert model.plan.cut(16) == [16]
    instances = [np.full((2, 2), number, np.float32) for number in range(40)]
    values: list[list[Any]] = [list(instances), list(instances)]
    outcomes = workshop.on_mindspore_thread(lambda: run_each(model, values, range(40)))
    for number in range(40):
        outcome = outcomes[number]
        assert isinstance(outcome, list)
        assert np.array_equal(outcome[0], instances[number] * 2)


# --- tried in a process of its own


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = tuning_cache.cache_folder({"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert found is not None
    return found


def kept(cache: Path) -> list[str]:
    return [file.read_text() for file in cache.glob("*.json")]


def test_it_is_tried_once_and_again_when_asked(models: Path, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = models / "fixed" / "1" / "model.mindir"
    caplog.set_level(logging.INFO, "mindspore_serving.worker")
    assert may_stack(file, Target(), PLAIN, AUTO, seconds=120.0)
    assert kept(cache) == ['{"stacks": true}']
    assert caplog.text.count("several instances in one call: once") == 1
    assert may_stack(file, Target(), PLAIN, AUTO)
    assert caplog.text.count("several instances in one call: once") == 1
    (found,) = cache.glob("*.json")
    found.write_text('{"stacks": false}')
    assert not may_stack(file, Target(), PLAIN, AUTO)
    assert may_stack(file, Target(), PLAIN, AGAIN, seconds=120.0)


def test_what_ends_its_process_is_not_tried_in_the_worker(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "model.mindir"
    file.write_bytes(b"nothing that MindSpore could read")
    assert not may_stack(file, Target(), PLAIN, AUTO, seconds=120.0)
    assert kept(cache) == ['{"stacks": false}']


def test_what_takes_too_long_is_tried_again_by_the_next_start(models: Path, cache: Path) -> None:
    assert not may_stack(models / "fixed" / "1" / "model.mindir", Target(), PLAIN, AUTO, seconds=0.0)
    assert kept(cache) == []


def test_nothing_is_tried_when_tuning_is_off_on_other_devices_or_where_the_file_is_gone(
    tmp_path: Path, models: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = models / "fixed" / "1" / "model.mindir"
    assert not may_stack(file, Target(), PLAIN, OFF)
    assert not may_stack(file, Target(device_type="Ascend"), PLAIN, AUTO)
    assert not may_stack(tmp_path / "gone.mindir", Target(), PLAIN, AUTO)
    assert "was not tried" in caplog.text
    assert not cache.exists()
