"""The findings as SVG: a panel for each workload, a group of bars for each number of callers, a bar for each server.

Bars are relative to the best server of their group, because the rates of groups differ a hundredfold; each has its rate
above it. Written by hand: a dependency would weigh more than these bars do.
"""

from collections.abc import Iterator
from html import escape

from benchmarks.findings import Findings, Load

_BAR, _GAP, _HEIGHT, _HEAD, _FOOT, _LEFT = 34, 26, 120, 52, 26, 16
# Told apart by those who see no red or no green too (Okabe and Ito's palette).
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")


def draw(findings: Findings) -> str:
    """The text of an SVG file."""
    panels = list(dict.fromkeys((load.workload, load.instances) for load in findings.loads()))
    groups = {panel: [load for load in findings.loads() if load[:2] == panel] for panel in panels}
    group_width = _BAR * len(findings.peers) + _GAP
    most = max((len(loads) for loads in groups.values()), default=0)
    width = max(2 * _LEFT + most * group_width, 2 * _LEFT + 110 * len(findings.peers), 440)
    panel_height = _HEAD + _HEIGHT + _FOOT
    height = 40 + panel_height * len(panels)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        *_legend(findings),
    ]
    for number, (workload, instances) in enumerate(panels):
        top = 40 + number * panel_height
        plural = "s" if instances > 1 else ""
        title = f"{workload}, {instances} instance{plural} a request: requests a second"
        lines.append(f'<text x="{_LEFT}" y="{top + 18}" font-size="13" font-weight="bold">{escape(title)}</text>')
        for place, load in enumerate(groups[workload, instances]):
            lines += _group(findings, load, _LEFT + place * group_width, top + _HEAD)
    return "\n".join([*lines, "</svg>", ""])


def _legend(findings: Findings) -> Iterator[str]:
    for number, peer in enumerate(findings.peers):
        x = _LEFT + 110 * number
        yield f'<rect x="{x}" y="14" width="12" height="12" fill="{colour(number)}"/>'
        yield f'<text x="{x + 16}" y="24">{escape(peer)}</text>'


def _group(findings: Findings, load: Load, left: float, top: float) -> Iterator[str]:
    rates = [findings.rate(load, peer) for peer in findings.peers]
    best = max((rate for rate in rates if rate), default=1.0)
    for number, rate in enumerate(rates):
        if rate is None:
            continue
        x, height = left + number * _BAR, _HEIGHT * rate / best
        y = top + _HEIGHT - height
        yield f'<rect x="{x}" y="{y:.1f}" width="{_BAR - 4}" height="{height:.1f}" fill="{colour(number)}"/>'
        yield f'<text x="{x + _BAR / 2 - 2}" y="{y - 4:.1f}" text-anchor="middle" font-size="9">{_short(rate)}</text>'
    middle = left + _BAR * len(rates) / 2
    plural = "s" if load.callers > 1 else ""
    yield f'<text x="{middle}" y="{top + _HEIGHT + 14}" text-anchor="middle">{load.callers} caller{plural}</text>'


def colour(number: int) -> str:
    """Of the server or curve with this number."""
    return _COLOURS[number % len(_COLOURS)]


def _short(rate: float) -> str:
    return f"{rate / 1000:.1f}k" if rate >= 1000 else f"{rate:.0f}"
