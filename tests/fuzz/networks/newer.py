"""Makers of lines of mindspore.mint, and in half precision: each with what makes the same of older functions.

MindSpore 2.10 has no kernels for most of the former on a CPU, and rounds the latter.
"""

from collections.abc import Callable

from tests.fuzz.networks.sketch import Rejected, Sketch, Value

_F = "mint.nn.functional"
# What is said, and what it is.
_ELEMENTS = (
    (f"{_F}.gelu({{0}})", "ops.gelu({0}, approximate='none')"),
    (f"{_F}.gelu({{0}}, approximate='tanh')", "ops.gelu({0}, approximate='tanh')"),
    (f"{_F}.elu({{0}}, 0.5)", "ops.elu({0}) * 0.5 + ops.relu({0}) * 0.5"),
    (f"{_F}.mish({{0}})", "ops.mish({0})"),
    (f"{_F}.relu6({{0}})", "ops.relu6({0})"),
    (f"{_F}.leaky_relu({{0}}, 0.2)", "ops.leaky_relu({0}, 0.2)"),
    (f"{_F}.softplus({{0}})", "ops.softplus({0})"),
    (f"{_F}.logsigmoid({{0}})", "-ops.softplus(-{0})"),
    (f"{_F}.hardtanh({{0}}, -0.5, 1.0)", "ops.clamp({0}, -0.5, 1.0)"),
    (f"{_F}.silu({{0}})", "ops.silu({0})"),
    ("mint.pow(mint.abs({0}) + 0.3, 0.5)", "ops.sqrt(ops.abs({0}) + 0.3)"),
    ("mint.pow({0}, 2)", "{0} * {0}"),
    ("mint.clamp({0}, min=-0.2)", "ops.maximum({0}, -0.2)"),
    ("mint.clamp({0}, -1, 2)", "ops.clamp({0}, -1.0, 2.0)"),
    ("mint.reciprocal(mint.abs({0}) + 0.5)", "1.0 / (ops.abs({0}) + 0.5)"),
    ("mint.rsqrt(mint.square({0}) + 0.5)", "ops.rsqrt({0} * {0} + 0.5)"),
    ("mint.sub({0}, 2.0, alpha=3)", "{0} - 6.0"),
    ("mint.log2(mint.abs({0}) + 1)", "ops.log(ops.abs({0}) + 1.0) / 0.6931471805599453"),
    ("mint.where({0} > 0.1, {0}, {0} * 0.5)", "ops.where({0} > 0.1, {0}, {0} * 0.5)"),
    ("mint.erf(mint.sin({0}))", "ops.erf(ops.sin({0}))"),
)
_ALONG = (
    (f"{_F}.softmax({{{{0}}}}, {{0}})", "ops.softmax({{0}}, {0})"),
    (f"{_F}.log_softmax({{{{0}}}}, {{0}})", "ops.log_softmax({{0}}, {0})"),
    ("mint.mean({{0}}, {0})", "ops.mean({{0}}, {0})"),
    ("mint.sum({{0}}, {0}, keepdim=True)", "ops.sum({{0}}, {0}, True)"),
    ("mint.var({{0}}, {0}, correction=0)", "ops.var({{0}}, {0}, 0)"),
    ("mint.norm({{0}}, dim={0})", "ops.sqrt(ops.sum({{0}} * {{0}}, {0}))"),
    ("mint.logsumexp({{0}}, {0})", "ops.logsumexp({{0}}, {0})"),
    ("mint.cumsum({{0}}, {0})", "ops.cumsum({{0}}, {0})"),
    ("mint.max({{0}}, {0})[0]", "ops.amax({{0}}, {0})"),
    ("mint.min({{0}}, {0}, True)[0]", "ops.amin({{0}}, {0}, True)"),
    ("mint.amax({{0}}, {0})", "ops.amax({{0}}, {0})"),
    (
        f"{_F}.normalize({{{{0}}}} + 0.1, dim={{0}})",
        "({{0}} + 0.1) / ops.sqrt(ops.sum(ops.square({{0}} + 0.1), {0}, True))",
    ),
    ("mint.sort({{0}}, {0})[0]", "ops.sort({{0}}, {0})[0]"),
    ("mint.flip({{0}}, ({0},))", "ops.flip({{0}}, ({0},))"),
    ("mint.repeat_interleave({{0}}, 2, {0})", "ops.repeat_interleave({{0}}, 2, {0})"),
    ("mint.cat(({{0}}, {{0}} * 2), {0})", "ops.concat(({{0}}, {{0}} * 2), {0})"),
    ("mint.stack(({{0}}, {{0}} + 1), {0})", "ops.stack(({{0}}, {{0}} + 1), {0})"),
    ("mint.narrow({{0}}, {0}, 0, 1)", "ops.split({{0}}, 1, {0})[0]"),
    ("mint.select({{0}}, {0}, -1)", "ops.unbind({{0}}, {0})[-1]"),
)
_IMAGES = (
    (f"{_F}.max_pool2d({{0}}, 2)", "nn.MaxPool2d(2, 2)({0})"),
    (f"{_F}.max_pool2d({{0}}, 3, 2, 1)", "nn.MaxPool2d(3, 2, 'pad', 1)({0})"),
    (f"{_F}.avg_pool2d({{0}}, 2)", "nn.AvgPool2d(2, 2)({0})"),
    (f"{_F}.avg_pool2d({{0}}, 3, 2, 1)", "ops.avg_pool2d({0}, 3, 2, 1)"),
    (f"{_F}.adaptive_avg_pool2d({{0}}, 1)", "ops.mean({0}, (2, 3), True)"),
    (f"{_F}.adaptive_avg_pool2d({{0}}, (2, 3))", "ops.adaptive_avg_pool2d({0}, (2, 3))"),
    (f"{_F}.interpolate({{0}}, scale_factor=2.0)", "ops.repeat_interleave(ops.repeat_interleave({0}, 2, 2), 2, 3)"),
    (
        f"{_F}.interpolate({{0}}, size=(9, 14), mode='bilinear')",
        "ops.interpolate({0}, size=(9, 14), mode='bilinear')",
    ),
    (f"{_F}.pad({{0}}, (1, 2, 0, 1), value=0.5)", "ops.pad({0}, (1, 2, 0, 1), value=0.5)"),
    (f"{_F}.pad({{0}}, (1, 0, 1, 2), 'reflect')", "ops.pad({0}, (1, 0, 1, 2), 'reflect')"),
    ("mint.permute({0}, (0, 2, 3, 1))", "ops.transpose({0}, (0, 2, 3, 1))"),
    ("mint.flatten({0}, 2)", "ops.flatten({0}, start_dim=2)"),
    ("mint.transpose({0}, -1, 1)", "ops.swapaxes({0}, -1, 1)"),
)
_ROUNDED = (  # functions whose argument may be a little off
    *(
        "ops.relu({})",
        "ops.sigmoid({})",
        "ops.tanh({})",
        "ops.silu({})",
        "{} * 0.5 + 1",
        "{} * {}",
        "ops.exp(-ops.abs({}))",
    ),
    *("ops.gelu({}, approximate='tanh')", "ops.maximum({}, 0.25)", "ops.softmax({}, -1)", "ops.sqrt(ops.abs({}) + 1)"),
    *(
        "ops.mean({}, -1, True)",
        "ops.swapaxes({}, -1, -2)",
        "ops.concat(({}, {}), -1)",
        "ops.neg({})",
        "{} + {}[:, :1]",
    ),
)


