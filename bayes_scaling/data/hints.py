"""What columns hold and what their names say: which hold anything, may be a loss, or come from an export of a panel."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pandas as pd

from bayes_scaling.base.messages import folded, shown
from bayes_scaling.data.validation import number
from bayes_scaling.errors import DataError

LIKE_A_LOSS = ("loss", "bpb", "bpc", "nll", "perplexity", "ppl", "cross_entropy")
"""Parts of names that other columns of losses have."""
OF_A_LOSS = frozenset(("scale", "weight", "std", "stderr", "se", "init", "initial"))
"""Words in names of columns that belong to a loss, and are none."""
UNITS = {
    "perplexity": ("perplexity", "take its logarithm"),
    "ppl": ("perplexity", "take its logarithm"),
    "bpb": ("bits per byte", "multiply it by ln 2"),
    "bpc": ("bits per character", "multiply it by ln 2"),
    "bits": ("bits", "multiply it by ln 2"),
}
"""Words in names of columns that say another unit than nats per token: the unit, and what makes nats of it."""
BY_NAME = ", and its name says "
"""Stands in warnings that follow from the name of a column, not from its cells."""


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


def likely_losses(table: pd.DataFrame) -> list[str]:
    """Return the columns of numbers whose names look like those of losses, evaluated ones before those of training."""
    names = [name for name in table.columns if any(part in folded(name) for part in LIKE_A_LOSS)]
    likely = [name for name in names if not words(name) & OF_A_LOSS and filled(table[name], with_numbers=True)]
    return sorted(likely, key=lambda name: bool(words(name) & {"train", "training"}))


def other_units(name: str, loss_unit: str) -> list[str]:
    """Return a warning where a loss is read in nats per token, and the name of its column says another unit."""
    said = [UNITS[word] for word in UNITS if word in words(name)] if loss_unit == "nats/token" else []
    return [
        f"column {shown(name)} is read as a loss in nats per token{BY_NAME}{unit}: {cure}, or give the loss unit"
        for unit, cure in said[:1]
    ]


def refuse_panel(names: Iterable[str], source: str) -> None:
    """Refuse the export of one panel of Weights & Biases, which has one column per run."""
    if any(name.endswith("__MIN") for name in names):
        raise DataError(
            f"{source} is the export of one panel, a metric with its MIN and MAX but without config; export the runs "
            "table, or run histories"
        )
