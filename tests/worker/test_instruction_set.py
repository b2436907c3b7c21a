"""The choice of CPU instructions: where it is made, and where it is left alone."""

import pytest

from mindspore_serving.worker.instruction_set import VARIABLE, choose

FLAGS = ("avx2", "avx512f")


def test_avx2_is_chosen_on_a_cpu_with_avx512() -> None:
    environment: dict[str, str] = {}
    assert "set ONEDNN_MAX_CPU_ISA to choose otherwise" in choose("CPU", environment, (), FLAGS)
    assert environment == {VARIABLE: "AVX2"}


@pytest.mark.parametrize(
    "device_type, environment, modules, flags, text",
    [
        ("CPU", {VARIABLE: "ALL"}, (), FLAGS, "ONEDNN_MAX_CPU_ISA=ALL was set by hand, and holds"),
        ("CPU", {VARIABLE: "AVX2"}, ("mindspore",), FLAGS, ""),
        ("CPU", {}, ("mindspore",), FLAGS, "start the process with ONEDNN_MAX_CPU_ISA=AVX2"),
        ("CPU", {}, (), ("avx2",), ""),
        ("Ascend", {}, (), FLAGS, ""),
    ],
)
def test_nothing_is_changed_where_it_would_not_help(
    device_type: str, environment: dict[str, str], modules: tuple[str, ...], flags: tuple[str, ...], text: str
) -> None:
    before = dict(environment)
    assert text in choose(device_type, environment, modules, flags)
    assert environment == before
