"""Columns of a run that follow from others: the only place where they are derived."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bayes_scaling.base.arguments import came
from bayes_scaling.base.messages import plain
from bayes_scaling.data.units import FLOPS_PER_PARAM_TOKEN
from bayes_scaling.errors import ForecastError

type Points = Mapping[str, np.ndarray]
"""Planned runs, or runs to evaluate: columns in raw units, (n_point,) each."""

GROWING = ("steps", "tokens", "flops")
"""What grows along a training curve; the first of them that a table has says how far a row is."""
ORDERING = (*GROWING, "characters", "examples")
"""What may order the rows of a run: those of a training curve, or of one model tuned on more and more data."""


def ordering(table: pd.DataFrame) -> list[str]:
    """Return the columns of a validated table that may order the rows of a run; a log may call its texts examples."""
    numbers = {str(name) for name in table.select_dtypes("number") if table[name].notna().all()}
    return [name for name in ORDERING if name in numbers]


class Rule(NamedTuple):
    """How one column follows from two others.

    Attributes
    ----------
    name : the derived column
    needs : the columns that it follows from
    words : the rule in words
    value : the rule
    """

    name: str
    needs: tuple[str, str]
    words: str
    value: Callable[[Any, Any], Any]


RULES = (
    Rule("tokens", ("steps", "batch_tokens"), "steps x batch_tokens", lambda steps, batch: steps * batch),
    Rule(
        "tokens",
        ("params", "flops"),
        f"flops / ({FLOPS_PER_PARAM_TOKEN:g} params)",
        lambda params, flops: flops / (FLOPS_PER_PARAM_TOKEN * params),
    ),
    Rule(
        "params",
        ("tokens", "flops"),
        f"flops / ({FLOPS_PER_PARAM_TOKEN:g} tokens)",
        lambda tokens, flops: flops / (FLOPS_PER_PARAM_TOKEN * tokens),
    ),
    Rule("steps", ("tokens", "batch_tokens"), "tokens / batch_tokens", lambda tokens, batch: tokens / batch),
    Rule(
        "flops",
        ("params", "tokens"),
        f"{FLOPS_PER_PARAM_TOKEN:g} params x tokens",
        lambda params, tokens: FLOPS_PER_PARAM_TOKEN * params * tokens,
    ),
)
"""Rules in the order in which they are tried; an existing column is never replaced."""


def table_of(inputs: Mapping[str, Any]) -> pd.DataFrame:
    """Return inputs of runs, numbers or lists of equal length, as a table.

    Raises
    ------
    ForecastError
        When lengths differ, a list is empty, or one holds lists itself.
    """
    try:
        columns = {name: np.atleast_1d(np.asarray(values, object)) for name, values in inputs.items()}
        arrays = dict(zip(columns, np.broadcast_arrays(*columns.values()), strict=True))
    except ValueError as error:
        lengths = ", ".join(f"{name} {np.size(v)}" for name, v in columns.items())
        raise ForecastError(
            f"inputs of different lengths ({lengths}); give lists of equal length or single numbers"
        ) from error
    for name, values in arrays.items():
        if values.ndim != 1 or not values.size:
            raise ForecastError(f"{plain(name)} is {came(inputs[name])}; expected a number or a list of numbers")
    return pd.DataFrame(arrays)


def derive_missing(columns: Mapping[str, Any], unless: Collection[str] = ()) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Add the columns that follow from the existing ones.

    Parameters
    ----------
    columns : in raw units, numbers or arrays of any kind
    unless : columns that are not derived

    Returns
    -------
    all columns, and a sentence for each derived one
    """
    known, rules = dict(columns), _applied(columns, unless)
    for rule in rules:
        known[rule.name] = rule.value(*(known[need] for need in rule.needs))
    return known, tuple(f"{rule.name} derived as {rule.words}" for rule in rules)


def behind(read: Collection[str], given: Collection[str]) -> set[str]:
    """Return the given columns that some columns are, or are derived from by `derive_missing`."""
    needs = {rule.name: rule.needs for rule in _applied(given)}
    found, wanted = set[str](), [*read]
    while wanted:
        name = wanted.pop()
        found.add(name)
        wanted += needs.get(name, ())
    return found & {*given}


def _applied(given: Collection[str], unless: Collection[str] = ()) -> list[Rule]:
    """Return the rules that columns follow by, in their order, where some are given and others are not derived."""
    known, rules = {*given}, list[Rule]()
    for rule in RULES:
        if rule.name not in (*known, *unless) and known.issuperset(rule.needs):
            known.add(rule.name)
            rules.append(rule)
    return rules
