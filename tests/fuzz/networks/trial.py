"""One network: exported, opened with its graph written in several ways, and compared with what Python makes of it."""

import contextlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np

from mindspore_serving.worker import mindspore_model
from mindspore_serving.worker.batch_sizes import equal
from mindspore_serving.worker.graph_calls import GraphCalls
from mindspore_serving.worker.mindir_file import read_inputs
from mindspore_serving.worker.plain_steps import CallError
from mindspore_serving.worker.rewrites import ALL, AS_IT_IS, Rewriting
from mindspore_serving.worker.target import Target
from tests.fuzz.networks.eager import Array, Eager, fill, inputs_of, module_of
from tests.fuzz.networks.network import Network, program
from tests.fuzz.networks.verdict import THE_FILE, Outcome, Verdict

WAYS = {
    "AS_IT_IS": AS_IT_IS,
    "FASTER": Rewriting.FASTER,
    "FASTER|KERNELS": Rewriting.FASTER | Rewriting.KERNELS,
    "ALL": ALL,
}
_OPEN_ROWS = (3, 1, 7)
_TOLERANCE, _OF_TANH = 1e-4, 1e-3  # of the largest number of an output
_TREMOR, _TREMOR_SLACK = 1e-6, 20.0  # what sums in another order may do to each value; and to the outputs by that
_SENSITIVE = 0.02  # a network that makes so much of a tremor says nothing
_OF_HALF, _IN_HALF = 5e-3, 0.2  # what is said in half precision, computed in single; and as it is said


@dataclass(frozen=True)
class _Case:
    """Inputs, what is to come of them, and how far that may be off."""

    inputs: list[Array]
    expected: list[Array]
    tolerance: float


@dataclass(frozen=True)
class _Fault:
    """What is wrong with a graph, for one case."""

    story: str
    raised: bool = False


def tried(network: Network, begins: Callable[[str], None] = lambda _: None) -> Verdict:
    """A fault: a rewritten graph gives numbers that are wrong, where the file's are not; or raises where it does not.

    begins: is told before the graph is opened in each way.
    """
    with tempfile.TemporaryDirectory(prefix="fuzzed-network-") as folder:
        return _Trial(network, Path(folder), begins).verdict()


class _Trial:
    def __init__(self, network: Network, folder: Path, begins: Callable[[str], None]) -> None:
        self._network, self._folder, self._begins = network, folder, begins
        self._eager = Eager(network.seed, folder)
        self._has_branches = any(word in program(network) for word in ("if ", "while "))  # MindSpore compiles it once
        # MindSpore itself may not run it. What a branch leads to is not written as older functions.
        self._is_newer = any(line.older for line in network.lines) and not self._has_branches
        self._has_half = "float16" in program(network)
        self._slack = _OF_TANH if "tanh" in program(network).lower() else _TOLERANCE

    def verdict(self) -> Verdict:
        try:
            file = self._exported()
        except Exception as error:
            return Verdict(Outcome.NOT_EXPORTED, _first_line(error))
        try:
            cases = self._cases()
        except Exception as error:
            return Verdict(Outcome.BOUND, _first_line(error))
        if max(case.tolerance for case in cases) > _SENSITIVE:
            return Verdict(Outcome.SENSITIVE)
        of_file = self._faults(THE_FILE, partial(self._opened, file), cases)
        for name, way in WAYS.items():
            found = self._faults(name, partial(self._rewritten, file, way), self._for_way(way, cases))
            for case, before, fault in zip(cases, of_file, found, strict=True):
                # What a graph gives for fewer instances than it has, a worker compares before it uses that.
                is_used = self._network.is_open or case is cases[0]
                if fault and (not before or (is_used and self._is_ours(fault, before))):
                    shapes = [array.shape for array in case.inputs]
                    return Verdict(Outcome.FAULT, f"{name} {fault.story} with inputs of {shapes}")
        if self._is_newer:
            return Verdict(Outcome.FINE)
        own = of_file if self._network.is_open else of_file[:1]  # with as many instances as it was exported for
        return _of_file([fault for fault in own if fault])

    def _is_ours(self, fault: _Fault, before: _Fault) -> bool:
        """Whether a fault counts though the file itself has one."""
        return self._is_newer or (before.raised and not fault.raised)

    def _exported(self) -> Path:
        module = module_of(self._folder / "network.py", program(self._network))
        cell = module.Network()
        for line in self._network.lines:
            for name in line.layers:
                fill(self._network.seed, name, getattr(cell, name))
        cell.set_train(False)
        given = [_tensor(self._network, index) for index in range(len(self._network.inputs))]
        ms.export(cell, *given, file_name=str(self._folder / "network"), file_format="MINDIR")
        return self._folder / "network.mindir"

    def _cases(self) -> list[_Case]:
        """With several numbers of instances. A worker may give a graph with a fixed number of them fewer, too."""
        if self._network.is_open:
            return [self._case(count) for count in _OPEN_ROWS]
        cases = [self._case(self._network.batch)]
        may_have_fewer = self._network.batch > 1 and not self._has_branches
        if may_have_fewer and all(given.has_instances for given in self._network.inputs):
            with contextlib.suppress(Exception):  # it may be bound to that number
                cases += [self._case(1), cases[0]]  # a graph that does not take fewer has to live on
        return cases

    def _case(self, rows: int) -> _Case:
        inputs = inputs_of(self._network, rows)
        expected = self._eager.outputs(self._network, inputs)
        shaken = self._eager.outputs(self._network, inputs, _TREMOR)
        moved = max(map(_distance, shaken, expected))
        return _Case(inputs, expected, max(self._slack, _TREMOR_SLACK * moved))

    def _for_way(self, way: Rewriting, cases: list[_Case]) -> list[_Case]:
        """How far off numbers may be in half precision depends on where they are made in single."""
        if not self._has_half:
            return cases
        slack = _OF_HALF if Rewriting.FASTER in way else _IN_HALF
        return [replace(case, tolerance=max(slack, case.tolerance)) for case in cases]

    def _opened(self, file: Path) -> GraphCalls:
        graph = GraphCalls(ms.nn.GraphCell(ms.load(str(file))), file, ms.Tensor.from_numpy, None)
        if self._network.is_open:
            graph.open([_tensor(self._network, index) for index in range(len(self._network.inputs))])
        return graph

    def _rewritten(self, file: Path, way: Rewriting) -> GraphCalls:
        graph, tensors = mindspore_model.open_graph(file, read_inputs(file, Target()), Target(), way)
        if tensors:
            graph.open(tensors)
        return graph

    def _faults(self, name: str, opened: Callable[[], GraphCalls], cases: Sequence[_Case]) -> list[_Fault | None]:
        """Of each case, what is wrong with it in this way."""
        self._begins(name)
        try:
            graph = opened()
        except Exception as error:
            return [_Fault(f"cannot be opened: {_first_line(error)}", raised=True)] * len(cases)
        return [_compared(graph, case) for case in cases]


