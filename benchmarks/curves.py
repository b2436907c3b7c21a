"""Curves as SVG: panels in two columns, one curve for each side, values on a logarithmic scale."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.picture import colour

_WIDTH, _HEIGHT, _LEFT, _HEAD, _FOOT, _LEGEND = 400, 190, 46, 30, 34, 44
_COLUMNS = 2
_LINES = ("1 2 3 5", "1 2 5", "1")  # of each decade, so many lines as the panel has room for


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture: a value above zero for each mark of the x axis and each curve."""

    title: str
    marks: Sequence[str]
    curves: Mapping[str, Sequence[float]]


def draw(panels: Sequence[Panel]) -> str:
    """The text of an SVG file."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.curves))
    rows = math.ceil(len(panels) / _COLUMNS)
    width = _COLUMNS * (_LEFT + _WIDTH) + 20
    height = _LEGEND + rows * (_HEAD + _HEIGHT + _FOOT)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, name in enumerate(names):
        x = _LEFT + 118 * number
        lines.append(f'<rect x="{x}" y="18" width="14" height="4" fill="{colour(number)}"/>')
        lines.append(f'<text x="{x + 18}" y="24">{escape(name)}</text>')
    for number, panel in enumerate(panels):
        left = _LEFT + (number % _COLUMNS) * (_LEFT + _WIDTH)
        top = _LEGEND + (number // _COLUMNS) * (_HEAD + _HEIGHT + _FOOT) + _HEAD
        lines += _panel(panel, names, left, top)
    return "\n".join([*lines, "</svg>", ""])


def _panel(panel: Panel, names: Sequence[str], left: float, top: float) -> Iterator[str]:
    values = [value for curve in panel.curves.values() for value in curve]
    low, high = math.log10(min(values)) - 0.05, math.log10(max(values)) + 0.05
    step = _WIDTH / len(panel.marks)

    def height_of(value: float) -> float:
        return top + _HEIGHT * (high - math.log10(value)) / (high - low)

    yield f'<text x="{left}" y="{top - 10}" font-size="13" font-weight="bold">{escape(panel.title)}</text>'
    for value in _scale(low, high):
        y = height_of(value)
        yield f'<line x1="{left}" y1="{y:.1f}" x2="{left + _WIDTH - 10}" y2="{y:.1f}" stroke="#ddd"/>'
        yield f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
    for number, mark in enumerate(panel.marks):
        yield f'<text x="{left + step * (number + 0.4):.1f}" y="{top + _HEIGHT + 16}">{escape(mark)}</text>'
    for name, curve in panel.curves.items():
        points = [f"{left + step * (at + 0.5):.1f},{height_of(value):.1f}" for at, value in enumerate(curve)]
        stroke = colour(names.index(name))
        yield f'<polyline points="{" ".join(points)}" fill="none" stroke="{stroke}" stroke-width="2"/>'


def _scale(low: float, high: float) -> list[float]:
    """Round values between the two (as logarithms), not too many."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    for digits in _LINES:
        values = [float(f"{digit}e{decade}") for decade in decades for digit in digits.split()]
        values = [value for value in values if low <= math.log10(value) <= high]
        if len(values) <= 8:
            break
    return values
