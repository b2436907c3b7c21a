"""Runs lines one at a time, as Python runs them, outside of any graph: what a network ought to give."""

import importlib.util
import sys
import zlib
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mindspore as ms
import numpy as np
import numpy.typing as npt

from tests.fuzz.networks.network import Given, Line, Network, step_program

Array = npt.NDArray[Any]


def module_of(path: Path, text: str) -> Any:
    """The module that a text is, which is written there: MindSpore reads it again, and imports it by its name."""
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fill(seed: int, name: str, layer: Any) -> None:
    """Gives the parameters of a layer, or the one that it is, numbers that this seed and name always make."""
    rng = np.random.default_rng(zlib.crc32(f"{seed} {name}".encode()))
    parameters = [layer] if isinstance(layer, ms.Parameter) else list(layer.get_parameters())
    for parameter in parameters:
        if parameter.dtype != ms.float32:  # how often it was trained
            continue
        parameter.set_data(ms.Tensor(_weights(rng, parameter.name, parameter.shape).astype(np.float32)))


def _weights(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> Array:
    if "variance" in name or "running_var" in name:
        return rng.uniform(0.3, 2.0, shape)
    if "gamma" in name:
        return np.multiply(rng.uniform(0.3, 1.5, shape), rng.choice((-1.0, 1.0, 1.0, 1.0), shape))
    if len(shape) < 2:
        return rng.uniform(-0.5, 0.5, shape)
    return np.divide(rng.standard_normal(shape), max(1, prod(shape[1:])) ** 0.5)


def inputs_of(network: Network, rows: int) -> list[Array]:
    """The same each time, for so many instances."""
    return [_input(network.seed, given, rows) for given in network.inputs]


def _input(seed: int, given: Given, rows: int) -> Array:
    rng = np.random.default_rng(zlib.crc32(f"{seed} {given.name} {rows}".encode()))
    shape = (rows, *given.shape[1:]) if given.has_instances else given.shape
    if "float" in given.kind:
        return rng.standard_normal(shape).astype(given.kind)
    return rng.integers(0, given.most, shape).astype(given.kind)


class Eager:
    """The lines of one network, each a module in this folder."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._seed, self._folder = seed, folder
        self._layers = SimpleNamespace()
        self._modules: dict[str, Any] = {}

    def run(self, line: Line, values: Mapping[str, Array]) -> list[Array]:
        """What it makes. Raises whatever MindSpore raises."""
        text = step_program(line)
        if text not in self._modules:
            module = module_of(self._folder / f"step_{len(self._modules)}.py", text)
            for name, layer in module.layers().items():
                fill(self._seed, name, layer)
                if isinstance(layer, ms.nn.Cell):
                    layer.set_train(False)
                setattr(self._layers, name, layer)
            self._modules[text] = module
        given = [ms.Tensor(values[name]) for name in line.uses]
        return [np.array(made.asnumpy()) for made in self._modules[text].run(self._layers, *given)]

    def outputs(self, network: Network, arrays: Sequence[Array], tremor: float = 0.0) -> list[Array]:
        """Of a whole network. tremor: how far each number is shaken, as a part of the largest of its value."""
        rng = np.random.default_rng(0)
        values = {given.name: _shaken(rng, array, tremor) for given, array in zip(network.inputs, arrays, strict=True)}
        for line in network.lines:
            made = [_shaken(rng, array, tremor) for array in self.run(line, values)]
            values |= dict(zip(line.names, made, strict=True))
        return [values[name] for name in network.outputs]


def _shaken(rng: np.random.Generator, array: Array, tremor: float) -> Array:
    if not tremor or array.dtype.kind != "f":
        return array
    largest = float(np.max(np.abs(array), initial=0.0))
    shaken: Array = array + (rng.standard_normal(array.shape) * tremor * largest).astype(array.dtype)
    return shaken
