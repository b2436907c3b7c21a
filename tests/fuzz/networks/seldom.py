"""Makers of lines that fewer networks have: volumes, pixels between others, rotated heads, sums on the way."""

from collections.abc import Callable

from tests.fuzz.networks.sketch import Rejected, Sketch, Value


def volume(sketch: Sketch) -> Value:
    """An image with an axis more, and what is done to such."""
    x = sketch.pick(least=4, most=5)
    if x.rank == 4:
        x = sketch.add("ops.expand_dims({0}, 2)" if sketch.maybe() else "ops.stack(({0}, {0} * 0.5), 2)", x)
    if x.array[0].size > 20_000:
        raise Rejected
    ins, bias = x.shape[1], sketch.maybe()
    layers = [f"nn.Conv3d({ins}, {sketch.size(9)}, {sketch.chance.choice((1, 3))}, has_bias={bias})"]
    layers += [f"nn.BatchNorm3d({ins})", "nn.MaxPool3d((1, 2, 2), (1, 2, 2))", "nn.AvgPool3d((1, 2, 2), (1, 2, 2))"]
    layers += [f"nn.Conv3dTranspose({ins}, {sketch.size(5)}, (1, 2, 2), (1, 2, 2), has_bias={bias})"]
    return sketch.add(f"{sketch.layer(sketch.chance.choice(layers))}({{0}})", x)


def pixels_between(sketch: Sketch) -> Value:
    x = sketch.pick(least=4, most=4)
    forms = ["ops.pixel_shuffle({0}, 2)", "ops.pixel_unshuffle({0}, 2)", "nn.PixelShuffle(2)({0})"]
    forms += ["ops.SpaceToDepth(2)({0})", "ops.DepthToSpace(2)({0})", "ops.unfold({0}, 2)", "ops.lrn({0})"]
    forms += [
        "ops.adaptive_max_pool2d({0}, (2, 3))",
        "nn.AdaptiveAvgPool2d((2, None))({0})",
        "ops.upsample({0}, size=(9, 9))",
    ]
    return sketch.add(sketch.chance.choice(forms), x)


def rotated(sketch: Sketch) -> Value:
    """Rotary places, in halves or in pairs."""
    x = sketch.pick(least=3, most=4)
    words, width = x.shape[-2:]
    if width % 2:
        raise Rejected
    half = width // 2
    if sketch.maybe():
        sine, cosine = sketch.parameter(words, width), sketch.parameter(words, width)
        other = f"ops.concat((-{{0}}[..., {half}:], {{0}}[..., :{half}]), -1)"
        return sketch.add(f"{{0}} * {cosine} + {other} * {sine}", x)
    sine, cosine = sketch.parameter(words, half), sketch.parameter(words, half)
    even, odd = "{0}[..., ::2]", "{0}[..., 1::2]"
    pair = f"({even} * {cosine} - {odd} * {sine}, {even} * {sine} + {odd} * {cosine})"
    return sketch.add(f"ops.stack({pair}, -1).reshape({{0}}.shape)", x)


def shared_heads(sketch: Sketch) -> Value:
    """Attention with fewer heads of keys than of queries."""
    x = sketch.pick(least=3, most=3)
    words, width = x.shape[1:]
    few, times, size = sketch.chance.choice((1, 2)), sketch.chance.choice((1, 2, 4)), sketch.chance.choice((4, 8))
    query = sketch.layer(f"nn.Dense({width}, {few * times * size})")
    keys = [sketch.layer(f"nn.Dense({width}, {few * size}, has_bias=False)") for _ in range(2)]
    q = sketch.add(f"{query}({{0}}).reshape(-1, {words}, {few * times}, {size}).swapaxes(1, 2)", x)
    k, v = [sketch.add(f"{key}({{0}}).reshape(-1, {words}, {few}, {size}).transpose(0, 2, 1, 3)", x) for key in keys]
    shape = (-1, few * times, words, size)
    if sketch.maybe():
        forms = (
            f"ops.repeat_interleave({{0}}, {times}, 1)",
            f"ops.broadcast_to({{0}}.expand_dims(2), (-1, -1, {times}, -1, -1)).reshape{shape}",
            f"ops.tile({{0}}.expand_dims(2), (1, 1, {times}, 1, 1)).reshape{shape}",
        )
        form = sketch.chance.choice(forms)
        k, v = [sketch.add(form, one) for one in (k, v)]
    elif few > 1:
        raise Rejected
    mask = f"ops.triu(ops.ones(({words}, {words}), ms.float32), 1) * -1e9"
    scores = sketch.add(f"ops.softmax(ops.matmul({{0}}, {{1}}.swapaxes(-1, -2)) * 0.4 + {mask}, -1)", q, k)
    return sketch.add(f"ops.matmul({{0}}, {{1}}).swapaxes(1, 2).reshape(-1, {words}, {few * times * size})", scores, v)


