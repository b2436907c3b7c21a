"""Makers of lines with weights: each puts a layer behind a value that suits it, with sizes by chance."""

from collections.abc import Callable

from tests.fuzz.networks.sketch import Rejected, Sketch, Value

_KERNELS = (1, 1, 2, 3, 3, 3, 5, 7)


def dense(sketch: Sketch) -> Value:
    x = sketch.pick(least=2, most=4)
    outs, bias = sketch.chance.choice((sketch.size(), sketch.size(), 63, 64, 65, 130)), sketch.maybe(0.8)
    activation = sketch.chance.choice(("None", "None", "None", "'relu'", "'sigmoid'", "'tanh'"))
    layer = sketch.layer(f"nn.Dense({x.shape[-1]}, {outs}, has_bias={bias}, activation={activation})")
    return sketch.add(f"{layer}({{0}})", x)


def newer_dense(sketch: Sketch) -> Value:
    x = sketch.pick(least=2, most=4)
    layer = sketch.layer(f"mint.nn.Linear({x.shape[-1]}, {sketch.size()}, bias={sketch.maybe()})")
    return sketch.add(f"{layer}({{0}})", x)


def weighed(sketch: Sketch) -> Value:
    """A product with a parameter, turned or not, and a bias or none."""
    x, outs = sketch.pick(least=2, most=3), sketch.size()
    depth = x.shape[-1]
    weight = f"{sketch.parameter(outs, depth)}.T" if sketch.maybe() else sketch.parameter(depth, outs)
    bias = f" + {sketch.parameter(outs)}" if sketch.maybe() else ""
    product = sketch.chance.choice(("ops.matmul({{0}}, {})", "{{0}} @ {}", "mint.matmul({{0}}, {})"))
    return sketch.add(product.format(weight) + bias, x)


def centred(sketch: Sketch) -> Value:
    """A product with weights that are made of a parameter."""
    x, outs = sketch.pick(least=2, most=2), sketch.size()
    weight = sketch.parameter(outs, x.shape[-1])
    made = sketch.chance.choice(
        (
            f"({weight} - ops.mean({weight}, 1, True))",
            f"({weight} / ops.sqrt(ops.sum({weight} * {weight}, 1, True) + 0.1))",
            f"({weight} * 0.5 + {weight})",
            f"ops.concat(({weight}, {weight}), 0)",
            f"ops.tanh({weight})",
        )
    )
    return sketch.add(f"ops.matmul({{0}}, {made}.T)", x)


def cut_weights(sketch: Sketch) -> Value:
    """Two products with the halves of one parameter."""
    x, outs = sketch.pick(least=2, most=2), sketch.size(17)
    weight = sketch.parameter(2 * outs, x.shape[-1])
    one, other = sketch.chance.choice(
        (
            (f"ops.split({weight}, {outs}, 0)[0]", f"ops.split({weight}, {outs}, 0)[1]"),
            (f"{weight}[:{outs}]", f"{weight}[{outs}:]"),
            (f"ops.chunk({weight}, 2, 0)[1]", f"ops.chunk({weight}, 2, 0)[0]"),
        )
    )
    return sketch.add(f"ops.matmul({{0}}, {one}.T) * ops.sigmoid(ops.matmul({{0}}, {other}.T))", x)


def convolution(sketch: Sketch) -> Value:
    x = sketch.pick(least=4, most=4)
    ins, outs, group = x.shape[1], sketch.chance.choice((sketch.size(), sketch.size(), sketch.size(), 32, 40)), 1
    kind = sketch.chance.choice(("plain", "plain", "plain", "depthwise", "groups"))
    if kind == "depthwise":
        group, outs = ins, ins * sketch.chance.choice((1, 1, 1, 2))
    elif kind == "groups":
        group = sketch.chance.choice([count for count in range(1, ins + 1) if ins % count == 0])
        outs = group * sketch.chance.choice((1, 2, 3, 8))
    kernel = _windows(sketch, x)
    stride = sketch.chance.choice((1, 1, 1, 2, 2, 3, (1, 2), (2, 1)))
    dilation = 1 if sketch.maybe(0.8) else sketch.chance.choice((2, 3, (1, 2)))
    layer = sketch.layer(
        f"nn.Conv2d({ins}, {outs}, {kernel}, {stride}, {_padding(sketch, kernel)}, dilation={dilation}, "
        f"group={group}, has_bias={sketch.maybe()})"
    )
    return _convolved(sketch, sketch.add(f"{layer}({{0}})", x))


def _convolved(sketch: Sketch, made: Value) -> Value:
    """What often comes behind a convolution."""
    if sketch.maybe(0.4):
        made = sketch.add(f"{sketch.layer(f'nn.BatchNorm2d({made.shape[1]})')}({{0}})", made)
    if sketch.maybe(0.5):
        made = sketch.add(sketch.chance.choice(("ops.relu({0})", "ops.relu6({0})", "ops.silu({0})")), made)
    return made


