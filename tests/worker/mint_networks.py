"""Networks of mindspore.mint, most of which MindSpore 2.10 itself cannot run on a CPU, for test_mint_networks.py.

`-m tests.worker.mint_networks FOLDER` writes FOLDER/name.mindir for each, and name.npz: `x`, and what becomes of it by
older functions of MindSpore, or by numpy, with the same weights.
"""

import sys
import zlib
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import mint, nn, ops

from tests.worker.open_networks import IMAGES, OPEN, Formula

F = mint.nn.functional
INSTANCES = 3
WORDS = (OPEN, 12, 32)
BROAD = (OPEN, 8, 12, 10)


def convolved(layers: Any, x: Any) -> Any:
    return ops.conv2d(x, layers[0].weight, layers[0].bias, 2, "pad", 1)


def convolved_same(layers: Any, x: Any) -> Any:
    return ops.conv2d(x, layers[0].weight, layers[0].bias, 1, "same", 0, 2)


def convolved_in_groups(layers: Any, x: Any) -> Any:
    return ops.conv2d(x, layers[0].weight, None, 1, "pad", (1, 0), 1, 3)


def convolved_lines(layers: Any, x: Any) -> Any:
    return ops.conv1d(x, layers[0].weight, layers[0].bias, 2, "pad", 2)


def convolved_volumes(layers: Any, x: Any) -> Any:
    return ops.conv3d(x, layers[0].weight, layers[0].bias, 1, "pad", (1, 0, 1))


def spread(layers: Any, x: Any) -> Any:
    """Each pixel's products, where they belong: what a transposed convolution is."""
    layer, pixels = layers[0], x.asnumpy().astype(np.float64)
    weights, (step,) = layer.weight.asnumpy(), set(layer.stride)
    (around,) = set(layer.padding)
    size = weights.shape[2]
    height, width = [(length - 1) * step + size for length in pixels.shape[2:]]
    made = np.zeros((len(pixels), weights.shape[1], height, width))
    for row in range(pixels.shape[2]):
        for column in range(pixels.shape[3]):
            piece = np.einsum("ni,iohw->nohw", pixels[:, :, row, column], weights)
            made[:, :, row * step : row * step + size, column * step : column * step + size] += piece
    bias = 0 if layer.bias is None else layer.bias.asnumpy()[:, None, None]
    return made[:, :, around : height - around, around : width - around] + bias


def normalized(layers: Any, x: Any) -> Any:
    layer, pixels = layers[0], x.asnumpy().astype(np.float64)
    parts = [layer.running_mean, layer.running_var, layer.weight, layer.bias]
    shape = (-1, *[1] * (pixels.ndim - 2))
    mean, variance, gamma, beta = [part.asnumpy().reshape(shape) for part in parts]
    return (pixels - mean) / np.sqrt(variance + layer.eps) * gamma + beta


def padded(layers: Any, x: Any) -> Any:
    """With an open number of instances, the file tells no sizes behind ops.pad."""
    return layers[0](ops.relu(ops.pad(x, (2, 1))))


def padded_by_numpy(layers: Any, x: Any) -> Any:
    rows = np.pad(np.maximum(x.asnumpy(), 0), ((0, 0), (2, 1)))
    return normalized(layers, ms.Tensor(rows))


def normalized_without_factors(layers: Any, x: Any) -> Any:
    layer, pixels = layers[0], x.asnumpy().astype(np.float64)
    mean, variance = [part.asnumpy().reshape(-1, 1, 1) for part in (layer.running_mean, layer.running_var)]
    return (pixels - mean) / np.sqrt(variance + layer.eps)


def of_fixed_moments(layers: Any, x: Any) -> Any:
    return mint.nn.functional.batch_norm(x, ms.Tensor([0.5, -1.0, 2.0]), ms.Tensor([1.0, 4.0, 0.25]))


