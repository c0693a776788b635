"""What is impossible in a table of runs, and what is merely odd; every refusal is one line that names the cell."""

from __future__ import annotations

import dataclasses
import decimal
import numbers
import re
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pandas as pd

from bayes_scaling.base.messages import encodable, plain, shown
from bayes_scaling.errors import DataError

FLOPS_FACTOR = 10.0
"""C may differ from 6ND by this factor (attention, embeddings, counting rules) and no more."""

LARGEST = 1e50
"""No quantity of a training run comes near this; a bound also keeps every derived product finite."""

COUNTS = ("params", "tokens", "unique_tokens", "steps", "batch_tokens")
"""Columns that count something: below one they are in another unit."""

PF_DAY = 8.64e19  # FLOPs

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_SUFFIXED = re.compile(r"[+-]?[\d.,]+\s*([kmgbtp]|thousand|million|billion|trillion)", re.IGNORECASE | re.ASCII)
_SEPARATED = re.compile(r"[+-]?\d[\d.,_'\s]*([eE][+-]?\d+)?", re.ASCII)
_MISSING = frozenset({"", "nan", "na", "n/a", "<na>", "null", "none"})
_INFINITE = frozenset({"inf", "infinity", "+inf", "+infinity", "-inf", "-infinity"})


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a table came from, to name its cells as their owner knows them.

    Attributes
    ----------
    source : the file or object, already fit for a message
    spelled : canonical name to the name in the source
    """

    source: str
    spelled: Mapping[str, str]

    def column(self, name: str) -> str:
        """Name a column: ``column tokens``, or ``column n_tokens (read as tokens)``."""
        theirs = self.spelled.get(name, name)
        return f"column {name}" if theirs == name else f"column {plain(theirs)} (read as {name})"

    def cell(self, row: int, name: str) -> str:
        """Name a cell; ``row`` counts from 0, the message from 1 and without the header."""
        return f"{self.source}, row {row + 1}, {self.column(name)}"


# --- cells ---


def number(cell: object) -> float | None:
    """Return a cell as a float, NaN where it is missing, None where it is no number.

    Text counts only when it is a plain decimal number: ``1,000``, ``1_000`` and ``70B`` are left to their owner,
    because a guess that is wrong by a factor of a thousand would go unseen.
    """
    if isinstance(cell, str):
        text = cell.strip()
        if _NUMBER.fullmatch(text):
            return float(text)
        word = text.lower()
        if word in _MISSING:
            return float("nan")
        return float(word) if word in _INFINITE else None
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return float("nan")
    if isinstance(cell, numbers.Real | decimal.Decimal) and not isinstance(cell, bool | np.timedelta64):
        try:
            return float(cell)
        except OverflowError:
            return float("inf")
        except ValueError:  # a signalling NaN
            return float("nan")
    return None


def floats(cells: pd.Series, place: Callable[[int], str]) -> np.ndarray:
    """Return a column as float64, ``(n_row,)``, or say which cell is not a number; ``place(row)`` names a cell."""
    kinds = pd.api.types
    if (
        kinds.is_numeric_dtype(cells.dtype)
        and not kinds.is_bool_dtype(cells.dtype)
        and not kinds.is_complex_dtype(cells.dtype)
    ):
        with np.errstate(all="ignore"):
            return np.array(cells.to_numpy(float, na_value=np.nan))
    values = np.empty(len(cells))
    for row, cell in enumerate(cells.astype(object)):
        value = number(cell)
        if value is None:
            raise DataError(f"{place(row)}: {shown(cell)} is not a number: {_remedy(cell)}")
        values[row] = value
    return values


def _remedy(cell: object) -> str:
    if isinstance(cell, str) and _SEPARATED.fullmatch(cell.strip()):
        return "write it without separators and with a decimal point, like 1400000.5 or 1.4e6"
    if isinstance(cell, str) and _SUFFIXED.fullmatch(cell.strip()):
        return "write it out in raw units, like 7e10 for 70B"
    return "expected a plain number like 1.4e12"


def refuse_gaps(values: np.ndarray, place: Callable[[int], str]) -> None:
    """Refuse missing and infinite values."""
    _refuse(np.isnan(values), None, place, "the value is missing: fill the cell or drop the row")
    _refuse(
        np.isinf(values), values, place, "is infinite or too large: a diverged run is not an observation, drop the row"
    )


def _refuse(bad: np.ndarray, values: np.ndarray | None, place: Callable[[int], str], what: str) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        value = "" if values is None else f"{shown(float(values[row]))} "
        raise DataError(f"{place(row)}: {value}{what}{_others(bad)}")


def _others(bad: np.ndarray) -> str:
    more = int(bad.sum()) - 1
    return f" (and {more} more row{'s' if more > 1 else ''})" if more else ""


def numeric(table: pd.DataFrame, names: Iterable[str], origin: Origin, may_be_zero: Iterable[str] = ()) -> pd.DataFrame:
    """Return the table with these columns as positive, finite float64; the first impossible cell is named.

    Parameters
    ----------
    may_be_zero : columns in which zero is a value like any other
    """
    columns = {}
    for name in names:

        def place(row: int, name: str = name) -> str:
            return origin.cell(row, name)

        columns[name] = values = floats(table[name], place)
        refuse_gaps(values, place)
        _refuse(values < 0, values, place, "is negative: expected a positive number in raw units")
        if name not in may_be_zero:
            _refuse(values == 0, values, place, "is zero: expected a positive number in raw units; drop the row")
        if name in COUNTS:
            _refuse(
                values < 1, values, place, "is below one: expected a count in raw units, not in millions or billions"
            )
        _refuse(values > LARGEST, values, place, f"is above {LARGEST:g}: no training run has that, check the cell")
    return table.assign(**columns)


def run_ids(cells: pd.Series, origin: Origin) -> list[str]:
    """Return run ids as text, so that they are the same from every kind of file."""
    ids = []
    for row, cell in enumerate(cells.astype(object)):
        value = number(cell) if not isinstance(cell, str) else None
        if (isinstance(cell, str) and not cell.strip()) or (value is not None and np.isnan(value)):
            raise DataError(f"{origin.cell(row, 'run')}: the run id is missing: fill the cell or drop the column")
        if isinstance(cell, str) and encodable(cell):
            ids.append(cell)
        elif isinstance(cell, numbers.Integral) and not isinstance(cell, bool):
            ids.append(str(int(cell)))
        elif value is not None and value.is_integer():
            ids.append(str(int(value)))  # pandas turns whole numbers into floats on the slightest occasion
        else:
            raise DataError(f"{origin.cell(row, 'run')}: {shown(cell)} is no run id: expected text or a whole number")
    return ids


# --- rows ---


def refuse_contradictions(table: pd.DataFrame, origin: Origin) -> None:
    """Refuse rows that contradict themselves or each other; canonical columns are validated and derived by now."""
    if "tokens" in table and (table["tokens"] < 1).any():  # given tokens are at least one: these were derived
        row = int(np.flatnonzero(table["tokens"] < 1)[0])
        raise DataError(
            f"{origin.source}, row {row + 1}: flops / (6 x params) gives {table['tokens'].iloc[row]:.3g} tokens: "
            f"check the units of flops (a PF-day is {PF_DAY:g} FLOPs) and params"
        )
    if {"params", "tokens", "flops"} <= set(table):
        _refuse_wrong_flops(table, origin)
    if "run" in table:
        _refuse_changed_size(table, origin)
        moving = [name for name in ("tokens", "steps", "flops") if name in table]
        keys, what = table[["run", *moving]], "the same run at the same point of training"
    else:
        # Cells of other columns may be lists or objects, which pandas cannot compare: their text can.
        kinds = pd.api.types
        keys = pd.DataFrame(
            {c: v if kinds.is_numeric_dtype(v.dtype) else v.astype(object).map(repr) for c, v in table.items()}
        )
        what = "the same values in every column"
    same = keys.duplicated().to_numpy()
    if same.any():
        row = int(np.flatnonzero(same)[0])
        group = keys.groupby(list(keys), sort=False, dropna=False).ngroup().to_numpy()
        first = int(np.flatnonzero(group == group[row])[0])
        raise DataError(
            f"{origin.source}, row {row + 1} repeats row {first + 1} ({what}){_others(same)}: drop the copies, "
            "or give repeated runs their own id in a column 'run'"
        )


def _refuse_wrong_flops(table: pd.DataFrame, origin: Origin) -> None:
    power = np.log10(table["flops"].to_numpy() / 6) - np.log10((table["params"] * table["tokens"]).to_numpy())
    bad = np.abs(power) > np.log10(FLOPS_FACTOR)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"{origin.cell(row, 'flops')}: {table['flops'].iloc[row]:.3g} is {10 ** power[row]:.3g} times 6 x params x "
            f"tokens (allowed: within {FLOPS_FACTOR:g}x){_unit_guess(power[row])}; check the units of these "
            f"three columns{_others(bad)}"
        )


def _unit_guess(power: float) -> str:
    """Say which unit would explain FLOPs that are ``10 ** power`` times 6ND."""
    if abs(power + np.log10(PF_DAY)) < 0.35:
        return f", as if flops were given in PF-days of {PF_DAY:g} FLOPs"
    for digits in (3, 6, 9, 12, 15, 18, 21):
        if abs(abs(power) - digits) < 0.7:
            side = "params or tokens were" if power > 0 else "flops were"
            return f", as if {side} given in units of 1e{digits}"
    return ""


def _refuse_changed_size(table: pd.DataFrame, origin: Origin) -> None:
    if "params" not in table:
        return
    first = table.groupby("run", sort=False)["params"].transform("first").to_numpy()
    bad = table["params"].to_numpy() != first
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"{origin.cell(row, 'params')}: run {shown(table['run'].iloc[row])} has {shown(table['params'].iloc[row])} "
            f"parameters here and {shown(first[row])} in an earlier row{_others(bad)}: one run, one size"
        )


def oddities(table: pd.DataFrame, loss_unit: str) -> tuple[str, ...]:
    """Say what looks wrong in a validated table without being impossible."""
    odd = []
    if {"params", "tokens"} <= set(table):
        per_param = float(np.median(table["tokens"] / table["params"]))
        for name, wrong in (("params", per_param > 1e5), ("tokens", per_param < 1e-2)):
            if wrong:
                odd.append(
                    f"{per_param:.3g} tokens per parameter: {name} look as if given in millions or billions; "
                    "every column is read in raw units"
                )
    # Smaller than any training that takes a second: with few columns this is all there is to see of a wrong unit.
    for name, least in (("flops", 1e9), ("params", 1e3), ("tokens", 1e4)):
        if name in table and (largest := float(table[name].max())) < least:
            odd.append(
                f"the largest {name} is {largest:.3g}: it looks as if given in another unit than raw {name}"
                + (f" (a PF-day is {PF_DAY:g} FLOPs)" if name == "flops" else "")
            )
    for name in ("params", "tokens"):
        if name in table:
            jumps = np.diff(np.sort(np.log10(table[name].to_numpy())))
            if jumps.size and jumps.max() > 4.5:
                odd.append(f"{name} jumps by a factor {10 ** jumps.max():.1g}: some rows may be in other units")
    for small, large, why in (
        ("unique_tokens", "tokens", "a run cannot see more distinct tokens than it processes"),
        ("loss_se", "loss", "a standard error above the loss itself says nothing"),
    ):
        if {small, large} <= set(table) and (bad := (table[small] > 1.01 * table[large]).to_numpy()).any():
            odd.append(f"{small} is above {large} in row {int(np.flatnonzero(bad)[0]) + 1}{_others(bad)}: {why}")
    if {"steps", "batch_tokens", "tokens"} <= set(table):
        ratio = (table["tokens"] / (table["steps"] * table["batch_tokens"])).to_numpy()
        if (bad := (ratio > 2) | (ratio < 0.5)).any():
            row = int(np.flatnonzero(bad)[0])
            odd.append(f"tokens is {ratio[row]:.3g} times steps x batch_tokens in row {row + 1}{_others(bad)}")
    loss = table["loss"].to_numpy()
    middle = float(np.median(loss))
    if loss_unit == "nats/token" and middle > 20:
        odd.append(f"the median loss is {middle:.3g} nats per token, above any vocabulary's: is it a perplexity?")
    if (far := loss > 5 * middle).any():
        row = int(np.flatnonzero(far)[0])
        odd.append(
            f"{int(far.sum())} losses are over five times the median (row {row + 1}: {loss[row]:.3g}): "
            "diverged runs should be dropped"
        )
    return tuple(odd)
