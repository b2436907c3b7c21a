"""The smallest network in which a fault is still there: lines that come later go, those before become inputs."""

from collections.abc import Iterator
from dataclasses import replace

from tests.fuzz.networks.network import Given, Network, needed
from tests.fuzz.networks.trial import tried
from tests.fuzz.networks.verdict import Outcome


def smallest(network: Network) -> Network:
    """Tries one change after another, and keeps each that leaves the fault."""
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for smaller in _smaller(network):
            if tried(smaller).outcome == Outcome.FAULT:
                network, is_smaller = smaller, True
                break
    return network


def _smaller(network: Network) -> Iterator[Network]:
    if len(network.outputs) > 1:
        yield from (_of(network, name) for name in network.outputs)
    made = [one for line in network.lines for one in line.makes]
    for one in made:
        if one.name not in network.outputs:
            yield _of(network, one.name)
    for one in reversed(made):
        if one.name not in network.outputs:
            yield _given(network, Given(one.name, one.shape, one.has_instances, one.kind))


def _of(network: Network, output: str) -> Network:
    """With this output alone."""
    return _without_unused(replace(network, outputs=(output,)))


def _given(network: Network, given: Given) -> Network:
    """With this as an input, instead of what makes it."""
    lines = tuple(line for line in network.lines if given.name not in line.names)
    return _without_unused(replace(network, inputs=(*network.inputs, given), lines=lines))


def _without_unused(network: Network) -> Network:
    lines = needed(network.lines, network.outputs)
    used = {name for line in lines for name in line.uses}
    return replace(network, lines=lines, inputs=tuple(given for given in network.inputs if given.name in used))
