"""Makers of lines that bring numbers to other places, or pick some of them, windows included."""

from collections.abc import Callable
from math import prod

from tests.fuzz.networks.sketch import Rejected, Sketch, Value

_WINDOWS = (1, 2, 2, 3, 3, 4, 5)


def pooled(sketch: Sketch) -> Value:
    x = sketch.pick(least=4, most=4)
    kernel = sketch.chance.choice((*_WINDOWS, (2, 3), (3, 1), (x.shape[2], x.shape[3])))
    stride = sketch.chance.choice((1, 2, 2, 3, (1, 2)))
    if sketch.maybe():
        told = sketch.chance.choice(("pad_mode='same'", "pad_mode='valid'", "pad_mode='pad', padding=1"))
        if "pad'" in told and sketch.maybe(0.3):
            told += ", ceil_mode=True"
        return sketch.add(f"{sketch.layer(f'nn.MaxPool2d({kernel}, {stride}, {told})')}({{0}})", x)
    told = sketch.chance.choice(
        ("pad_mode='same'", "pad_mode='valid'", "pad_mode='valid'", "pad_mode='pad', padding=1")
    )
    return sketch.add(f"{sketch.layer(f'nn.AvgPool2d({kernel}, {stride}, {told})')}({{0}})", x)


def pooled_by_functions(sketch: Sketch) -> Value:
    x = sketch.pick(least=3, most=4)
    if x.rank == 3:
        kind, told = (
            sketch.chance.choice(("Max", "Avg")),
            f"{sketch.chance.choice(_WINDOWS)}, {sketch.chance.choice((1, 2))}",
        )
        return sketch.add(f"{sketch.layer(f'nn.{kind}Pool1d({told})')}({{0}})", x)
    sizes = sketch.chance.choice((1, 1, (2, 3), (5, 7), 4))
    formulas = (f"ops.adaptive_avg_pool2d({{0}}, {sizes})", "ops.max_pool2d({0}, 2, 2)", "ops.avg_pool2d({0}, 2, 2)")
    return sketch.add(sketch.chance.choice(formulas), x)