def of_fixed_moments_by_numpy(layers: Any, given: Any) -> Any:
    mean, variance = [np.array(numbers)[:, None, None] for numbers in ([0.5, -1.0, 2.0], [1.0, 4.0, 0.25])]
    return ((given.asnumpy() - mean) / np.sqrt(variance + 1e-5)).astype(np.float32)


def added_to_products(layers: Any, x: Any) -> Any:
    weight, bias = layers[0].weight, layers[0].bias
    whole = mint.addmm(bias, x, weight)
    return whole.clone() * 2.0 + mint.addmm(whole, x, weight, beta=0.5, alpha=-3.0)


def added_to_products_by_numpy(layers: Any, given: Any) -> Any:
    x, weight, bias = [one.asnumpy() for one in (given, layers[0].weight, layers[0].bias)]
    whole = x @ weight + bias
    return whole * 2.0 + 0.5 * whole - 3.0 * x @ weight


def normalized_rows(layers: Any, x: Any) -> Any:
    rows, (scale, shift) = x.asnumpy().astype(np.float64), [layers[0].weight.asnumpy(), layers[0].bias.asnumpy()]
    mean, variance = rows.mean((1, 2), keepdims=True), rows.var((1, 2), keepdims=True)
    return (rows - mean) / np.sqrt(variance + 1e-5) * scale + shift


def numbered(x: Any) -> Any:
    """Which rows of a table."""
    return ops.cast(ops.abs(x) * 4, ms.int64)


def looked_up(layers: Any, x: Any) -> Any:
    return layers[0](numbered(x))


def rows_of_table(layers: Any, x: Any) -> Any:
    return layers[0].weight.asnumpy()[numbered(x).asnumpy()]


def of_infinities(layers: Any, x: Any) -> Any:
    far = x * 3e38 * 3e38
    return mint.logsumexp(far, -1), mint.logsumexp(-mint.abs(far), 1, True), F.leaky_relu(far, 0.0)


def of_infinities_by_numpy(layers: Any, x: Any) -> Any:
    far = np.copysign(np.float32(np.inf), x.asnumpy())
    return np.logaddexp.reduce(far, -1), np.logaddexp.reduce(-np.abs(far), 1, keepdims=True), np.maximum(far, 0)


def activations(layers: Any, x: Any) -> Any:
    return (
        *(F.gelu(x), F.gelu(x, approximate="tanh"), F.elu(x), F.elu(x, 0.5), F.selu(x), F.mish(x), F.relu6(x * 4)),
        *(F.leaky_relu(x, 0.1), F.softplus(x), F.softplus(x, 2, 3), F.logsigmoid(x), F.hardtanh(x, -0.5, 0.25)),
        *(mint.log2(mint.abs(x) + 1), mint.log10(mint.abs(x) + 1)),
    )


def activations_by_numpy(_: Any, given: Any) -> Any:
    x = given.asnumpy().astype(np.float64)
    half = 0.5 * (1 + ops.erf(given / 2**0.5).asnumpy())
    below = np.minimum(x, 0)
    soft = np.log1p(np.exp(x))
    return (
        *(x * half, x * 0.5 * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))),
        *(np.maximum(x, 0) + np.expm1(below), np.maximum(x, 0) + 0.5 * np.expm1(below)),
        1.0507009873554805 * (np.maximum(x, 0) + 1.6732632423543772 * np.expm1(below)),
        *(x * np.tanh(soft), np.clip(x * 4, 0, 6), np.where(x > 0, x, 0.1 * x), soft),
        *(np.where(2 * x > 3, x, np.log1p(np.exp(2 * x)) / 2), -np.log1p(np.exp(-x)), np.clip(x, -0.5, 0.25)),
        *(np.log2(np.abs(x) + 1), np.log10(np.abs(x) + 1)),
    )


