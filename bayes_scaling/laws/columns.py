"""Columns of a run table that laws take as input."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a run table that a law takes as input.

    Attributes
    ----------
    meaning : with symbol and unit
    low, high : span of a typical table, in which a law is tried out; ``low = 0`` says that the column may be zero
    """

    meaning: str
    low: float
    high: float

    @property
    def middle(self) -> float:
        """A typical value: the geometric middle of the span, the arithmetic one where it starts at zero."""
        return math.sqrt(self.low * self.high) if self.low > 0 else (self.low + self.high) / 2


INPUTS: Mapping[str, Column] = {
    "params": Column("N, parameters", 6e7, 6e9),
    "tokens": Column("D, training tokens", 2e8, 1e12),
    "unique_tokens": Column("U, distinct training tokens", 1e8, 1e11),
    "flops": Column("C, training FLOPs", 1e17, 1e22),
    "steps": Column("S, optimiser steps", 1e3, 1e5),
    "batch_tokens": Column("B, tokens per step", 2e4, 5e6),
    "peak_learning_rate": Column("r, peak learning rate", 3e-4, 1e-2),
}
"""Columns that any law may take; others are a law's own (`Law.columns`)."""
