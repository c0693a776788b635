"""What columns hold and what their names say: which hold anything, and which may be a loss."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from bayes_scaling.base.messages import folded
from bayes_scaling.data.validation import number

LIKE_A_LOSS = ("loss", "bpb", "nll", "perplexity", "ppl", "cross_entropy")
"""Parts of names that other columns of losses have."""


def filled(cells: pd.Series, with_numbers: bool) -> bool:
    """Return whether a column holds anything, or a number, which may be written as text."""
    kinds = pd.api.types
    if kinds.is_numeric_dtype(cells.dtype) and not kinds.is_bool_dtype(cells.dtype):
        return bool(cells.notna().any())
    values = map(number, cells.astype(object))
    return any(not with_numbers if value is None else value == value for value in values)


def likely_losses(names: Iterable[str]) -> list[str]:
    """Return the names that look like those of losses."""
    return [name for name in names if any(part in folded(name) for part in LIKE_A_LOSS)]
