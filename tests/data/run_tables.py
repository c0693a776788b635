"""Tables of runs for the tests of how they are read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def table(n: int = 4, **columns: Any) -> pd.DataFrame:
    """Return a plausible table, with columns added or replaced."""
    params = 1e7 * 2.0 ** np.arange(n)
    frame = pd.DataFrame({"params": params, "tokens": 20 * params, "loss": 4 - 0.2 * np.arange(n)})
    return frame.assign(**columns)


def spoiled(name: str, cell: Any, row: int = 1, n: int = 4) -> pd.DataFrame:
    """Return a plausible table in which one cell is replaced."""
    frame = whole_table(n).astype(object)
    cells = frame[name].tolist()
    cells[row] = cell
    return frame.assign(**{name: pd.Series(cells, dtype=object)})


def whole_table(n: int) -> pd.DataFrame:
    """Return a plausible table with every canonical column."""
    frame = table(n)
    return frame.assign(
        unique_tokens=frame["tokens"] / 2,
        flops=6.5 * frame["params"] * frame["tokens"],
        steps=frame["tokens"] / 5e5,
        batch_tokens=5e5,
        peak_learning_rate=1e-3,
        loss_se=0.01,
        run=[f"run {i}" for i in range(n)],
    )
