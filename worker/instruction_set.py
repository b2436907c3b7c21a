"""Which CPU instructions MindSpore's operators may use: a choice that must be made before MindSpore is imported.

On CPUs with AVX-512, the oneDNN of MindSpore 2.10 runs convolutions by its reference code, 20 to 90 times slower than
with ONEDNN_MAX_CPU_ISA=AVX2 (LeNet's first layer, batch 16: 12 ms against 0.65 ms), so that is the default there.
ONEDNN_MAX_CPU_ISA in the worker's environment goes before it, for example ONEDNN_MAX_CPU_ISA=ALL.
"""

import logging
import os
import sys
from collections.abc import Container, MutableMapping
from pathlib import Path

logger = logging.getLogger("mindspore_serving.worker")

VARIABLE = "ONEDNN_MAX_CPU_ISA"
_CHOICE = "AVX2"


def choose_instruction_set(device_type: str) -> None:
    """Makes the choice for this process, unless it has been made, or MindSpore is there already."""
    said = choose(device_type, os.environ, sys.modules, _cpu_flags())
    if said:
        logger.info("%s", said)


def choose(
    device_type: str, environment: MutableMapping[str, str], modules: Container[str], flags: Container[str]
) -> str:
    """Sets the variable where it helps. Returns what to tell the user, or nothing."""
    if device_type != "CPU" or "avx512f" not in flags:
        return ""
    if VARIABLE in environment:
        return (
            "" if environment[VARIABLE] == _CHOICE else f"{VARIABLE}={environment[VARIABLE]} was set by hand, and holds"
        )
    if "mindspore" in modules:
        return (
            f"MindSpore was imported before this servable: convolutions may be slow on this CPU, "
            f"start the process with {VARIABLE}={_CHOICE}"
        )
    environment[VARIABLE] = _CHOICE
    return f"{VARIABLE}={_CHOICE}: with AVX-512, MindSpore's convolutions are slow; set {VARIABLE} to choose otherwise"


def _cpu_flags() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())
