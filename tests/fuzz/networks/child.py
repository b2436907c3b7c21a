"""Tries seeds, in a process of its own: `python -m tests.fuzz.networks.child FIRST END HOW`, for __main__ alone.

HOW: "shrink", or "plain".

It writes "seed N" when it begins with one, "network" with what that makes, "way NAME" before it opens a graph, and then
"told" with JSON: how the seed ended, and what there is to say of it.
"""

import json
import logging
import signal
import sys
import tempfile
from pathlib import Path

from mindspore_serving.worker import kernels, mindspore_model
from mindspore_serving.worker.target import Target
from tests.fuzz.networks.growth import network_of
from tests.fuzz.networks.network import described, program
from tests.fuzz.networks.shrinking import smallest
from tests.fuzz.networks.trial import tried
from tests.fuzz.networks.verdict import Outcome

_SEED_SECONDS, _SHRINKING = 120, 10  # to shrink a network is to try it many times


def main(first: str, end: str, how: str) -> None:
    """Seeds from `first` up to `end`. Raises RuntimeError where there are no kernels."""
    logging.disable()
    mindspore_model.set_device(Target())
    if kernels.library() is None:
        raise RuntimeError("the kernels are not compiled: `make compiled`")
    mindspore_model.set_one_thread()
    for seed in range(int(first), int(end)):
        signal.alarm(_SEED_SECONDS * (_SHRINKING if how == "shrink" else 1))
        print(f"seed {seed}", flush=True)
        with tempfile.TemporaryDirectory(prefix="fuzzed-sketch-") as folder:
            network = network_of(seed, Path(folder))
        print(f"network {described(network)}", flush=True)
        verdict = tried(network, _tell_way)
        if verdict.outcome == Outcome.FAULT and how == "shrink":
            network = smallest(network)
            verdict = tried(network)
        told = {"outcome": verdict.outcome.name, "story": verdict.story}
        if verdict.outcome not in (Outcome.FINE, Outcome.SENSITIVE):
            told |= {"network": described(network), "program": program(network)}
        print(f"told {json.dumps(told)}", flush=True)


def _tell_way(name: str) -> None:
    print(f"way {name}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