def reshaped(sketch: Sketch) -> Value:
    """Some neighbouring axes as one, one as two, or all in another way."""
    x = sketch.pick(least=1)
    sizes, kind = list(x.shape[x.own :]), sketch.chance.random()
    if kind < 0.4 and len(sizes) > 1:
        place = sketch.chance.randint(0, len(sizes) - 2)
        sizes[place : place + 2] = [prod(sizes[place : place + 2])]
    elif kind < 0.8 and sizes:
        place = sketch.chance.randint(0, len(sizes) - 1)
        factor = sketch.chance.choice([one for one in range(1, sizes[place] + 1) if sizes[place] % one == 0])
        sizes[place : place + 1] = [factor, sizes[place] // factor]
    else:
        sizes = sketch.chance.sample(sizes, len(sizes))
    if len(sizes) > 5:
        raise Rejected
    first = sketch.chance.choice((["-1"], ["{0}.shape[0]"])) if x.has_instances else []
    told = [*first, *map(str, sizes)]
    if first == ["{0}.shape[0]"] and sizes and sketch.maybe():
        told[-1] = "-1"
    elif not first and sketch.maybe():
        told[sketch.chance.randrange(len(told))] = "-1"
    formula = sketch.chance.choice(("ops.reshape({{0}}, ({},))", "{{0}}.reshape(({},))", "{{0}}.view({})"))
    return sketch.add(formula.format(", ".join(told)), x)


def by_moments(sketch: Sketch) -> Value:
    """A layer for what several axes have, taken as one."""
    x, outs = sketch.pick(least=3, most=4), sketch.size(17)
    between = ", ".join(map(str, x.shape[1:-1]))
    layer = sketch.layer(f"nn.Dense({x.shape[-1]}, {outs})")
    return sketch.add(f"ops.reshape({layer}(ops.reshape({{0}}, (-1, {x.shape[-1]}))), (-1, {between}, {outs}))", x)


def flat(sketch: Sketch) -> Value:
    x = sketch.pick(least=2)
    rows = prod(x.shape[1:])
    return sketch.add(
        sketch.chance.choice(
            ("ops.flatten({0})", "nn.Flatten()({0})", "{0}.view({0}.shape[0], -1)", f"ops.reshape({{0}}, (-1, {rows}))")
        ),
        x,
    )


def with_axis(sketch: Sketch) -> Value:
    x = sketch.pick(most=5)
    axis = sketch.chance.choice((-1, sketch.chance.randint(x.own, x.rank)))
    return sketch.add(sketch.chance.choice(("ops.expand_dims({{0}}, {})", "{{0}}.unsqueeze({})")).format(axis), x)


def without_axis(sketch: Sketch) -> Value:
    x = sketch.pick(least=2)
    ones = [axis for axis in range(x.own, x.rank) if x.shape[axis] == 1]
    if not ones:
        raise Rejected
    return sketch.add(f"{{0}}.squeeze({sketch.chance.choice(ones)})", x)


def transposed(sketch: Sketch) -> Value:
    x = sketch.pick(least=2)
    order = [*range(x.own), *sketch.chance.sample(range(x.own, x.rank), x.rank - x.own)]
    if sketch.maybe(0.3) and x.rank - x.own > 1:
        return sketch.add("ops.swapaxes({0}, -1, -2)", x)
    return sketch.add(f"ops.transpose({{0}}, {tuple(order)})", x)


def cut_apart(sketch: Sketch) -> Value:
    """Parts, of which some are put together, or combined."""
    x = sketch.pick(least=2)
    axis = sketch.chance.randint(x.own, x.rank - 1)
    counts = [count for count in range(2, min(6, x.shape[axis]) + 1) if x.shape[axis] % count == 0]
    if not counts:
        raise Rejected
    count, told = sketch.chance.choice(counts), sketch.chance.choice((axis, axis - x.rank))
    size = x.shape[axis] // count
    formula = sketch.chance.choice((f"ops.split({{0}}, {size}, {told})", f"ops.chunk({{0}}, {count}, {told})"))
    parts = sketch.several(formula, count, x)
    two = sketch.chance.sample(parts, 2)
    formulas = (
        "{0} * ops.sigmoid({1})",
        "{0} - {1}",
        f"ops.concat(({{0}}, {{1}}), {told})",
        "ops.stack(({1}, {0}), 1)",
    )
    return sketch.add(sketch.chance.choice(formulas), *two)


def joined(sketch: Sketch) -> Value:
    x = sketch.pick(least=1)
    axis = sketch.chance.randint(x.own, max(x.own, x.rank - 1))
    if axis >= x.rank:
        raise Rejected
    fits = [value for value in sketch.values if _without(value, axis) == _without(x, axis)]
    parts = [x, *sketch.chance.choices(fits, k=sketch.chance.choice((1, 1, 2, 8)))]
    if not x.has_instances and any(part.has_instances for part in parts):
        raise Rejected
    places = ", ".join(f"{{{number}}}" for number in range(len(parts)))
    if len({part.shape for part in parts}) == 1 and sketch.maybe(0.4):
        place = sketch.chance.choice((axis, -1))
        return sketch.add(f"{sketch.chance.choice(('ops.stack', 'mint.stack'))}(({places}), {place})", *parts)
    place = sketch.chance.choice((axis, axis - x.rank))
    formula = sketch.chance.choice(("ops.concat(({}), {})", "ops.cat(({}), {})", "mint.cat(({}), {})"))
    return sketch.add(formula.format(places, place), *parts)


def joined_with_parameter(sketch: Sketch) -> Value:
    """A first word that is fixed."""
    x = sketch.pick(least=3, most=3)
    word = sketch.parameter(1, 1, x.shape[2])
    rows = "{0}.shape[0]" if x.has_instances else str(x.shape[0])
    return sketch.add(f"ops.concat((ops.broadcast_to({word}, ({rows}, 1, {x.shape[2]})), {{0}}), 1)", x)


def sliced(sketch: Sketch) -> Value:
    """Of each axis a part, forward or backward, one place, or all."""
    x = sketch.pick(least=1)
    cuts = [":"] * x.own
    for size in x.shape[x.own :]:
        first, end = sorted((sketch.chance.randint(0, size - 1), sketch.chance.randint(1, size)))
        cuts.append(
            sketch.chance.choice(
                (":", ":", ":", f"{first}:{max(end, first + 1)}", f"{first}:", f"-{max(1, end)}:", "::2", "1::3")
                + (":-1", str(first), "-1", f"{first}::5", "::-1")
            )
        )
    if x.has_instances and sketch.maybe(0.1) and not sketch.is_open:
        cuts[0] = ":1"
    return sketch.add(f"{{0}}[{', '.join(cuts)}]", x)


def padded(sketch: Sketch) -> Value:
    x = sketch.pick(least=2)
    axes = sketch.chance.randint(1, x.rank - x.own)
    paddings = tuple(sketch.chance.choice((0, 0, 1, 1, 2, 3)) for _ in range(2 * axes))
    formulas = [f"ops.pad({{0}}, {paddings})", f"ops.pad({{0}}, {paddings}, value=0.5)"]
    if x.rank == 4:
        four = tuple(sketch.chance.choice((0, 1, 2)) for _ in range(4))
        formulas += [f"nn.ZeroPad2d({four})({{0}})", f"ops.pad({{0}}, {four}, mode='replicate')"]
        formulas += [f"nn.Pad(((0, 0), (0, 0), {four[:2]}, {four[2:]}))({{0}})", f"nn.ReflectionPad2d({four})({{0}})"]
    return sketch.add(sketch.chance.choice(formulas), x)


def resized(sketch: Sketch) -> Value:
    x = sketch.pick(least=4, most=4)
    height, width = x.shape[2:]
    larger = (height * sketch.chance.choice((1, 2, 3)), width * sketch.chance.choice((1, 2, 2, 3)))
    size = larger if sketch.maybe(0.6) else (sketch.size(17), sketch.size(17))
    formulas = (
        f"ops.ResizeNearestNeighbor({size})({{0}})",
        f"ops.interpolate({{0}}, size={size}, mode='nearest')",
        f"ops.interpolate({{0}}, size={size}, mode='bilinear')",
        f"ops.interpolate({{0}}, size={size}, mode='bilinear', align_corners=True)",
        "nn.Upsample(scale_factor=2.0, mode='nearest', recompute_scale_factor=True)({0})",
    )
    return sketch.add(sketch.chance.choice(formulas), x)


def repeated(sketch: Sketch) -> Value:
    x = sketch.pick(least=2)
    axis = sketch.chance.randint(x.own, x.rank - 1)
    times = [1] * x.rank
    times[axis] = sketch.chance.choice((2, 3))
    formulas = [f"ops.tile({{0}}, {tuple(times)})", f"ops.repeat_interleave({{0}}, {times[axis]}, {axis})"]
    formulas += [f"ops.flip({{0}}, ({axis},))", f"ops.roll({{0}}, 1, {axis})"]
    if x.shape[axis] == 1:
        wide = tuple(9 if place == axis else -1 for place in range(x.rank))
        formulas += [f"ops.broadcast_to({{0}}, {wide})"] * 3
    return sketch.add(sketch.chance.choice(formulas), x)


def _without(value: Value, axis: int) -> tuple[int, ...]:
    """The shape but for this axis; the number of axes as well, so that they are told apart."""
    return (value.rank, *value.shape[:axis], *value.shape[axis + 1 :])


PLACES: dict[Callable[[Sketch], Value], int] = {
    pooled: 4,
    pooled_by_functions: 2,
    reshaped: 3,
    by_moments: 1,
    flat: 1,
    with_axis: 1,
    without_axis: 1,
    transposed: 2,
    cut_apart: 2,
    joined: 2,
    joined_with_parameter: 1,
    sliced: 3,
    padded: 2,
    resized: 2,
    repeated: 1,
}
