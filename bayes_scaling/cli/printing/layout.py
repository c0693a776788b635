"""How the terminal prints: tables, numbers, paragraphs.

Text that comes from data goes through `rich.text.Text`, which does not interpret markup, and through a console that
leaves out characters that a terminal would act on. Nothing is broken inside a number or a range: a table that is wider
than the terminal becomes one paragraph per row.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from bayes_scaling.base.messages import printing
from bayes_scaling.base.numbers import MISSING, alike

GAP, EDGES = 3, 2  # cells between two columns, and left and right of them all
PROSE = 20  # cells that a column of words keeps, if it has as many
INDENT = "  "  # of the paragraph of a row
NUMBER = re.compile(r"[<>] [-+0-9.e]+%|[-+]?[0-9.]+(e-?[0-9]+)?[kMBT%]?|-")  # as texts of columns have it


class _Console(Console):
    """A console that prints nothing of data but what can be seen; its own colours are added after that."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printing(segment.text))


def show(*parts: RenderableType) -> None:
    """Print to standard output; a pipe gets full lines instead of the width of some terminal."""
    console = _Console(soft_wrap=False)
    if not console.is_terminal:
        console = _Console(width=160)
    console.print(*parts, sep="\n")


@dataclasses.dataclass(frozen=True)
class Sheet:
    """Rows under headers: a table if it is no wider than the terminal, else one paragraph per row.

    Attributes
    ----------
    headers, rows : texts; of each row one for each header
    right : of each column, whether it is aligned to the right
    title : above them
    keys : how many of the first columns say which row it is
    """

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[bool, ...]
    title: str = ""
    keys: int = 1

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = self._widths(options.max_width)
        if widths is not None:
            yield self._table(widths)
            return
        if self.title:
            yield Text(self.title, style="bold")
        for row in self.rows:
            yield from self._paragraph(row, options.max_width)
        yield Text()

    def _widths(self, most: int) -> list[int] | None:
        """Return the widths of columns, each at least that of its numbers; None if they do not fit."""
        columns = list(zip(self.headers, *self.rows, strict=True))
        widest = [max(map(cell_len, column)) for column in columns]
        least = [
            max(_longest_word(header), *(_least(cell) for cell in cells), 1) if cells else _longest_word(header)
            for header, *cells in columns
        ]
        room = most - GAP * (len(columns) - 1) - EDGES
        widths = [max(*pair) for pair in zip(widest, least, strict=True)]
        if sum(least) > room:
            return None
        while sum(widths) > room:
            loose = [i for i in range(len(widths)) if widths[i] > least[i]]
            widths[max(loose, key=lambda i: widths[i])] -= 1
        return widths

    def _table(self, widths: Sequence[int]) -> Table:
        out = Table(
            title=Text(self.title, style="bold") if self.title else None,
            box=box.SIMPLE_HEAD,
            title_justify="left",
            pad_edge=False,
        )
        for header, right, width in zip(self.headers, self.right, widths, strict=True):
            out.add_column(Text(header), justify="right" if right else "left", overflow="fold", width=width)
        for row in self.rows:
            out.add_row(*map(Text, row))
        return out

    def _paragraph(self, row: Sequence[str], most: int) -> Iterator[Text]:
        """Write a row as what it is about, and below it the rest."""
        said = [text if i == 0 and not self.right[0] else self._said(i, text) for i, text in enumerate(row)]
        for text in _filled([one for one in said[: self.keys] if one], most, ""):
            yield Text(text, style="bold")
        for text in _filled([one for one in said[self.keys :] if one], most, INDENT):
            yield Text(text)

    def _said(self, i: int, text: str) -> str:
        """Return a cell with its header, and with the unit of the header behind its numbers."""
        if not text or text == MISSING:
            return ""
        header, bracket, unit = self.headers[i].partition(" [")
        return f"{header} {text}{f' {unit[:-1]}' if bracket else ''}".strip()


def _filled(items: Sequence[str], most: int, indent: str) -> Iterator[str]:
    """Put items on lines, with commas between them, none of them on two lines if it fits on one."""
    line = ""
    for i, item in enumerate(items):
        text = item + ("," if i < len(items) - 1 else "")
        if line and cell_len(indent) + cell_len(line) + 1 + cell_len(text) > most:
            yield indent + line
            line = ""
        line = f"{line} {text}" if line else text
    if line:
        yield indent + line


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def _least(cell: str) -> int:
    """Return the width that a cell needs: all of it where it is numbers, else that of its longest word."""
    words = cell.split()
    prose = sum(len(word) > 2 and word[0].isalpha() for word in words) > 0
    return max(_longest_word(cell), min(cell_len(cell), PROSE)) if prose else cell_len(cell)


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "", keys: int = 1) -> Sheet:
    """Return a plain table; numbers right-aligned, those of one column alike.

    Parameters
    ----------
    keys : how many of the first columns say which row it is
    """
    rows = [list(row) for row in rows]
    columns = [[row[i] for row in rows] for i in range(len(headers))]
    right = tuple(bool(rows) and all(_is_number(value) for value in column) for column in columns)
    texts = [_cells(column, "flops" in header.lower()) for header, column in zip(headers, columns, strict=True)]
    return Sheet(tuple(headers), tuple(zip(*texts, strict=True)), right, title, keys)


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return NUMBER.fullmatch(value) is not None
    return isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)


def _cells(column: Sequence[Any], powers: bool) -> list[str]:
    """Return the values of a column as texts."""
    floats = iter(alike([float(value) for value in column if isinstance(value, float | np.floating)], powers=powers))
    return [next(floats) if isinstance(value, float | np.floating) else _cell(value) for value in column]


def _cell(value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bool | np.bool_):
        return "yes" if value else ""
    return str(value)


def headed(name: str, unit: str) -> str:
    """Return the header of a column, with the unit of its numbers if they have one."""
    return name if unit in ("", "1") else f"{name} [{unit}]"


def unit_of(unit: str, loss_unit: str) -> str:
    """Return the unit of a law's quantity in words: that of losses where it is a loss, nothing for a plain number."""
    return {"loss": loss_unit, "1": ""}.get(unit, unit)
