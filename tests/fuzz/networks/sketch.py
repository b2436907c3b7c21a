"""A network that is being written: each line is run at once, so its shapes and numbers are known to who writes on."""

import random
import re
from dataclasses import dataclass, replace

import numpy as np

from tests.fuzz.networks.eager import Array, Eager
from tests.fuzz.networks.network import Given, Line, Made

_LARGEST, _SMALLEST = 12.0, 0.05  # numbers beyond are brought back to the order of 1
_MOST_NUMBERS = 400_000
SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33)


class Rejected(Exception):
    """No network has such a line: it does not run, or not with these numbers."""


@dataclass(frozen=True)
class Value:
    """Something that a line may use. has_instances: the first axis is theirs, whatever their number."""

    name: str
    array: Array
    has_instances: bool

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def rank(self) -> int:
        return self.array.ndim

    @property
    def own(self) -> int:
        """The first axis that a line may do anything with."""
        return int(self.has_instances)


class Sketch:
    """Inputs, lines, and the values that the next line may use."""

    def __init__(self, chance: random.Random, eager: Eager, batch: int, is_open: bool) -> None:
        self.chance, self.batch, self.is_open = chance, batch, is_open
        self.inputs: list[Given] = []
        self.lines: list[Line] = []
        self.values: list[Value] = []
        self._eager = eager
        self._layers: dict[str, str] = {}
        self._count = 0

    def give(self, given: Given, array: Array) -> Value:
        """A further input."""
        self.inputs.append(given)
        self.values.append(Value(given.name, array, given.has_instances))
        return self.values[-1]

    def maybe(self, share: float = 0.5) -> bool:
        """Yes, so often."""
        return self.chance.random() < share

    def size(self, most: int = 33) -> int:
        """Of an axis; edges are as likely as anything else."""
        return self.chance.choice([size for size in SIZES if size <= most])

    def pick(self, *, least: int = 0, most: int = 8, kinds: tuple[str, ...] = ("float32",)) -> Value:
        """A value with so many axes, rather one that is new. Raises Rejected where there is none."""
        fits = [
            value
            for value in self.values
            if least <= value.rank <= most and value.array.dtype.name in kinds and value.array.size
        ]
        if not fits:
            raise Rejected
        return fits[-1] if self.maybe(0.6) else self.chance.choice(fits[-6:])

    def layer(self, maker: str) -> str:
        """An attribute that the next line uses, as it is to write it. maker: an expression."""
        self._count += 1
        name = f"f{self._count}"
        self._layers[name] = maker
        return f"self.{name}"

    def parameter(self, *shape: int) -> str:
        """The same, for weights."""
        name = f"f{self._count + 1}"
        return self.layer(f'ms.Parameter(ms.ops.zeros({shape}, ms.float32), name="{name}")')

    def add(self, formula: str, *given: Value, has_instances: bool | None = None, older: str = "") -> Value:
        """A line for an expression. {0} and so on: what it is given. has_instances: as of the first one, if None.

        older: an expression for what Python is to make of it, as `Line` has it.
        """
        return self.several(formula, 1, *given, has_instances=has_instances, older=older)[0]

    def several(
        self, formula: str, count: int, *given: Value, has_instances: bool | None = None, older: str = ""
    ) -> list[Value]:
        """The same, for an expression that makes so many values. Raises Rejected."""
        names = [self._name() for _ in range(count)]
        text, instead = [
            f"{', '.join(names)} = {one.format(*(value.name for value in given))}" if one else ""
            for one in (formula, older)
        ]
        has_instances = given[0].has_instances if has_instances is None else has_instances
        return self.statements(text, names, given, has_instances, instead)

    def statements(
        self, text: str, names: list[str], given: tuple[Value, ...], has_instances: bool, older: str = ""
    ) -> list[Value]:
        """The same, for any statements that make values of these names."""
        uses = tuple(dict.fromkeys(one.name for one in given))
        layers = {name: maker for name, maker in self._layers.items() if re.search(rf"self\.{name}\b", text)}
        self._layers = {name: maker for name, maker in self._layers.items() if name not in layers}
        line = Line(text, uses, tuple(Made(name, (), has_instances) for name in names), layers, older)
        try:
            arrays = self._eager.run(line, {one.name: one.array for one in given})
        except Exception as error:
            raise Rejected(f"{type(error).__name__}: {error}") from error
        if not all(self._is_sound(array, has_instances) for array in arrays):
            raise Rejected("numbers")
        made = [Value(name, array, has_instances) for name, array in zip(names, arrays, strict=True)]
        makes = tuple(Made(one.name, one.shape, one.has_instances, one.array.dtype.name) for one in made)
        self.lines.append(replace(line, makes=makes))
        self.values += made
        return made

    def scaled(self, value: Value) -> Value:
        """The same numbers, of the order of 1."""
        largest = float(np.max(np.abs(value.array), initial=0.0)) if value.array.dtype.kind == "f" else 1.0
        if largest == 0.0 or _SMALLEST <= largest <= _LARGEST:
            return value
        factor = float(f"{2.0 / largest:.1g}")
        return self.add(f"{{0}} * {factor}", value)

    def forget_layers(self) -> None:
        """Those that were meant for a line that was rejected."""
        self._layers = {}

    def retire(self, value: Value) -> None:
        """No further line may use it."""
        self.values = [one for one in self.values if one.name != value.name]

    def uses(self, value: Value) -> int:
        """How many lines use it."""
        return sum(value.name in line.uses for line in self.lines)

    def new_name(self) -> str:
        """Of a value to come."""
        return self._name()

    def _name(self) -> str:
        self._count += 1
        return f"v{self._count}"

    def _is_sound(self, array: Array, has_instances: bool) -> bool:
        if has_instances and array.shape[:1] != (self.batch,):
            return False
        if array.size > _MOST_NUMBERS or array.size == 0 or array.dtype.kind not in "fib":
            return False
        return array.dtype.kind != "f" or (bool(np.isfinite(array).all()) and float(np.abs(array).max()) < 1e4)
