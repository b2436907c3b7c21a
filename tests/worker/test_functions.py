"""Functions of a servable: what they see, what they may return, and what their mistakes cost. No model is needed."""

import logging
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mindspore_serving.cluster.errors import Code
from mindspore_serving.cluster.messages import BatchDone
from mindspore_serving.cluster.tensors import Stacked, Tensor, Value, from_column, to_column
from mindspore_serving.worker.complaints import MOST_LINES, SECONDS, Complaints
from mindspore_serving.worker.declarations import Stage
from mindspore_serving.worker.function_stage import FunctionStage
from tests.worker.conftest import Workshop, run

METHOD = """
import numpy as np
{function}
@register.register_method(output_names=["y"])
def go(x):
    return register.add_stage(f, x, outputs_count=1{batch})
"""


def go(workshop: Workshop, function: str, values: list[Value], batch: str = "") -> BatchDone:
    servable = workshop.make(METHOD.format(function=function, batch=batch))
    return run(servable, "go", len(values), to_column(values))


def ints(*values: int) -> list[Value]:
    return [Tensor("<i8", (), np.int64(value).tobytes()) for value in values]


def plain(done: BatchDone) -> list[Any]:
    """The results of the instances that succeeded, as Python values."""
    values = from_column(done.columns[0]) if done.columns else ()
    return [v if isinstance(v, str | bytes) else np.ndarray(v.shape, v.dtype, v.data).tolist() for v in values]


def reasons(done: BatchDone) -> dict[int, str]:
    assert all(failure.code == Code.SYSTEM_ERROR for failure in done.failures.values())
    return {index: failure.text.partition("error msg: ")[2] for index, failure in done.failures.items()}


def said_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged of a function; on some CPUs there are lines of the engine's beside."""
    return [message for message in caplog.messages if "function" in message]


@pytest.mark.parametrize("batch", ["", ", batch_size=0"])
def test_the_line_that_raised_is_logged_once_for_instances_that_came_together(
    workshop: Workshop, caplog: pytest.LogCaptureFixture, batch: str
) -> None:
    function = "import json\ndef f(x):\n    y = ''\n    return json.loads(y)"
    with caplog.at_level(logging.INFO, "mindspore_serving.worker"):
        done = go(workshop, function, ints(1, 2, 3), batch)
    assert set(reasons(done)) == {0, 1, 2}
    (said,) = said_of(caplog)
    assert re.fullmatch(r"method go, function mine\.f: .*/mine/servable_config\.py:7: \w+: .*", said), said


