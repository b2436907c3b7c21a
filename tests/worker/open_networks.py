"""Networks whose files leave sizes open, for test_shapes.py and test_branches.py.

`-m tests.worker.open_networks FOLDER` writes FOLDER/name.mindir for each, and name.npz: `x`, and what becomes of it.
"""

import sys
import zlib
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import mint, nn, ops

OPEN = None


class Formula(nn.Cell):
    """What a function makes of layers and the input."""

    def __init__(self, formula: Any, *layers: Any) -> None:
        super().__init__()
        self.formula = formula
        self.layers = nn.CellList([*layers, nn.ReLU()])  # at least one, or MindSpore has none

    def construct(self, x: Any) -> Any:
        return self.formula(self.layers, x)


def viewed(layers: Any, x: Any) -> Any:
    x = layers[0](x)
    return layers[1](x.view(x.shape[0], -1))


def viewed_by_the_input(layers: Any, x: Any) -> Any:
    return layers[1](layers[0](x).reshape(x.shape[0], -1))


def viewed_by_another(layers: Any, x: Any) -> Any:
    """As many as there are in what it is not known to have to do with."""
    return ops.relu(layers[0](x).reshape(ops.flip(x, (0,)).shape[0], -1))


def by_moments(layers: Any, x: Any) -> Any:
    batch, moments, _ = x.shape
    return layers[0](x).reshape(batch * moments, -1).reshape(batch, moments // 3, 3, -1) * 2.0


def padded(layers: Any, x: Any) -> Any:
    return layers[1](ops.relu(layers[0](ops.pad(x, (1, 2, 0, 1)))))


def cut_off(layers: Any, x: Any) -> Any:
    return layers[0](ops.pad(x, (-1, 1, 0, 0)))


def padded_besides(layers: Any, x: Any) -> Any:
    x = ops.pad(x, (1, 1, 1, 1))
    return layers[0](x) + x


def padded_instances(layers: Any, x: Any) -> Any:
    return layers[0](ops.pad(x, (0, 0, 0, 0, 0, 0, 0, 1)))


def padded_by_edges(layers: Any, x: Any) -> Any:
    return layers[0](ops.pad(x, (1, 1, 1, 1), mode="replicate"))


def with_all_between(layers: Any, x: Any) -> Any:
    """Operators that have nothing to do with images, behind sizes that are open in the file."""
    x = layers[0](ops.pad(x, (0, 3, 0, 4)))  # 8 x 16 x 16
    one, other = ops.split(x, 4, 1)
    x = ops.concat((ops.sigmoid(one), other * 0.5), 1) - x.mean((2, 3), True)
    x = ops.transpose(x, (0, 2, 3, 1)).reshape(x.shape[0], 16, -1)
    x = layers[1](x)
    scores = ops.softmax(ops.matmul(x, ops.swapaxes(x, 1, 2)))
    x = ops.BatchMatMul()(scores, x)
    x = x.expand_dims(2).squeeze(2) / (x.sum(-1, keepdims=True) + 40.0)
    return layers[3](ops.flatten(layers[2](x)))


def resized(layers: Any, x: Any) -> Any:
    return layers[1](ops.interpolate(layers[0](x), size=(24, 26), mode="bilinear"))


def printed(layers: Any, x: Any) -> Any:
    ops.print_("what is resized")
    return ops.interpolate(layers[0](x), size=(24, 26), mode="bilinear")


def by_its_numbers(layers: Any, x: Any) -> Any:
    return layers[0](x) if x.sum() > 0 else x * 2.0


def between(layers: Any, x: Any) -> Any:
    """Layers before a branch and behind it, one of which it has too."""
    x = layers[0](x)
    x = layers[1](x) + x if x.mean() > 0.6 else layers[2](x) * 2.0  # 0.6: one way for some of the tests' instances
    return layers[2](layers[3](x))


def assigned(layers: Any, x: Any) -> Any:
    """To slices: MindSpore 2.10 asks in the file whether they have any places."""
    made = ops.sigmoid(layers[0](x))
    made[:, 1:3] = (made[:, 1:3] * 2.0 - 0.5) * 3.0
    made[..., 0:4] = made[..., 4:8] ** 2
    made[:, :, -5:] = made[:, :, 2:7] + made[:, :, :5]
    made[:, :, :1, 0:13] = x.sum(1, keepdims=True)[:, :, 3:4] * made[:, :, 1:2]
    return layers[1](made)


def assigned_otherwise(way: str) -> Any:
    def formula(layers: Any, x: Any) -> Any:
        made = ops.sigmoid(layers[0](x))
        if way == "by_steps":
            made[:, 0:4:2] = made[:, 1:3] * 2.0
        elif way == "to_one":
            made[:, 1] = made[:, 2] * 2.0
        elif way == "of_a_number":
            made[:, 1:3] = 0.25
        elif way == "repeated":
            made[:, 1:3] = made[:, 0:1] * 2.0
        elif way == "of_two_axes":
            made[:, 1:3, 2:4] = made[:, 2:4, 1:3] * 2.0
        else:
            made[0:2] = made[1:3] * 2.0
        return layers[1](made)

    return formula


class ToItself(nn.Cell):
    """Attention with the weights that it pays, and a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.mask = ms.Tensor(np.triu(np.full((9, 9), -1e4), 1), ms.float32)

    def construct(self, x: Any) -> Any:
        made, weights = self.attention(x, x, x, attn_mask=self.mask)
        return made + weights.sum(-1, keepdims=True)


class Checked(nn.Cell):
    """Attention by hand that looks at its shapes, as networks do that were written for another framework."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.CellList([nn.Dense(16, 16) for _ in range(4)])
        self.norm = nn.LayerNorm((16,))

    def heads(self, x: Any) -> Any:
        return x.view(x.shape[0], 9, 2, 8).swapaxes(1, 2).reshape(x.shape[0] * 2, 9, 8)

    def construct(self, x: Any) -> Any:
        batch = x.shape[0]
        query, key, value = [self.heads(layer(x)) for layer in self.layers[:3]]
        weights = ops.bmm(query, key.swapaxes(1, 2))
        if weights.shape != (batch * 2, 9, 9):
            raise ValueError("attention weights of another shape")
        made = ops.bmm(ops.softmax(weights), value)
        if made.shape != (batch * 2, 9, 8):
            raise ValueError("attention of another shape")
        made = made.view(batch, 2, 9, 8).swapaxes(1, 2).reshape(batch, 9, 16)
        return self.norm(x + self.layers[3](made))


class Padded(nn.Cell):
    """Some of the words are none."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)

    def construct(self, x: Any) -> Any:
        return self.encoder(x, src_key_padding_mask=x[:, :, 0] > 1.0)


class InTurn(nn.Cell):
    """As many moments of each sequence as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(16, 8, batch_first=True)

    def construct(self, x: Any, lengths: Any) -> Any:
        return self.layer(x, seq_length=(ops.abs(lengths) + 1.0).astype(ms.int32))[0]


class OfTwoLengths(nn.Cell):
    """What is not of instances may have another length: then it is taken away."""

    def construct(self, x: Any, y: Any) -> Any:
        total = ops.relu(x).reshape(y.shape[0], -1).sum(0)
        if x.shape[0] == y.shape[0]:
            return total + y.sum()
        return total - y.sum()


class Counting(nn.Cell):
    """Of its calls, those for numbers above 0."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Dense(16, 16)
        self.calls = ms.Parameter(ms.Tensor([0.0]), name="calls")

    def construct(self, x: Any) -> Any:
        made = ops.std(self.layer(x), -1, keepdims=True) + ops.permute(ops.relu(self.layer(x)), (1, 0, 2)).sum()
        if (x * x).sum() > 0:
            ops.assign_add(self.calls, ms.Tensor([1.0]))
        return made + self.calls


class Both(nn.Cell):
    """What is read, and what is written of it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Transformer(16, 2, 1, 1, 32, batch_first=True)

    def construct(self, x: Any, y: Any) -> Any:
        return self.layers(x, y)


def largest_of_axes(layers: Any, x: Any) -> Any:
    made = layers[0](x)
    return made * ops.sigmoid(made.max((2, 3), keepdims=True)) - made.min((1, 2), keepdims=True)


def scaled(layers: Any, x: Any) -> Any:
    """Sizes are computed of the scale, in the file."""
    x = ops.interpolate(layers[0](x), scale_factor=2.0, mode="nearest", recompute_scale_factor=True)
    return layers[1](ops.interpolate(x, scale_factor=1.5, mode="bilinear", recompute_scale_factor=True))


def deep(layers: Any, x: Any) -> Any:
    """What is asked, and assigned to, lies behind many layers."""
    made = layers[0](x)
    for _ in range(200):
        made = ops.relu(made) + 0.01
    made[:, 1:3] = made[:, 2:4] * 2.0
    for _ in range(200):
        made = ops.relu(made) + 0.01
    return made / (made.std(-1, keepdims=True) + 1.0)


def last_cut_off(layers: Any, x: Any) -> Any:
    """A residual where shapes allow it, which they do not."""
    made = layers[0](x[:, :-1])
    return made + x if made.shape == x.shape else made * 2.0


def changes(_: Any, x: Any) -> Any:
    """From each moment to the next, and nothing is missing at the end."""
    made = ops.relu(x[:, 1:]) - ops.relu(x[:, :-1])
    return made.mean(1) if made.shape[1] == x.shape[1] else ops.cat((made, x[:, :1] * 0.0), 1)


def one_more(layers: Any, x: Any) -> Any:
    """As many as there are instances, and one, of what there is one of."""
    made = ops.broadcast_to(layers[0](x).mean((0, 1), keep_dims=True), (x.shape[0] + 1, -1, 16))
    return made * 2.0 if made.shape[0] == 1 else made + 100.0


def so_many_times(layers: Any, x: Any) -> Any:
    made = ops.broadcast_to(layers[0](x).mean((0, 1), keep_dims=True), (x.shape[0] + 1, -1, 16))
    return ops.relu(made.reshape(made.shape[0] * 2, 8))


def by_deviation(layers: Any, x: Any) -> Any:
    made = layers[0](x)
    return (made - made.mean(-1, keep_dims=True)) / (made.std(-1, keepdims=True) + 1.0)


def of_a_view(layers: Any, x: Any) -> Any:
    """Which mint ties to a state."""
    return layers[0](mint.select(x, 1, -1))


class Largest(nn.Cell):
    """What a MaxPool2d with padding makes, of a convolution."""

    def __init__(self, besides: bool = False, **given: Any) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 6, 3)
        self.pool = nn.MaxPool2d(3, 2, pad_mode="pad", **given)
        self.besides = besides

    def construct(self, x: Any) -> Any:
        made = self.pool(self.layer(x))
        return made[0] + made[1] if self.besides else made


