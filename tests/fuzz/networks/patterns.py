"""Makers of what models of today have between their layers: tokens, windows, patches, shuffled channels, masks."""

from collections.abc import Callable

from tests.fuzz.networks.sketch import Rejected, Sketch, Value


def tokens(sketch: Sketch) -> Value:
    """A few first words that are fixed, each for every instance, and perhaps places of all words."""
    x = sketch.pick(least=3, most=3)
    words, width = x.shape[1:]
    rows = "{0}.shape[0]" if x.has_instances else str(x.shape[0])
    count, repeated = sketch.chance.choice((1, 1, 2)), sketch.chance.choice(("broadcast_to", "tile"))
    times = f"({rows}, 1, {width})" if repeated == "broadcast_to" else f"({rows}, 1, 1)"
    first = [f"ops.{repeated}({sketch.parameter(1, 1, width)}, {times})" for _ in range(count)]
    if count == 2 and sketch.maybe():
        first = [f"ops.concat(({', '.join(first)}), 1)"]
    made = sketch.add(f"ops.concat(({', '.join(first)}, {{0}}), 1)", x)
    return sketch.add(f"{{0}} + {sketch.parameter(1, words + count, width)}", made) if sketch.maybe() else made


def patches(sketch: Sketch) -> Value:
    """An image as words."""
    x, size, width = sketch.pick(least=4, most=4), sketch.chance.choice((1, 2, 4)), sketch.size()
    layer = sketch.layer(f"nn.Conv2d({x.shape[1]}, {width}, {size}, {size}, 'valid', has_bias={sketch.maybe()})")
    made = sketch.add(f"{layer}({{0}})", x)
    words = made.shape[2] * made.shape[3]
    forms = (
        f"ops.reshape({{0}}, (-1, {width}, {words})).swapaxes(1, 2)",
        "ops.flatten({0}, start_dim=2).transpose(0, 2, 1)",
    )
    return sketch.add(
        sketch.chance.choice((*forms, "{0}.reshape({0}.shape[0], {0}.shape[1], -1).transpose(0, 2, 1)")), made
    )


def windows(sketch: Sketch) -> Value:
    """Squares of an image as instances of their own, a layer for them, and back."""
    x = sketch.pick(least=4, most=4)
    rows, columns, width = x.shape[1:]
    sides = [side for side in (2, 3, 4) if rows % side == 0 and columns % side == 0]
    if not sides:
        raise Rejected
    side = sketch.chance.choice(sides)
    down, right = rows // side, columns // side
    apart = sketch.add(f"ops.reshape({{0}}, (-1, {down}, {side}, {right}, {side}, {width}))", x)
    cut = f"ops.reshape(ops.transpose({{0}}, (0, 1, 3, 2, 4, 5)), (-1, {side * side}, {width}))"
    layer = sketch.layer(f"nn.Dense({width}, {width})")
    inner = sketch.chance.choice(
        (
            f"ops.softmax({layer}({cut}), 1)",
            f"{layer}({cut}) + {cut}",
            f"ops.matmul({cut}, {cut}.swapaxes(1, 2)) @ {layer}({cut})",
        )
    )
    back = f"ops.transpose(ops.reshape({inner}, (-1, {down}, {right}, {side}, {side}, {width})), (0, 1, 3, 2, 4, 5))"
    return sketch.add(f"ops.reshape({back}, (-1, {rows}, {columns}, {width}))", apart)


def shifted(sketch: Sketch) -> Value:
    """Rolled along an axis by hand."""
    x = sketch.pick(least=2)
    axis = sketch.chance.randint(x.own, x.rank - 1)
    cut = sketch.chance.randint(1, max(1, x.shape[axis] - 1))
    whole = ":, " * axis
    return sketch.add(f"ops.concat(({{0}}[{whole}{cut}:], {{0}}[{whole}:{cut}]), {axis})", x)


def shuffled(sketch: Sketch) -> Value:
    """Channels, or pixels made of them."""
    x = sketch.pick(least=4, most=4)
    channels, height, width = x.shape[1:]
    if channels % 4 == 0 and sketch.maybe():
        return sketch.add(sketch.chance.choice(("ops.pixel_shuffle({0}, 2)", "nn.PixelShuffle(2)({0})")), x)
    groups = [count for count in (2, 3, 4) if channels % count == 0]
    if not groups:
        raise Rejected
    group = sketch.chance.choice(groups)
    apart = f"ops.reshape({{0}}, (-1, {group}, {channels // group}, {height}, {width}))"
    return sketch.add(f"ops.reshape(ops.transpose({apart}, (0, 2, 1, 3, 4)), (-1, {channels}, {height}, {width}))", x)


def by_computed_sizes(sketch: Sketch) -> Value:
    """Parts and views whose sizes are computed of shapes."""
    x = sketch.pick(least=3)
    forms = ["{0}[:, : {0}.shape[1] // 2 + 1]", "{0}[:, {0}.shape[1] // 2 :]", "{0}[:, {0}.shape[1] - 1]"]
    forms += ["{0}.reshape({0}.shape[0], {0}.shape[1], -1)", "{0}.reshape({0}.shape[0], -1, {0}.shape[{0}.ndim - 1])"]
    forms += ["ops.zeros_like({0}) + {0}", "{0} * (1.0 / {0}.shape[1])"]
    return sketch.add(sketch.chance.choice(forms), x)


