"""Runs instances through a user's function. What it raises or returns concerns its own instances, never the worker."""

import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.worker.arrays import Value, from_function
from mindspore_serving.worker.complaints import Complaints
from mindspore_serving.worker.declarations import Stage
from mindspore_serving.worker.error_text import error_text
from mindspore_serving.worker.illegal_result import IllegalResult

logger = logging.getLogger("mindspore_serving.worker")

Outcome = list[Value] | Failure  # one instance's outputs
Again = Callable[[int, int], Sequence[tuple[Any, ...]]]

_LONGEST_TOLD = 1000  # characters


def _references(result: Any) -> int:
    return sys.getrefcount(result)


def _references_in_rows(row: "tuple[Any, ...]") -> int:
    values = list(row)
    return max([sys.getrefcount(value) for value in values])


# How many there are to what nobody else holds, where that is looked at: compiled code counts otherwise than Python's.
_TO_A_RESULT = _references(object())
_TO_A_VALUE = _references_in_rows((object(),))


@dataclass(frozen=True)
class FunctionStage:
    """A function stage of a method of a servable, with the names its error texts need.

    again: gives the instances from one place to another once more, as they were before the function, which may have
    changed them. None: the function must not be called again.
    """

    stage: Stage
    function: Callable[..., Any]
    servable: str
    method: str
    again: Again | None = None
    complaints: Complaints = field(default_factory=Complaints)
    _errors: list[BaseException] = field(default_factory=list, init=False)

    def run(self, instances: Sequence[tuple[Any, ...]]) -> list[Outcome]:
        """The outcome of each instance, in order."""
        outcomes = self._outcomes(instances)
        if self._errors and logger.isEnabledFor(logging.INFO):
            # The caller learns the reason; the line is for the author, once for all instances that came together.
            name = self._function_name
            left_out = self.complaints.may_tell(name, time.monotonic())
            if left_out is not None:
                before = f" (and {left_out} times that were not told)" if left_out else ""
                logger.info("method %s, function %s: %s%s", self.method, name, self._told(self._errors[0]), before)
        return outcomes

    def _outcomes(self, instances: Sequence[tuple[Any, ...]]) -> list[Outcome]:
        size = self.stage.batch_size
        if size is None:
            return [self._run_one(instance) for instance in instances]
        step = size or len(instances)
        return [
            outcome
            for start in range(0, len(instances), step)
            for outcome in self._run_batch(start, instances[start : start + step])
        ]

    def _run_one(self, instance: tuple[Any, ...]) -> Outcome:
        try:
            return self._unpack(self._call(*instance))
        except BaseException as error:  # also SystemExit: a user's function must not end the worker
            return self._failure(error)

    def _run_batch(self, first: int, instances: Sequence[tuple[Any, ...]]) -> list[Outcome]:
        """Results are returned or yielded. Where a generator raises, that instance fails and the rest starts anew.

        first: the place of the first instance among all. What must not be called again fails together.
        """
        outcomes: list[Outcome] = []
        rest = tuple(instances)
        while True:
            begun = first + len(outcomes)
            try:
                results = self._call(rest)
                if isinstance(results, str | bytes) or not isinstance(results, Iterable):
                    raise IllegalResult(f"Get illegal result data with type {type(results)}, expected one per instance")
            except BaseException as error:
                return [*outcomes, *self._in_halves(begun, len(rest), error)]
            before = len(outcomes)
            try:
                for result in results:
                    outcomes.append(self._unpacked_or_failure(result))
                    if len(outcomes) == len(instances):
                        return outcomes  # more than that is nobody's
            except BaseException as error:
                outcomes.append(self._failure(error))
                left = len(instances) - len(outcomes)
                if left == 0 or self.again is None:
                    return outcomes + outcomes[-1:] * left
                rest = tuple(self.again(first + len(outcomes), first + len(instances)))
                continue
            given = len(outcomes) - before
            missing = self._named(
                f"The number {given} of instances returned by function '{self._function_name}' is not equal to "
                f"the number {len(rest)} of instances provided to this function."
            )
            return [*outcomes, *[missing] * (len(rest) - given)]

    def _call(self, *arguments: Any) -> Any:
        """Calls the function. A child that it forks off, and that comes back from it, ends here: it is no worker."""
        process = os.getpid()
        try:
            result = self.function(*arguments)
        except BaseException as error:
            if os.getpid() != process:
                traceback.print_exception(error)
                os._exit(1)
            raise
        if os.getpid() != process:
            os._exit(0)
        return result

    def _in_halves(self, start: int, count: int, error: BaseException) -> list[Outcome]:
        """After a call that raised before its first result, one with each half: who is at fault fails alone."""
        if count == 1 or self.again is None:
            return [self._failure(error)] * count
        middle, stop = start + count // 2, start + count
        front = self._run_batch(start, self.again(start, middle))
        return front + self._run_batch(middle, self.again(middle, stop))

    def _unpacked_or_failure(self, result: Any) -> Outcome:
        try:
            return self._unpack(result)
        except Exception as error:
            return self._failure(error)

    def _unpack(self, result: Any) -> list[Value]:
        wanted = len(self.stage.outputs)
        # A function may go on writing into a buffer of its own, with another client's values.
        is_ours = sys.getrefcount(result) <= _TO_A_RESULT
        is_row = isinstance(result, tuple | list)
        values = list(result) if is_row else [result]
        if len(values) != wanted:
            raise IllegalResult(
                f"The outputs number {len(values)} of one instance returned by function '{self._function_name}' is not "
                f"equal to the outputs number {wanted}  registered in method {self.method}"
            )
        if not is_row:
            return [from_function(result, is_ours)]
        ours = [is_ours and sys.getrefcount(value) <= _TO_A_VALUE for value in values]
        return [from_function(value, is_its) for value, is_its in zip(values, ours, strict=True)]

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