def stem() -> Any:
    """How a ResNet begins and ends that was written for another framework."""
    layers = [
        *(nn.Conv2d(3, 8, 7, 2, pad_mode="pad", padding=3), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.MaxPool2d(3, 2, pad_mode="pad", padding=1), nn.Conv2d(8, 8, 3, pad_mode="pad", padding=1), nn.ReLU()),
        *(nn.AvgPool2d(2, 2), nn.Flatten(), nn.Dense(8 * 8 * 8, 5)),
    ]
    return nn.SequentialCell(*layers)


def convolution(pad_mode: str = "valid", **given: Any) -> Any:
    return nn.Conv2d(3, 6, 3, pad_mode=pad_mode, **given)


ASSIGNED_OTHERWISE = ("by_steps", "to_one", "of_a_number", "repeated", "of_two_axes", "to_instances")
INSTANCES = 3
IMAGES, WORDS = (OPEN, 3, 12, 13), (OPEN, 9, 16)
# name -> network, shape of its input, or shapes of several
NETWORKS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "viewed": (Formula(viewed, convolution("same"), nn.Dense(6 * 12 * 13, 5)), IMAGES),
    "viewed_by_the_input": (Formula(viewed_by_the_input, convolution("same"), nn.Dense(6 * 12 * 13, 5)), IMAGES),
    "viewed_by_another": (Formula(viewed_by_another, convolution("same")), IMAGES),
    "by_moments": (Formula(by_moments, nn.Dense(16, 8)), WORDS),
    "padded": (Formula(padded, convolution(), nn.MaxPool2d(2, 2)), IMAGES),
    "padded_by_zeros": (nn.SequentialCell(nn.ZeroPad2d(1), convolution("same", stride=2)), IMAGES),
    "padded_by_more_than_a_window": (nn.SequentialCell(nn.ZeroPad2d((5, 4, 0, 7)), convolution(stride=2)), IMAGES),
    "padded_by_two_numbers": (nn.SequentialCell(nn.Pad(((0, 0), (0, 0), (1, 0), (0, 2))), convolution()), IMAGES),
    "padded_by_ones": (nn.SequentialCell(nn.ConstantPad2d((0, 1, 2, 3), 1.5), convolution()), IMAGES),
    "padded_all_around": (nn.Pad(((0, 0), (1, 0), (2, 3), (0, 1))), (OPEN, 3, 40, 41)),
    "padded_before_averages": (nn.SequentialCell(nn.ZeroPad2d(1), nn.AvgPool2d(2, 2), convolution()), IMAGES),
    "padded_besides": (Formula(padded_besides, nn.Conv2d(3, 3, 3)), IMAGES),
    "padded_instances": (Formula(padded_instances, convolution()), IMAGES),
    "padded_open": (nn.SequentialCell(nn.ZeroPad2d(1), convolution()), (OPEN, 3, OPEN, 13)),
    "padded_by_edges": (Formula(padded_by_edges, convolution()), IMAGES),
    "cut_off": (Formula(cut_off, convolution()), IMAGES),
    "with_all_between": (
        Formula(with_all_between, nn.Conv2d(3, 8, 1), nn.Dense(128, 24), mint.nn.Linear(24, 10), nn.Dense(160, 3)),
        IMAGES,
    ),
    "largest": (Largest(padding=1), IMAGES),
    "largest_of_rows": (Largest(padding=(1, 0)), IMAGES),
    "largest_rounded_up": (Largest(padding=1, ceil_mode=True), IMAGES),
    "largest_and_where": (Largest(besides=True, padding=1, return_indices=True), IMAGES),
    "encoder": (
        nn.SequentialCell(*(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True) for _ in range(2))),
        WORDS,
    ),
    "encoder_norm_first": (nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True), WORDS),
    "encoder_of_a_view": (
        Formula(of_a_view, nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)),
        (OPEN, 2, *WORDS[1:]),
    ),
    "to_itself": (ToItself(), WORDS),
    "checked": (Checked(), WORDS),
    "encoder_of_padded": (Padded(), WORDS),
    "of_two_lengths": (OfTwoLengths(), (WORDS, (OPEN, 7))),
    "counting": (Counting(), WORDS),
    "both": (Both(), (WORDS, (OPEN, 7, 16))),
    "in_turn": (InTurn(), (WORDS, (OPEN,))),
    "largest_of_axes": (Formula(largest_of_axes, convolution("same")), IMAGES),
    "scaled": (Formula(scaled, convolution("same"), nn.Conv2d(6, 4, 3)), IMAGES),
    "deep": (Formula(deep, nn.Dense(16, 16)), WORDS),
    "last_cut_off": (Formula(last_cut_off, nn.Dense(16, 16)), (OPEN, OPEN, 16)),
    "changes": (Formula(changes), (OPEN, OPEN, 16)),
    "one_more": (Formula(one_more, nn.Dense(16, 16)), WORDS),
    "so_many_times": (Formula(so_many_times, nn.Dense(16, 16)), WORDS),
    "by_deviation": (Formula(by_deviation, nn.Dense(16, 16)), WORDS),
    "resized": (Formula(resized, convolution("same"), nn.Conv2d(6, 4, 3)), IMAGES),
    "printed": (Formula(printed, convolution("same")), IMAGES),
    "by_its_numbers": (Formula(by_its_numbers, nn.Dense(16, 16)), WORDS),
    "by_the_numbers_of_four": (Formula(by_its_numbers, nn.Dense(16, 16)), (4, *WORDS[1:])),
    "between": (
        Formula(between, *(nn.Conv2d(channels, 16, 3, pad_mode="pad", padding=1) for channels in (3, 16, 16, 16))),
        IMAGES,
    ),
    "assigned": (Formula(assigned, convolution("same"), nn.Conv2d(6, 4, 3)), IMAGES),
    **{
        f"assigned_{way}": (Formula(assigned_otherwise(way), convolution("same"), nn.Conv2d(6, 4, 3)), IMAGES)
        for way in ASSIGNED_OTHERWISE
    },
    "stem": (
        stem(),
        (2, 3, 64, 64),
    ),  # with an open number MindSpore writes control flow behind the pool, and cannot run it
}


