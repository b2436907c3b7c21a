"""Networks as users write them, for test_user_networks.py: what published models have between their layers.

`-m tests.worker.user_networks FOLDER` writes FOLDER/name.mindir for each, and name.npz: `x`, and what becomes of it.
"""

import sys
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from tests.worker.open_networks import IMAGES, OPEN, Formula, convolution, write_networks

TOKENS = (OPEN, 39, 64)


def added_in_place(layers: Any, x: Any) -> Any:
    made = layers[0](x)
    made += x
    made = ops.relu(made)
    made *= x
    made -= 0.5
    made /= 2
    return made


def added_to_what_is_read_before(layers: Any, x: Any) -> Any:
    """As a transformer's layers do: x goes into what is added to it."""
    x = layers[0](x)
    x += layers[2](layers[1](x))
    x += layers[4](layers[3](x.reshape(x.shape[0], 39, 64)))
    return x.sum(-1)


def added_to_what_is_read_behind(layers: Any, x: Any) -> Any:
    made = ops.relu(layers[0](x))
    made += x
    return made * ops.relu(x), made


def changed_and_read_by_another_name(layers: Any, x: Any) -> Any:
    """Which numbers the last one reads is for MindSpore to say."""
    made = layers[0](x)
    view = made.reshape(-1, 64)
    made += 1
    return view.sum(-1) + layers[1](made).sum()


def input_added_to(layers: Any, x: Any) -> Any:
    x += 1
    return layers[0](x)


def input_copied_over(layers: Any, x: Any) -> Any:
    made = layers[0](x)
    x.copy_(x * 2)
    return made + x


def input_changed_by_a_branch(layers: Any, x: Any) -> Any:
    if x.sum() > 0:
        x += 1
    else:
        x -= 1
    return layers[0](x)


def noted(layers: Any, x: Any) -> Any:
    made = layers[0](x)
    made += x
    ops.print_("made")
    return made


def resized_in_place(layers: Any, x: Any) -> Any:
    made = layers[0](x)
    made += 1.0
    made = ops.interpolate(made, size=(24, 26), mode="bilinear")
    made *= 0.5
    return layers[1](made)


def printed_in_place(layers: Any, x: Any) -> Any:
    made = layers[0](x)
    view = made.reshape(-1, 13)
    made += 1.0
    return ops.interpolate(made, size=(24, 26), mode="bilinear") + view.sum()


class Standardized(nn.Cell):
    """A convolution whose weights have a mean of 0 and a variance of 1: Qiao et al. 2019, "Weight Standardization"."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 6, 3, pad_mode="same")

    def construct(self, x: Any) -> Any:
        weights = self.layer.weight
        away = weights - weights.mean((1, 2, 3), True)
        deviation = ops.sqrt((away**2).sum((1, 2, 3), keepdims=True) / 27 + 1e-5)
        return ops.relu(ops.conv2d(x, away / deviation, pad_mode="same"))


class Tokens(nn.Cell):
    """What a vision transformer begins and ends with, and its three values out of one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = ms.Parameter(ms.Tensor(np.ones((1, 1, 64)), ms.float32), name="first")
        self.places = ms.Parameter(ms.Tensor(np.ones((1, 40, 64)), ms.float32), name="places")
        self.layer = nn.Dense(64, 192)
        self.nothing = nn.Identity()

    def construct(self, x: Any) -> Any:
        batch, count, width = x.shape
        first = ops.broadcast_to(self.first, (batch, -1, -1))
        x = ops.concat((first, x), 1) + self.places
        all_of_them = self.layer(self.nothing(x)).reshape(batch, count + 1, 3, 4, width // 4).transpose(2, 0, 3, 1, 4)
        query, key, value = ops.unstack(all_of_them)
        shares = ops.softmax(ops.matmul(query, key.swapaxes(-1, -2)) * 0.25)
        return ops.matmul(shares, value).swapaxes(1, 2).reshape(batch, count + 1, width)[:, 0]


class Tiled(nn.Cell):
    """The same beginning, written with tile."""

    def __init__(self) -> None:
        super().__init__()
        self.first = ms.Parameter(ms.Tensor(np.ones((1, 1, 64)), ms.float32), name="first")
        self.layer = nn.Dense(64, 64)

    def construct(self, x: Any) -> Any:
        return self.layer(ops.concat((ops.tile(self.first, (x.shape[0], 1, 1)), ops.relu(x)), 1))


def of_tokens_alone(layers: Any, x: Any) -> Any:
    """Of which there is one for each instance, whatever that is."""
    both = layers[0].weight.reshape(1, -1, 64), layers[0].bias.reshape(1, 1, 64)
    return ops.concat([ops.broadcast_to(one, (x.shape[0], -1, -1)) for one in both], 1)


def rolled(layers: Any, x: Any) -> Any:
    """Rows and columns go around, as in a Swin transformer, with ends that are computed."""
    batch, height, width, channels = x.shape
    x = layers[0](x)
    x = ops.concat((x[0:batch, 3:height], x[0:batch, 0:3]), 1)
    x = ops.concat((x[:, :, -3:width], x[:, :, : width - 3]), 2)
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)