def powers(layers: Any, x: Any) -> Any:
    y = mint.abs(x) + 0.5
    powered = mint.pow(y, 0.5), mint.pow(y, -0.5), mint.pow(x, 2), mint.pow(x, 3), mint.pow(y, -1), mint.pow(y, 1.7)
    clamped = mint.clamp(x, min=0.0), mint.clamp(x, max=0.3), mint.clamp(x, -0.1, 0.2), mint.clamp(x, 0, 6)
    return (
        *powered,
        *clamped,
        mint.reciprocal(y),
        mint.sub(x, 2.0),
        mint.add(x, 0.5, alpha=3),
        mint.sub(x, y, alpha=2),
    )


def powers_by_numpy(_: Any, given: Any) -> Any:
    x = given.asnumpy().astype(np.float64)
    y = np.abs(x) + 0.5
    powered = y**0.5, y**-0.5, x**2, x**3, 1 / y, y**1.7
    clamped = np.maximum(x, 0), np.minimum(x, 0.3), np.clip(x, -0.1, 0.2), np.clip(x, 0, 6)
    return (*powered, *clamped, 1 / y, x - 2, x + 1.5, x - 2 * y)


def along_axes(layers: Any, x: Any) -> Any:
    return (
        *(mint.var(x, -1), mint.std(x, (1, 2), keepdim=True), mint.norm(x, dim=-1), mint.norm(x, 1, dim=1)),
        *(mint.logsumexp(x, -1), mint.logsumexp(x, 1, True), F.log_softmax(x, 1), mint.cumsum(x, 2)),
        *(mint.max(x, -1)[0], mint.min(x, 1, True)[0], mint.stack((x, x * 2), 1), F.normalize(x, dim=1)),
    )


def along_axes_by_numpy(_: Any, given: Any) -> Any:
    x = given.asnumpy().astype(np.float64)
    log = np.log(np.exp(x).sum(1, keepdims=True))
    return (
        *(x.var(-1, ddof=1), x.std((1, 2), ddof=1, keepdims=True), np.sqrt((x**2).sum(-1)), np.abs(x).sum(1)),
        *(np.log(np.exp(x).sum(-1)), log, x - log, x.cumsum(2)),
        *(x.max(-1), x.min(1, keepdims=True), np.stack((x, x * 2), 1), x / np.sqrt((x**2).sum(1, keepdims=True))),
    )


def in_order(layers: Any, x: Any) -> Any:
    values, places = mint.topk(x, 3)
    return (
        *(values, places, mint.sort(x)[0], mint.sort(x, dim=1, descending=True)[1], mint.roll(x, (3, -1), (1, 2))),
        *(mint.repeat_interleave(x, 2, 1), mint.tril(x), mint.tril(x, 1), mint.index_select(x, 1, ms.Tensor([0, 2]))),
    )


def in_order_by_numpy(_: Any, given: Any) -> Any:
    x = given.asnumpy()
    places = np.argsort(-x, -1)[..., :3]
    return (
        *(np.take_along_axis(x, places, -1), places, np.sort(x), np.argsort(-x, 1), np.roll(x, (3, -1), (1, 2))),
        *(x.repeat(2, 1), np.tril(x), np.tril(x, 1), x[:, [0, 2]]),
    )


def views(layers: Any, x: Any) -> Any:
    return (
        *(mint.permute(x, (0, 2, 3, 1)), mint.transpose(x, -1, 1), mint.chunk(x, 3, 1)[2], mint.split(x, 5, 2)[1]),
        *(mint.narrow(x, 1, 2, 4), x.select(1, -1), mint.squeeze(mint.unsqueeze(x, 1), 1), mint.flatten(x, 1)),
        *(mint.flatten(x, 2, 3), mint.broadcast_to(mint.unsqueeze(x, 1)[:, :, :1], (-1, 2, 4, 12, 10))),
        *(mint.bmm(x[:, 0], mint.transpose(x[:, 1], 1, 2)), x.permute(0, 1, 3, 2).contiguous()),
    )


