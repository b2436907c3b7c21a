"""A batch on its way through a method's stages, from thread to thread: Python stages on one, models on MindSpore's."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.cluster.messages import BatchDone, RunBatch
from mindspore_serving.worker.arrays import Array, Value, Values, for_function, from_column, to_column
from mindspore_serving.worker.complaints import Complaints
from mindspore_serving.worker.declarations import Method, Model, Stage
from mindspore_serving.worker.function_stage import Again, FunctionStage
from mindspore_serving.worker.model_stage import Outcome, Runnable, run_each, run_stacked

logger = logging.getLogger("mindspore_serving.worker")


Step = Callable[[], None]
Post = Callable[[Stage, Step], None]


class Job:
    """One batch: the values so far, and the failures. Only one thread has it at a time.

    Its stages run one after the other, each where `post` puts it; then `done` is called, once, whatever happens.
    """

    def __init__(
        self,
        servable: str,
        method: Method,
        batch: RunBatch,
        models: Mapping[Model, Runnable],
        post: Post,
        done: Callable[[BatchDone], None],
        complaints: Complaints,
    ) -> None:
        self._servable = servable
        self._method = method
        self._batch = batch
        self._deadline = None if batch.seconds_left is None else time.monotonic() + batch.seconds_left
        self._models = models
        self._post = post
        self._done = done
        self._complaints = complaints
        self._number = 0  # of the next stage
        self._began_at = 0.0
        self._has_moved = False  # from one thread to another: meanwhile the first one runs other batches
        self._values: dict[int, Values] = {}
        self._failures: dict[int, Failure] = {}

    def start(self) -> None:
        """Puts the first stage on its way, if there is any. Returns at once."""
        if self._method.stages:
            self._post(self._method.stages[0], self)
        else:
            self()

    def __call__(self) -> None:
        """Goes on, as far as this thread may."""
        try:
            answer = self._go_on()
        except Exception as error:
            logger.exception("a fault of the worker's own in method %s", self._method.name)
            answer = self._given_up(Failure(Code.SYSTEM_ERROR, f"internal error of the worker: {type(error).__name__}"))
        if answer is not None:
            self._done(answer)  # whatever that raises, the batch is answered no second time

    def _go_on(self) -> BatchDone | None:
        """The answer, unless another thread goes on."""
        stages = self._method.stages
        if self._number == 0:
            self._began_at = time.monotonic()
            self._values = {index: from_column(column) for index, column in enumerate(self._batch.columns)}
        while self._number < len(stages):
            if self._is_late():
                text = f"the deadline passed before method {self._method.name} ran"
                return self._given_up(Failure(Code.DEADLINE_PASSED, text))
            stage = stages[self._number]
            self._run(stage)
            self._number += 1
            if self._number < len(stages):
                following = stages[self._number]
                if isinstance(following.work, Model) is not isinstance(stage.work, Model):
                    self._has_moved = True
                    self._post(following, self)
                    return None
        return self._answer()

    def _run(self, stage: Stage) -> None:
        """One stage, for the instances that have not failed."""
        live = self._live()
        if not live:
            return
        if isinstance(stage.work, Model):
            self._run_model(stage, self._models[stage.work], live)
        else:
            may_repeat = stage.batch_size is not None and len(live) > 1 and self._method.idempotent
            again = self._again(stage, live) if may_repeat else None
            runner = FunctionStage(stage, stage.work, self._servable, self._method.name, again, self._complaints)
            instances = [tuple(self._for_function(value, index) for value in stage.inputs) for index in live]
            self._keep(stage, dict(zip(live, runner.run(instances), strict=True)))

    def _is_late(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _answer(self) -> BatchDone:
        """One column an output, over the instances that succeeded."""
        good = self._live()
        columns = tuple([to_column(self._selected(value, good)) for value in self._method.returned]) if good else ()
        seconds = None if self._has_moved else time.monotonic() - self._began_at
        return BatchDone(self._batch.batch_id, columns, self._failures, seconds)

    def _given_up(self, failure: Failure) -> BatchDone:
        """The answer when there are no results to have; what failed before keeps its reason."""
        failures = {index: self._failures.get(index, failure) for index in range(self._batch.count)}
        return BatchDone(self._batch.batch_id, (), failures)

    def _live(self) -> Sequence[int]:
        every = range(self._batch.count)
        return [index for index in every if index not in self._failures] if self._failures else every

    def _run_model(self, stage: Stage, model: Runnable, live: Sequence[int]) -> None:
        inputs = [self._values[value] for value in stage.inputs]
        has_failed = False
        stacked = [values for values in inputs if isinstance(values, np.ndarray)]
        if not self._failures and len(stacked) == len(inputs) == len(model.inputs):
            try:
                outputs = run_stacked(model, stacked)
            except Exception:  # some instance's fault: run_each finds out whose
                outputs, has_failed = None, True
            if outputs is not None:
                self._values.update(zip(stage.outputs, outputs, strict=True))
                return
        self._keep(stage, run_each(model, inputs, live, alone=has_failed))

    def _keep(self, stage: Stage, outcomes: Mapping[int, Outcome]) -> None:
        columns: list[list[Value | None]] = [[None] * self._batch.count for _ in stage.outputs]
        for index, outcome in outcomes.items():
            if isinstance(outcome, Failure):
                self._failures[index] = outcome
            else:
                for column, value in zip(columns, outcome, strict=True):
                    column[index] = value
        self._values.update(zip(stage.outputs, columns, strict=True))

    def _again(self, stage: Stage, live: Sequence[int]) -> Again:
        """Gives a function's instances once more, as they are now."""
        kept = {value: _kept(self._values[value]) for value in stage.inputs}

        def again(start: int, stop: int) -> list[tuple[Any, ...]]:
            indices = live[start:stop]
            for value, before in kept.items():
                values = self._values[value]
                for index in indices:
                    values[index] = before[index]
            return [tuple([self._for_function(value, index) for value in stage.inputs]) for index in indices]

        return again

    def _for_function(self, value: int, index: int) -> Array | str:
        """One instance's value, writeable: a change in place is seen by every later stage that uses the value."""
        values = self._values[value]
        if isinstance(values, np.ndarray):
            if not values.flags.writeable:
                values = self._values[value] = values.copy()
            return values[index, ...]  # the ellipsis keeps a scalar an array
        one = values[index]
        assert one is not None
        if isinstance(one, np.ndarray) and not one.flags.writeable:
            one = values[index] = one.copy()
        return for_function(one)

    def _selected(self, value: int, indices: Sequence[int]) -> Array | list[Value]:
        values = self._values[value]
        if isinstance(values, np.ndarray):
            return values if len(indices) == len(values) else values[indices]
        return [one for one in (values[index] for index in indices) if one is not None]


def _kept(values: Values) -> Values:
    """The values, which nobody can change: copies of those that a function may."""
    if isinstance(values, np.ndarray):
        return _read_only(values)
    return [_read_only(one) if isinstance(one, np.ndarray) else one for one in values]


def _read_only(array: Array) -> Array:
    if not array.flags.writeable:
        return array
    copy = array.copy()
    copy.flags.writeable = False
    return copy