def test_a_function_that_fails_again_and_again_does_not_fill_the_log(
    workshop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    servable = workshop.make(METHOD.format(function="def f(x):\n    raise ValueError(x)", batch=""))
    with caplog.at_level(logging.INFO, "mindspore_serving.worker"):
        for number in range(MOST_LINES + 5):
            assert reasons(run(servable, "go", 1, to_column(ints(number)))) == {0: str(number)}
    assert len(said_of(caplog)) == MOST_LINES


def test_what_the_log_left_out_is_counted() -> None:
    complaints = Complaints()
    assert [complaints.may_tell("f", 1.0) for _ in range(MOST_LINES + 2)] == [0] * MOST_LINES + [None, None]
    assert complaints.may_tell("g", 1.0) == 0
    assert complaints.may_tell("f", 0.9 + SECONDS) is None
    assert [complaints.may_tell("f", 1.0 + SECONDS) for _ in range(2)] == [3, 0]


def test_a_result_of_a_wrong_kind_is_logged_with_the_functions_line(
    workshop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "mindspore_serving.worker"):
        go(workshop, "def f(x):\n    return None", ints(1))
    (said,) = said_of(caplog)
    assert re.search(r"/mine/servable_config\.py:4: IllegalResult: Get illegal result data", said), said


@pytest.mark.parametrize(
    "returned, dtype, shape",
    [
        ("True", "|b1", ()),
        ("5", "<i8", ()),
        ("0.5", "<f8", ()),
        ("np.float16(2)", "<f2", ()),
        ("np.ones((2, 3), '>i4')", "<i4", (2, 3)),
        ("np.ones((4, 4), np.uint8)[::2, ::2]", "|u1", (2, 2)),
        ("np.zeros((0,), np.float32)", "<f4", (0,)),
        ("type('T', (), {'asnumpy': lambda self: np.ones(1)})()", "<f8", (1,)),
    ],
)
def test_what_a_function_may_return(workshop: Workshop, returned: str, dtype: str, shape: tuple[int, ...]) -> None:
    done = go(workshop, f"def f(x): return {returned}", ints(1, 2))
    (column,) = done.columns
    assert isinstance(column, Stacked)
    assert (column.dtype, column.shape) == (dtype, (2, *shape))


def test_as_many_axes_as_numpy_has_come_back_singly(workshop: Workshop) -> None:
    done = go(workshop, "def f(x): return np.full((1,) * 32, x)", ints(1, 2))
    (column,) = done.columns
    assert column == tuple(Tensor("<i8", (1,) * 32, np.int64(value).tobytes()) for value in (1, 2))


def test_texts_and_bytes_come_and_go(workshop: Workshop) -> None:
    assert plain(go(workshop, "def f(x): return x + '!'", ["a", "ü"])) == ["a!", "ü!"]
    seen = go(workshop, "def f(x): return str((type(x).__name__, x.dtype.str, x.tolist()))", [b"\1\2"])
    assert plain(seen) == ["('ndarray', '|u1', [1, 2])"]
    assert plain(go(workshop, "def f(x): return x.tobytes()", [b"abc"])) == [b"abc"]


def test_numbers_are_writeable_arrays_and_scalars_have_no_dimension(workshop: Workshop) -> None:
    function = "def f(x):\n    x += 1\n    return str((type(x).__name__, x.shape, x.flags.writeable))"
    for values in (ints(1), [*ints(1), Tensor("<f4", (), bytes(4))]):
        assert plain(go(workshop, function, values))[0] == "('ndarray', (), True)"


def test_a_change_in_place_is_seen_by_later_stages(workshop: Workshop) -> None:
    servable = workshop.make(
        """
        def change(x):
            x += 1
            return 0
        def keep(x, _):
            return x
        @register.register_method(output_names=["y"])
        def go(x):
            done = register.add_stage(change, x, outputs_count=1)
            return register.add_stage(keep, x, done, outputs_count=1)
        """
    )
    assert plain(run(servable, "go", 2, to_column(ints(1, 5)))) == [2, 6]


@pytest.mark.parametrize(
    "kind",
    ["return [x * 2 for (x,) in xs]", "return tuple((x * 2,) for (x,) in xs)", "yield from (x * 2 for (x,) in xs)"],
)
@pytest.mark.parametrize("batch", [", batch_size=0", ", batch_size=2", ", batch_size=50"])
def test_batch_functions_return_or_yield_a_result_each(workshop: Workshop, kind: str, batch: str) -> None:
    assert plain(go(workshop, f"def f(xs):\n    {kind}", ints(1, 2, 3), batch)) == [2, 4, 6]


def test_batch_size_limits_what_a_function_sees(workshop: Workshop) -> None:
    function = "def f(xs):\n    return [len(xs)] * len(xs)"
    assert plain(go(workshop, function, ints(*range(5)), ", batch_size=2")) == [2, 2, 2, 2, 1]
    assert plain(go(workshop, function, ints(*range(5)), ", batch_size=0")) == [5] * 5


def test_a_generator_that_raises_is_called_again_with_the_rest(workshop: Workshop) -> None:
    function = (
        "def f(xs):\n    for (x,) in xs:\n        if x == 2: raise ValueError('two')\n"
        "        yield (int(x), len(xs))[0]"
    )
    done = go(workshop, function, ints(1, 2, 3, 2), ", batch_size=0")
    assert plain(done) == [1, 3]
    assert reasons(done) == {1: "two", 3: "two"}


def test_a_batch_function_that_raises_fails_only_the_instance_at_fault(workshop: Workshop) -> None:
    function = "def f(xs):\n    if any(x == 2 for (x,) in xs): raise ValueError('two')\n    return [x for (x,) in xs]"
    done = go(workshop, function, ints(1, 2, 3, 4), ", batch_size=2")
    assert plain(done) == [1, 3, 4]
    assert reasons(done) == {1: "two"}


BATCHED = """
import numpy as np
calls = []
def one(x):
    return x + 0
def f(instances):
    calls.append(len(instances))
    for (x,) in instances:
        x *= 2
    for (x,) in instances:
        if x[0] < 0: raise ValueError(f"negative, call {{len(calls)}}")
    {give}
@register.register_method(output_names=["y", "x"], idempotent={idempotent})
def go(x):
    x = {first}
    return register.add_stage(f, x, outputs_count=1, batch_size=0), x
"""


@pytest.mark.parametrize("first", ["x", "register.add_stage(one, x, outputs_count=1)"])
@pytest.mark.parametrize("give", ["return [x for (x,) in instances]", "yield from [x for (x,) in instances]"])
@pytest.mark.parametrize("uneven", [False, True])
def test_a_function_is_called_again_with_its_inputs_as_they_were(
    workshop: Workshop, first: str, give: str, uneven: bool
) -> None:
    servable = workshop.make(BATCHED.format(first=first, give=give, idempotent=True))
    values = [[1, 1], [2, 2], [3, 3, 3] if uneven else [3, 3], [-4, -4]]
    tensors: list[Value] = [Tensor("<i8", (len(v),), np.array(v, np.int64).tobytes()) for v in values]
    if "yield" in give:
        tensors = tensors[3:] + tensors[:3]
    done = run(servable, "go", 4, to_column(tensors))
    assert [value[0] for value in plain(done)] == [2, 4, 6]
    changed = [np.ndarray(v.shape, v.dtype, v.data)[0] for v in from_column(done.columns[1]) if isinstance(v, Tensor)]
    assert changed == [2, 4, 6]  # what later stages see
    assert list(done.failures) == [0 if "yield" in give else 3]


@pytest.mark.parametrize("give", ["return [x for (x,) in instances]", "yield from [x for (x,) in instances]"])
def test_a_function_of_a_method_that_may_run_once_is_called_once(workshop: Workshop, give: str) -> None:
    servable = workshop.make(BATCHED.format(first="x", give=give, idempotent=False))
    values: list[Value] = [Tensor("<i8", (1,), np.int64(value).tobytes()) for value in (1, 2, -3, 4)]
    done = run(servable, "go", 4, to_column(values))
    assert reasons(done) == dict.fromkeys(range(4), "negative, call 1")


def test_too_few_results_fail_the_missing_ones_and_too_many_are_ignored(workshop: Workshop) -> None:
    done = go(workshop, "def f(xs):\n    return [1, 2]", ints(1, 2, 3), ", batch_size=0")
    assert plain(done) == [1, 2]
    assert reasons(done) == {
        2: "The number 2 of instances returned by function 'mine.f' is not equal to the number 3 of instances "
        "provided to this function."
    }
    assert plain(go(workshop, "def f(xs):\n    return [1, 2, 3]", ints(1, 2), ", batch_size=0")) == [1, 2]


@pytest.mark.parametrize(
    "body, reason",
    [
        ("return None", "Get illegal result data with type <class 'NoneType'>"),
        ("return np.array([None])", "Get illegal result data with type <class 'numpy.ndarray'>, dtype object"),
        ("return 1j", "Get illegal result data with type <class 'complex'>"),
        ("return 2 ** 80", "Get illegal result data with type <class 'int'>"),
        (
            "return x, x",
            "The outputs number 2 of one instance returned by function 'mine.f' is not equal to the outputs number 1  "
            "registered in method go",
        ),
        ("raise SystemExit(3)", "3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise ValueError", "ValueError"),
        ("raise type('E', (Exception,), {'__str__': lambda self: 1 / 0})()", "E"),
    ],
)
def test_a_mistake_fails_its_instance_and_nothing_else(workshop: Workshop, body: str, reason: str) -> None:
    done = go(workshop, f"def f(x):\n    if x == 7: {body}\n    return x", ints(1, 7, 2))
    assert plain(done) == [1, 2]
    assert list(reasons(done)) == [1]
    assert reasons(done)[1].startswith(reason)
    prefix = "Call Function 'mine.f' Failed, method: 'go', stage index(begin with 1): 1, error msg: "
    assert done.failures[1].text.startswith(prefix)


@pytest.mark.parametrize("body", ["return 5", "return 'text'", "return None"])
def test_a_batch_function_that_returns_no_collection_fails_its_call(workshop: Workshop, body: str) -> None:
    done = go(workshop, f"def f(xs):\n    {body}", ints(1, 2), ", batch_size=0")
    assert set(done.failures) == {0, 1}
    assert "expected one per instance" in done.failures[0].text


@pytest.mark.parametrize(
    "body",
    [
        "buffer[0] = x; return buffer",
        "buffer[0] = x; return buffer[:]",
        "buffer[0] = x; return (buffer,)",
        "buffer[0] = x; return held",
        "buffer[0] = x; return [buffer]",
        "buffer[0] = x; return type('T', (), {'asnumpy': lambda self: buffer})()",
    ],
)
def test_a_result_stays_what_it_was_when_the_function_returned_it(workshop: Workshop, body: str) -> None:
    """Before, clients of one batch, and of the next one, got the values that were written last."""
    function = f"buffer = np.empty(1)\nheld = (buffer,)\ndef f(x):\n    {body}"
    assert plain(go(workshop, function, ints(1, 2, 3))) == [[1], [2], [3]]


def test_what_a_generator_yields_stays_what_it_was(workshop: Workshop) -> None:
    function = "def f(xs):\n    y = np.empty(1)\n    for (x,) in xs:\n        y[0] = x\n        yield y"
    assert plain(go(workshop, function, ints(1, 2, 3), ", batch_size=0")) == [[1], [2], [3]]


def test_a_value_that_is_changed_in_place_and_returned_is_another_one_from_then_on(workshop: Workshop) -> None:
    servable = workshop.make(
        """
        def same(x):
            return x
        def change(x):
            x += 1
            return x
        @register.register_method(output_names=["y", "z"])
        def go(x):
            y = register.add_stage(same, x, outputs_count=1)
            return y, register.add_stage(change, x, outputs_count=1)
        """
    )
    done = run(servable, "go", 2, to_column(ints(1, 5)))
    assert [list(map(int, np.frombuffer(c.data, np.int64))) for c in done.columns if isinstance(c, Stacked)] == [
        [1, 5],
        [2, 6],
    ]


@pytest.mark.parametrize("row", [tuple, list, None])
def test_a_result_that_nobody_else_holds_is_not_copied(row: Callable[[list[Any]], Any] | None) -> None:
    made: list[int] = []

    def f(x: int) -> Any:
        y = np.arange(x)
        made.append(y.__array_interface__["data"][0])
        return y if row is None else row([y])

    stage = Stage(1, f, (0,), (1,))
    outcomes = FunctionStage(stage, f, "s", "m").run([(9,), (8,)])
    values = [outcome[0] for outcome in outcomes if isinstance(outcome, list)]
    assert [one.__array_interface__["data"][0] for one in values if isinstance(one, np.ndarray)] == made


def test_a_method_without_a_stage_gives_its_inputs_back(workshop: Workshop) -> None:
    servable = workshop.make('@register.register_method(output_names=["b", "a"])\ndef swap(a, b):\n    return b, a\n')
    done = run(servable, "swap", 2, ("x", b"y"), to_column(ints(1, 2)))
    assert done.columns == (to_column(ints(1, 2)), ("x", b"y"))
