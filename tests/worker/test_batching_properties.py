"""Random methods over random batches: each instance gets what it gets alone, and no function ends the worker."""

import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mindspore_serving.cluster.errors import Failure
from mindspore_serving.cluster.messages import BatchDone
from mindspore_serving.cluster.tensors import Column, Tensor, Value, to_column
from mindspore_serving.cluster.tensors import from_column as wire_values
from mindspore_serving.worker.servable import Servable
from mindspore_serving.worker.work_thread import WorkThread
from tests.worker.conftest import Workshop, run
from tests.worker.test_servables import value

Batch = list[tuple[Value, Value]]  # the two inputs of each instance

METHODS = 40
# What the first number of an instance makes a function do; others are computed with.
RAISES, RETURNS_NONE, TOO_MANY_OUTPUTS = -1, -2, -3

FUNCTIONS = """
import numpy as np

def _one(a, b):
    if a.flat[0] == -1:
        raise ValueError("told to raise")
    if a.flat[0] == -2:
        return None
    if a.flat[0] == -3:
        return a, b, a
    return a * 2 - b

def each(a, b):
    return _one(a, b)

def as_list(instances):
    return [_one_or_bad(a, b) for a, b in instances]

def as_tuple(instances):
    return tuple(_one_or_bad(a, b) for a, b in instances)

def as_generator(instances):
    for a, b in instances:
        yield _one(a, b)

def _one_or_bad(a, b):
    # A list that is never finished fails all of its call: here only what is returned for one may be wrong.
    return None if a.flat[0] == -1 else _one(a, b)

model_4 = register.declare_model("fixed_batch.mindir", "MindIR")
model_any = register.declare_model("open_batch.mindir", "MindIR")
model_1 = register.declare_model("single.mindir", "MindIR", with_batch_dim=False)
"""
WORK = ("each", "as_list", "as_tuple", "as_generator", "model_4", "model_any")


def make_method(rng: random.Random, number: int) -> str:
    """A method of up to five stages, each over values picked at random: values are used again, and joined later."""
    values = ["a", "b"]
    lines = ["@register.register_method(['y', 'z'])", f"def m{number}(a, b):"]
    for stage in range(rng.randrange(6)):
        work = rng.choice(WORK)
        size = f", batch_size={rng.choice((0, 1, 2, 3, 100))}" if work.startswith("as_") else ""
        name = f"v{stage}"
        first, second = rng.choice(values), rng.choice(values)
        lines.append(f"    {name} = register.add_stage({work}, {first}, {second}, outputs_count=1{size})")
        values.append(name)
    lines.append(f"    return {values[-1]}, {rng.choice(values)}")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def servable(
    tmp_path_factory: pytest.TempPathFactory, models: Path, mindspore_thread: WorkThread
) -> Iterator[Servable]:
    shop = Workshop(tmp_path_factory.mktemp("random"), models, mindspore_thread)
    rng = random.Random(20)
    place = shop.write(FUNCTIONS + "\n\n".join(make_method(rng, number) for number in range(METHODS)))
    (place / "1").mkdir()
    for model, file in (("batch", "fixed_batch"), ("open", "open_batch"), ("fixed", "single")):
        shutil.copyfile(models / model / "1" / "model.mindir", place / "1" / f"{file}.mindir")
    yield shop.load()
    shop.close()


numbers = st.tuples(st.integers(-3, 5), st.integers(-3, 5))
arrays = st.one_of(
    numbers.map(lambda pair: value(pair)),
    numbers.map(lambda pair: value(pair)),
    numbers.map(lambda pair: value([*pair, 0])),  # not the models' size
    numbers.map(lambda pair: value(pair, "<i8")),  # not the models' type
)
instances = st.lists(st.tuples(arrays, arrays), min_size=1, max_size=12)


@settings(max_examples=300, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.integers(0, METHODS - 1), instances)
def test_each_instance_gets_what_it_gets_alone(servable: Servable, number: int, batch: Batch) -> None:
    together = answers(servable, number, batch)
    alone = [answers(servable, number, [instance])[0] for instance in batch]
    assert together == alone


def answers(servable: Servable, number: int, batch: Batch) -> list[object]:
    """For each instance its two outputs, or why it has none."""
    columns = [to_column([instance[place] for instance in batch]) for place in (0, 1)]
    done = run(servable, f"m{number}", len(batch), *columns)
    good = zip(*(outputs(column) for column in done.columns), strict=True)
    return [told(done.failures[index]) if index in done.failures else next(good) for index in range(len(batch))]


def outputs(column: Column) -> list[object]:
    return [(v.dtype, v.shape, bytes(v.data)) if isinstance(v, Tensor) else v for v in wire_values(column)]


def told(failure: Failure) -> tuple[int, str]:
    """Counts in a text tell of the call that the instance was in."""
    return failure.code, re.sub(r"number \d+", "number N", failure.text)


DEADLY = {
    "exit": "import sys; sys.exit(3)",
    "interrupt": "raise KeyboardInterrupt",
    "recursion": "return f(a, b)",
    "memory": "raise MemoryError",
    "huge": "return np.empty(1 << 60, np.int8)",
    "generator exit": "raise GeneratorExit",
    "stop iteration": "raise StopIteration",
    "silent": "raise Silent",
    "thread": "import threading; threading.Thread(target=lambda: 0).start(); return a",
    "object": "return np.array([object()])",
    "liar": "return Liar()",
    "itself": "return f",
    "complex": "return 1j",
    "tall": "return 10 ** 400",
    "set": "return {1}",
}
HEADER = """
import numpy as np

class Silent(Exception):
    def __str__(self):
        raise RuntimeError("not even this")

class Liar:
    def asnumpy(self):
        raise ValueError("no such array")

"""


@pytest.mark.parametrize("batch_size", [None, 0, 2])
@pytest.mark.parametrize("name", DEADLY)
def test_no_function_ends_the_worker(workshop: Workshop, name: str, batch_size: int | None) -> None:
    body = DEADLY[name]
    if batch_size is not None:
        body = f"a = b = instances; {body}"
        body = re.sub(r"return (.+)$", r"return [\1 for _ in instances]", body)
        body = body.replace("f(a, b)", "f(instances)")
    arguments = "a, b" if batch_size is None else "instances"
    workshop.write(
        HEADER
        + f"def f({arguments}):\n    {body}\n\ndef good(a, b):\n    return a + b\n"
        + "@register.register_method('y')\ndef bad(a, b):\n"
        + f"    return register.add_stage(f, a, b, outputs_count=1, batch_size={batch_size})\n"
        + "@register.register_method('y')\ndef fine(a, b):\n"
        + "    return register.add_stage(good, a, b, outputs_count=1)\n"
    )
    servable = workshop.load()
    column = to_column([value([1, 2])] * 3)
    done: BatchDone = run(servable, "bad", 3, column, column)
    assert name == "thread" or set(done.failures) == {0, 1, 2}
    assert all(failure.text.startswith("Call Function 'mine.f' Failed") for failure in done.failures.values())
    after = run(servable, "fine", 3, column, column)
    assert not after.failures
    assert outputs(after.columns[0]) == [("<f4", (2,), np.array([2, 4], np.float32).tobytes())] * 3


def test_the_random_methods_are_not_all_alike(servable: Servable) -> None:
    made = {re.sub(r"\d+", "", make_method(random.Random(seed), 0)) for seed in range(METHODS)}
    assert len(made) > METHODS / 2
    assert len(servable.methods) == METHODS
