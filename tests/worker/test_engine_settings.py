"""The settings of MindSpore's engine: which are tried, and how they come into force; the user's own hold."""

import pytest

from mindspore_serving.cluster.errors import ServableError
from mindspore_serving.worker.engine_settings import (
    INSTRUCTIONS,
    KERNELS,
    NO_PIPELINE,
    ONE_THREAD,
    OPENMP_THREADS,
    REWRITES,
    RUNTIME,
    EngineSettings,
    apply_environment,
    changes,
    default_settings,
    first_try,
)
from mindspore_serving.worker.kernels import OWN_THREADS
from mindspore_serving.worker.rewrites import Rewriting

AVX512 = ("avx2", "avx512f")


@pytest.mark.parametrize(
    "environment, flags, instructions",
    [({}, AVX512, "AVX2"), ({}, ("avx2",), ""), ({INSTRUCTIONS: "ALL"}, AVX512, ""), ({}, (), "")],
)
def test_avx2_is_the_default_on_a_cpu_with_avx512(
    environment: dict[str, str], flags: tuple[str, ...], instructions: str
) -> None:
    assert default_settings(environment, flags) == EngineSettings(instructions)
    assert first_try(environment, flags) == EngineSettings(instructions, runtime=NO_PIPELINE)


def test_the_pipeline_is_tried_last_and_where_there_are_cores_for_it() -> None:
    assert first_try({RUNTIME: "multi_stream:none"}, ()) == EngineSettings()
    assert {"runtime": ""} not in changes({}, (), 2)
    assert changes({}, (), 8)[-1] == {"runtime": ""}
    assert {"runtime": ""} not in changes({RUNTIME: "multi_stream:none"}, (), 8)


def test_what_the_user_has_set_holds() -> None:
    environment = {INSTRUCTIONS: "ALL"}
    assert apply_environment(EngineSettings("AVX2", 3), environment, ()) == ""
    assert environment == {INSTRUCTIONS: "ALL", OPENMP_THREADS: "3"}


def test_settings_that_come_after_mindspore_are_told_to_the_user() -> None:
    environment: dict[str, str] = {}
    told = apply_environment(EngineSettings("AVX2"), environment, ("mindspore",))
    assert told.endswith("start the process with ONEDNN_MAX_CPU_ISA=AVX2")
    assert environment == {}
    assert apply_environment(EngineSettings(kernel_threads=1), environment, ("mindspore",)) == ""


def test_no_change_is_tried_of_what_the_user_has_set_or_the_machine_lacks() -> None:
    with_kernels = {"rewritten": True, "kernels": True}
    rewritten = [with_kernels, {"rewritten": True}]
    assert changes({}, ("avx2",), 1) == [{"one_thread": True}, *rewritten, {"transposed": True}]
    told = {REWRITES: "on"}
    assert changes(told, ("avx2",), 1) == [{"one_thread": True}, {"kernels": True}, {"transposed": True}]
    told = {KERNELS: "off"}
    assert changes(told, ("avx2",), 1) == [{"one_thread": True}, {"rewritten": True}, {"transposed": True}]
    set_by_user = {INSTRUCTIONS: "ALL", OPENMP_THREADS: "2", ONE_THREAD: "off", REWRITES: "off"}
    assert changes(set_by_user, AVX512, 2) == [{"kernel_threads": 1}]
    empty = dict.fromkeys((ONE_THREAD, REWRITES, KERNELS), "")  # as in a file of settings that leaves it open
    assert changes(empty, AVX512, 2) == changes({}, AVX512, 2)
    tried = changes({}, AVX512, 8)
    assert tried[0] == {"one_thread": True}
    assert tried[1:3] == rewritten
    assert [change.get("own_threads") for change in tried[3:6]] == [2, 4, 8]
    assert tried[6] == {"instructions": "ALL"}
    assert tried[7] == {"transposed": True}
    assert {change.get("kernel_threads") for change in tried[8:-1]} == {1, 4}


def test_a_user_says_whether_one_thread_is_enough() -> None:
    assert default_settings({ONE_THREAD: "on"}, ()) == first_try({ONE_THREAD: "on", RUNTIME: "x"}, ())
    assert default_settings({ONE_THREAD: "on"}, ()).one_thread
    assert not default_settings({ONE_THREAD: "off"}, ()).one_thread
    with pytest.raises(ServableError, match=r"^\$MINDSPORE_SERVING_ONE_THREAD 'yes' is neither on nor off$"):
        default_settings({ONE_THREAD: "yes"}, ())


def test_a_user_says_whether_graphs_are_rewritten() -> None:
    assert default_settings({REWRITES: "on"}, ()).rewritten
    assert not default_settings({REWRITES: "off"}, ()).rewritten
    with pytest.raises(ServableError, match=r"^\$MINDSPORE_SERVING_REWRITES '1' is neither on nor off$"):
        default_settings({REWRITES: "1"}, ())


def test_a_user_says_whether_operators_of_our_own_compute() -> None:
    assert default_settings({KERNELS: "on"}, ()).rewriting == Rewriting.KERNELS
    assert not default_settings({KERNELS: "off"}, ()).kernels
    with pytest.raises(ServableError, match=r"^\$MINDSPORE_SERVING_KERNELS 'no' is neither on nor off$"):
        default_settings({KERNELS: "no"}, ())


@pytest.mark.parametrize("wish", ["0", "65", "two", "-1", ""])
def test_the_threads_of_kernels_are_a_number(wish: str) -> None:
    told = rf"^\$MINDSPORE_SERVING_KERNEL_THREADS '{wish}' is no number from 1 to 64$"
    with pytest.raises(ServableError, match=told):
        default_settings({OWN_THREADS: wish}, ())
    default_settings({OWN_THREADS: "64"}, ())


def test_kernels_may_have_more_threads_where_there_are_cores_and_no_wish() -> None:
    assert [change["own_threads"] for change in changes({}, (), 5) if "own_threads" in change] == [2, 4]
    assert [change for change in changes({OWN_THREADS: "1"}, (), 5) if "own_threads" in change] == []
    environment: dict[str, str] = {}
    apply_environment(EngineSettings(kernels=True, own_threads=2), environment, ())
    assert environment == {OWN_THREADS: "2"}


def test_settings_are_shown_as_one_would_set_them() -> None:
    assert str(EngineSettings("AVX2", 1, 2)) == "ONEDNN_MAX_CPU_ISA=AVX2, OMP_NUM_THREADS=1, 2 kernel threads"
    assert str(EngineSettings(runtime=NO_PIPELINE)) == "MS_DEV_RUNTIME_CONF=pipeline:False"
    assert str(EngineSettings("AVX2", one_thread=True)) == "ONEDNN_MAX_CPU_ISA=AVX2, one thread"
    assert str(EngineSettings(rewritten=True, kernels=True)) == "rewritten graphs, own kernels"
    assert str(EngineSettings()) == "MindSpore's own settings"
