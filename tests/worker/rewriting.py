"""What the tests of rewritten graphs share: files, and what is in them."""

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mindspore_serving.worker import mindspore_model, rewritten_file
from mindspore_serving.worker.batch_sizes import equal
from mindspore_serving.worker.mindir_file import DYNAMIC, parse, read_inputs
from mindspore_serving.worker.rewrites import AS_IT_IS, Rewriting
from mindspore_serving.worker.rewrites.chains import NAME
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import OPERATORS
from mindspore_serving.worker.target import Target
from tests.processes import ROOT

ORDER = {"Load", "MakeTuple", "UpdateState", "Depend"}  # of parameters: no operators


def export_networks(program: str, folder: Path) -> None:
    """Runs a module of this folder, which writes a file for each of its networks."""
    command = [sys.executable, "-m", f"tests.worker.{program}", str(folder)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)


def operators(path: Path) -> list[str]:
    """The operators of a file, in order; in place of a chain "chain", and behind it each of its steps."""
    graph = GraphFile(parse(path.read_bytes()))
    found: list[str] = []
    for node in graph.nodes:
        if graph.attribute(node, "reg_op_name") == NAME:
            found += [NAME, *steps(graph, node)]
        elif node.op_type != "Constant":
            found.append(graph.op(node))
    return found


def chains_of_instances(path: Path, rewriting: Rewriting) -> list[bool]:
    """Of each chain of what the file becomes, whether its instances may be computed some at a time."""
    with rewritten_file.rewritten_file(path, rewriting) as file:
        graph = GraphFile(parse(file.read_bytes()))
        chains = [node for node in graph.nodes if graph.attribute(node, "reg_op_name") == NAME]
        programs = [graph.constant_tensor(node.input[0]) for node in chains]
        return [program is not None and program.shape[2] > 0 for program in programs]


def steps(graph: GraphFile, chain: Any) -> list[str]:
    """The operators of a chain's steps: kernels/chain.c."""
    program = graph.constant_tensor(chain.input[0])
    assert program is not None
    zero, inputs, _, *told = program.shape
    assert (zero, inputs) == (0, len(chain.input) - 1)
    found: list[str] = []
    while told:
        found.append(OPERATORS[told[0]])
        told = told[3 + told[1] + told[2] :]
    return found


def rewritten_operators(path: Path, rewriting: Rewriting) -> list[str]:
    """Of what the file becomes."""
    with rewritten_file.rewritten_file(path, rewriting) as file:
        return operators(file)


def same_numbers(path: Path, rewriting: Rewriting, slack: float = 3.0, open_size: int = 13) -> bool:
    """Of the file and of what it becomes, with several numbers of instances. open_size: of another open dimension."""
    inputs = read_inputs(path, Target())
    rng = np.random.default_rng(1)
    graphs = [mindspore_model.open_graph(path, inputs, Target(), how) for how in (AS_IT_IS, rewriting)]
    for graph, tensors in graphs:
        if tensors:
            graph.open(tensors)
    ((first, *others),) = [given.shape for given in inputs]
    for rows in (1, 2, 7):
        shape = [rows if first == DYNAMIC else first, *(open_size if size == DYNAMIC else size for size in others)]
        array = rng.standard_normal(shape).astype(inputs[0].dtype)
        expected, found = [graph.learn([array]) for graph, _ in graphs]
        if not all(map(partial(equal, slack=slack), found, expected)):
            return False
    return True
