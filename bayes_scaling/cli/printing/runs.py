"""What the terminal prints about a table of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from bayes_scaling.base.messages import counted
from bayes_scaling.cli.printing.layout import table

if TYPE_CHECKING:
    from bayes_scaling.data.runs import Runs


def runs_summary(runs: Runs) -> RenderableType:
    """Return the ranges of a table, and what was recognised, derived, or looks odd."""
    ranges = ranges_content(runs)
    lines = [
        Text(
            f"{runs.source}: {counted(len(runs), 'row')}, loss in {runs.loss_unit}, params: {runs.params_convention}",
            style="bold",
        )
    ]
    notes = [Text(f"note     {note}") for note in runs.notes]
    odd = [Text(f"warning  {warning}", style="yellow") for warning in runs.warnings]
    headers = ("column", "smallest", "median", "largest", "decades", "distinct")
    rows = [[row[name] for name in headers] for row in ranges]
    return Group(*lines, table(headers, rows), *notes, *odd)


def ranges_content(runs: Runs) -> list[dict[str, Any]]:
    """Return the range of each column of numbers as plain values."""
    from bayes_scaling.data.ranges import ranges_of

    return [
        {
            "column": of.column,
            "smallest": of.smallest,
            "median": of.median,
            "largest": of.largest,
            "decades": round(float(np.log10(of.largest / of.smallest)), 2),
            "distinct": of.distinct,
        }
        for of in ranges_of(runs)
    ]
