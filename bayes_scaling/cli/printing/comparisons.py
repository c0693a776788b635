"""What the terminal prints about comparisons of laws and backtests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from bayes_scaling.cli.printing.layout import table

if TYPE_CHECKING:
    from bayes_scaling.evaluate.backtesting import Backtest
    from bayes_scaling.evaluate.comparison import Comparison


def _percent(value: float, digits: int = 0) -> str:
    return "" if np.isnan(value) else f"{value:.{digits}%}"


def comparison_table(comparison: Comparison) -> RenderableType:
    """Return candidates ranked by how they would have forecast the largest runs, with the verdict."""
    rows = []
    for _, row in comparison.to_frame().iterrows():
        error = "" if np.isnan(row["difference_se"]) else f" ± {row['difference_se']:.2f}"
        rows.append(
            (
                row["candidate"] + ("" if row["converged"] else " (NOT CONVERGED)"),
                f"{row['log_score']:.2f}",
                f"{row['difference']:+.2f}{error}",
                _percent(row["weight"]),
                _percent(row["loo_weight"]),
                _percent(row["rmsle"], 1),
                _percent(row["width"], 1),
                _percent(row["inside_50%"]),
                _percent(row["inside_80%"]),
                _percent(row["inside_90%"]),
                "" if np.isnan(row["loo"]) else f"{row['loo']:.1f}",
            )
        )
    headers = ("law", "log score", "difference", "weight", "(LOO)", "error", "90% width", "in 50%", "in 80%", "in 90%")
    cuts = "; ".join(cut.label for cut in comparison.cuts)
    title = f"Leave-largest-out on {comparison.runs.source}, fitted at {cuts}"
    ranges = comparison.by_range()
    best = ranges[ranges["candidate"] == comparison.best]
    spans = [
        f"{row['range']}: {row['n']} forecasts, error {row['rmsle']:.1%}, {row['inside_90%']:.0%} inside 90%"
        for _, row in best.iterrows()
    ]
    notes = [Text(f"{name}: {note}") for name, note in comparison.loo_notes.items() if not note.startswith("0 ")]
    words = (
        "log score: mean log density per held-out run; difference to the best law, with its standard error over runs; "
        "weight among the laws (LOO: from leave-one-out); error: root mean square of log loss; bands of one "
        "new run. LOO score is the sum over rows. Point fits have bootstrap bands and no weight."
    )
    return Group(
        table((*headers, "LOO score"), rows, title=title),
        Text(comparison.verdict, style="bold"),
        Text(f"{comparison.best} by size over the largest fitted run: " + "; ".join(spans)),
        *notes,
        Text(words, style="dim"),
        Text(f"took {comparison.seconds:.0f} s"),
    )


def backtest_table(result: Backtest) -> RenderableType:
    """Return scores and coverage over many tables."""
    rows = [
        (
            row["candidate"],
            int(row["tables"]),
            _percent(row["rmsle"], 1),
            f"{row['log_score']:.2f}",
            *(_percent(row[name]) for name in ("inside_50%", "inside_80%", "inside_90%")),
            _percent(row["width"], 1),
        )
        for _, row in result.to_frame().iterrows()
    ]
    headers = ("law", "tables", "error", "log score", "in 50%", "in 80%", "in 90%", "90% width")
    failed = [Text(f"left out {name}: {why}", style="yellow") for name, why in result.failures.items()]
    title = "Held-out largest runs, means over tables"
    return Group(table(headers, rows, title=title), *failed)