def views_by_numpy(_: Any, given: Any) -> Any:
    x = given.asnumpy()
    return (
        *(x.transpose(0, 2, 3, 1), x.swapaxes(-1, 1), x[:, 6:], x[:, :, 5:10], x[:, 2:6], x[:, -1], x),
        *(x.reshape(len(x), -1), x.reshape(len(x), 8, -1), np.broadcast_to(x[:, None, :1], (len(x), 2, 4, 12, 10))),
        *(x[:, 0] @ x[:, 1].swapaxes(1, 2), x.swapaxes(2, 3)),
    )


def windows(layers: Any, x: Any) -> Any:
    return (
        *(F.max_pool2d(x, 2), F.max_pool2d(x, 3, 2, 1), ops.max_pool2d(x, 3, 2, 1), ops.max_pool2d(x, 2)),
        F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
        *(F.avg_pool2d(x, 2), F.avg_pool2d(x, 3, 2, 1), F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)),
        *(F.adaptive_avg_pool2d(x, 1), F.adaptive_avg_pool2d(x, (3, 2))),
        *(F.interpolate(x, size=(20, 17), mode="bilinear", align_corners=stay) for stay in (False, True)),
        *(F.interpolate(x, scale_factor=2.0, mode="bilinear"), F.interpolate(x, scale_factor=2.0)),
        *(
            F.pad(x, (1, 2, 0, 1)),
            F.pad(x, (1, 2, 0, 1), value=-3.0),
            mint.nn.functional.pad(x, (2, 1, 1, 0), "reflect"),
        ),
        F.pad(x, (2, 1, 1, 0), "replicate"),
    )


def windows_by_numpy(_: Any, given: Any) -> Any:
    x = given.asnumpy().astype(np.float64)
    around = ((0, 0), (0, 0))
    largest, averages = [pooled(x, 3, 2, 1, what, fill) for what, fill in ((np.max, -np.inf), (np.mean, 0))]
    by_two = pooled(x, 2, 2, 0, np.max, 0)
    return (
        *(by_two, largest, largest, by_two, pooled(x, 3, 2, 1, np.max, -np.inf, beyond=1)),
        *(pooled(x, 2, 2, 0, np.mean, 0), averages),
        averages / pooled(np.ones_like(x), 3, 2, 1, np.mean, 0),
        *(x.mean((2, 3), keepdims=True), parts(x, (3, 2)), grown(x, (20, 17), False), grown(x, (20, 17), True)),
        *(grown(x, (24, 20), False), x.repeat(2, 2).repeat(2, 3)),
        *(np.pad(x, (*around, (0, 1), (1, 2)), constant_values=fill) for fill in (0, -3)),
        *(np.pad(x, (*around, (1, 0), (2, 1)), how) for how in ("reflect", "edge")),
    )


def pooled(images: Any, size: int, stride: int, around: int, what: Any, fill: float, beyond: int = 0) -> Any:
    edges = (around, around + beyond)
    padded = np.pad(images, ((0, 0), (0, 0), edges, edges), constant_values=fill)
    slide: Any = np.lib.stride_tricks.sliding_window_view
    seen = slide(padded, (size, size), axis=(2, 3))
    return what(seen[:, :, ::stride, ::stride], (-2, -1))


