"""Lines with bands as SVG, beside each other: plain text that browsers and repositories show, without a plotting library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from neuropt.comparing.band import Band

COLOURS = ("#444444", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d00")
"""Okabe and Ito's, which colour-blind people tell apart, with grey for the first."""
WIDTH, HEIGHT = 360, 270
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 46, 42
TICKS = 5


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Args:
        title: above.
        label: of the vertical axis; the horizontal one says what the bands count.
        bands: lines.
    """

    title: str
    label: str
    bands: Sequence[Band]


def figure(panels: Sequence[Panel], title: str) -> str:
    """Return panels beside each other with one legend below, as an SVG document."""
    panels = [panel for panel in panels if panel.bands]
    names = list(dict.fromkeys(band.controller for panel in panels for band in panel.bands))
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    width = WIDTH * len(panels) + RIGHT  # room for half of the last number
    height = HEIGHT + 24 * (1 + (len(names) - 1) // 8)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="11">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="16" font-size="13">{escape(title)}</text>',
    ]
    for i, panel in enumerate(panels):
        parts += [f'<g transform="translate({i * WIDTH} 0)">', *_axes(panel), *_lines(panel, colour), "</g>"]
    for i, name in enumerate(names):
        x, y = LEFT + (i % 8) * (width - LEFT) // min(8, len(names)), HEIGHT + 12 + 20 * (i // 8)
        parts.append(f'<rect x="{x}" y="{y - 8}" width="16" height="4" fill="{colour[name]}"/>')
        parts.append(f'<text x="{x + 21}" y="{y - 2}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _axes(panel: Panel) -> list[str]:
    (left, right), (low, high) = _ranges(panel)
    bottom = HEIGHT - BOTTOM
    parts = [
        f'<text x="{LEFT}" y="{TOP - 8}">{escape(panel.title)}</text>',
        f'<path d="M{LEFT} {TOP}V{bottom}H{WIDTH - RIGHT}" fill="none" stroke="black"/>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{_counted(panel)}</text>',
        f'<text transform="translate(13 {(TOP + bottom) / 2:.0f}) rotate(-90)" text-anchor="middle">'
        f"{escape(panel.label)}</text>",
    ]
    for tick in _ticks(left, right):
        x = _x(tick, left, right)
        parts.append(f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{tick:,.4g}</text>')
    for tick in _ticks(low, high):
        y = _y(tick, low, high)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{tick:.4g}</text>')
    return parts


def _lines(panel: Panel, colour: dict[str, str]) -> list[str]:
    (left, right), (low, high) = _ranges(panel)
    parts = []
    for band in panel.bands:
        x = [_x(at, left, right) for at in band.at.tolist()]

        def points(values: np.ndarray[tuple[int], np.dtype[np.float64]], x: list[float] = x) -> list[str]:
            return [f"{a:.1f},{_y(b, low, high):.1f}" for a, b in zip(x, values.tolist(), strict=True)]

        if band.low is not None and band.high is not None:
            outline = " ".join(points(band.high) + points(band.low)[::-1])
            parts.append(f'<polygon points="{outline}" fill="{colour[band.controller]}" opacity="0.18"/>')
        parts.append(
            f'<polyline points="{" ".join(points(band.middle))}" fill="none" '
            f'stroke="{colour[band.controller]}" stroke-width="1.6"/>'
        )
    return parts


def _counted(panel: Panel) -> str:
    return {"children": "distinct children", "proposals": "proposals"}[panel.bands[0].across]


def _ranges(panel: Panel) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return what the axes reach: from 0 to the last count; over the later nine tenths of all lines, since all begin low."""
    last = max(float(band.at[-1]) for band in panel.bands)
    if all(band.measure == "found" for band in panel.bands):
        return (0.0, last), (0.0, 1.0)
    later = [
        v[band.at >= last / 10] for band in panel.bands for v in (band.middle, band.low, band.high) if v is not None
    ]
    values = np.concatenate(later)
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 0.5
    return (0.0, last), (low - margin, high + margin)


def _ticks(low: float, high: float) -> list[float]:
    """Return about `TICKS` round numbers in a range.

    >>> _ticks(0.0, 2000.0)
    [0.0, 500.0, 1000.0, 1500.0, 2000.0]
    """
    rough = (high - low) / TICKS
    unit = 10.0 ** np.floor(np.log10(rough))
    step = next(s * unit for s in (1, 2, 5, 10) if s * unit >= rough)
    return [round(float(k * step), 10) for k in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]


def _x(value: float, left: float, right: float) -> float:
    return LEFT + (value - left) / (right - left) * (WIDTH - RIGHT - LEFT)


def _y(value: float, low: float, high: float) -> float:
    """Return where a value stands; one outside of the axes stands on their edge."""
    share = min(max((value - low) / (high - low), 0.0), 1.0)
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)
