"""From a seed, a network."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

from tests.fuzz.networks.blocks import BLOCKS
from tests.fuzz.networks.eager import Eager, inputs_of
from tests.fuzz.networks.elements import ELEMENTS
from tests.fuzz.networks.layers import LAYERS, looked_up
from tests.fuzz.networks.network import Given, Network, needed
from tests.fuzz.networks.newer import NEWER
from tests.fuzz.networks.patterns import PATTERNS
from tests.fuzz.networks.places import PLACES
from tests.fuzz.networks.seldom import SELDOM
from tests.fuzz.networks.sketch import Rejected, Sketch, Value
from tests.fuzz.networks.wholes import WHOLES

MAKERS = LAYERS | ELEMENTS | PLACES | BLOCKS | PATTERNS | NEWER | WHOLES | SELDOM
_OPEN_BATCH = 6  # no axis of another kind has that size
_TRIES = 150


def network_of(seed: int, folder: Path, rejected: Counter[str] | None = None) -> Network:
    """The same one each time. rejected: how often a line of each maker did not do, with the reason."""
    chance = random.Random(seed)
    is_open = chance.random() < 0.5
    batch = _OPEN_BATCH if is_open else chance.choice((1, 1, 2, 3, 5, 8))
    sketch = Sketch(chance, Eager(seed, folder), batch, is_open)
    _give_inputs(sketch, seed)
    wanted, made = chance.choice((2, 3, 4, 6, 8, 12)), list[Value]()
    for _ in range(_TRIES):
        maker = chance.choices(list(MAKERS), list(MAKERS.values()))[0]
        try:
            made.append(sketch.scaled(maker(sketch)))
        except Rejected as reason:
            sketch.forget_layers()
            if rejected is not None and str(reason):
                rejected[f"{maker.__name__}: {str(reason)[:150]}"] += 1
        if len(made) == wanted:
            break
    names = _outputs(sketch, made)
    lines = needed(sketch.lines, names)
    used = {name for line in lines for name in line.uses}
    inputs = tuple(given for given in sketch.inputs if given.name in used)
    return Network(seed, batch, is_open, inputs, lines, names)


def _give_inputs(sketch: Sketch, seed: int) -> None:
    chance = sketch.chance
    is_free = not sketch.is_open and chance.random() < 0.3  # the first axis is one like others
    for name in ("a", "b")[: 2 if chance.random() < 0.25 else 1]:
        given = Given(name, (sketch.batch, *_shape(sketch)), not is_free)
        if chance.random() < 0.08:
            given = Given(
                name, (sketch.batch, chance.choice((1, 5, 9))), not is_free, chance.choice(("int32", "int64")), 11
            )
        elif chance.random() < 0.15:
            kind = chance.choice(("uint8", "int8", "int32", "int64", "bool", "float16", "float64"))
            given = replace(given, kind=kind, most=chance.choice((2, 7, 100)))
        network = Network(seed, sketch.batch, sketch.is_open, (given,), (), ())
        value = sketch.give(given, inputs_of(network, sketch.batch)[0])
        if given.most == 11:
            looked_up(sketch)
        elif given.kind != "float32":
            sketch.scaled(sketch.add("ops.cast({0}, ms.float32)", value))


def _shape(sketch: Sketch) -> tuple[int, ...]:
    """Of an instance: an image, a sequence, or a row; a good part of them with 2048 numbers or more."""
    chance = sketch.chance
    kind = chance.choice(("image", "image", "image", "sequence", "sequence", "row", "other"))
    if kind == "image":
        if chance.random() < 0.5:
            return (chance.choice((8, 16, 3, 24, 9, 32)), chance.randint(12, 34), chance.randint(12, 34))
        return (sketch.size(17), sketch.size(17), sketch.size(17))
    if kind == "sequence":
        if chance.random() < 0.5:
            return chance.choice(((9, 96), (16, 64), (33, 48), (64, 32), (50, 16), (3, 700), (2, 1100)))
        return (sketch.size(17), sketch.size(17))
    if kind == "row":
        return (chance.choice((*(sketch.size() for _ in range(4)), 64, 100, 300, 2048, 2100)),)
    return tuple(sketch.size(9) for _ in range(chance.randint(1, 4)))


def _outputs(sketch: Sketch, made: list[Value]) -> tuple[str, ...]:
    """The last value, and now and then another one that is not used, or even one that is."""
    values = [value for value in made if any(value.name == one.name for one in sketch.values)]
    if not values:
        values = [sketch.add("{0} * 2.0", sketch.pick())]  # every line was rejected
    names = [values[-1].name]
    unused = [value.name for value in values[:-1] if not sketch.uses(value)]
    if unused and sketch.maybe(0.6):
        names += unused[-2:]
    elif len(values) > 1 and sketch.maybe(0.15):
        names.append(sketch.chance.choice(values[:-1]).name)
    return tuple(names)