def element(sketch: Sketch) -> Value:
    said, older = sketch.chance.choice(_ELEMENTS)
    return sketch.add(said, sketch.pick(), older=older)


def along_axis(sketch: Sketch) -> Value:
    x = sketch.pick(least=2)
    axis = sketch.chance.randint(x.own, x.rank - 1)
    if sketch.maybe(0.3):
        axis -= x.rank
    said, older = sketch.chance.choice(_ALONG)
    return sketch.add(said.format(axis), x, older=older.format(axis))


def image(sketch: Sketch) -> Value:
    said, older = sketch.chance.choice(_IMAGES)
    return sketch.add(said, sketch.pick(least=4, most=4), older=older)


def convolution(sketch: Sketch) -> Value:
    x = sketch.pick(least=4, most=4)
    ins, outs, size = x.shape[1], sketch.size(17), sketch.chance.choice((1, 2, 3, 3, 5))
    around, stride, dilation = sketch.chance.randint(0, size // 2), sketch.chance.choice((1, 1, 2)), 1
    group = ins if sketch.maybe(0.2) else 1
    outs = ins if group > 1 else outs
    if size == 3 and sketch.maybe(0.2):
        dilation = 2
    has_bias = sketch.maybe()
    layer = sketch.layer(
        f"mint.nn.Conv2d({ins}, {outs}, {size}, {stride}, {around}, {dilation}, {group}, bias={has_bias})"
    )
    bias = f"{layer}.bias" if has_bias else "None"
    older = f"ops.conv2d({{0}}, {layer}.weight, {bias}, {stride}, 'pad', {around}, {dilation}, {group})"
    return sketch.add(f"{layer}({{0}})", x, older=older)


def norm(sketch: Sketch) -> Value:
    x = sketch.pick(least=2, most=4)
    if sketch.maybe():
        layer = sketch.layer(f"mint.nn.LayerNorm({x.shape[-1]})")
        away = "({0} - ops.mean({0}, -1, True))"
        root = f"ops.sqrt(ops.mean(ops.square({away}), -1, True) + 1e-5)"
        return sketch.add(f"{layer}({{0}})", x, older=f"{away} / {root} * {layer}.weight + {layer}.bias")
    kind = "BatchNorm2d" if x.rank == 4 else "BatchNorm1d"
    layer = sketch.layer(f"mint.nn.{kind}({x.shape[1]})")
    shape = (-1, *[1] * (x.rank - 2))
    mean, variance, weight, bias = [
        f"{layer}.{part}.reshape{shape}" if x.rank > 2 else f"{layer}.{part}"
        for part in ("running_mean", "running_var", "weight", "bias")
    ]
    older = f"({{0}} - {mean}) / ops.sqrt({variance} + {layer}.eps) * {weight} + {bias}"
    return sketch.add(f"{layer}({{0}})", x, older=older)


def attention(sketch: Sketch) -> Value:
    """As one operator."""
    x = sketch.pick(least=4, most=4)
    heads, words, width = x.shape[1:]
    if width % 8 or width > 64 or words < 2:
        raise Rejected
    said = f"ops.flash_attention_score({{0}}, {{0}} * 0.5, {{0}}, {heads}, scalar_value=0.3, input_layout='BNSD')"
    older = "ops.matmul(ops.softmax(ops.matmul({0}, ops.swapaxes({0} * 0.5, 2, 3)) * 0.3, -1), {0})"
    return sketch.add(said, x, older=older)


def in_half(sketch: Sketch) -> Value:
    """One function behind the other."""
    x = sketch.pick(least=2)
    said, older = f"ops.cast({{0}}, ms.{_half(sketch)})", "{0}"
    for _ in range(sketch.chance.randint(1, 3)):
        formula = sketch.chance.choice(_ROUNDED)
        said, older = [formula.replace("{}", text) for text in (said, older)]
    return sketch.add(f"ops.cast({said}, ms.float32)", x, older=older)


def layer_in_half(sketch: Sketch) -> Value:
    """As mixed precision has it."""
    x, half = sketch.pick(least=2, most=4), _half(sketch)
    if x.rank == 4:
        layer = sketch.layer(f"nn.Conv2d({x.shape[1]}, {sketch.size(17)}, 3, has_bias=True).to_float(ms.{half})")
        older = f"ops.conv2d({{0}}, {layer}.weight, {layer}.bias, 1, 'same')"
    else:
        layer = sketch.layer(f"nn.Dense({x.shape[-1]}, {sketch.size(17)}).to_float(ms.{half})")
        older = f"ops.matmul({{0}}, {layer}.weight.T) + {layer}.bias"
    return sketch.add(f"ops.cast({layer}({{0}}), ms.float32)", x, older=older)


def weights_in_half(sketch: Sketch) -> Value:
    x, half = sketch.pick(least=2, most=3), _half(sketch)
    weight = sketch.parameter(x.shape[-1], sketch.size(17))
    said = f"ops.cast(ops.matmul(ops.cast({{0}}, ms.{half}), ops.cast({weight}, ms.{half})), ms.float32)"
    return sketch.add(said, x, older=f"ops.matmul({{0}}, {weight})")


def _half(sketch: Sketch) -> str:
    return sketch.chance.choice(("float16", "float16", "bfloat16"))


NEWER: dict[Callable[[Sketch], Value], int] = {
    element: 3,
    along_axis: 3,
    image: 2,
    convolution: 1,
    norm: 1,
    attention: 1,
    in_half: 1,
    layer_in_half: 1,
    weights_in_half: 1,
}
