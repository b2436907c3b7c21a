"""A batch on its way through a method's stages, from thread to thread: Python stages on one, models on MindSpore's."""

import logging
import time
from collections.abc import Callable, Mapping

import numpy as np

from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.cluster.messages import BatchDone, RunBatch
from mindspore_serving.worker.arrays import Array, Value, Values, for_function, from_column, to_column
from mindspore_serving.worker.declarations import Method, Model, Stage
from mindspore_serving.worker.function_stage import FunctionStage
from mindspore_serving.worker.model_stage import Outcome, Runnable, run_each, run_stacked

logger = logging.getLogger("mindspore_serving.worker")


class Job:
    """One batch: the values so far, and the failures. Only one thread has it at a time."""

    def __init__(self, servable: str, method: Method, batch: RunBatch, deadline: float) -> None:
        self._servable = servable
        self._method = method
        self._batch = batch
        self._deadline = deadline
        self._values: dict[int, Values] = {}
        self._failures: dict[int, Failure] = {}

    def unpack(self) -> None:
        """Takes the values out of the message."""
        self._values = {index: from_column(column) for index, column in enumerate(self._batch.columns)}

    def run(self, stage: Stage, models: Mapping[Model, Runnable]) -> None:
        """One stage, for the instances that have not failed."""
        live = [index for index in range(self._batch.count) if index not in self._failures]
        if not live:
            return
        if isinstance(stage.work, Model):
            self._run_model(stage, models[stage.work], live)
        else:
            runner = FunctionStage(stage, stage.work, self._servable, self._method.name)
            instances = [tuple(self._for_function(value, index) for value in stage.inputs) for index in live]
            self._keep(stage, dict(zip(live, runner.run(instances), strict=True)))

    @property
    def is_late(self) -> bool:
        """Whether nobody waits for it any more."""
        return time.monotonic() >= self._deadline

    def done(self) -> BatchDone:
        """The answer: one column an output, over the instances that succeeded."""
        good = [index for index in range(self._batch.count) if index not in self._failures]
        columns = tuple(to_column(self._selected(value, good)) for value in self._method.returned) if good else ()
        return BatchDone(self._batch.batch_id, columns, self._failures)

    def give_up(self, failure: Failure) -> BatchDone:
        """The answer when something of ours went wrong."""
        failures = {index: self._failures.get(index, failure) for index in range(self._batch.count)}
        return BatchDone(self._batch.batch_id, (), failures)

    def _run_model(self, stage: Stage, model: Runnable, live: list[int]) -> None:
        inputs = [self._values[value] for value in stage.inputs]
        stacked = [values for values in inputs if isinstance(values, np.ndarray)]
        if not self._failures and len(stacked) == len(inputs) == len(model.inputs):
            try:
                outputs = run_stacked(model, stacked)
            except Exception:  # some instance's fault: run_each finds out whose
                outputs = None
            if outputs is not None:
                self._values.update(zip(stage.outputs, outputs, strict=True))
                return
        self._keep(stage, run_each(model, inputs, live))

    def _keep(self, stage: Stage, outcomes: Mapping[int, Outcome]) -> None:
        columns: list[list[Value | None]] = [[None] * self._batch.count for _ in stage.outputs]
        for index, outcome in outcomes.items():
            if isinstance(outcome, Failure):
                self._failures[index] = outcome
            else:
                for column, value in zip(columns, outcome, strict=True):
                    column[index] = value
        self._values.update(zip(stage.outputs, columns, strict=True))

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

    def _selected(self, value: int, indices: list[int]) -> Array | list[Value]:
        values = self._values[value]
        if isinstance(values, np.ndarray):
            return values if len(indices) == len(values) else values[indices]
        return [one for one in (values[index] for index in indices) if one is not None]


Step = Callable[[], None]
Post = Callable[[Stage, Step], None]


def run_job(
    job: Job, method: Method, models: Mapping[Model, Runnable], post: Post, done: Callable[[BatchDone], None]
) -> None:
    """Runs a job's stages one after the other, each where `post` puts it; then calls `done`, once, whatever happens."""

    def guarded(step: Step) -> Step:
        def run() -> None:
            try:
                step()
            except Exception as error:
                logger.exception("a fault of the worker's own in method %s", method.name)
                done(job.give_up(Failure(Code.SYSTEM_ERROR, f"internal error of the worker: {type(error).__name__}")))

        return run

    def step(number: int) -> None:
        if number < len(method.stages) and job.is_late:
            done(job.give_up(Failure(Code.DEADLINE_PASSED, f"the deadline passed before method {method.name} ran")))
            return
        if number == 0:
            job.unpack()
        if number == len(method.stages):
            done(job.done())
            return
        stage = method.stages[number]
        job.run(stage, models)
        following = method.stages[number + 1] if number + 1 < len(method.stages) else stage
        if isinstance(following.work, Model) is isinstance(stage.work, Model):
            step(number + 1)  # in this thread
        else:
            post(following, guarded(lambda: step(number + 1)))

    post(method.stages[0], guarded(lambda: step(0))) if method.stages else guarded(lambda: step(0))()
