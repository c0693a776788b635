"""What a table spans: the range of each of its columns of numbers."""

from __future__ import annotations

import dataclasses

import numpy as np

from bayes_scaling.data.naming import NUMERIC
from bayes_scaling.data.runs import Runs


@dataclasses.dataclass(frozen=True)
class Range:
    """The range of one column.

    Attributes
    ----------
    column : its name
    smallest, median, largest : of its values
    distinct : number of different values
    whole : whether all of them are integers
    """

    column: str
    smallest: float
    median: float
    largest: float
    distinct: int
    whole: bool


def ranges_of(runs: Runs) -> list[Range]:
    """Return the range of each canonical column of numbers that a table has."""
    found = []
    for name in (one for one in NUMERIC if one in runs):
        values = runs.column(name)
        ends = float(values.min()), float(np.median(values)), float(values.max())
        found.append(Range(name, *ends, len(np.unique(values)), bool(np.all(values == np.round(values)))))
    return found
