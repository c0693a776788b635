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
from bayes_scaling.base.messages import counted, encodable, folded, listed, plain, shown
from bayes_scaling.base.names import CONVENTIONS
from bayes_scaling.data.columns import derive_missing
from bayes_scaling.data.consistency import oddities, refuse_contradictions
from bayes_scaling.data.hints import BY_NAME, RARER, filled, likely_losses, other_units, refuse_panel
from bayes_scaling.data.reading import read_csv, read_json_lines, read_parquet, read_table
from bayes_scaling.data.validation import (
    Origin,
    floats,
    number,
    numeric,
    refuse_gaps,
    run_ids,
)
from bayes_scaling.errors import REMEDY, DataError, Remedy

SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "params": (
        *("n", "n_params", "num_params", "parameters", "param_count", "model_size", "model_params"),
        *RARER["params"],
    ),
    "tokens": (
        *("d", "n_tokens", "num_tokens", "train_tokens", "training_tokens", "tokens_seen", "token_count"),
        *RARER["tokens"],
    ),
    "unique_tokens": ("u", "u_d", "n_unique_tokens", "distinct_tokens"),
    "flops": ("c", "compute", "train_flops", "training_flops", "total_flops", "flop", *RARER["flops"]),
    "steps": (
        *("s", "step", "n_steps", "num_steps", "train_steps", "training_steps"),
        *("_step", "global_step", "iteration", "iterations", "iter"),
        *RARER["steps"],
    ),
    "batch_tokens": ("b", "batch_size_tokens", "tokens_per_step", "tokens_per_batch"),
    "peak_learning_rate": ("peak_lr", "max_lr", "max_learning_rate"),
    "loss": (
        *("l", "val_loss", "valid_loss", "validation_loss", "eval_loss", "test_loss", "final_loss", "y"),
        *RARER["loss"],
    ),
    "loss_se": ("loss_std_error", "loss_stderr", "se", "stderr", "standard_error"),
    "run": ("run_id", "run_name", "id", "name"),
}
"""Canonical columns, and other spellings that are recognised, in any case, with blanks, hyphens or slashes."""

