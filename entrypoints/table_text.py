"""Tables for people: by rich in a terminal, plain columns that never wrap elsewhere. Contents are shortened and made harmless."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from entrypoints.reading import put

_SHOWN = 60  # characters of a content
_GAP = "  "


def show_table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[str] = ()) -> None:
    """Print the rows under the heads; `numbers` names the columns that stand to the right."""
    cells = [tuple(heads), *(tuple(row) for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    console = Console(file=sys.stdout, highlight=False)
    least = sum(
        len(_GAP) + (min(_FOLDED, width) if head in _MAY_FOLD else width)
        for head, width in zip(heads, widths, strict=True)
    )
    # In a terminal that is too narrow for a table, whole lines that the terminal breaks are better than half a table.
    if console.is_terminal and least <= console.width:
        _show_by_rich(console, heads, cells[1:], numbers)
        return
    for row in cells:
        padded = (
            " " * (width - cell_len(cell)) + cell if head in numbers else cell + " " * (width - cell_len(cell))
            for head, cell, width in zip(heads, row, widths, strict=True)
        )
        put(_GAP.join(padded).rstrip() + "\n")


def _show_by_rich(
    console: Console, heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[str]
) -> None:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for head in heads:
        may_fold = head in _MAY_FOLD
        table.add_column(head, justify="right" if head in numbers else "left", no_wrap=not may_fold, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    console.print(table)


def shortened(json: bytes | None) -> str:
    """The beginning of a content; "" for none. Nothing of it can move the cursor or change a colour."""
    if json is None:
        return ""
    text = json[: 4 * (_SHOWN + 1)].decode("utf-8", "ignore")
    text = text if len(text) <= _SHOWN and len(json) <= 4 * _SHOWN else text[: _SHOWN - 1] + "…"
    return harmless(text)


def harmless(text: str) -> str:
    """The text with everything escaped that is not printed as a character."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


_MAY_FOLD = {"actor", "details", "value"}  # columns whose cells may be long
_FOLDED = 14  # characters that such a column has at least
_STYLES = {"completed": "green", "failed": "red", "cancelled": "yellow", "processing": "cyan"}