def on_the_way(sketch: Sketch) -> Value:
    """Sums and products of all that come before, and differences."""
    x = sketch.pick(least=2)
    axis = sketch.chance.randint(x.own, x.rank - 1)
    forms = [f"ops.cumsum({{0}}, {axis})", f"ops.cumprod(ops.tanh({{0}}), {axis})", f"ops.CumSum(True)({{0}}, {axis})"]
    forms += [f"ops.cummax({{0}}, {axis})[0]", f"mint.cumsum({{0}}, {axis})", f"ops.flip({{0}}, ({axis},)) - {{0}}"]
    forms += [f"ops.logcumsumexp({{0}}, {axis})", f"ops.diff({{0}}, axis={axis})"]
    return sketch.add(sketch.chance.choice(forms), x)


def norm_of_another(sketch: Sketch) -> Value:
    """Over axes that are seldom."""
    x = sketch.pick(least=3, most=4)
    groups = sketch.chance.choice([count for count in range(1, x.shape[1] + 1) if x.shape[1] % count == 0])
    forms = [f"{sketch.layer(f'mint.nn.GroupNorm({groups}, {x.shape[1]})')}({{0}})"]
    scale = sketch.parameter(x.shape[-1])
    forms += [f"ops.rms_norm({{0}}, {scale})[0]", f"ops.layer_norm({{0}}, ({x.shape[-1]},), {scale}, {scale}, 1e-3)"]
    forms += ["({0} - {0}.mean((1, 2), True)) / ({0}.std((1, 2), keepdims=True) + 0.1)"]
    forms += ["{0} / (ops.norm({0}, 2, (-2, -1), True) + 0.1)", "{0} * ops.rsqrt({0}.var(1, keepdims=True) + 0.1)"]
    if x.rank == 4:
        forms += [f"{sketch.layer(f'nn.InstanceNorm2d({x.shape[1]})')}({{0}})"]
    form = sketch.chance.choice(forms)
    return sketch.add(form, x)


def products_of_axes(sketch: Sketch) -> Value:
    """Products that are told which axes they go along, or that repeat one side."""
    x = sketch.pick(least=3, most=4)
    weights = sketch.parameter(x.shape[-1], sketch.size(9))
    other = sketch.parameter(*[1] * (x.rank - 2), x.shape[-1], sketch.size(9))
    many = sketch.parameter(x.shape[1], x.shape[-1], sketch.size(9))
    forms = [f"ops.tensor_dot({{0}}, {weights}, 1)", f"ops.matmul({{0}}, {other})", f"mint.matmul({{0}}, {other})"]
    forms += [
        f"ops.matmul({{0}}, {weights}[:, 0])",
        "ops.BatchMatMul(True)({0}, {0})",
        "{0}.swapaxes(-1, -2) @ {0}",
    ]
    forms += ["ops.einsum('bij,bkj->bik', {0}, {0})"] if x.rank == 3 else [f"ops.matmul({{0}}, {many})"]
    return sketch.add(sketch.chance.choice(forms), x)


def activated(sketch: Sketch) -> Value:
    """By functions that few know."""
    x = sketch.pick(least=1)
    forms = [
        "ops.selu({0})",
        "ops.celu({0}, 0.7)",
        "ops.softsign({0})",
        "ops.hardshrink({0}, 0.2)",
        "nn.FastGelu()({0})",
    ]
    forms += ["ops.softshrink({0}, 0.2)", "ops.tanhshrink({0})", "ops.log1p(ops.abs({0}))", "ops.expm1(ops.tanh({0}))"]
    forms += ["ops.atan({0})", "ops.sinh(ops.tanh({0}))", "ops.hypot({0}, {0} + 1.0)", "ops.lerp({0}, {0} * 2.0, 0.3)"]
    forms += [
        "ops.fmod({0}, 5.0)",
        "ops.addcmul({0}, {0}, {0}, 0.5)",
        "ops.sign({0})",
        "ops.floor({0})",
        "ops.glu({0})",
    ]
    forms += ["ops.threshold({0}, 0.1, 20.0)", "ops.heaviside({0}, {0})", "ops.xlogy({0}, ops.abs({0}) + 1.0)"]
    forms += [
        "ops.nan_to_num({0}, 0.0)",
        "ops.stack(({0}, ops.isnan({0}).astype(ms.float32)), 1)",
        "ops.square({0}).sqrt()",
    ]
    return sketch.add(sketch.chance.choice(forms), x)


SELDOM: dict[Callable[[Sketch], Value], int] = {
    volume: 1,
    pixels_between: 1,
    rotated: 2,
    shared_heads: 2,
    on_the_way: 1,
    norm_of_another: 2,
    products_of_axes: 2,
    activated: 2,
}
