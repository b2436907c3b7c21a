"""Models beyond the plain case: Model.call, subgraphs, batch sizes proven at load, encryption, a Context."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from mindspore_serving.cluster.errors import Code, Failure, ServableError
from mindspore_serving.worker.arrays import Value
from mindspore_serving.worker.batch_plan import BatchPlan
from mindspore_serving.worker.batch_sizes import proven_sizes
from mindspore_serving.worker.declarations import Method, Model, Stage
from mindspore_serving.worker.loaded_model import InputSpec, LoadedModel
from mindspore_serving.worker.model_stage import run_each
from mindspore_serving.worker.servable import Servable
from mindspore_serving.worker.target import Target
from mindspore_serving.worker.work_thread import WorkThread
from tests.worker.conftest import Workshop, run
from tests.worker.test_servables import BATCH, FIXED, column, refused, results

KEY = b"0123456789ABCDEF"  # exported.py's

CALLS = """
model = register.declare_model("model.mindir", "MindIR", with_batch_dim={batch})

def f(a, b):
    {one}

def g(instances):
    {many}

@register.register_method(output_names=["y"])
def one(a, b):
    return register.add_stage(f, a, b, outputs_count=1)

@register.register_method(output_names=["y"])
def many(a, b):
    return register.add_stage(g, a, b, outputs_count=1, batch_size=0)
