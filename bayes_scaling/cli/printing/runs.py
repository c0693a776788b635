"""What the terminal prints about a table of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from bayes_scaling.base.messages import counted
from bayes_scaling.cli.printing.layout import table

if TYPE_CHECKING:
    from bayes_scaling.data.runs import Runs


def runs_summary(runs: Runs) -> RenderableType:
    """Return the ranges of a table, and what was recognised, derived, or looks odd."""
    from bayes_scaling.data.naming import NUMERIC

    rows = []
    for name in NUMERIC:
        if name in runs:
            values = runs.column(name)
            decades = float(np.log10(values.max() / values.min()))
            rows.append(
                (
                    name,
                    float(values.min()),
                    float(np.median(values)),
                    float(values.max()),
                    round(decades, 2),
                    len(np.unique(values)),
                )
            )
    lines = [
        Text(
            f"{runs.source}: {counted(len(runs), 'row')}, loss in {runs.loss_unit}, params: {runs.params_convention}",
            style="bold",
        )
    ]
    notes = [Text(f"note     {note}") for note in runs.notes]
    odd = [Text(f"warning  {warning}", style="yellow") for warning in runs.warnings]
    return Group(*lines, table(("column", "smallest", "median", "largest", "decades", "distinct"), rows), *notes, *odd)