def _windows(sketch: Sketch, x: Value) -> int | tuple[int, ...]:
    """No larger than the image, but for padding; now and then as large, or no square."""
    kind = sketch.chance.random()
    if kind < 0.1:
        return (x.shape[2], x.shape[3])
    if kind < 0.2:
        return (sketch.chance.choice(_KERNELS), x.shape[3])
    if kind < 0.35:
        return (sketch.chance.choice(_KERNELS), sketch.chance.choice(_KERNELS))
    return sketch.chance.choice(_KERNELS)


def _padding(sketch: Sketch, kernel: int | tuple[int, ...]) -> str:
    mode = sketch.chance.choice(("same", "same", "valid", "pad", "pad"))
    if mode != "pad":
        return f"'{mode}'"
    most = (kernel if isinstance(kernel, int) else min(kernel)) // 2
    several = tuple(sketch.chance.randint(0, most + 1) for _ in range(4))
    return f"'pad', {sketch.chance.choice((most, most, 1, several))}"


def convolution_of_sequence(sketch: Sketch) -> Value:
    x = sketch.pick(least=3, most=3)
    kernel = sketch.chance.choice((1, 2, 3, 5))
    told = f"{x.shape[1]}, {sketch.size()}, {kernel}, {sketch.chance.choice((1, 1, 2))}"
    padding = sketch.chance.choice(("'same'", "'valid'", f"'pad', {kernel // 2}"))
    layer = sketch.layer(f"nn.Conv1d({told}, {padding}, has_bias={sketch.maybe()})")
    made = sketch.add(f"{layer}({{0}})", x)
    return sketch.add("ops.relu({0})", made) if sketch.maybe() else made


def transposed_convolution(sketch: Sketch) -> Value:
    x = sketch.pick(least=4, most=4)
    if x.array[0].size > 5000:
        raise Rejected
    kernel = sketch.chance.choice((1, 2, 3, 4, 5, (2, 3), (4, 3)))
    stride = sketch.chance.choice((1, 2, 2, 2, 3, (1, 2)))
    padding = sketch.chance.choice(("'same'", "'valid'", "'pad', 1"))
    ins, group = x.shape[1], x.shape[1] if sketch.maybe(0.15) else 1
    outs = ins if group > 1 else sketch.size(17)
    told = f"{ins}, {outs}, {kernel}, {stride}, {padding}, group={group}, has_bias={sketch.maybe()}"
    return _convolved(sketch, sketch.add(f"{sketch.layer(f'nn.Conv2dTranspose({told})')}({{0}})", x))


def prelu(sketch: Sketch) -> Value:
    x = sketch.pick(least=2, most=4)
    count = sketch.chance.choice((1, x.shape[1]))
    return sketch.add(f"{sketch.layer(f'nn.PReLU({count}, 0.3)')}({{0}})", x)


def batch_norm(sketch: Sketch) -> Value:
    x = sketch.pick(least=2, most=4)
    kind = {2: "BatchNorm1d", 3: "BatchNorm1d", 4: "BatchNorm2d"}[x.rank]
    return sketch.add(f"{sketch.layer(f'nn.{kind}({x.shape[1]})')}({{0}})", x)


def dense_and_norm(sketch: Sketch) -> Value:
    x, outs = sketch.pick(least=2, most=2), sketch.size()
    layers = [f"nn.Dense({x.shape[1]}, {outs}, has_bias={sketch.maybe()})", f"nn.BatchNorm1d({outs})"]
    layers += ["nn.ReLU()"] if sketch.maybe() else []
    layer = sketch.layer(f"nn.SequentialCell({', '.join(layers)})")
    return sketch.add(f"{layer}({{0}})", x)


def layer_norm(sketch: Sketch) -> Value:
    x = sketch.pick(least=2, most=4)
    axis = x.rank - 1 if sketch.maybe(0.75) else sketch.chance.randint(1, x.rank - 1)
    shape, begin = tuple(x.shape[axis:]), sketch.chance.choice((axis, axis - x.rank))
    layer = sketch.layer(f"nn.LayerNorm({shape}, {begin}, {begin}, epsilon={sketch.chance.choice((1e-5, 1e-3))})")
    return sketch.add(f"{layer}({{0}})", x)


def group_norm(sketch: Sketch) -> Value:
    x = sketch.pick(least=4, most=4)
    groups = sketch.chance.choice([count for count in range(1, x.shape[1] + 1) if x.shape[1] % count == 0])
    return sketch.add(f"{sketch.layer(f'nn.GroupNorm({groups}, {x.shape[1]})')}({{0}})", x)


def looked_up(sketch: Sketch) -> Value:
    """Words, of integers that are given."""
    places = sketch.pick(least=1, most=2, kinds=("int32", "int64"))
    most = next((given.most for given in sketch.inputs if given.name == places.name), 0)
    if not most:
        raise Rejected
    return sketch.add(f"{sketch.layer(f'nn.Embedding({most}, {sketch.size()})')}({{0}})", places)


LAYERS: dict[Callable[[Sketch], Value], int] = {
    dense: 4,
    newer_dense: 1,
    weighed: 2,
    centred: 1,
    cut_weights: 1,
    convolution: 7,
    convolution_of_sequence: 1,
    transposed_convolution: 2,
    prelu: 1,
    batch_norm: 1,
    dense_and_norm: 1,
    layer_norm: 2,
    group_norm: 1,
    looked_up: 2,
}
