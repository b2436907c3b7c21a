"""Runs instances through a user's function. What it raises or returns concerns its own instances, never the worker."""

import logging
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.worker.arrays import Value, from_function
from mindspore_serving.worker.declarations import Stage
from mindspore_serving.worker.error_text import error_text
from mindspore_serving.worker.illegal_result import IllegalResult

logger = logging.getLogger("mindspore_serving.worker")

Outcome = list[Value] | Failure  # one instance's outputs

_LONGEST_TOLD = 1000  # characters


@dataclass(frozen=True)
class FunctionStage:
    """A function stage of a method of a servable, with the names its error texts need."""

    stage: Stage
    function: Callable[..., Any]
    servable: str
    method: str
    _errors: list[BaseException] = field(default_factory=list, init=False)

    def run(self, instances: Sequence[tuple[Any, ...]]) -> list[Outcome]:
        """The outcome of each instance, in order."""
        outcomes = self._outcomes(instances)
        if self._errors and logger.isEnabledFor(logging.INFO):
            # The caller learns the reason; the line is for the author, once for all instances that came together.
            logger.info("method %s, function %s: %s", self.method, self._function_name, self._told(self._errors[0]))
        return outcomes

    def _outcomes(self, instances: Sequence[tuple[Any, ...]]) -> list[Outcome]:
        size = self.stage.batch_size
        if size is None:
            return [self._run_one(instance) for instance in instances]
        step = size or len(instances)
        return [
            outcome
            for start in range(0, len(instances), step)
            for outcome in self._run_batch(instances[start : start + step])
        ]

    def _run_one(self, instance: tuple[Any, ...]) -> Outcome:
        try:
            return self._unpack(self.function(*instance))
        except BaseException as error:  # also SystemExit: a user's function must not end the worker
            return self._failure(error)

    def _run_batch(self, instances: Sequence[tuple[Any, ...]]) -> list[Outcome]:
        """Results are returned or yielded. Where a generator raises, that instance fails and the rest starts anew.

        A call that raises before its first result is made again with each half: who is at fault fails alone.
        """
        outcomes: list[Outcome] = []
        while len(outcomes) < len(instances):
            rest = tuple(instances[len(outcomes) :])
            try:
                results = self.function(rest)
                if isinstance(results, str | bytes) or not isinstance(results, Iterable):
                    raise IllegalResult(f"Get illegal result data with type {type(results)}, expected one per instance")
            except BaseException as error:
                if len(rest) == 1:
                    return [*outcomes, self._failure(error)]
                middle = len(rest) // 2
                return [*outcomes, *self._run_batch(rest[:middle]), *self._run_batch(rest[middle:])]
            before = len(outcomes)
            try:
                for result in results:
                    outcomes.append(self._unpacked_or_failure(result))
                    if len(outcomes) == len(instances):
                        return outcomes  # more than that is nobody's
            except BaseException as error:
                outcomes.append(self._failure(error))
                continue
            given = len(outcomes) - before
            missing = self._named(
                f"The number {given} of instances returned by function '{self._function_name}' is not equal to "
                f"the number {len(rest)} of instances provided to this function."
            )
            return [*outcomes, *[missing] * (len(rest) - given)]
        return outcomes

    def _unpacked_or_failure(self, result: Any) -> Outcome:
        try:
            return self._unpack(result)
        except Exception as error:
            return self._failure(error)

    def _unpack(self, result: Any) -> list[Value]:
        wanted = len(self.stage.outputs)
        values = list(result) if isinstance(result, tuple | list) else [result]
        if len(values) != wanted:
            raise IllegalResult(
                f"The outputs number {len(values)} of one instance returned by function '{self._function_name}' is not "
                f"equal to the outputs number {wanted}  registered in method {self.method}"
            )
        return [from_function(value) for value in values]

    @property
    def _function_name(self) -> str:
        return f"{self.servable}.{getattr(self.function, '__name__', type(self.function).__name__)}"

    def _told(self, error: BaseException) -> str:
        """Where in the function's own file, and what."""
        code = getattr(self.function, "__code__", None)
        own = [
            frame for frame in traceback.extract_tb(error.__traceback__) if code and frame.filename == code.co_filename
        ]
        line = own[-1].lineno if own else getattr(code, "co_firstlineno", 0)
        place = f"{code.co_filename}:{line}: " if code else ""
        return f"{place}{type(error).__name__}: {' '.join(error_text(error).split())[:_LONGEST_TOLD]}"

    def _failure(self, error: BaseException) -> Failure:
        self._errors.append(error)
        return self._named(error_text(error) or type(error).__name__)

    def _named(self, reason: str) -> Failure:
        return Failure(
            Code.SYSTEM_ERROR,
            f"Call {self.stage.label} Failed, method: '{self.method}', "
            f"stage index(begin with 1): {self.stage.index}, error msg: {reason}",
        )