class Looked(nn.Cell):
    """A bias for each pair of places, out of a table, by parameters alone: Swin transformers have one."""

    def __init__(self) -> None:
        super().__init__()
        self.table = ms.Parameter(ms.Tensor(np.ones((25, 4)), ms.float32), name="table")
        places = np.arange(81) * 7 % 25 - 12
        self.places = ms.Parameter(ms.Tensor(places, ms.int32), name="places", requires_grad=False)
        self.layer = nn.Dense(4, 4)

    def construct(self, x: Any) -> Any:
        bias = ops.softmax(ops.sigmoid(self.layer(self.table)), 0)[self.places].reshape(9, 9, 4).transpose(2, 0, 1)
        return ops.softmax(ops.matmul(x, x.swapaxes(-1, -2)).expand_dims(1) * 0.05 + bias.expand_dims(0) * 40)


def as_it_was(layers: Any, x: Any) -> Any:
    """What does nothing, as code has it that is written for other shapes and types too."""
    x = ops.broadcast_to(layers[0](x), (-1, 39, 64)).reshape(-1, 39, 64)
    return ops.relu(ops.cast(x, ms.float32))


def stacked(layers: Any, x: Any) -> Any:
    """As in a selective kernel network: branches, of which the sum says how much of each is taken."""
    both = ops.stack((ops.relu(layers[0](x)), ops.tanh(layers[0](x))), 1)
    return (both * ops.sigmoid(both.sum(1, keepdims=True))).sum(1)


def of_length_one(layers: Any, x: Any) -> Any:
    x = layers[0](x)
    return ops.L2Normalize(axis=-1, epsilon=1e-12)(x) - ops.L2Normalize(axis=1, epsilon=30.0)(x)


def by_lengths(layers: Any, x: Any) -> Any:
    """Global response normalization: Woo et al. 2023, "ConvNeXt V2", section 3."""
    x = layers[0](x)
    lengths = ops.LpNorm(axis=(1, 2), p=2, keep_dims=True, epsilon=1e-6)(x)
    return x * (lengths / (lengths.mean(-1, keep_dims=True) + 1e-6)) + ops.LpNorm(axis=-1, p=2, keep_dims=True)(x * 0)


def of_lengths_of_another_kind(layers: Any, x: Any) -> Any:
    return ops.LpNorm(axis=-1, p=1)(layers[0](x)) + ops.LpNorm(axis=(0, 2), p=2, keep_dims=True)(x).sum(-1)


# name -> network, shape of its input
NETWORKS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "added_in_place": (Formula(added_in_place, nn.Conv2d(3, 3, 3)), (OPEN, 3, 28, 28)),
    "added_to_what_is_read_before": (
        Formula(
            added_to_what_is_read_before,
            nn.Dense(64, 64),
            *(nn.LayerNorm((64,)), nn.Dense(64, 64), nn.LayerNorm((64,)), nn.Dense(64, 64)),
        ),
        TOKENS,
    ),
    "added_to_what_is_read_behind": (Formula(added_to_what_is_read_behind, nn.Dense(64, 64)), TOKENS),
    "changed_and_read_by_another_name": (
        Formula(changed_and_read_by_another_name, nn.Dense(64, 64), nn.Dense(64, 64)),
        TOKENS,
    ),
    "input_added_to": (Formula(input_added_to, nn.Dense(64, 64)), TOKENS),
    "input_copied_over": (Formula(input_copied_over, nn.Dense(64, 64)), TOKENS),
    "input_changed_by_a_branch": (Formula(input_changed_by_a_branch, nn.Dense(64, 64)), TOKENS),
    "noted": (Formula(noted, nn.Dense(64, 64)), TOKENS),
    "resized_in_place": (Formula(resized_in_place, convolution("same"), nn.Conv2d(6, 4, 3)), IMAGES),
    "printed_in_place": (Formula(printed_in_place, convolution("same")), IMAGES),
    "standardized": (Standardized(), (OPEN, 3, 20, 21)),
    "tokens": (Tokens(), TOKENS),
    "tiled": (Tiled(), TOKENS),
    "of_tokens_alone": (Formula(of_tokens_alone, nn.Dense(256, 64)), (OPEN, 256)),
    "rolled": (Formula(rolled, nn.Dense(8, 8)), (OPEN, 16, 18, 8)),
    "looked_up": (Looked(), (OPEN, 9, 64)),
    "as_it_was": (Formula(as_it_was, nn.Dense(64, 64)), TOKENS),
    "stacked": (Formula(stacked, nn.Conv2d(3, 8, 3)), (OPEN, 3, 20, 21)),
    "of_length_one": (Formula(of_length_one, nn.Dense(64, 64)), (OPEN, 40, 64)),
    "by_lengths": (Formula(by_lengths, nn.Dense(8, 16)), (OPEN, 12, 13, 8)),
    "of_lengths_of_another_kind": (Formula(of_lengths_of_another_kind, nn.Dense(64, 64)), (OPEN, 40, 64)),
    "norm_of_groups": (nn.SequentialCell(nn.Conv2d(3, 24, 3), nn.GroupNorm(4, 24), nn.SiLU()), IMAGES),
    "norm_of_groups_relu": (nn.SequentialCell(nn.Conv2d(3, 24, 3), nn.GroupNorm(24, 24), nn.ReLU()), IMAGES),
    "norm_of_one_group": (nn.SequentialCell(nn.Dense(64, 70), nn.GroupNorm(1, 40)), (OPEN, 40, 64)),
}


if __name__ == "__main__":
    write_networks(NETWORKS, Path(sys.argv[1]))