"""


def calls(batch: bool = True, one: str = "return model.call(a, b)", many: str = "return [0] * len(instances)") -> str:
    return CALLS.format(batch=batch, one=one, many=many)


def test_a_function_calls_the_model_on_its_instance(workshop: Workshop) -> None:
    servable = workshop.make(calls(one="return model.call(a * 10, b)"), "batch")
    done = run(servable, "one", 2, column([1, 2], [3, 4]), column([1, 1], [2, 2]))
    assert results(done) == [[11, 21], [32, 42]]


def test_a_function_calls_the_model_on_a_list_of_instances(workshop: Workshop) -> None:
    many = "outputs = model.call([[a, b] for a, b in instances]); return [outputs[i][0] for i in range(len(outputs))]"
    servable = workshop.make(calls(many=many), "batch")
    done = run(servable, "many", 6, column(*[[i, 0] for i in range(6)]), column(*[[1, 1]] * 6))
    assert results(done) == [[i + 1, 1] for i in range(6)]


def test_a_model_with_two_outputs_gives_a_tuple_to_its_caller(workshop: Workshop) -> None:
    servable = workshop.make(calls(one="y, z = model.call(a, b); return y * z"), "both")
    assert results(run(servable, "one", 1, column([5, 1]), column([2, 1]))) == [[21, 0]]


@pytest.mark.parametrize(
    "call, text",
    [
        ("model.call()", "no inputs provided"),
        ("model.call([])", "Input instances count is 0"),
        ("model.call([a, b])", "inputs format invalid"),
        ("model.call(a, b, a)", "The inputs count 3 of instance 0 is not equal to the inputs count 2 of the model"),
        (
            "model.call([[a, b], [a]])",
            "The inputs count 1 of instance 1 is not equal to the inputs count 2 of the model",
        ),
        (
            "model.call(a, b, subgraph=1)",
            "The model does not have subgraph of index 1, the subgraph count of the model is 1",
        ),
        ("model.call(a, b, subgraph='x')", "Parameter 'subgraph' should be int"),
        ("model.call(a, None)", "Get illegal result data with type <class 'NoneType'>"),
        ("model.call(a, b.astype(int))", "Given model input 1 data type kMSI_Int64 not match the data type kMSI_F"),
    ],
)
def test_a_call_that_cannot_be_fails_its_instance(workshop: Workshop, call: str, text: str) -> None:
    servable = workshop.make(calls(one=f"return {call}"), "batch")
    failures = run(servable, "one", 1, column([1, 2]), column([1, 1])).failures
    assert failures[0].code is Code.SYSTEM_ERROR
    assert failures[0].text.startswith(
        "Call Function 'mine.f' Failed, method: 'one', stage index(begin with 1): 1, error msg: "
        f"Model(model.mindir).call() failed: {text}"
    )


def test_a_model_called_before_it_is_loaded_is_refused(workshop: Workshop) -> None:
    workshop.write("model = register.declare_model('model.mindir', 'MindIR')\nmodel.call(1)", "batch")
    assert "Model(model.mindir).call() failed: the model is not declared" in refused(workshop)


def test_subgraphs_are_called_by_their_number(workshop: Workshop) -> None:
    config = calls(one="return model.call(model.call(a, b), b, subgraph=1)")
    place = workshop.write(config.replace('"model.mindir"', '["add.mindir", "again.mindir"]'), "batch")
    (place / "1" / "model.mindir").rename(place / "1" / "add.mindir")
    (place / "1" / "again.mindir").write_bytes((place / "1" / "add.mindir").read_bytes())
    assert results(run(workshop.load(), "one", 1, column([1, 2]), column([1, 1]))) == [[3, 4]]


def test_subgraphs_of_different_batch_sizes_are_refused(workshop: Workshop) -> None:
    place = workshop.write(calls().replace('"model.mindir"', '["model.mindir", "other.mindir"]'), "batch")
    other = workshop.write("", "both", name="other")
    (other / "1" / "model.mindir").rename(place / "1" / "other.mindir")
    assert "subgraphs need one batch size, but theirs are [3, 4]" in refused(workshop)


def test_an_encrypted_model_is_loaded_with_its_key(workshop: Workshop) -> None:
    workshop.write(FIXED, "secret")
    servable = workshop.load(target=Target(dec_key=KEY))
    assert results(run(servable, "add", 1, column(np.ones((2, 2))), column(np.ones((2, 2))))) == [[2, 2, 2, 2]]


@pytest.mark.parametrize(
    "target, text",
    [
        (Target(dec_key=KEY[::-1]), "cannot be decrypted"),
        (Target(dec_key=KEY, dec_mode="AES-CBC"), "check dec_key and dec_mode (AES-CBC)"),
        (Target(), "is not a MindIR file, or is damaged, or is encrypted and needs dec_key"),
    ],
)
def test_an_encrypted_model_without_its_key_is_refused(workshop: Workshop, target: Target, text: str) -> None:
    place = workshop.write(FIXED, "secret")
    told = refused(workshop, target=target)
    assert f"version number: 1, model file '{place / '1' / 'model.mindir'}'" in told
    assert text in told
    assert "0123456789" not in told


def test_a_plain_model_with_a_key_is_refused(workshop: Workshop) -> None:
    workshop.write(FIXED, "fixed")
    assert "cannot be decrypted" in refused(workshop, target=Target(dec_key=KEY))


def test_no_text_form_shows_a_key() -> None:
    assert "0123" not in f"{Target(dec_key=KEY)!r} {Target(dec_key=KEY)}"


@pytest.mark.parametrize("model, sizes", [("batch", (1, 2, 4)), ("flat", (4,)), ("mean", (4,))])
def test_a_fixed_batch_runs_at_other_sizes_only_where_the_numbers_are_equal(
    workshop: Workshop, model: str, sizes: tuple[int, ...]
) -> None:
    config = BATCH if model == "batch" else BATCH.replace("(a, b)", "(a)").replace("model, a, b", "model, a")
    servable = workshop.make(config, model)
    (loaded,) = servable.models
    assert isinstance(loaded, LoadedModel)
    assert loaded.sizes == sizes


@pytest.mark.parametrize("model, expected", [("flat", [[1, 3]]), ("mean", [[0, 0]])])
def test_a_fixed_batch_that_cannot_shrink_is_filled_up(
    workshop: Workshop, model: str, expected: list[list[int]]
) -> None:
    servable = workshop.make(BATCH.replace("(a, b)", "(a)").replace("model, a, b", "model, a"), model)
    assert results(run(servable, "add", 1, column([1, 2]))) == expected


def test_a_size_that_changes_a_single_number_is_not_used() -> None:
    def model(arrays: "list[npt.NDArray[np.float32]]") -> "list[npt.NDArray[np.float32]]":
        (a,) = arrays
        return [a + (len(a) == 2)]

    inputs = [InputSpec("a", np.dtype(np.float32), (8, 3), True)]
    assert proven_sizes(model, inputs, 8) == (8,)  # type: ignore[arg-type]
    assert proven_sizes(list, inputs, 8) == (1, 2, 4, 8)


class Picky:
    """A model of batch size 4 that fails on any 7, whoever's it is."""

    inputs: tuple[InputSpec, ...] = (InputSpec("a", np.dtype(np.float32), (4, 1), True),)
    plan = BatchPlan({1: 1.0, 2: 1.5, 4: 2.0}, fill=True)

    def __init__(self) -> None:
        self.failures = 0

    def run(self, arrays: "Sequence[npt.NDArray[np.float32]]") -> "list[npt.NDArray[np.float32]]":
        if 7 in arrays[0]:
            self.failures += 1
            raise RuntimeError("seven\nand its call stack")
        return [arrays[0] + 1]


