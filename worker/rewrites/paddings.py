"""What is put around a value, before and behind each axis, by ops.pad, nn.ZeroPad2d, nn.Pad and their like."""

from typing import Any

from mindspore_serving.worker.rewrites.graph_file import GraphFile

PADDINGS = ("PadV3", "Pad")
Paddings = list[tuple[int, int]]


def paddings_of(graph: GraphFile, node: Any, rank: int) -> Paddings | None:
    """Of so many axes; None for other nodes than these, and where some of a value is cut off."""
    if graph.op(node) not in PADDINGS:
        return None
    if graph.op(node) == "Pad":  # of all axes, from the first one on
        told = graph.numbers(node, "paddings")
        pairs = list(zip(told[::2], told[1::2], strict=False))
    else:  # of some, from the last one on
        given = graph.constant(node.input[1])
        if not isinstance(given, tuple) or graph.attribute(node, "mode") != "constant":
            return None
        if graph.numbers(node, "paddings_contiguous") != (1,) or len(given) % 2:
            return None
        pairs = list(zip(given[::2], given[1::2], strict=True))[::-1]
        pairs = [(0, 0)] * (rank - len(pairs)) + pairs
    return pairs if len(pairs) == rank and all(min(pair) >= 0 for pair in pairs) else None


def padded_with(graph: GraphFile, node: Any) -> float | None:
    """The number that is put there; None where it is not known."""
    if len(node.input) < 3:
        return 0.0
    number = graph.constant(node.input[2])
    if number is None:
        return 0.0
    return float(number) if isinstance(number, int | float) else None
