"""A result as a picture: bars for the medians, a line from the least to the most. Plain SVG, no library, light and dark."""

from __future__ import annotations

from xml.sax.saxutils import escape

from benchmarks.results import Result

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 760, 250, 130, 30, 46
_STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 }
.bar { fill: #9aa4af } .ours { fill: #1a7f4b } .limit { fill: none; stroke: #9aa4af; stroke-dasharray: 4 3 }
.spread { stroke: #1f2328; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .spread { stroke: #e6edf3 } .bar { fill: #6e7681 } .limit { stroke: #6e7681 } .ours { fill: #3fb27f }
}
</style>"""


def bars(result: Result) -> str:
    """The best contender of each side."""
    sides = result.sides()
    most = max((figures.spread[1] for figures in sides), default=1.0) or 1.0
    height = _TOP + _ROW * len(sides) + 10
    hint = "less is better" if result.is_less_better else "more is better"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>{escape(result.title)}</title>",
        _STYLE,
        f'<text class="title" x="10" y="22">{escape(result.title)}</text>',
        f'<text x="{_WIDTH - 10}" y="22" text-anchor="end">{escape(result.unit)}, {hint}</text>',
    ]
    scale = (_WIDTH - _LEFT - _RIGHT) / most
    for number, figures in enumerate(sides):
        y = _TOP + _ROW * number
        kind = (
            "ours" if figures.side.startswith("Jobledger") else "limit" if figures.side.startswith("limit") else "bar"
        )
        least, top = (bound * scale for bound in figures.spread)
        ends = _LEFT + max(top, figures.median * scale)
        middle = y + _ROW / 2 - 3
        parts += [
            f'<text x="{_LEFT - 10}" y="{middle + 5:.1f}" text-anchor="end">{escape(figures.name)}</text>',
            f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{figures.median * scale:.1f}" height="{_ROW - 8}"/>',
            f'<line class="spread" x1="{_LEFT + least:.1f}" x2="{_LEFT + top:.1f}" y1="{middle:.1f}" y2="{middle:.1f}"/>',
            f'<text x="{ends + 8:.1f}" y="{middle + 5:.1f}">{number_text(figures.median)}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def number_text(value: float) -> str:
    """Three or more figures, thousands with commas."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
