"""A network as lines of Python, and the program that they are together."""

from collections.abc import Sequence
from dataclasses import dataclass, field

OPEN = "None"  # in place of the number of instances

_HEAD = """\
import mindspore as ms
from mindspore import mint, nn, ops


class Network(nn.Cell):
    def __init__(self):
        super().__init__()
"""


@dataclass(frozen=True)
class Given:
    """An input. shape: with its instances, if it has any. kind: numpy's name. most: whole numbers are below this."""

    name: str
    shape: tuple[int, ...]
    has_instances: bool
    kind: str = "float32"
    most: int = 2


@dataclass(frozen=True)
class Made:
    """A value that a line makes, and its shape for as many instances as the network was written with."""

    name: str
    shape: tuple[int, ...]
    has_instances: bool
    kind: str = "float32"


@dataclass(frozen=True)
class Line:
    """Statements. layers: attributes of the network that they use, each with what makes it.

    older: statements that make the same in single precision, of what MindSpore itself runs on a CPU; "": those.
    """

    text: str
    uses: tuple[str, ...]
    makes: tuple[Made, ...]
    layers: dict[str, str] = field(default_factory=dict)
    older: str = ""

    @property
    def names(self) -> list[str]:
        """Of what it makes."""
        return [made.name for made in self.makes]


@dataclass(frozen=True)
class Network:
    """Whatever a seed makes. batch: with how many instances it was written. is_open: its file takes any number."""

    seed: int
    batch: int
    is_open: bool
    inputs: tuple[Given, ...]
    lines: tuple[Line, ...]
    outputs: tuple[str, ...]


def needed(lines: Sequence[Line], outputs: Sequence[str]) -> tuple[Line, ...]:
    """Those that have to do with the outputs."""
    wanted, found = set(outputs), list[Line]()
    for line in reversed(lines):
        if not wanted.isdisjoint(line.names):
            wanted.update(line.uses)
            found.insert(0, line)
    return tuple(found)


def program(network: Network) -> str:
    """Python, with a class `Network`."""
    layers = [f"self.{name} = {maker}" for line in network.lines for name, maker in line.layers.items()]
    given = ", ".join(["self", *(one.name for one in network.inputs)])
    construct = [*(line.text for line in network.lines), f"return {', '.join(network.outputs)}"]
    return f"{_HEAD}{_indented(layers)}\n    def construct({given}):\n{_indented(construct)}"


def step_program(line: Line) -> str:
    """Python, with `layers()` that makes those of a line, and `run(self, ...)` that does what it is to do."""
    layers = [f"{name!r}: {maker}," for name, maker in line.layers.items()]
    head = "import mindspore as ms\nfrom mindspore import mint, nn, ops\n\n\ndef layers():\n"
    given = ", ".join(["self", *line.uses])
    made = f"return ({', '.join(line.names)},)"
    body = _indented([line.older or line.text, made])
    return f"{head}{_indented(['return {', *layers, '}'])}\n\ndef run({given}):\n{body}"


def described(network: Network) -> str:
    """In one line: the inputs, and what is done to them."""
    inputs = [f"{one.name}{_shape_text(network, one)}" for one in network.inputs]
    lines = []
    for line in network.lines:
        text = line.text.replace("\n", "; ")
        for name, maker in line.layers.items():
            text = text.replace(f"self.{name}", maker)
        lines.append(text)
    return " | ".join([", ".join(inputs), *lines, f"return {', '.join(network.outputs)}"])


def _shape_text(network: Network, given: Given) -> str:
    sizes = [str(size) for size in given.shape]
    if network.is_open and given.has_instances:
        sizes[0] = OPEN
    kind = "" if given.kind == "float32" else f" of {given.kind}"
    return f"[{', '.join(sizes)}]{kind}" + (f" below {given.most}" if "int" in given.kind else "")


def _indented(lines: Sequence[str]) -> str:
    return "".join(f"        {part}\n" for line in lines for part in line.split("\n"))
