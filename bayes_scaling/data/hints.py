"""What columns hold and what their names say: which hold anything, and which may be a loss."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import pandas as pd

from bayes_scaling.base.messages import folded
from bayes_scaling.data.validation import number

RARER: Mapping[str, tuple[str, ...]] = {
    "params": ("parameter_count", "num_parameters", "total_params", "params_total", "total_parameters"),
    "tokens": ("total_tokens", "tokens_trained", "num_train_tokens"),
    "flops": ("compute_budget", "flops_budget", "training_compute"),
    "steps": ("num_iterations", "n_iterations"),
    "loss": ("final_val_loss", "final_validation_loss", "lm_loss", "final_eval_loss"),
}
"""Spellings of canonical columns that yield to the others, since a table may have both, like a budget and what ran."""

LIKE_A_LOSS = ("loss", "bpb", "nll", "perplexity", "ppl", "cross_entropy")
"""Parts of names that other columns of losses have."""


def words(name: str) -> set[str]:
    """Return the words of a name in lower case: ``eval``, ``macro`` and ``loss`` of ``eval/macro_loss``."""
    return set(re.findall("[a-z]+", name.lower()))


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
