"""What decides how fast MindSpore runs a model on a CPU: instructions, threads, who waits for whom, and the graph.

Three of them are read from the environment when MindSpore starts, so they must be set before it is imported. What the
user has set holds.

On CPUs with AVX-512, the oneDNN of MindSpore 2.10 runs convolutions by its reference code, 20 to 90 times slower than
with ONEDNN_MAX_CPU_ISA=AVX2 (LeNet's first layer, batch 16: 12 ms against 0.65 ms), so that is the default there.

A graph with an open batch axis goes through a pipeline of threads that spin while they wait for each other. Where the
master needs the cores as well, that costs more than it gains (MLP of 784-512-256-10, batch 16, 2 cores, one of them
kept busy by other work: 1.7 ms and 2.7 ms of CPU with the pipeline, 0.6 ms without), so there is none where models
are measured, unless it is found to be faster. (Where nothing is measured it stays: MindSpore prints what it was told,
no good last line of a failure.)
"""

import os
from collections.abc import Container, Mapping, MutableMapping
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

from mindspore_serving.cluster.errors import ServableError
from mindspore_serving.worker.kernels import OWN_THREADS
from mindspore_serving.worker.rewrites import AS_IT_IS, Rewriting

INSTRUCTIONS = "ONEDNN_MAX_CPU_ISA"
OPENMP_THREADS = "OMP_NUM_THREADS"
RUNTIME = "MS_DEV_RUNTIME_CONF"
# on or off; what is not set is measured
ONE_THREAD = "MINDSPORE_SERVING_ONE_THREAD"
REWRITES = "MINDSPORE_SERVING_REWRITES"
KERNELS = "MINDSPORE_SERVING_KERNELS"
_SAFE, _ALL = "AVX2", "ALL"
NO_PIPELINE = "pipeline:False"
_CORES_FOR_A_PIPELINE = 4
_MOST_OWN_THREADS = 64
_MOST_THREADS = 4096  # that a machine has cores for
# The settings that say how graphs are written.
KINDS = {"rewritten": Rewriting.FASTER, "kernels": Rewriting.KERNELS, "transposed": Rewriting.TRANSPOSED}


@dataclass(frozen=True)
class EngineSettings:
    """instructions: the highest that oneDNN may use. openmp_threads: of convolutions and matrix products.

    kernel_threads: of MindSpore's other operators. runtime: what MindSpore's runtime does. Empty and 0 leave the choice
    to MindSpore. one_thread: it has none for operators, the thread that calls computes alone. rewritten: graphs are
    written in a way that MindSpore runs faster, see rewrites/; kernels: so that operators of kernels/ take the place of
    MindSpore's own, each by own_threads; transposed: the weights of matrix products are.
    """

    instructions: str = ""
    openmp_threads: int = 0
    kernel_threads: int = 0
    runtime: str = ""
    one_thread: bool = False
    rewritten: bool = False
    kernels: bool = False
    own_threads: int = 0
    transposed: bool = False

    def __str__(self) -> str:
        parts = [f"{name}={value}" for name, value in self.environment().items()]
        if self.kernel_threads:
            parts.append(f"{self.kernel_threads} kernel thread{'s' if self.kernel_threads > 1 else ''}")
        if self.one_thread:
            parts.append("one thread")
        if self.rewritten:
            parts.append("rewritten graphs")
        if self.kernels:
            parts.append("own kernels")
        if self.transposed:
            parts.append("transposed weights")
        return ", ".join(parts) or "MindSpore's own settings"

    @property
    def rewriting(self) -> Rewriting:
        """How graphs are written anew."""
        kinds = [kind for name, kind in KINDS.items() if getattr(self, name)]
        return reduce(or_, kinds, AS_IT_IS)

    def environment(self) -> dict[str, str]:
        """The variables that must be set before MindSpore is imported."""
        all_of_them = {
            INSTRUCTIONS: self.instructions,
            OPENMP_THREADS: str(self.openmp_threads or ""),
            RUNTIME: self.runtime,
            OWN_THREADS: str(self.own_threads or ""),
        }
        return {name: text for name, text in all_of_them.items() if text}