NUMERIC = tuple(name for name in SPELLINGS if name != "run")
HASHED = tuple(name for name in SPELLINGS if name != "peak_learning_rate")  # hashes of saved fits stay what they were


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
        """Validate a DataFrame.

        Parameters
        ----------
        frame : one row per run, or per evaluated step of a run; raw units (parameters, tokens, FLOPs)
        columns : from canonical names to the frame's names, where they differ: ``{"params": "N"}``
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
        frame, indexed = _flat(frame, source)
        if not len(frame):
            raise DataError(f"{source} has no rows: expected one row per training run")
        table, spelled, notes = _named(frame, {} if columns is None else columns, source)
        origin = Origin(source, spelled)
        table = numeric(table, [name for name in NUMERIC if name in table], origin)
        if "run" in table:
            table["run"] = run_ids(table["run"], origin)
        columns, derived = derive_missing({name: table[name] for name in SPELLINGS if name in table})
        table = table.assign(**columns)
        refuse_contradictions(table, origin)
        table = table[[*(name for name in SPELLINGS if name in table), *(c for c in table if c not in SPELLINGS)]]
        return cls(
            table=table.reset_index(drop=True),
            params_convention=params_convention,
            loss_unit=loss_unit,
            source=source,
            notes=(*indexed, *notes, *derived),
            warnings=(*other_units(spelled.get("loss", "loss"), loss_unit), *oddities(table, loss_unit)),
        )

    @classmethod
    def from_csv(cls, path: str | Path, **options: Any) -> Runs:
        """Read a CSV with a header line; ``options`` are those of `from_frame`."""
        return cls.from_frame(read_csv(_file(path), _text_columns(options)), **_sourced(path, options))

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
        """Read a file by its ending: ``.csv``, ``.tsv``, ``.parquet``, ``.jsonl``, ``.ndjson`` or ``.json``."""
        return cls.from_frame(read_table(_file(path), _text_columns(options)), **_sourced(path, options))

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
        """Return the rows where ``keep``, ``(n_row,)`` bool, is true."""
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
        by_name = (said for said in self.warnings if BY_NAME in said)
        return dataclasses.replace(self, table=table, warnings=(*by_name, *oddities(table, self.loss_unit)))

    def cut(self, column: str, at: float) -> tuple[Runs, Runs]:
        """Split into rows with ``column <= at`` and rows above, to fit the first and score the second."""
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
        candidates = list(limit) or ["steps", "tokens", "flops"]
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


def _text_columns(options: Mapping[str, Any]) -> set[str]:
    """Return the names of columns that hold run ids, which stay text where they look like numbers."""
    columns = options.get("columns")
    mapped = {folded(str(columns["run"]))} if isinstance(columns, Mapping) and "run" in columns else set()
    return {"run", *SPELLINGS["run"], *mapped}


def _flat(frame: pd.DataFrame, source: str) -> tuple[pd.DataFrame, list[str]]:
    """Return a copy with column names as text, and with named index levels as columns."""
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"expected a pandas DataFrame with one row per run, got {type(frame).__name__}")
    if frame.columns.nlevels > 1:
        raise DataError(f"{source} has column names of {frame.columns.nlevels} levels; give each column one name")
    titles = [str(name) for name in frame.columns]
    broken = [title for title in titles if not encodable(title)]
    if broken:
        raise DataError(f"{source} has a column named {shown(broken[0])}, which is not valid text; rename it")
    frame = frame.copy().set_axis(titles, axis="columns")
    doubled = frame.columns[frame.columns.duplicated()]
    if len(doubled):
        raise DataError(f"{source} has two columns named {shown(doubled[0])}; rename or drop one")
    notes = []
    for level, title in enumerate(frame.index.names):
        if title is not None and str(title) not in frame:  # as from groupby and set_index
            frame[str(title)] = frame.index.get_level_values(level)
            notes.append(f"index {shown(str(title))} read as a column")
    return frame.reset_index(drop=True), notes


def _named(
    frame: pd.DataFrame, columns: Mapping[str, str], source: str
) -> tuple[pd.DataFrame, dict[str, str], list[str]]:
    """Rename columns to canonical names: first by the user's mapping, then by known spellings.

    Returns
    -------
    the renamed table, a mapping from canonical to original names, and notes
    """
    spelled = _mapping(frame, columns, source)
    notes, passed = list[str](), list[str]()
    for ours, spellings in SPELLINGS.items():
        if ours in spelled:
            continue
        free = [name for name in frame.columns if name not in spelled.values()]
        found, empty = _holding([name for name in free if folded(name) in (ours, *spellings)], frame, ours)
        what = "run id" if ours == "run" else "number"
        notes += [f"column {shown(name)} passed over: it holds no {what}" for name in empty]
        passed += empty
        rarer = [name for name in found if folded(name) in RARER.get(ours, ())]
        if ours in found:
            others = [name for name in found if name != ours and name not in rarer]
            if others and ours != "run":
                notes.append(f"column {ours!r} read as {ours}; {listed(others)} kept as extra columns")
            continue
        if rarer and any(ours != "loss" or len(folded(name)) > 1 for name in found if name not in rarer):
            found = [name for name in found if name not in rarer]
            notes.append(f"{listed(rarer)} kept as extra columns, since {shown(found[0])} is more usual for {ours}")
        if len(found) > 1 and ours != "run":
            could = " and ".join(map(shown, found))
            raise DataError(
                f"{source}: {could} could both be {ours}; say which with {REMEDY}", Remedy("columns", ours, "name")
            )
        if ours == "loss" and found and len(folded(found[0])) == 1:
            _refuse_letter(found[0], frame[free], source)
        if found:
            found.sort(key=lambda name: (ours, *spellings).index(folded(name)))
            curves = _name_of_curves(frame, found, spelled) if ours == "run" else None
            spelled[ours] = curves or found[0]
            apart = f"; {shown(found[0])} differs in every row and is kept as an extra column" if curves else ""
            notes.append(f"column {shown(spelled[ours])} read as {ours}{apart}")
    replaced = [ours for ours, theirs in spelled.items() if ours in frame and ours not in spelled.values()]
    notes += [
        f"column {ours!r} set aside: {shown(spelled[ours])} is read as {ours}"
        for ours in replaced
        if ours not in passed
    ]
    table = frame.drop(columns=replaced).rename(columns={theirs: ours for ours, theirs in spelled.items()})
    return table, spelled, [*notes, *_notes_on_sizes(table, f"(it has {listed(frame.columns)})", source)]


def _holding(names: list[str], frame: pd.DataFrame, ours: str) -> tuple[list[str], list[str]]:
    """Split candidates for a column into those that hold what it needs, or all where none does, and the others."""
    found = [name for name in names if len(names) == 1 or filled(frame[name], with_numbers=ours != "run")] or names
    return found, [name for name in names if name not in found]


def _notes_on_sizes(table: pd.DataFrame, have: str, source: str) -> list[str]:
    """Refuse a table without a loss or without a number beside it; note where it has no size."""
    if "loss" not in table:
        refuse_panel(table.columns, source)
        likely = likely_losses(table)
        like = f"; {listed(likely, 5)} may be {'it' if len(likely) == 1 else 'among them'}" if likely else ""
        raise DataError(
            f"{source} has no loss column {have}{like}; map one with {REMEDY}", Remedy("columns", "loss", "name")
        )
    sizes = ("params", "tokens", "flops", "steps")
    if any(name in table for name in sizes):
        return []
    # A law may read only columns of its own, such as a position, but the table must have at least one number.
    others = [name for name in table if name not in ("loss", "loss_se", "run")]
    if not any(filled(table[name], with_numbers=True) for name in others):
        raise DataError(
            f"{source} has none of {', '.join(sizes)} {have}; map one with {REMEDY}",
            Remedy("columns", "params", "name"),
        )
    return [
        f"no column is read as params, tokens, flops or steps {have}: map one, unless a law reads a column of its own"
    ]


def _name_of_curves(frame: pd.DataFrame, found: list[str], spelled: Mapping[str, str]) -> str | None:
    """Return the column that names training curves, where the one that would be read as run, an id, counts rows.

    Rows of a curve share their name and size, and no two of them are at the same tokens, steps or FLOPs.
    """
    counter, *others = found
    if folded(counter) != "id" or frame[counter].duplicated().any():
        return None
    size = spelled.get("params", "params")
    along = [name for name in (spelled.get(ours, ours) for ours in ("tokens", "steps", "flops")) if name in frame]
    cells = frame[[name for name in frame if name in (*others, size, *along)]].astype(
        str
    )  # a cell may hold what cannot be compared otherwise, like a list

    def names_curves(name: str) -> bool:
        repeats = bool(cells[name].duplicated().any())
        of_one_size = size not in cells or bool((cells.groupby(name)[size].nunique() == 1).all())
        return repeats and of_one_size and not any(cells.duplicated([name, column]).any() for column in along)

    return next(filter(names_curves, others), None) if along else None


def _refuse_letter(letter: str, free: pd.DataFrame, source: str) -> None:
    """Refuse to read one letter as the loss, which may also be a number of layers, beside a column named after one."""
    known = {spelling for ours, spellings in SPELLINGS.items() for spelling in (ours, *spellings)}
    likely = likely_losses(free[[name for name in free.columns if folded(name) not in known]])
    if likely:
        raise DataError(
            f"{source}: {shown(letter)} and {shown(likely[0])} could both be loss; say which with {REMEDY}",
            Remedy("columns", "loss", "name"),
        )


def _mapping(frame: pd.DataFrame, columns: Mapping[str, str], source: str) -> dict[str, str]:
    """Return the user's mapping once it is checked."""
    if not isinstance(columns, Mapping):
        raise DataError(f"columns is {shown(columns)}; expected a mapping like {{'loss': 'val_loss'}}")
    unknown = [name for name in columns if name not in SPELLINGS]
    if unknown:
        raise DataError(f"the column mapping names {shown(unknown[0])}; canonical columns are {', '.join(SPELLINGS)}")
    mapping = {ours: str(theirs) for ours, theirs in columns.items()}
    for ours, theirs in mapping.items():
        if theirs not in frame:
            raise DataError(f"{source} has no column {shown(theirs)} to read as {ours}; it has {listed(frame.columns)}")
        twice = [other for other, column in mapping.items() if column == theirs]
        if len(twice) > 1:
            raise DataError(
                f"the column mapping reads {shown(theirs)} as {' and as '.join(twice)}; a column has one meaning"
            )
    return mapping
