"""What the terminal prints about learning rate and batch size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from bayes_scaling.cli.printing.layout import table
from bayes_scaling.data.tuning import BEST_OF

if TYPE_CHECKING:
    import pandas as pd

    from bayes_scaling.predict.tuning import Hyperparameters


def tuning_tables(found: Hyperparameters) -> RenderableType:
    """Return the recommendation, published rules beside it, what missing it costs, and what tuning by trial costs."""
    low, high = np.median(found.tolerance, axis=0)
    best_of = ", ".join(
        f"{'one run' if runs == 1 else runs} {mean:.1%} ({least:.1%} to {most:.1%})"
        for runs in BEST_OF
        for mean, least, most in [found.best_of(runs)]
    )
    lines = [
        f"Were the best rate known, {low:.2g} to {high:.2g} times it would waste less than {found.within:.1%}.",
        f"{found.leftover.words}.",
        f"The best of several runs tuned as the fitted ones were is expected to waste: {best_of}.",
        "wasted: share of the compute that the run, tuned as the law knows, would save at the same loss and size; mean "
        "over draws and 90% of them. They contain the law's parameters, and how far sizes lie off its best rate and "
        "batch.",
    ]
    chosen = f"{found.params:.4g} params on {found.tokens:.4g} tokens, by {found.ensemble.label}"
    return Group(
        Text(found.verdict, style="bold"),
        *(Text(f"caution: {line}", style="yellow") for line in found.cautions),
        _choices(found.to_frame(), f"Learning rate and batch of {chosen}"),
        _choices(found.off_by(2.0), "Off by two"),
        *map(Text, lines),
    )


def _choices(frame: pd.DataFrame, title: str) -> RenderableType:
    headers = ["choice", "rate", "batch_tokens", "wasted", "90%"]
    rows = [
        [
            row["choice"],
            row["rate"],
            row["batch_tokens"],
            f"{row['wasted']:.1%}",
            f"{row['low']:.1%} to {row['high']:.1%}",
        ]
        for row in frame.to_dict(orient="records")
    ]
    headers += ["source"] * ("source" in frame)
    if "source" in frame:
        rows = [[*row, source] for row, source in zip(rows, frame["source"], strict=True)]
    return table(headers, rows, title=title)