def default_settings(environment: Mapping[str, str], flags: Container[str]) -> EngineSettings:
    """What is right for most models on a CPU with these flags, and with what the user has set. Raises ServableError."""
    _check_own_threads(environment)
    instructions = _SAFE if INSTRUCTIONS not in environment and "avx512f" in flags else ""
    return EngineSettings(
        instructions,
        one_thread=_is_wished(environment, ONE_THREAD),
        rewritten=_is_wished(environment, REWRITES),
        kernels=_is_wished(environment, KERNELS),
    )


def first_try(environment: Mapping[str, str], flags: Container[str]) -> EngineSettings:
    """What is measured first: the default, without a pipeline."""
    return replace(default_settings(environment, flags), runtime="" if RUNTIME in environment else NO_PIPELINE)


def is_known(settings: EngineSettings) -> bool:
    """Whether these are settings that are tried here: a file may say anything."""
    threads = (settings.openmp_threads, settings.kernel_threads, settings.own_threads)
    return (
        settings.instructions in ("", _SAFE, _ALL)
        and settings.runtime in ("", NO_PIPELINE)
        and all(0 <= number <= _MOST_THREADS for number in threads)
    )


def changes(environment: Mapping[str, str], flags: Container[str], cores: int) -> list[dict[str, Any]]:
    """What may be faster than the default, one after the other: each for whatever has been the fastest before it.

    One thread first: where threads do not wait for each other, a few percent show, on a busy machine too. Then what
    gains most, since for a large model the time may be over. Instructions behind kernels: where those compute a model's
    convolutions, oneDNN's are not in the way of more.
    """
    found: list[dict[str, Any]] = []
    if not environment.get(ONE_THREAD):
        found.append({"one_thread": True})
    rewritten = {} if environment.get(REWRITES) else {"rewritten": True}
    # Without rewritten graphs only where they are wished.
    kernels = environment.get(KERNELS) or environment.get(REWRITES)
    if not environment.get(KERNELS) and kernels != "off":
        found.append({**rewritten, "kernels": True})
    if rewritten:
        found.append(rewritten)
    if OWN_THREADS not in environment and kernels != "off":
        found += [{"own_threads": threads} for threads in (2, 4, 8, 16, 32) if threads <= cores]
    if INSTRUCTIONS not in environment and "avx512f" in flags:
        found.append({"instructions": _ALL})
    if environment.get(REWRITES) != "off":
        found.append({"transposed": True})
    for threads in [1] if 1 < cores < 4 else [1, cores // 2] if cores > 1 else []:
        found.append({"kernel_threads": threads})
        if OPENMP_THREADS not in environment:
            found.append({"kernel_threads": threads, "openmp_threads": threads})
    if RUNTIME not in environment and cores >= _CORES_FOR_A_PIPELINE:
        found.append({"runtime": ""})
    return found


def apply_environment(settings: EngineSettings, environment: MutableMapping[str, str], modules: Container[str]) -> str:
    """Sets what the user has not set. Returns what to tell the user when it comes too late, or nothing."""
    wanted = {name: text for name, text in settings.environment().items() if name not in environment}
    if wanted and "mindspore" in modules:
        told = " ".join(f"{name}={text}" for name, text in wanted.items())
        return f"MindSpore was imported before this servable, which may be slow: start the process with {told}"
    environment.update(wanted)
    return ""


def _check_own_threads(environment: Mapping[str, str]) -> None:
    wish = environment.get(OWN_THREADS, "1")
    if not wish.isdecimal() or not 1 <= int(wish) <= _MOST_OWN_THREADS:
        raise ServableError(f"${OWN_THREADS} '{wish}' is no number from 1 to {_MOST_OWN_THREADS}")


def _is_wished(environment: Mapping[str, str], name: str) -> bool:
    wish = environment.get(name, "")
    if wish not in ("", "on", "off"):
        raise ServableError(f"${name} '{wish}' is neither on nor off")
    return wish == "on"


def cpu_flags() -> frozenset[str]:
    """What this machine's CPU can do, by the names of /proc/cpuinfo. Nothing where there is no such file."""
    return frozenset(cpu_line("flags").split())


def cpu_line(name: str) -> str:
    """A line of /proc/cpuinfo: of the first CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def core_count() -> int:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))
