"""Makers of what users know by a name: attention, recurrent layers, squeeze-and-excitation, residual blocks."""

from collections.abc import Callable

from tests.fuzz.networks.sketch import Rejected, Sketch, Value


def attention(sketch: Sketch) -> Value:
    """Of some heads, by products of several kinds."""
    x = sketch.pick(least=3, most=3)
    words, width = x.shape[1:]
    heads = sketch.chance.choice([count for count in (1, 2, 3, 4) if width % count == 0])
    shape = f"(-1, {words}, {heads}, {width // heads})"
    layers = [sketch.layer(f"nn.Dense({width}, {width})") for _ in range(3)]
    query, key, value = [
        sketch.add(f"ops.transpose(ops.reshape({layer}({{0}}), {shape}), (0, 2, 1, 3))", x) for layer in layers
    ]
    products = (
        "{0} @ {1}.swapaxes(-1, -2)",
        "ops.matmul({0}, ops.swapaxes({1}, 2, 3))",
        "ops.BatchMatMul(transpose_b=True)({0}, {1})",
    )
    scores = sketch.add(
        f"ops.softmax({sketch.chance.choice(products)} / {float(f'{(width // heads) ** 0.5:.2f}')}, -1)", query, key
    )
    mixed = sketch.add(
        sketch.chance.choice(("{0} @ {1}", "ops.matmul({0}, {1})", "ops.BatchMatMul()({0}, {1})")), scores, value
    )
    made = sketch.add(f"ops.reshape(ops.transpose({{0}}, (0, 2, 1, 3)), (-1, {words}, {width}))", mixed)
    return sketch.add("{0} + {1}", made, x)


def attention_in_one(sketch: Sketch) -> Value:
    """Query, key and value by one layer, and cut."""
    x = sketch.pick(least=3, most=3)
    width = x.shape[2]
    layer = sketch.layer(f"nn.Dense({width}, {3 * width})")
    query, key, value = sketch.several(f"ops.chunk({layer}({{0}}), 3, -1)", 3, x)
    scores = sketch.add("ops.softmax(ops.matmul({0}, ops.swapaxes({1}, 1, 2)) * 0.3, -1)", query, key)
    return sketch.add("ops.matmul({0}, {1})", scores, value)


def attention_of_mindspore(sketch: Sketch) -> Value:
    x = sketch.pick(least=3, most=3)
    width = x.shape[2]
    heads = sketch.chance.choice([count for count in (1, 2, 4) if width % count == 0])
    made = sketch.layer(f"nn.MultiheadAttention({width}, {heads}, batch_first=True)")
    return sketch.add(f"{made}({{0}}, {{0}}, {{0}})[0]", x)


def encoder(sketch: Sketch) -> Value:
    x = sketch.pick(least=3, most=3)
    width = x.shape[2]
    heads = sketch.chance.choice([count for count in (1, 2, 4) if width % count == 0])
    told = f"{width}, {heads}, {sketch.size()}, batch_first=True, norm_first={sketch.maybe()}"
    activation = sketch.chance.choice(("relu", "gelu"))
    return sketch.add(f"{sketch.layer(f'nn.TransformerEncoderLayer({told}, activation={activation!r})')}({{0}})", x)


def recurrent(sketch: Sketch) -> Value:
    """All moments, or the last one; of sequences that come first or second."""
    x = sketch.pick(least=3, most=3)
    if x.shape[1] > 24:
        raise Rejected
    kind = sketch.chance.choice(("LSTM", "LSTM", "GRU", "GRU", "RNN"))
    units, both, layers = sketch.size(17), sketch.maybe(0.3), sketch.chance.choice((1, 1, 2))
    told = f"{x.shape[2]}, {units}, {layers}, has_bias={sketch.maybe(0.8)}, bidirectional={both}"
    if sketch.maybe():
        layer = sketch.layer(f"nn.{kind}({told}, batch_first=True)")
        made = sketch.add(f"{layer}({{0}})[0]", x)
        return sketch.add("{0}[:, -1]", made) if sketch.maybe() else made
    moments = sketch.add("ops.transpose({0}, (1, 0, 2))", x, has_instances=False)
    sketch.retire(moments)
    layer = sketch.layer(f"nn.{kind}({told})")
    state = "[1][0]" if kind == "LSTM" else "[1]"
    ends = (f"{layer}({{0}})[0].swapaxes(0, 1)", f"{layer}({{0}})[0][-1]", f"{layer}({{0}}){state}[0]")
    return sketch.add(sketch.chance.choice(ends), moments, has_instances=x.has_instances)


