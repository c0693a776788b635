"""The table of runs: canonical columns in raw units; impossible values are refused, derived columns are noted."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from bayes_scaling.base.arguments import check_fields, validated
from bayes_scaling.base.messages import counted, listed, plain, shown
from bayes_scaling.base.names import CONVENTIONS
from bayes_scaling.data.columns import GROWING, derive_missing
from bayes_scaling.data.consistency import oddities, refuse_contradictions
from bayes_scaling.data.hints import BY_NAME, other_units
from bayes_scaling.data.naming import HASHED, NUMERIC, SPELLINGS, flat, named, text_columns
from bayes_scaling.data.reading import read_csv, read_json_lines, read_parquet, read_table
from bayes_scaling.data.validation import (
    WITHOUT_LOSS,
    Origin,
    floats,
    number,
    numeric,
    refuse_gaps,
    run_ids,
    with_loss,
)
from bayes_scaling.errors import REMEDY, DataError, Remedy


@dataclasses.dataclass(frozen=True, eq=False)
class Runs:
    """A validated table of training runs.

    Attributes
    ----------
    table : one row per observation, canonical columns first, other columns unchanged
    params_convention : what N counts: ``total``, ``non_embedding`` or ``unstated``
    loss_unit : unit of the loss column, used in labels (laws work in any unit)
    source : file or object that the rows came from, used in messages
    notes : what was recognised or derived on import
    warnings : what looks wrong but is possible
    """

    table: pd.DataFrame
    params_convention: str = "unstated"
    loss_unit: str = "nats/token"
    source: str = "the table"
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    EXPECTED: ClassVar[str] = "Runs, as from Runs.from_frame(frame) or Runs.read(path)"

    def __post_init__(self) -> None:
        check_fields(self)

    # --- constructors ---

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        columns: Mapping[str, str] | None = None,
        params_convention: str = "unstated",
        loss_unit: str = "nats/token",
        source: str = "the table",
    ) -> Runs:
        """Validate a DataFrame. Rows without a loss are left out, and a warning says how many and which.

        Parameters
        ----------
        frame : one row per run, or per evaluated step of a run; raw units (parameters, tokens, FLOPs)
        columns : from canonical names to the frame's names, where they differ: ``{"params": "N"}``;
            ``{"flops": ""}`` reads no column as flops
        params_convention : what N counts: ``total``, ``non_embedding`` or ``unstated``
        loss_unit : unit of the loss, for labels
        source : named in error messages

        Raises
        ------
        DataError
            For an impossible value, with its row (counted from 1, without the header) and column.
        """
        if not isinstance(params_convention, str) or params_convention not in CONVENTIONS:
            raise DataError(f"params_convention is {shown(params_convention)}; choose one of {', '.join(CONVENTIONS)}")
        if not isinstance(loss_unit, str) or not loss_unit.strip():
            raise DataError(f"loss_unit is {shown(loss_unit)}; expected text like 'nats/token'")
        source = plain(str(source), 120)
        frame, indexed = flat(frame, source)
        if not len(frame):
            raise DataError(f"{source} has no rows: expected one row per training run")
        table, spelled, notes = named(frame, {} if columns is None else columns, source)
        origin = Origin(source, spelled)
        table, origin, left_out = with_loss(table, origin)
        table = numeric(table, [name for name in NUMERIC if name in table], origin)
        if "run" in table:
            table["run"] = run_ids(table["run"], origin)
        # FLOPs are counted in many ways along a curve, whose run has one size: it does not follow from them.
        curves = "run" in table and table["run"].duplicated().any()
        there = {name: table[name] for name in SPELLINGS if name in table}
        columns, derived = derive_missing(there, unless=("params",) if curves else ())
        table = table.assign(**columns)
        refuse_contradictions(table, origin)
        table = table[[*(name for name in SPELLINGS if name in table), *(c for c in table if c not in SPELLINGS)]]
        return cls(
            table=table.reset_index(drop=True),
            params_convention=params_convention,
            loss_unit=loss_unit,
            source=source,
            notes=(*indexed, *notes, *derived),
            warnings=(
                *left_out,
                *other_units(spelled.get("loss", "loss"), loss_unit),
                *oddities(table, loss_unit, {*columns} - {*there}),
            ),
        )

    @classmethod
    def from_csv(cls, path: str | Path, **options: Any) -> Runs:
        """Read a CSV with a header line; ``options`` are those of `from_frame`."""
        return cls.from_frame(read_csv(_file(path), text_columns(options)), **_sourced(path, options))

    @classmethod
    def from_parquet(cls, path: str | Path, **options: Any) -> Runs:
        """Read a Parquet file (needs pyarrow); ``options`` are those of `from_frame`."""
        return cls.from_frame(read_parquet(_file(path)), **_sourced(path, options))

    @classmethod
    def from_json_lines(cls, path: str | Path, **options: Any) -> Runs:
        """Read a file with one JSON object per line; ``options`` are those of `from_frame`."""
        return cls.from_frame(read_json_lines(_file(path)), **_sourced(path, options))

    @classmethod
    def read(cls, path: str | Path, **options: Any) -> Runs:
        """Read a file by its ending: ``.csv``, ``.tsv``, ``.parquet``, ``.jsonl``, ``.ndjson`` or ``.json``.

        Parameters
        ----------
        path : the file
        options : those of `from_frame`

        Raises
        ------
        DataError
            When the file cannot be read as a table, or as of `from_frame`.
        """
        return cls.from_frame(read_table(_file(path), text_columns(options)), **_sourced(path, options))

    # --- reading ---

    def __len__(self) -> int:
        return len(self.table)

    def __contains__(self, column: object) -> bool:
        return column in self.table.columns

    def column(self, name: str) -> np.ndarray:
        """Return a copy of a numeric column, ``(n_row,)`` float64.

        Raises
        ------
        DataError
            When the column does not exist, or a cell of it is text, missing or infinite. Canonical columns hold only
            positive values.
        """
        if not isinstance(name, str) or name not in self.table:
            have = f"{self.source} has no column {shown(name)} (it has {listed(self.table)})"
            if str(name) not in SPELLINGS:
                raise DataError(have)
            raise DataError(f"{have}; map one with {REMEDY}", Remedy("columns", str(name), "name"))

        def place(row: int) -> str:
            return f"{self.source}, row {row + 1}, column {plain(name)}"

        values = floats(self.table[name], place)
        refuse_gaps(values, place, name)
        return values

    @property
    def loss(self) -> np.ndarray:
        """Losses, ``(n_row,)``, in ``loss_unit``."""
        return self.column("loss")

    @property
    def labels(self) -> list[str]:
        """A name for every row: its run id if the table has one, else its row number from 1."""
        return self.table["run"].astype(str).tolist() if "run" in self.table else [str(i + 1) for i in range(len(self))]

    @property
    def counted(self) -> str:
        """The size of the table in words: ``48 runs``, or ``1361 rows of 43 runs`` for training curves."""
        runs = self.table["run"].nunique() if "run" in self.table else len(self)
        return counted(len(self), "run") if runs == len(self) else f"{len(self)} rows of {counted(runs, 'run')}"

    @property
    def content_hash(self) -> str:
        """SHA-256 of the canonical columns, 16 hex digits."""
        return self.hash_of(())

    @validated
    def hash_of(self, others: Iterable[str]) -> str:
        """Return the SHA-256 of the canonical columns and some others, 16 hex digits."""
        more = sorted(set(others) - set(HASHED))
        missing = [name for name in more if name not in self.table]
        if missing:
            raise DataError(f"{self.source} has no column {shown(missing[0])} (it has {listed(self.table)})")
        names = [*(name for name in HASHED if name in self.table), *more]
        return hashlib.sha256(self.table[names].to_csv(index=False, lineterminator="\n").encode()).hexdigest()[:16]

    def where(self, keep: Any) -> Runs:
        """Return the rows where ``keep``, ``(n_row,)`` bool, is true.

        Raises
        ------
        DataError
            When ``keep`` is something else, or true nowhere.
        """
        try:
            chosen = np.asarray(keep)
        except ValueError:  # a ragged list
            chosen = np.array(None)
        if chosen.dtype == object and all(isinstance(one, bool | np.bool_) for one in chosen.flat):
            chosen = chosen.astype(bool)  # pandas returns its nullable booleans as objects
        if chosen.dtype != bool or chosen.shape != (len(self),):
            raise DataError(
                f"expected True or False for each of the {len(self)} rows of {self.source}, "
                f"got {plain(str(chosen.dtype))} of shape {chosen.shape}"
            )
        table = self.table[chosen].reset_index(drop=True)
        if table.empty:
            raise DataError(f"no row of {self.source} is left after the selection")
        of_source = (said for said in self.warnings if BY_NAME in said or WITHOUT_LOSS in said)
        return dataclasses.replace(self, table=table, warnings=(*of_source, *oddities(table, self.loss_unit)))

    def cut(self, column: str, at: float) -> tuple[Runs, Runs]:
        """Split into rows with ``column <= at`` and rows above, to fit the first and score the second.

        Raises
        ------
        DataError
            When there is no such column, ``at`` is no number, or all rows lie on one side.
        """
        limit = number(at)
        if limit is None or np.isnan(limit):
            raise DataError(f"cannot cut {plain(str(column))} at {shown(at)}; expected a number")
        values = self.column(column)
        below = values <= limit
        for name, side in (("at or below", below), ("above", ~below)):
            if not side.any():
                low, high = values.min(), values.max()
                raise DataError(
                    f"no run has {plain(column)} {name} {shown(limit)}; it ranges from {low:.3g} to {high:.3g}"
                )
        return self.where(below), self.where(~below)

    # --- training curves ---

    @validated
    def after_warmup(self, fraction: float = 0.1, **limit: float) -> Runs:
        """Drop the first part of every training curve, where no scaling law holds.

        Parameters
        ----------
        fraction : rows up to this fraction of a run's last row (in steps, or else tokens, or FLOPs) are dropped; about
            a tenth is best (Choshen et al. 2024, arXiv 2410.11840)
        limit : an absolute limit instead: ``steps=3000`` or ``tokens=1e10``

        Returns
        -------
        Runs
            With a note on the number of dropped rows. A run of a single row is kept.
        """
        column, position = self._along(limit)
        if limit:
            least = np.full(len(self), float(limit[column]))
        else:
            if not 0 <= fraction < 1:
                raise DataError(f"fraction is {fraction:g}, expected a fraction of each run between 0 and 1")
            least = fraction * self.table.groupby(self.table["run"])[column].transform("max").to_numpy(float)
        alone = self.table.groupby(self.table["run"])["run"].transform("size").to_numpy() == 1
        kept = self.where((position > least) | alone)
        rule = f"{column} <= {limit[column]:g}" if limit else f"the first {fraction:.0%} of its {column}"
        note = f"warm-up: {len(self) - len(kept)} of {len(self)} rows left out ({rule} of each run)"
        return dataclasses.replace(kept, notes=(*kept.notes, note))

    def ends(self) -> Runs:
        """Keep only the last row of every run, its final loss, for laws of finished runs."""
        column, position = self._along({})
        last = self.table.groupby(self.table["run"])[column].transform("max").to_numpy(float)
        kept = self.where(position == last)
        note = f"ends of runs: {len(self) - len(kept)} of {len(self)} rows left out"
        return dataclasses.replace(kept, notes=(*kept.notes, note))

    def _along(self, limit: Mapping[str, float]) -> tuple[str, np.ndarray]:
        """Return the column that grows along a run, and its values."""
        if "run" not in self:
            raise DataError(
                f"{self.source} has no column run, which says which rows form one curve (it has {listed(self.table)})"
            )
        candidates = list(limit) or list(GROWING)
        found = [name for name in candidates if name in self]
        if len(limit) > 1 or not found:
            raise DataError(
                f"rows of a run are ordered by one of steps, tokens, flops; got {listed(limit) if limit else 'none'} "
                f"({self.source} has {listed(self.table)})"
            )
        return found[0], self.column(found[0])


def _file(path: str | Path) -> Path:
    if not isinstance(path, str | Path):
        raise DataError(f"expected the path of a file, got {type(path).__name__}; a DataFrame goes to Runs.from_frame")
    return Path(path)


def _sourced(path: str | Path, options: Mapping[str, Any]) -> dict[str, Any]:
    return {"source": Path(path).name, **options}