def parts(images: Any, counts: tuple[int, int]) -> Any:
    """The mean of each: from the first pixel that lies in it to the last."""
    for axis, count in zip((2, 3), counts, strict=True):
        size = images.shape[axis]
        spans = [range(part * size // count, -(-(part + 1) * size // count)) for part in range(count)]
        images = np.concatenate([images.take(span, axis).mean(axis, keepdims=True) for span in spans], axis)
    return images


def grown(images: Any, sizes: tuple[int, int], corners_stay: bool) -> Any:
    """Along one axis, and then the other."""
    for axis, to in zip((2, 3), sizes, strict=True):
        size = images.shape[axis]
        middles = (np.arange(to) + 0.5) * (size / to) - 0.5
        places = np.clip(np.arange(to) * ((size - 1) / (to - 1)) if corners_stay else middles, 0, size - 1)
        low = np.floor(places).astype(int)
        share = (places - low).reshape((-1, *[1] * (3 - axis)))
        images = images.take(low, axis) * (1 - share) + images.take(np.minimum(low + 1, size - 1), axis) * share
    return images


def attended(layers: Any, x: Any) -> Any:
    """The first half of a transformer's layer, of four heads, with a sum in place."""
    given = layers[1](layers[0](x))
    heads = [mint.permute(mint.reshape(part, (-1, 12, 4, 8)), (0, 2, 1, 3)) for part in mint.chunk(given, 3, -1)]
    share = F.softmax(mint.matmul(heads[0], mint.transpose(heads[1], -2, -1)) * 8**-0.5, dim=-1)
    seen = mint.permute(mint.matmul(share, heads[2]), (0, 2, 1, 3)).reshape(-1, 12, 32)
    made = layers[2](seen)
    made += x
    return F.gelu(made)


def attended_by_numpy(layers: Any, given: Any) -> Any:
    x = given.asnumpy().astype(np.float64)
    (scale, shift), (inward, bias), (outward, last) = [(one.weight.asnumpy(), one.bias.asnumpy()) for one in layers[:3]]
    rows = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * scale + shift
    heads = [part.reshape(-1, 12, 4, 8).swapaxes(1, 2) for part in np.split(rows @ inward.T + bias, 3, -1)]
    share = np.exp(heads[0] @ heads[1].swapaxes(-2, -1) * 8**-0.5)
    seen = (share / share.sum(-1, keepdims=True) @ heads[2]).swapaxes(1, 2).reshape(-1, 12, 32)
    made = seen @ outward.T + last + x
    return made * 0.5 * (1 + ops.erf(ms.Tensor(made / 2**0.5, ms.float32)).asnumpy())


def around_attention(layers: Any, x: Any) -> Any:
    y = ops.rms_norm(x, x[0, 0, 0] + 1)[0]
    return y, ops.swiglu(x, 2), ops.rotary_position_embedding(x, x[:1, :1], x[1:2, 1:2])


def around_attention_by_numpy(_: Any, given: Any) -> Any:
    x = given.asnumpy().astype(np.float64)
    first, second = np.split(x, 2, 2)
    halves = np.split(x, 2, -1)
    return (
        x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * (x[0, 0, 0] + 1),
        first / (1 + np.exp(-first)) * second,
        x * x[:1, :1] + np.concatenate((-halves[1], halves[0]), -1) * x[1:2, 1:2],
    )


def attention_as_one(layers: Any, x: Any) -> Any:
    """Of all three orders of axes; some places are masked."""
    flat = x.reshape(-1, 12, 4 * 16)
    return (
        ops.flash_attention_score(x, x * 2, x, 4, scalar_value=0.25, input_layout="BNSD"),
        ops.flash_attention_score(x, x, x * 2, 12, attn_mask=x[0, :, :4, 0] > 0.8, input_layout="BSND"),
        ops.flash_attention_score(
            flat, flat, flat, 8, attn_mask=x[0, 0, :, :12] > 0.8, scalar_value=0.3, input_layout="BSH"
        ),
    )


def seen(query: Any, key: Any, value: Any, scale: float, mask: Any) -> Any:
    share = np.exp(query @ key.swapaxes(-1, -2) * scale) * ~mask
    return share / share.sum(-1, keepdims=True) @ value


def attention_by_numpy(_: Any, given: Any) -> Any:
    x = given.asnumpy().astype(np.float64)
    nothing = np.zeros((1, 1), bool)
    turned = x.swapaxes(1, 2)
    heads = x.reshape(-1, 12, 8, 8).swapaxes(1, 2)
    return (
        seen(x, x * 2, x, 0.25, nothing),
        seen(turned, turned, turned * 2, 1.0, x[0, :, :4, 0] > 0.8).swapaxes(1, 2),
        seen(heads, heads, heads, 0.3, x[0, 0, :, :12] > 0.8).swapaxes(1, 2).reshape(-1, 12, 64),
    )


def normalized_instances(layers: Any, x: Any) -> Any:
    images = x.asnumpy().astype(np.float64)
    gamma, beta = [one.asnumpy()[:, None, None] for one in (layers[0].gamma, layers[0].beta)]
    away = images - images.mean((2, 3), keepdims=True)
    return away / np.sqrt(images.var((2, 3), keepdims=True) + layers[0].eps) * gamma + beta


def older(layers: Any, x: Any) -> Any:
    """What older functions make, and is slow."""
    roots = ops.pow(ops.abs(x) + 0.5, 0.5), ops.pow(ops.abs(x) + 0.5, -0.5)
    bent = ops.selu(x), ops.celu(x, 1.5), ops.fast_gelu(x), ops.mish(x)
    return (*roots, ops.std(x, 1), ops.std(x, (1, 2), 1, True), ops.var(x, -1), ops.log_softmax(x, 1), *bent)


def older_by_numpy(_: Any, given: Any) -> Any:
    x = given.asnumpy().astype(np.float64)
    y = np.abs(x) + 0.5
    log = np.log(np.exp(x).sum(1, keepdims=True))
    below = np.minimum(x, 0)
    bent = (
        1.0507009873554805 * (np.maximum(x, 0) + 1.6732632423543772 * np.expm1(below)),
        np.maximum(x, 0) + 1.5 * np.expm1(below / 1.5),
        x / (1 + np.exp(-1.702 * x)),
        x * np.tanh(np.log1p(np.exp(x))),
    )
    return y**0.5, y**-0.5, x.std(1), x.std((1, 2), ddof=1, keepdims=True), x.var(-1), x - log, *bent


def view_of_what_is_changed(layers: Any, x: Any) -> Any:
    """Which numbers the view shows is for MindSpore to say."""
    made = layers[0](x)
    turned = mint.transpose(made, 1, 2)
    made += 1
    return turned.sum(-1).sum(-1) + made.sum((1, 2))


def changed_view(layers: Any, x: Any) -> Any:
    """Of a value that nobody else wants."""
    made = mint.narrow(layers[0](x), 1, 2, 5)
    made += 0.5
    return made


def changed_view_by_numpy(layers: Any, x: Any) -> Any:
    return (x.asnumpy() @ layers[0].weight.asnumpy().T + layers[0].bias.asnumpy())[:, 2:7] + 0.5


def of_parts_alone(layers: Any, x: Any) -> Any:
    """Parts of one that nobody wants whole."""
    first, second = mint.split(x, (5, 7), 1)
    return first.sum(1) - second.sum(1)


# name -> network, what becomes of its layers and x, shape of x
NETWORKS: dict[str, tuple[Any, Any, tuple[Any, ...]]] = {
    "convolution": (mint.nn.Conv2d(3, 8, 3, 2, 1), convolved, IMAGES),
    "convolution_same": (mint.nn.Conv2d(3, 8, 3, padding="same", dilation=2), convolved_same, IMAGES),
    "convolution_in_groups": (
        mint.nn.Conv2d(3, 6, 3, padding=(1, 0), groups=3, bias=False),
        convolved_in_groups,
        IMAGES,
    ),
    "convolution_of_lines": (mint.nn.Conv1d(32, 8, 3, 2, 2), convolved_lines, (OPEN, 32, 21)),
    "convolution_of_volumes": (mint.nn.Conv3d(3, 4, 3, padding=(1, 0, 1)), convolved_volumes, (OPEN, 3, 5, 6, 7)),
    "transposed": (mint.nn.ConvTranspose2d(3, 4, 3, 2, 1), spread, IMAGES),
    "transposed_without_bias": (mint.nn.ConvTranspose2d(3, 4, 2, 2, bias=False), spread, IMAGES),
    "norm": (mint.nn.BatchNorm2d(3), normalized, IMAGES),
    "norm_of_fixed_moments": (Formula(of_fixed_moments), of_fixed_moments_by_numpy, IMAGES),
    "added_to_products": (
        Formula(added_to_products, mint.nn.Linear(7, 7)),
        added_to_products_by_numpy,
        (OPEN, 7),
    ),
    "norm_of_rows": (mint.nn.BatchNorm1d(16), normalized, (OPEN, 16)),
    "norm_of_padded": (Formula(padded, mint.nn.BatchNorm1d(19)), padded_by_numpy, (OPEN, 16)),
    "norm_of_lines": (mint.nn.BatchNorm1d(3), normalized, (OPEN, 3, 50)),
    "norm_without_factors": (mint.nn.BatchNorm2d(3, affine=False), normalized_without_factors, IMAGES),
    "layer_norm": (mint.nn.LayerNorm((12, 32)), normalized_rows, WORDS),
    "table": (Formula(looked_up, mint.nn.Embedding(40, 6)), rows_of_table, (OPEN, 12)),
    "of_infinities": (Formula(of_infinities), of_infinities_by_numpy, WORDS),
    "activations": (Formula(activations), activations_by_numpy, WORDS),
    "powers": (Formula(powers), powers_by_numpy, WORDS),
    "along_axes": (Formula(along_axes), along_axes_by_numpy, (OPEN, 7, 5, 6)),
    "in_order": (Formula(in_order), in_order_by_numpy, (OPEN, 7, 8)),
    "views": (Formula(views), views_by_numpy, BROAD),
    "changed_view": (Formula(changed_view, mint.nn.Linear(32, 8)), changed_view_by_numpy, WORDS),
    "windows": (Formula(windows), windows_by_numpy, BROAD),
    "around_attention": (Formula(around_attention), around_attention_by_numpy, BROAD),
    "attention_as_one": (Formula(attention_as_one), attention_by_numpy, (OPEN, 4, 12, 16)),
    "norm_of_instances": (nn.InstanceNorm2d(3), normalized_instances, IMAGES),
    "older": (Formula(older), older_by_numpy, (OPEN, 16, 160)),
    "attended": (
        Formula(attended, mint.nn.LayerNorm(32), mint.nn.Linear(32, 96), mint.nn.Linear(32, 32)),
        attended_by_numpy,
        WORDS,
    ),
}
# What stays: a view of what is changed, and an operator that no older one is known for.
LEFT = {
    "view_of_what_is_changed": (Formula(view_of_what_is_changed, mint.nn.Linear(32, 32)), WORDS),
    "unfolded": (mint.nn.Unfold(3), IMAGES),
}


def given_weights(network: Any, chance: np.random.Generator) -> None:
    network.set_train(False)
    for parameter in network.get_parameters():
        if parameter.dtype == ms.float32:
            numbers = chance.uniform(-0.5, 0.5, parameter.shape)
            parameter.set_data(ms.Tensor(np.abs(numbers) + 0.5 if "var" in parameter.name else numbers, ms.float32))


def main(folder: Path) -> None:
    shapes = {name: (network, shape) for name, (network, _, shape) in NETWORKS.items()} | LEFT
    for name, (network, shape) in shapes.items():
        chance = np.random.default_rng(zlib.crc32(name.encode()))
        given_weights(network, chance)
        x = chance.standard_normal([INSTANCES if size is OPEN else size for size in shape]).astype(np.float32)
        if name in NETWORKS:
            layers = network.layers if isinstance(network, Formula) else [network]
            made = NETWORKS[name][1](layers, ms.Tensor(x))
            every = made if isinstance(made, tuple) else (made,)
            arrays = [one.asnumpy() if isinstance(one, ms.Tensor) else one for one in every]
            np.savez(folder / f"{name}.npz", x=x, **{f"made{number}": array for number, array in enumerate(arrays)})
        ms.export(network, ms.Tensor(shape=shape, dtype=ms.float32), file_name=str(folder / name), file_format="MINDIR")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