def test_a_model_that_fails_fails_only_the_instance_at_fault() -> None:
    rows: list[Value | None] = [np.array([number], np.float32) for number in (1, 7, 3, 4, 5, 7, 7)]
    outcomes = run_each(Picky(), [rows], range(len(rows)))
    failed = {index: outcome.text for index, outcome in outcomes.items() if isinstance(outcome, Failure)}
    assert failed == dict.fromkeys((1, 5, 6), "seven")
    good = {index: outcome[0] for index, outcome in outcomes.items() if not isinstance(outcome, Failure)}
    assert {index: array.tolist() for index, array in good.items() if isinstance(array, np.ndarray)} == {
        0: [2.0],
        2: [4.0],
        3: [5.0],
        4: [6.0],
    }


@pytest.mark.parametrize("count", [3, 4, 6])
def test_an_instance_at_fault_costs_its_neighbours_two_failing_calls(mindspore_thread: WorkThread, count: int) -> None:
    """Each takes MindSpore 2.10 three seconds, in which nobody else is served."""
    model, declared = Picky(), Model("picky.mindir")
    method = Method("m", ("a",), ("y",), (Stage(1, declared, (0,), (1,)),), (1,))
    servable = Servable("picky", 1, {"m": method}, (), {declared: model}, mindspore_thread)
    done = run(servable, "m", count, column(*[[number] for number in range(8 - count, 8)]))
    servable.close()
    assert {index: failure.text for index, failure in done.failures.items()} == {count - 1: "seven"}
    assert results(done) == [[number + 1] for number in range(8 - count, 7)]
    assert model.failures == 2


def test_a_context_keeps_the_worker_to_its_cores(workshop: Workshop) -> None:
    cores = os.sched_getaffinity(0)
    core = min(cores)
    config = f"""
context = register.Context(thread_num=1, thread_affinity_core_list=[{core}], enable_parallel=True)
context.append_device_info(register.CPUDeviceInfo(precision_mode="fp16"))
context.append_device_info(register.AscendDeviceInfo(precision_mode="force_fp16", input_format="ND"))
model = register.declare_model("model.mindir", "MindIR", with_batch_dim=False, context=context)

@register.register_method(output_names=["y"])
def add(a, b):
    return register.add_stage(model, a, b, outputs_count=1)
"""
    workshop.write(config, "fixed")
    servable = workshop.load()
    try:
        assert results(run(servable, "add", 1, column(np.ones((2, 2))), column(np.ones((2, 2))))) == [[2, 2, 2, 2]]
        assert workshop.on_mindspore_thread(lambda: os.sched_getaffinity(0)) == {core}
    finally:
        workshop.on_mindspore_thread(lambda: os.sched_setaffinity(0, cores))


def test_a_context_with_a_core_that_is_not_there_is_refused(workshop: Workshop) -> None:
    context = ", context=register.Context(thread_affinity_core_list=[99999])"
    workshop.write(FIXED.replace("with_batch_dim=False", f"with_batch_dim=False{context}"), "fixed")
    assert "the Context of declare_model cannot be used on CPU:0: " in refused(workshop)


@pytest.mark.parametrize("options", ["register.GpuOptions(enable_trt_infer=True)", "{'precision_mode': 'force_fp16'}"])
def test_options_of_1_2_are_taken(workshop: Workshop, options: str) -> None:
    servable = workshop.make(FIXED.replace("with_batch_dim=False", f"with_batch_dim=False, options={options}"), "fixed")
    assert results(run(servable, "add", 1, column(np.ones((2, 2))), column(np.ones((2, 2))))) == [[2, 2, 2, 2]]


def test_a_key_of_another_length_is_refused(tmp_path: Path) -> None:
    from mindspore_serving.worker.config import read_key

    (tmp_path / "key").write_bytes(KEY + b"\n")
    with pytest.raises(RuntimeError, match="16, 24 or 32 bytes"):
        read_key(tmp_path / "key")
    with pytest.raises(RuntimeError, match="cannot be read: No such file"):
        read_key(tmp_path / "nowhere")
    (tmp_path / "key").write_bytes(KEY)
    assert read_key(tmp_path / "key") == KEY
    assert issubclass(ServableError, RuntimeError)
