"""How the terminal prints: tables, numbers, paragraphs.

Text that comes from data goes through `rich.text.Text`, which does not interpret markup, and through a console that
leaves out characters that a terminal would act on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from bayes_scaling.base.messages import printing

MISSING = "-"  # for a number that is not there


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


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> Table:
    """Return a plain table; numbers right-aligned."""
    rows = [list(row) for row in rows]
    out = Table(
        title=Text(title, style="bold") if title else None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False
    )
    for i, header in enumerate(headers):
        numeric = bool(rows) and all(isinstance(row[i], int | float | np.number) for row in rows)
        out.add_column(Text(header), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        out.add_row(*(Text(_cell(value)) for value in row))
    return out


def _cell(value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bool | np.bool_):
        return "yes" if value else ""
    if isinstance(value, float | np.floating):
        return number(float(value))
    return str(value)


def number(value: float) -> str:
    """Write a number with four significant digits, large ones in powers of ten; a dash if there is none."""
    if np.isnan(value):
        return MISSING
    if value == 0 or np.isinf(value):
        return f"{value:g}"
    return f"{value:.3e}" if abs(value) >= 1e6 or abs(value) < 1e-4 else f"{value:.4g}"