def _of_file(faults: Sequence[_Fault]) -> Verdict:
    """Where nothing is wrong with rewritten graphs that is not wrong without."""
    if not faults:
        return Verdict(Outcome.FINE)
    return Verdict(Outcome.NOT_RUN if faults[0].raised else Outcome.WRONG, faults[0].story)


def _compared(graph: GraphCalls, case: _Case) -> _Fault | None:
    was_direct, was_straight = graph.direct, graph.straight is not None
    try:
        found = graph.learn([array.copy() for array in case.inputs])  # `x += y` may change them
    except Exception as error:
        return _Fault(f"raises {_first_line(error)}", raised=True)
    if [array.shape for array in found] != [array.shape for array in case.expected]:
        return _Fault(f"has shapes {[array.shape for array in found]}, not {[array.shape for array in case.expected]},")
    off = max(map(_distance, found, case.expected))
    if off > case.tolerance:
        return _Fault(f"is off by {off:.2g} of the largest number, where {case.tolerance:.2g} would do,")
    if was_straight and not _is_straight(graph, case.inputs, found):
        return _Fault("differs past MindSpore")
    return _Fault("differs from call to call") if was_direct and not graph.direct else None


def _is_straight(graph: GraphCalls, inputs: Sequence[Array], expected: Sequence[Array]) -> bool:
    """Whether a call without MindSpore gives the same."""
    if graph.straight is None:
        return False
    try:
        return all(map(equal, graph.straight(inputs), expected))
    except CallError:
        return False


def _distance(found: Array, expected: Array) -> float:
    """How far numbers are from others, as a part of the largest."""
    if np.isnan(found).tobytes() != np.isnan(expected).tobytes():
        return float("inf")
    found, expected = np.nan_to_num(found.astype(np.float64)), np.nan_to_num(expected.astype(np.float64))
    largest = float(np.max(np.abs(expected), initial=0.0))
    return float(np.max(np.abs(found - expected), initial=0.0)) / max(largest, 1e-6)


def _tensor(network: Network, index: int) -> Any:
    """For the export: an example, or what leaves the number of instances open."""
    given = network.inputs[index]
    dtype = ms.bool_ if given.kind == "bool" else getattr(ms, given.kind)
    if network.is_open and given.has_instances:
        return ms.Tensor(shape=[None, *given.shape[1:]], dtype=dtype)
    return ms.Tensor(inputs_of(network, network.batch)[index])


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()] or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"