def write_networks(networks: dict[str, tuple[Any, tuple[Any, ...]]], folder: Path) -> None:
    """Writes their files, with weights by chance."""
    for name, (network, shape) in networks.items():
        chance = np.random.default_rng(zlib.crc32(name.encode()))  # whatever other networks there are
        network.set_train(False)
        for parameter in network.get_parameters():
            if parameter.dtype != ms.float32:
                continue
            numbers = chance.uniform(-0.5, 0.5, parameter.shape)
            if "variance" in parameter.name:
                numbers = np.abs(numbers) + 0.5
            parameter.set_data(ms.Tensor(numbers, parameter.dtype))
        shapes = shape if isinstance(shape[0], tuple) else (shape,)
        known = [[INSTANCES if size is OPEN else size for size in one] for one in shapes]
        x, *more = [chance.standard_normal(sizes).astype(np.float32) for sizes in known]
        made = network(*map(ms.Tensor, (x, *more)))
        made = (made[0] if isinstance(made, tuple) else made).asnumpy()
        np.savez(folder / f"{name}.npz", x=x, made=made, **{f"x{number}": one for number, one in enumerate(more, 1)})
        given = [ms.Tensor(shape=one, dtype=ms.float32) for one in shapes]
        ms.export(network, *given, file_name=str(folder / name), file_format="MINDIR")


if __name__ == "__main__":
    write_networks(NETWORKS, Path(sys.argv[1]))