def masked(sketch: Sketch) -> Value:
    """Attention's scores with a mask that is fixed, or computed."""
    x = sketch.pick(least=3, most=3)
    words = x.shape[1]
    scores = sketch.add("ops.matmul({0}, ops.swapaxes({0}, 1, 2)) * 0.2", x)
    forms = (
        f"ops.softmax({{0}} + {sketch.parameter(words, words)}, -1)",
        "ops.softmax(ops.masked_fill({0}, {0} > 1.0, -1e4), -1)",
        "ops.softmax(ops.where({0} > 0.7, -1e4, {0}), -1)",
        f"ops.softmax({{0}} + ops.triu(ops.ones(({words}, {words}), ms.float32), 1) * -1e4, -1)",
        f"ops.softmax(ops.where(ops.tril(ops.ones(({words}, {words}), ms.float32)) > 0.5, {{0}}, -1e4), -1)",
    )
    return sketch.add("ops.matmul({0}, {1})", sketch.add(sketch.chance.choice(forms), scores), x)


def from_table(sketch: Sketch) -> Value:
    """A parameter's rows in another order, as biases of places are kept."""
    x = sketch.pick(least=2)
    width = x.shape[-1]
    table = sketch.parameter(5, width)
    places = tuple(sketch.chance.randrange(-5, 5) for _ in range(x.shape[-2] if x.rank > 2 else 1))
    positive = tuple(place % 5 for place in places)
    forms = (
        f"{table}[ms.Tensor({list(positive)}, ms.int32)]",
        f"ops.gather({table}, ms.Tensor({list(positive)}, ms.int32), 0)",
        f"{table}[ms.Tensor({list(places)}, ms.int32)]",
        f"ops.softmax({table}, 0)[:1]",
        f"ops.relu(ops.matmul({table}.T, {table}))[:1]",
        f"({table}.sum(0) / ops.sqrt(ops.square({table}).mean() + 0.1))",
    )
    return sketch.add(f"{{0}} + {sketch.chance.choice(forms)}", x)


def shared(sketch: Sketch) -> Value:
    """One layer for two values, or for a value and what it makes of it."""
    x = sketch.pick(least=2, most=4)
    others = [one for one in sketch.values if one.shape == x.shape and one.has_instances == x.has_instances]
    other = sketch.chance.choice(others)
    kinds = [f"nn.Dense({x.shape[-1]}, {x.shape[-1]})", f"nn.LayerNorm(({x.shape[-1]},))"]
    if x.rank == 4:
        kinds += [f"nn.Conv2d({x.shape[1]}, {x.shape[1]}, 3)", f"nn.BatchNorm2d({x.shape[1]})"]
    layer = sketch.layer(sketch.chance.choice(kinds))
    forms = (
        f"{layer}({{0}}) - {layer}(ops.sin({{1}}))",
        f"{layer}({layer}({{0}}) + {{1}})",
        f"{layer}({{0}}) * {layer}({{1}})",
    )
    return sketch.add(sketch.chance.choice(forms), x, other)


def in_several_ways(sketch: Sketch) -> Value:
    """Parts of unequal sizes, or each place of an axis by itself, put together anew."""
    x = sketch.pick(least=2)
    axis = sketch.chance.randint(x.own, x.rank - 1)
    size = x.shape[axis]
    if size < 2 or size > 9:
        raise Rejected
    first = sketch.chance.randint(1, size - 1)
    one, other = sketch.several(f"ops.split({{0}}, [{first}, {size - first}], {axis})", 2, x)
    if sketch.maybe():
        return sketch.add(f"ops.concat(({{1}}, ops.tanh({{0}})), {axis})", one, other)
    places = sketch.several(f"ops.unbind({{0}}, {axis})", size, x)
    return sketch.add("{0} * {1} + {2}", places[0], places[-1], places[size // 2])


def to_length(sketch: Sketch) -> Value:
    """Numbers brought to a length of 1, or weighed by it."""
    x = sketch.pick(least=2)
    axis = sketch.chance.randint(x.own, x.rank - 1)
    forms = (f"ops.L2Normalize({axis})({{0}})", f"{{0}} / (ops.norm({{0}}, 2, {axis}, True) + 0.1)")
    return sketch.add(
        sketch.chance.choice((*forms, f"{{0}} / ops.sqrt(ops.sum({{0}} * {{0}}, {axis}, True) + 0.1)")), x
    )


def in_place_again(sketch: Sketch) -> Value:
    """Several changes of what a layer makes, and a function that changes it too."""
    x, name = sketch.pick(least=2, most=4), sketch.new_name()
    layer = sketch.layer(f"nn.Dense({x.shape[-1]}, {x.shape[-1]})")
    changes = ["{} += {}", "{} *= {}", "{} -= {}", "{} *= 0.5", "{} += 1.0", "{} /= 2.0", "{0} = ops.relu({0})"]
    changes += ["{0} = {0}.reshape({0}.shape)", "{0} = nn.ReLU()({0})", "{0} = mint.nn.functional.relu({0}, True)"]
    chosen = sketch.chance.sample(changes, sketch.chance.randint(2, 4))
    text = "\n".join([f"{name} = {layer}({x.name})", *(change.format(name, x.name) for change in chosen)])
    return sketch.statements(text, [name], (x,), x.has_instances)[0]


def nothing(sketch: Sketch) -> Value:
    """What does nothing where a network is used."""
    x = sketch.pick(least=2)
    forms = ("nn.Identity()({0})", "nn.Dropout(p=0.5)({0})", "ops.reshape({0}, {0}.shape)", "ops.cast({0}, ms.float32)")
    return sketch.add(f"ops.sin({sketch.chance.choice(forms)})", x)


PATTERNS: dict[Callable[[Sketch], Value], int] = {
    tokens: 2,
    patches: 2,
    windows: 2,
    shifted: 1,
    shuffled: 1,
    by_computed_sizes: 2,
    masked: 1,
    from_table: 2,
    shared: 2,
    in_several_ways: 1,
    to_length: 1,
    in_place_again: 2,
    nothing: 1,
}
