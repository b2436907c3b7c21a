"""Servables with real models: from files to numbers, and every way in which loading can fail."""

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mindspore_serving.cluster.errors import Code, ServableError
from mindspore_serving.cluster.messages import BatchDone
from mindspore_serving.cluster.tensors import Stacked, Tensor, Value, to_column
from mindspore_serving.cluster.tensors import from_column as wire_values
from mindspore_serving.worker.target import Target
from mindspore_serving.worker.versions import find_versions
from tests.worker.conftest import Workshop, run

PLAIN = """
model = register.declare_model("model.mindir", "MindIR", with_batch_dim={batch}{more})

@register.register_method(output_names=["y"])
def add(a, b):
    return register.add_stage(model, a, b, outputs_count=1)
"""
FIXED = PLAIN.format(batch=False, more="")
BATCH = PLAIN.format(batch=True, more="")


def value(array: npt.ArrayLike, dtype: str = "<f4") -> Tensor:
    data = np.asarray(array, dtype)
    return Tensor(dtype if dtype[0] != "=" else data.dtype.str, data.shape, data.tobytes())


def column(*arrays: npt.ArrayLike) -> Stacked:
    made = to_column([value(array) for array in arrays])
    assert isinstance(made, Stacked)
    return made


def results(done: BatchDone) -> list[list[float]]:
    """The first output of each instance that succeeded."""
    values: list[Value] = list(wire_values(done.columns[0]))
    return [np.frombuffer(v.data, v.dtype).tolist() for v in values if isinstance(v, Tensor)]


def test_a_model_without_batch_dimension_runs_each_instance(workshop: Workshop) -> None:
    servable = workshop.make(FIXED, "fixed")
    done = run(servable, "add", 2, column([[1, 2], [3, 4]], np.ones((2, 2))), column(np.ones((2, 2)), np.ones((2, 2))))
    assert results(done) == [[2, 3, 4, 5], [2, 2, 2, 2]]
    assert not done.failures
    assert 1 <= servable.methods[0].batch_size <= 32


@pytest.mark.parametrize("count", [1, 3, 4, 9])
@pytest.mark.parametrize("model, batch_size", [("batch", 4), ("open", 64)])
def test_a_model_with_batch_dimension_takes_any_number_of_instances(
    workshop: Workshop, model: str, batch_size: int, count: int
) -> None:
    servable = workshop.make(BATCH, model)
    assert servable.methods[0].batch_size == batch_size
    done = run(servable, "add", count, column(*[[i, 0] for i in range(count)]), column(*[[1, 2]] * count))
    assert results(done) == [[i + 1, 2] for i in range(count)]
    stacked = done.columns[0]
    assert isinstance(stacked, Stacked)
    assert stacked.shape == (count, 2)


def test_a_model_with_two_outputs_gives_both(workshop: Workshop) -> None:
    servable = workshop.make(
        """
        model = register.declare_model("model.mindir", "MindIR")
        @register.register_method(output_names=["sum", "difference"])
        def both(a, b):
            return register.add_stage(model, a, b, outputs_count=2)
        """,
        "both",
    )
    done = run(servable, "both", 2, column([5, 5], [1, 2]), column([1, 2], [1, 1]))
    assert [np.frombuffer(c.data, "<f4").tolist() for c in done.columns if isinstance(c, Stacked)] == [
        [6, 7, 2, 3],
        [4, 3, 0, 1],
    ]


def test_values_that_a_batch_shares_are_never_another_callers(workshop: Workshop) -> None:
    servable = workshop.make(PLAIN.format(batch=True, more=", without_batch_dim_inputs=1"), "shared")
    shared = [[100, 100], [200, 200], [100, 100], [300, 300]]
    done = run(servable, "add", 4, column([1, 1], [2, 2], [3, 3], [4, 4]), column(*shared))
    assert results(done) == [[101, 101], [202, 202], [103, 103], [304, 304]]


def test_the_right_size_in_another_shape_is_accepted(workshop: Workshop) -> None:
    servable = workshop.make(FIXED, "fixed")
    done = run(servable, "add", 1, column([1, 2, 3, 4]), column([[1, 1, 1, 1]]))
    assert results(done) == [[2, 3, 4, 5]]


