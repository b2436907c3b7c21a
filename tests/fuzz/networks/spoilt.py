"""A child that rewrites graphs wrongly, for test_networks.py: `python -m tests.fuzz.networks.spoilt FIRST END HOW`.

HOW: "die", at the first graph that is rewritten; anything else as child.py has it, with weights that are wrong.
"""

import os
import signal
import sys
from typing import Any

from mindspore_serving.worker import rewritten_file
from mindspore_serving.worker.rewrites import Rewriting, rewrite
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from tests.fuzz.networks import child


def main(first: str, end: str, how: str) -> None:
    """Seeds from `first` up to `end`."""
    vars(rewritten_file).update(rewrite=die if how == "die" else take_one_away)
    child.main(first, end, how)


def take_one_away(model: Any, rewriting: Rewriting, *, together: bool) -> dict[Rewriting, int]:
    """From each weight. What MindSpore cannot run is written as it should be."""
    places = rewrite(model, rewriting & Rewriting.RUNNABLE, together=together)
    if not rewriting & ~Rewriting.RUNNABLE:
        return places
    graph = GraphFile(model)
    names = [node.output[0] for node in graph.nodes if graph.op(node) == "Load"]
    for name in names:
        weights = graph.weights(name)
        if weights is not None:
            graph.set_weights(name, weights - 1)
    return places | {rewriting: len(names)}


def die(model: Any, rewriting: Rewriting, *, together: bool) -> dict[Rewriting, int]:
    """As a kernel may that writes where it must not."""
    if rewriting & ~Rewriting.RUNNABLE:
        os.kill(os.getpid(), signal.SIGSEGV)
    return take_one_away(model, rewriting, together=together)


if __name__ == "__main__":
    main(*sys.argv[1:])
