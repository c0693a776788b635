"""Names of columns: which column of a table is which of ours, by the user's mapping and by spellings that are known."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bayes_scaling.base.messages import encodable, folded, listed, plain, shown
from bayes_scaling.data.columns import GROWING
from bayes_scaling.data.hints import filled, likely_losses, refuse_panel, words
from bayes_scaling.data.reading import read_table
from bayes_scaling.errors import REMEDY, DataError, Remedy

RARER: Mapping[str, tuple[str, ...]] = {
    "params": ("parameter_count", "num_parameters", "total_params", "params_total", "total_parameters"),
    "tokens": ("total_tokens", "tokens_trained", "num_train_tokens"),
    "flops": ("compute_budget", "flops_budget", "training_compute", "compute_flops", "budget_flops", "flops_total"),
    "steps": ("num_iterations", "n_iterations"),
    "loss": ("final_val_loss", "final_validation_loss", "lm_loss", "final_eval_loss"),
}
"""Spellings of canonical columns that yield to the others, since a table may have both, like a budget and what ran."""

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


DESCRIBED = frozenset((
    *("embed", "embedding", "embeddings", "non", "no", "without", "excluding", "total", "all", "raw"),
    *("param", "params", "parameter", "parameters", "token", "tokens", "step", "steps", "flop", "flops"),
    *("loss", "nat", "nats", "per", "byte", "val", "valid", "validation", "eval", "test", "final"),
))  # fmt: skip
"""Words in brackets behind a name that describe it, as in ``N (non-embed)``; others may be units, as in ``N (M)``."""


def text_columns(options: Mapping[str, Any]) -> set[str]:
    """Return the names of columns that hold run ids, which stay text where they look like numbers."""
    columns = options.get("columns")
    mapped = {folded(str(columns["run"]))} if isinstance(columns, Mapping) and "run" in columns else set()
    return {"run", *SPELLINGS["run"], *mapped}


def flat(frame: pd.DataFrame, source: str) -> tuple[pd.DataFrame, list[str]]:
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


def named(
    frame: pd.DataFrame, columns: Mapping[str, str], source: str
) -> tuple[pd.DataFrame, dict[str, str], list[str]]:
    """Rename columns to canonical names: first by the user's mapping, then by known spellings.

    What the mapping gives no name, ``{"flops": ""}``, is read from no column, not even from one of that name.

    Returns
    -------
    the renamed table, a mapping from canonical to original names, and notes
    """
    mapping = _mapping(frame, columns, source)
    left_out = [ours for ours, theirs in mapping.items() if not theirs]
    given = {ours: theirs for ours, theirs in mapping.items() if theirs}
    there = frame.drop(columns=left_out, errors="ignore")
    spelled, notes = _spelled(there, given, [name for name in SPELLINGS if name not in left_out], source)
    notes += [f"no column is read as {ours}, as was asked" for ours in left_out]
    table, replaced = _renamed(there, spelled)
    asked = [ours for ours in replaced if ours in columns]  # the others hold nothing, which is said already
    notes += [f"column {ours!r} set aside: {shown(spelled[ours])} is read as {ours}" for ours in asked]
    return table, spelled, [*notes, *_notes_on_sizes(table, f"(it has {listed(frame.columns)})", source)]


def read_asked(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """Read a file of planned or measured runs, and give its columns the names of a mapping for a table of runs.

    Parameters
    ----------
    columns : from canonical names to those of a file; of this one, as far as it has them
    """
    frame = read_table(path, text_columns({"columns": columns}))
    there = {ours: theirs for ours, theirs in columns.items() if theirs in frame}
    return _renamed(frame, _mapping(frame, there, plain(path.name)))[0]


def named_as_runs(frame: pd.DataFrame, known: Container[str], source: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """Rename columns of planned or measured runs to canonical names by their spellings, as those of a table of runs.

    Parameters
    ----------
    known : all columns that are looked for, canonical or not; none of them is renamed

    Returns
    -------
    the renamed table, and a mapping from canonical to original names
    """
    frame, _ = flat(frame, source)
    spelled, _ = _spelled(frame, None, [name for name in SPELLINGS if name in known], source, known)
    return _renamed(frame, spelled)[0], spelled


def _renamed(frame: pd.DataFrame, spelled: Mapping[str, str]) -> tuple[pd.DataFrame, list[str]]:
    """Return a table with canonical names, and those of columns that gave way to others."""
    replaced = [ours for ours, theirs in spelled.items() if ours in frame and ours not in spelled.values()]
    return frame.drop(columns=replaced).rename(columns={theirs: ours for ours, theirs in spelled.items()}), replaced


def _spelled(
    frame: pd.DataFrame, mapped: Mapping[str, str] | None, wanted: Iterable[str], source: str, kept: Container[str] = ()
) -> tuple[dict[str, str], list[str]]:
    """Find the columns of a table that are canonical ones in another spelling.

    Parameters
    ----------
    mapped : from canonical names to those of the table, as the user says; None where no mapping can be given
    wanted : canonical columns that are looked for
    kept : columns that have a meaning of their own

    Returns
    -------
    a mapping from canonical to original names, and notes
    """
    spelled, notes = dict(mapped or {}), list[str]()
    for ours in wanted:
        if ours in spelled:
            continue
        spellings = SPELLINGS[ours]
        free = [name for name in frame.columns if name not in spelled.values() and (name == ours or name not in kept)]
        found, empty = _holding([name for name in free if _spelling(name) in (ours, *spellings)], frame, ours)
        what = "run id" if ours == "run" else "number"
        notes += [f"column {shown(name)} passed over: it holds no {what}" for name in empty]
        rarer = [name for name in found if _spelling(name) in RARER.get(ours, ())]
        if ours in found:
            others = [name for name in found if name != ours and name not in rarer]
            if others and ours != "run":
                notes.append(f"column {ours!r} read as {ours}; {listed(others)} kept as extra columns")
            continue
        if rarer and any(ours != "loss" or len(_spelling(name)) > 1 for name in found if name not in rarer):
            found = [name for name in found if name not in rarer]
            notes.append(f"{listed(rarer)} kept as extra columns, since {shown(found[0])} is more usual for {ours}")
        if len(found) > 1 and ours != "run":
            raise _two_meanings(found, ours, source, mapped)
        if ours == "loss" and found and len(_spelling(found[0])) == 1 and (likely := _like_a_loss(frame[free])):
            raise _two_meanings([found[0], likely], ours, source, mapped)
        if found:
            found.sort(key=lambda name: (ours, *spellings).index(_spelling(name)))
            curves = _name_of_curves(frame, found, spelled) if ours == "run" else None
            spelled[ours] = curves or found[0]
            apart = f"; {shown(found[0])} differs in every row and is kept as an extra column" if curves else ""
            notes.append(f"column {shown(spelled[ours])} read as {ours}{apart}")
    return spelled, notes


def _spelling(name: str) -> str:
    """Return a column name as spellings are compared: folded, and without a description in brackets behind it."""
    described = re.fullmatch(r"(.*\S)\s*[(\[]([^()\[\]]*)[)\]]\s*", name)
    if described and (inside := words(described[2])) and inside <= DESCRIBED and not re.search(r"\d", described[2]):
        return folded(described[1])
    return folded(name)


def _two_meanings(found: list[str], ours: str, source: str, mapped: Mapping[str, str] | None) -> DataError:
    """Return the error of columns that could both be one."""
    could = f"{source}: {' and '.join(map(shown, found))} could both be {ours}"
    if mapped is None:
        return DataError(f"{could}; rename or drop one")
    return DataError(f"{could}; say which with {REMEDY}", Remedy("columns", ours, "name"))


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
    along = [name for name in (spelled.get(ours, ours) for ours in GROWING) if name in frame]
    cells = frame[[name for name in frame if name in (*others, size, *along)]].astype(
        str
    )  # a cell may hold what cannot be compared otherwise, like a list

    def names_curves(name: str) -> bool:
        repeats = bool(cells[name].duplicated().any())
        of_one_size = size not in cells or bool((cells.groupby(name)[size].nunique() == 1).all())
        return repeats and of_one_size and not any(cells.duplicated([name, column]).any() for column in along)

    return next(filter(names_curves, others), None) if along else None


def _like_a_loss(free: pd.DataFrame) -> str:
    """Return a column named after a loss, beside one letter that may also be a number of layers; empty if none is."""
    known = {spelling for ours, spellings in SPELLINGS.items() for spelling in (ours, *spellings)}
    return next(iter(likely_losses(free[[name for name in free.columns if folded(name) not in known]])), "")


def _mapping(frame: pd.DataFrame, columns: Mapping[str, str], source: str) -> dict[str, str]:
    """Return the user's mapping once it is checked."""
    if not isinstance(columns, Mapping):
        raise DataError(f"columns is {shown(columns)}; expected a mapping like {{'loss': 'val_loss'}}")
    unknown = [name for name in columns if name not in SPELLINGS]
    if unknown:
        raise DataError(f"the column mapping names {shown(unknown[0])}; canonical columns are {', '.join(SPELLINGS)}")
    mapping = {ours: str(theirs) for ours, theirs in columns.items()}
    for ours, theirs in mapping.items():
        if theirs and theirs not in frame:
            raise DataError(f"{source} has no column {shown(theirs)} to read as {ours}; it has {listed(frame.columns)}")
        twice = [other for other, column in mapping.items() if column == theirs and theirs]
        if len(twice) > 1:
            raise DataError(
                f"the column mapping reads {shown(theirs)} as {' and as '.join(twice)}; a column has one meaning"
            )
    return mapping