@pytest.mark.parametrize("config, model, size", [(FIXED, "fixed", 16), (BATCH, "batch", 8), (BATCH, "open", 8)])
def test_an_instance_that_does_not_fit_fails_alone(workshop: Workshop, config: str, model: str, size: int) -> None:
    servable = workshop.make(config, model)
    good = value(np.ones(size // 4))
    inputs: list[Value] = [good, value(np.ones(size // 4), "<i4"), value(np.ones(9)), "text", good]
    done = run(servable, "add", 5, to_column(inputs), to_column([good] * 5))
    assert {index: failure.text for index, failure in done.failures.items()} == {
        1: "Given model input 0 data type kMSI_Int32 not match the data type kMSI_Float32 defined in model",
        2: f"Given model input 0 size 36 not match the size {size} defined in model",
        3: "Given model input 0 data type kMSI_String not match the data type kMSI_Float32 defined in model",
    }
    assert {failure.code for failure in done.failures.values()} == {Code.INVALID_INPUTS}
    assert results(done) == [[2.0] * (size // 4)] * 2


STAGES = """
import numpy as np
model = register.declare_model("model.mindir", "MindIR")

def check(x):
    if x[0] < 0:
        raise ValueError(f"negative {x[0]}")
    return x.astype(np.float32)

def half(instances):
    for (x,) in instances:
        if x[1] > 50:
            raise ValueError("large")
        yield x / np.float32(2)

@register.register_method(output_names=["y"])
def work(x):
    x = register.add_stage(check, x, outputs_count=1, tag="Preprocess")
    y = register.add_stage(model, x, x, outputs_count=1)
    return register.add_stage(half, y, outputs_count=1, batch_size=3)
"""


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory, models: Path, mindspore_thread: object) -> Workshop:
    shop = Workshop(tmp_path_factory.mktemp("staged"), models, mindspore_thread)  # type: ignore[arg-type]
    shop.make(STAGES, "batch", "staged")
    return shop


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(-3, 3), st.sampled_from([1, 7, 40])), min_size=1, max_size=12))
def test_each_instance_gets_what_it_gets_alone(staged: Workshop, instances: list[tuple[int, int]]) -> None:
    (servable,) = staged._loaded
    done = run(servable, "work", len(instances), to_column([value(x, "<i8") for x in instances]))
    good = iter(wire_values(done.columns[0]) if done.columns else ())
    for index, (first, second) in enumerate(instances):
        if first < 0:
            text = "Call Preprocess Failed, method: 'work', stage index(begin with 1): 1, error msg: "
            assert done.failures[index].text == f"{text}negative {first}"
        elif second > 25:
            text = "Call Function 'staged.half' Failed, method: 'work', stage index(begin with 1): 3, error msg: large"
            assert done.failures[index].text == text
        else:
            assert next(good) == value([first, second])
    assert next(good, None) is None


def test_a_peer_that_asks_for_nonsense_gets_failures(workshop: Workshop) -> None:
    servable = workshop.make(FIXED, "fixed")
    for method, columns in (("nope", (column([1]), column([1]))), ("add", (column([1]),))):
        done = run(servable, method, 1, *columns)
        assert "which it did not register" in done.failures[0].text


def refused(workshop: Workshop, **how: object) -> str:
    with pytest.raises(ServableError) as refusal:
        workshop.load(**how)  # type: ignore[arg-type]
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_what_is_missing_is_named(workshop: Workshop) -> None:
    folder = workshop.folder
    place = f"servable directory '{folder}', servable name 'mine'"
    assert refused(workshop) == f"Load servable config failed, directory '{folder}/mine' not exist, {place}"
    (folder / "mine").mkdir()
    assert refused(workshop) == (
        f"Load servable config failed, file '{folder}/mine/servable_config.py' not exist, {place}"
    )
    workshop.write(FIXED)
    assert "There is no valid version directory of models" in refused(workshop)
    (folder / "mine" / "3").mkdir()
    assert f"model file '{folder}/mine/3/model.mindir' not exist" in refused(workshop)
    assert "specified version number: 7" in refused(workshop, version=7)
    assert "found versions: 3" in refused(workshop, version=7)


@pytest.mark.parametrize("damage", [b"", b"hello world" * 10, None])
def test_a_damaged_model_is_named(workshop: Workshop, damage: bytes | None) -> None:
    place = workshop.write(FIXED, "fixed")
    file = place / "1" / "model.mindir"
    file.write_bytes(file.read_bytes()[:100] if damage is None else damage)
    assert f", model file '{file}'" in refused(workshop)


@pytest.mark.parametrize(
    "config, model, text",
    [
        (FIXED.replace("a, b", "a").replace("(a)", "(a)"), "fixed", "The inputs count 1 in register_method not equal"),
        (
            FIXED.replace("count=1", "count=2").replace('["y"]', '["y", "z"]'),
            "fixed",
            "The outputs count 2 in register",
        ),
        (
            PLAIN.format(batch=True, more=", without_batch_dim_inputs=5"),
            "batch",
            "without_batch_dim_inputs names input 5",
        ),
        (BATCH, "shared", "inputs of one batch size, but their first dimensions are [2, 4]"),
    ],
)
def test_a_config_that_does_not_fit_its_model_is_refused(
    workshop: Workshop, config: str, model: str, text: str
) -> None:
    workshop.write(config, model)
    assert text in refused(workshop)


def test_an_output_of_a_type_that_no_client_can_be_sent_is_refused(workshop: Workshop) -> None:
    config = PLAIN.format(batch=True, more="").replace("a, b", "a")
    workshop.write(config, "complex")
    assert "output 0 has the type complex64, which no client can be sent: cast it in the network" in refused(workshop)


def test_a_function_may_make_something_of_it(workshop: Workshop) -> None:
    config = """
    model = register.declare_model("model.mindir", "MindIR")

    def imaginary(y):
        return y.imag.copy()

    @register.register_method(output_names=["y"])
    def go(a):
        y = register.add_stage(model, a, outputs_count=1)
        return register.add_stage(imaginary, y, outputs_count=1)
    """
    assert results(run(workshop.make(config, "complex"), "go", 1, column([1, 2]))) == [[1, 2]]


@pytest.mark.parametrize(
    "name, batch_size, text",
    [
        ("x", 2_000_000, "batch_size=2000000 of Function 'mine.f' is more than 1048576"),
        ("x" * 2000, 1, "2000 characters"),
    ],
)
def test_what_no_master_would_take_is_refused_with_its_line(
    workshop: Workshop, name: str, batch_size: int, text: str
) -> None:
    workshop.write(
        f"""
        def f(instances):
            return instances
        @register.register_method(output_names=["y"])
        def go({name}):
            return register.add_stage(f, {name}, outputs_count=1, batch_size={batch_size})
        """
    )
    reason = refused(workshop)
    assert text in reason
    assert "servable_config.py:7: " in reason


def test_too_many_outputs_are_refused(workshop: Workshop) -> None:
    workshop.write(
        """
        def f(x):
            return [x] * 300
        @register.register_method(output_names=[f"y{place}" for place in range(300)])
        def go(x):
            return register.add_stage(f, x, outputs_count=300)
        """
    )
    assert "method go has 300 outputs, at most 256 can be" in refused(workshop)


def test_rows_that_depend_on_data_fail_with_the_output_and_both_numbers(workshop: Workshop) -> None:
    servable = workshop.make(PLAIN.format(batch=True, more="").replace("a, b", "a"), "masked")
    good = run(servable, "add", 2, column(1, 2))
    assert results(good) == [[1], [2]]
    done = run(servable, "add", 3, column(1, -2, 3))
    assert results(done) == [[1], [3]]  # as they get alone
    assert list(done.failures) == [1]
    assert re.fullmatch(
        r"Given model output 0 has shape \[\d\], which does not start with the batch size \d: declare the model with "
        r"with_batch_dim=False",
        done.failures[1].text,
    )


@pytest.mark.parametrize("what", ["model.mindir", "1", "."])
def test_what_may_not_be_read_is_named_with_what_to_do(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Tests may run as root, who reads everything: so the calls that would be refused are."""
    place = workshop.write(FIXED, "fixed")
    closed = place / "1" / what if what.endswith("r") else place / what

    def refuse(path: Path, *_: object, **__: object) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    def only_there(call: Callable[..., Any]) -> Callable[..., Any]:
        return lambda path, *a, **k: refuse(path) if closed == path or closed in path.parents else call(path, *a, **k)

    names = {"model.mindir": "read_bytes", "1": "is_file", ".": "iterdir"}
    monkeypatch.setattr(Path, names[what], only_there(getattr(Path, names[what])))
    if what == "1":
        closed = closed / "model.mindir"
    reason = refused(workshop)
    assert f"{closed if what != '.' else place}' cannot be read: Permission denied: this process runs as user" in reason
    assert "chmod a+r" in reason


def test_a_device_that_is_not_there_is_refused_in_one_line(workshop: Workshop) -> None:
    workshop.write(FIXED, "fixed")
    assert refused(workshop, target=Target(device_type="GPU")).startswith(
        "device GPU:0 cannot be used: Unsupported device target GPU"
    )


def test_versions_are_canonical_decimals_of_folders(tmp_path: Path) -> None:
    for name in ("1", "9", "10", "01", "0", "-1", "1.0", "²", "٣", "x2"):
        (tmp_path / name).mkdir()
    (tmp_path / "7").write_text("a file")
    assert find_versions(tmp_path) == [1, 9, 10]
    assert find_versions(tmp_path / "nowhere") == []


def test_the_newest_version_is_loaded_unless_another_is_asked_for(workshop: Workshop) -> None:
    place = workshop.write(FIXED, "fixed")
    (place / "1").rename(place / "9")
    workshop.write(FIXED, "fixed")
    (place / "1").rename(place / "10")
    assert workshop.load().version == 10
    assert workshop.load(version=9).version == 9


def test_an_int_model_takes_ints(workshop: Workshop) -> None:
    servable = workshop.make(FIXED, "ints")
    ones = to_column([value([1, 2], "<i4")])
    done = run(servable, "add", 1, ones, ones)
    assert done.columns == (Stacked("<i4", (1, 2), np.array([2, 4], "<i4").tobytes()),)
