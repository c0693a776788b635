"""Checks of the cells of a table of runs; every error is one line that names the cell."""

from __future__ import annotations

import dataclasses
import decimal
import numbers
import re
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pandas as pd

from bayes_scaling.base.messages import counted, encodable, plain, shown
from bayes_scaling.errors import REMEDY, DataError, Remedy

LARGEST = 1e50
"""Far above any quantity of a training run; the bound also keeps every derived product finite."""

COUNTS = ("params", "tokens", "unique_tokens", "steps", "batch_tokens")
"""Columns of counts: a value below one means another unit."""

PF_DAY = 8.64e19  # FLOPs

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_SUFFIXED = re.compile(r"[+-]?[\d.,]+\s*([kmgbtp]|thousand|million|billion|trillion)", re.IGNORECASE | re.ASCII)
_SEPARATED = re.compile(r"[+-]?\d[\d.,_'\s]*([eE][+-]?\d+)?", re.ASCII)
_MISSING = frozenset({"", "-", "nan", "na", "n/a", "<na>", "null", "none"})
_LISTED = 5  # rows that are named
WITHOUT_LOSS = " without a loss left out: "
"""Part of the warning of `with_loss`."""

_INFINITE = frozenset({"inf", "infinity", "+inf", "+infinity", "-inf", "-infinity"})


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a table came from, so that messages use the user's names.

    Attributes
    ----------
    source : the file or object, already escaped for messages
    spelled : from canonical names to names in the source
    rows : which rows of the source these are, counted from 0, where some were left out
    """

    source: str
    spelled: Mapping[str, str]
    rows: tuple[int, ...] | None = None

    def row(self, row: int) -> str:
        """Name a row of the source; ``row`` counts from 0, the message counts from 1 without the header."""
        return f"row {(row if self.rows is None else self.rows[row]) + 1}"

    def column(self, name: str) -> str:
        """Name a column: ``column tokens``, or ``column n_tokens (read as tokens)``."""
        theirs = self.spelled.get(name, name)
        return f"column {name}" if theirs == name else f"column {plain(theirs)} (read as {name})"

    def cell(self, row: int, name: str) -> str:
        """Name a cell of a row, which counts from 0."""
        return f"{self.source}, {self.row(row)}, {self.column(name)}"


def number(cell: object) -> float | None:
    """Return a cell as a float, NaN if it is missing, None if it is not a number.

    Text counts only if it is a plain decimal number: ``1,000``, ``1_000`` and ``70B`` are refused, because a guess
    that is wrong by a factor of a thousand would go unnoticed.
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
    """Return a column as float64, ``(n_row,)``; the error names the cell that is not a number, by ``place(row)``."""
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


def refuse_gaps(values: np.ndarray, place: Callable[[int], str], name: str = "loss") -> None:
    """Refuse missing and infinite values of a column; only a loss can be infinite because a run diverged."""
    _refuse(np.isnan(values), None, place, "the value is missing: fill the cell or drop the row")
    cure = "drop the row if the run diverged" if name in ("loss", "loss_se") else "check the cell, or drop the row"
    _refuse(np.isinf(values), values, place, f"is infinite or too large: {cure}")


def _refuse(
    bad: np.ndarray, values: np.ndarray | None, place: Callable[[int], str], what: str, *remedies: Remedy
) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        value = "" if values is None else f"{shown(float(values[row]))} "
        raise DataError(f"{place(row)}: {value}{what}{others(bad)}", *remedies)


def others(bad: np.ndarray) -> str:
    """Return the end of a message: how many more rows have the same problem."""
    more = int(bad.sum()) - 1
    return f" (and {more} more row{'s' if more > 1 else ''})" if more else ""


def with_loss(table: pd.DataFrame, origin: Origin) -> tuple[pd.DataFrame, Origin, tuple[str, ...]]:
    """Leave out the rows whose loss is missing, as of runs that diverged or go on; a table with no loss stays as it is.

    Returns
    -------
    the table, its origin, and the warning that says how many rows are left out, and which
    """
    missing = np.isnan(floats(table["loss"], lambda row: origin.cell(row, "loss")))
    if not missing.any() or missing.all():
        return table, origin, ()
    gone = np.flatnonzero(missing)
    rows = ", ".join(str(row + 1) for row in gone[:_LISTED])
    if len(gone) > _LISTED:
        rows += f" and {len(gone) - _LISTED} more"
    said = f"{counted(len(gone), 'row')}{WITHOUT_LOSS}{'row' if len(gone) == 1 else 'rows'} {rows} of {len(table)}"
    kept = np.flatnonzero(~missing)
    origin = dataclasses.replace(origin, rows=tuple(int(row) for row in kept))
    return table.iloc[kept].reset_index(drop=True), origin, (said,)


def numeric(table: pd.DataFrame, names: Iterable[str], origin: Origin, may_be_zero: Iterable[str] = ()) -> pd.DataFrame:
    """Return the table with these columns as positive, finite float64; the error names the first impossible cell.

    Parameters
    ----------
    may_be_zero : columns in which zero is allowed
    """
    columns = {}
    for name in names:

        def place(row: int, name: str = name) -> str:
            return origin.cell(row, name)

        columns[name] = values = floats(table[name], place)
        if name == "flops" and {"params", "tokens"} <= {*table}:
            cure = f"fill the cell, or leave the column out, which follows from params and tokens: {REMEDY}"
            _refuse(np.isnan(values), None, place, f"the value is missing: {cure}", Remedy("columns", "flops", ""))
        refuse_gaps(values, place, name)
        _refuse(values < 0, values, place, "is negative: expected a positive number in raw units")
        if name not in may_be_zero:
            _refuse(values == 0, values, place, "is zero: expected a positive number in raw units; drop the row")
        if name in COUNTS:
            _refuse(
                values < 1, values, place, "is below one: expected a count in raw units, not in millions or billions"
            )
        if name == "loss":
            _refuse(
                values < 1 / LARGEST, values, place, f"is below {1 / LARGEST:g}: no loss is that small, check the cell"
            )
        _refuse(values > LARGEST, values, place, f"is above {LARGEST:g}: no training run has that, check the cell")
    return table.assign(**columns)


def run_ids(cells: pd.Series, origin: Origin) -> list[str]:
    """Return run ids as text, so that they do not depend on the file format."""
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
            ids.append(str(int(value)))  # pandas easily turns integers into floats
        else:
            raise DataError(f"{origin.cell(row, 'run')}: {shown(cell)} is not a run id: expected text or an integer")
    return ids