def cell_by_cell(sketch: Sketch) -> Value:
    """A few moments by a cell."""
    x = sketch.pick(least=3, most=3)
    if x.shape[1] < 2 or not x.has_instances or sketch.is_open:
        raise Rejected
    units, kind = sketch.size(17), sketch.chance.choice(("GRUCell", "RNNCell"))
    layer = sketch.layer(f"nn.{kind}({x.shape[2]}, {units})")
    text = f"ops.zeros(({x.shape[0]}, {units}), ms.float32)"
    for moment in range(min(3, x.shape[1])):
        text = f"{layer}({{0}}[:, {moment}], {text})"
    return sketch.add(text, x)


def product_of_two(sketch: Sketch) -> Value:
    """A value by itself, turned, or by another one."""
    x = sketch.pick(least=3, most=4)
    fits = [one for one in sketch.values if one.shape[:-2] == x.shape[:-2] and one.rank == x.rank]
    fits = [one for one in fits if one.shape[-2] == x.shape[-1] and one.has_instances == x.has_instances]
    if fits and sketch.maybe(0.6):
        return sketch.add(sketch.chance.choice(("ops.matmul({0}, {1})", "{0} @ {1}")), x, sketch.chance.choice(fits))
    formulas = ("ops.matmul({0}, ops.swapaxes({0}, -1, -2))", "ops.BatchMatMul(transpose_b=True)({0}, {0} * 0.5)")
    return sketch.add(sketch.chance.choice((*formulas, "ops.BatchMatMul(transpose_a=True)({0}, {0})")), x)


def excited(sketch: Sketch) -> Value:
    """Squeeze-and-excitation: by layers, or by convolutions of a pixel."""
    x = sketch.pick(least=4, most=4)
    channels, narrow = x.shape[1], max(1, x.shape[1] // 4)
    last = sketch.chance.choice(("ops.sigmoid", "ops.hardsigmoid"))
    if sketch.maybe():
        one, other = [sketch.layer(f"nn.Dense({a}, {b})") for a, b in ((channels, narrow), (narrow, channels))]
        weights = f"ops.reshape({last}({other}(ops.relu({one}({{0}}.mean((2, 3)))))), (-1, {channels}, 1, 1))"
    else:
        one, other = [
            sketch.layer(f"nn.Conv2d({a}, {b}, 1, has_bias=True)") for a, b in ((channels, narrow), (narrow, channels))
        ]
        weights = f"{last}({other}(ops.relu({one}(ops.mean({{0}}, (2, 3), True)))))"
    return sketch.add(f"{{0}} * {weights}", x)


def residual(sketch: Sketch) -> Value:
    """What a ResNet or a MobileNet is made of."""
    x = sketch.pick(least=4, most=4)
    channels, wide = x.shape[1], x.shape[1] * sketch.chance.choice((1, 2))
    act = sketch.chance.choice(("nn.ReLU()", "nn.ReLU6()", "nn.HSwish()", "nn.SiLU()"))
    group = wide if sketch.maybe() else 1
    parts = [f"nn.Conv2d({channels}, {wide}, 1)", f"nn.BatchNorm2d({wide})", act]
    parts += [f"nn.Conv2d({wide}, {wide}, 3, group={group})", f"nn.BatchNorm2d({wide})", act]
    parts += [f"nn.Conv2d({wide}, {channels}, 1, has_bias=True)", f"nn.BatchNorm2d({channels})"]
    layer = sketch.layer(f"nn.SequentialCell({', '.join(parts)})")
    return sketch.add(sketch.chance.choice((f"{layer}({{0}}) + {{0}}", f"ops.relu({{0}} + {layer}({{0}}))")), x)


def dense_in_place(sketch: Sketch) -> Value:
    """A residual sum as `x += y` has it."""
    x, name = sketch.pick(least=2, most=3), sketch.new_name()
    layer, operator = sketch.layer(f"nn.Dense({x.shape[-1]}, {x.shape[-1]})"), sketch.chance.choice(("+=", "*="))
    return sketch.statements(f"{name} = {layer}({x.name})\n{name} {operator} {x.name}", [name], (x,), x.has_instances)[
        0
    ]


BLOCKS: dict[Callable[[Sketch], Value], int] = {
    attention: 2,
    attention_in_one: 1,
    attention_of_mindspore: 1,
    encoder: 1,
    recurrent: 2,
    cell_by_cell: 1,
    product_of_two: 2,
    excited: 2,
    residual: 2,
    dense_in_place: 1,
}
