"""Exports of Weights & Biases: the runs table, run histories, and objects with config, summary and history."""

from __future__ import annotations

import ast
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from bayes_scaling.base.messages import folded, listed, plain, shown
from bayes_scaling.data.hints import refuse_panel
from bayes_scaling.data.importers.logged import LeftOut, Logged, Series, content_of, flat, step_of
from bayes_scaling.data.naming import SPELLINGS
from bayes_scaling.data.reading import read_csv, read_parquet, without_doubles
from bayes_scaling.data.validation import number
from bayes_scaling.errors import DataError

ENDINGS = (".csv", ".parquet", ".json", ".jsonl", ".ndjson")
_NAMES = ("run", "name", "run_name", "display_name", "run_id", "id")
_STEPS = ("_step", "step")
_COUNTERS = tuple(word for word in SPELLINGS["steps"] if len(word) > 1 and word not in _STEPS)
_NESTED = ("config", "summary", "history")
_TELLING = frozenset((*_NAMES, *_STEPS, *_COUNTERS, "state", "status"))

Row = dict[str, Any]


def exported(path: Path, columns: Mapping[str, str]) -> list[Logged | LeftOut]:
    """Read an export by its ending; empty cells are absent, and NaN stays NaN.

    Parameters
    ----------
    columns : names to the keys that are asked for; that of steps may count the rows of a history
    """
    ending = path.suffix.lower()
    if ending == ".csv":
        rows = _rows(read_csv(path, None), path, columns)  # as text, because an empty cell and a logged NaN differ
    elif ending == ".parquet":
        rows = _rows(read_parquet(path), path, columns)
    elif ending in ENDINGS:
        rows = _json(path, lines=ending != ".json")
    else:
        raise DataError(
            f"{plain(str(path), 200)} is not an export of wandb; expected one of .wandb, {', '.join(ENDINGS)}"
        )
    if not rows:
        raise DataError(f"{plain(path.name)} holds no rows: expected runs or their history")
    rows = [{key: _literal(value) if key in _NESTED else value for key, value in row.items()} for row in rows]
    if any(isinstance(row.get(name), Mapping | list) for row in rows for name in _NESTED):
        return [_object(row, f"{path.stem} {i}") for i, row in enumerate(rows, start=1)]
    return _flat([dict(flat(row)) for row in rows], path, columns)


def _rows(frame: pd.DataFrame, path: Path, columns: Mapping[str, str]) -> list[Row]:
    """Return rows as mappings without their empty cells, of what is asked for and of what tells runs and steps."""
    refuse_panel(map(str, frame), plain(path.name))
    titles = [str(title) for title in frame]
    asked = [{key, key.partition(".")[2]} for key in columns.values()]
    # Where a key is not found, the message says which there are.
    if all(names & {*titles} for names in asked) and not any(folded(title) in _NESTED for title in titles):
        wanted = set().union(*asked)
        frame = frame.loc[:, [title in wanted or folded(title) in _TELLING for title in titles]]
    records = frame.astype(object).to_dict("records")
    return [{str(key): cell for key, cell in row.items() if cell is not None and not _gap(cell)} for row in records]


def _gap(cell: object) -> bool:
    return cell is pd.NA or cell is pd.NaT or (isinstance(cell, float) and math.isnan(cell))


def _json(path: Path, lines: bool) -> list[Row]:
    name = plain(path.name)
    try:
        content = content_of(path).decode("utf-8-sig")
        texts = [line for line in content.split("\n") if line.strip()] if lines else [content]
        found = [json.loads(one, object_pairs_hook=without_doubles) for one in texts]
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise DataError(f"{name} is not JSON ({plain(reason, 80)})") from error
    if not lines:
        found = found[0] if isinstance(found[0], list) else found
    if not all(isinstance(row, dict) for row in found):
        bad = next(row for row in found if not isinstance(row, dict))
        raise DataError(f"{name} holds {shown(bad, 40)}; expected objects, one per run or per row of a history")
    return found


def _literal(cell: Any) -> Any:
    """Return a mapping or list that was written as text, as pandas does in a CSV; other cells are unchanged."""
    if not isinstance(cell, str) or cell.strip()[:1] not in ("{", "["):
        return cell
    try:
        return ast.literal_eval(_Named().visit(ast.parse(cell.strip(), mode="eval")))
    except (TypeError, ValueError, SyntaxError, RecursionError, MemoryError):
        return cell


class _Named(ast.NodeTransformer):
    """Replace nan, inf and the words of JSON by their values; Python literals have no names for them."""

    known: Mapping[str, Any] = {
        "nan": math.nan, "NaN": math.nan, "inf": math.inf, "Infinity": math.inf,
        "null": None, "true": True, "false": False,
    }  # fmt: skip

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(self.known[node.id]) if node.id in self.known else node


def _object(row: Row, label: str) -> Logged | LeftOut:
    """Return a run from ``{"name": ..., "config": {...}, "summary": {...}, "history": [...]}``."""
    name = str(next((row[key] for key in _NAMES if row.get(key) not in (None, "")), label))
    once = {kind: dict(flat(_mapping(row.get(kind)))) for kind in ("config", "summary")}
    rest = {key: value for key, value in row.items() if key not in _NESTED}
    history = row.get("history") or []
    if not isinstance(history, list) or not all(isinstance(one, Mapping) for one in history):
        return LeftOut(name, f"its history is {shown(history, 40)}; expected a list of rows")
    status = str(row.get("state", ""))
    id_ = str(row.get("id", row.get("run_id", label)))
    config = {key: value for key, value in once["config"].items() if not key.startswith("_wandb")}
    logged = [dict(flat(one)) for one in history]
    series = _series(logged, _step_of(logged))
    return Logged(
        name,
        id_,
        series.metrics,
        {"config": config, "summary": once["summary"], "run": dict(flat(rest))},
        status,
        series.overwritten,
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        raise DataError(f"config or summary is {shown(value, 40)}, which is neither JSON nor a Python literal")
    return value if isinstance(value, Mapping) else {}


def _step_of(rows: Sequence[Row]) -> str | None:
    """Return the key of the steps of a table, whatever the order of its keys; None where it has none."""
    titles = dict.fromkeys(key for row in rows for key in row)
    return next((key for word in _STEPS for key in titles if folded(key) == word), None)


def _counter_of(rows: Sequence[Row], cells: Mapping[str, Sequence[str]], columns: Mapping[str, str]) -> str | None:
    """Return the key that counts the steps of curves under another name, the one mapped to steps first; None without.

    It may also be the length of runs, which are alike or of several sizes then, so curves must have one size and grow.
    """
    titles = dict.fromkeys(key for row in rows for key in row)
    mapped, size = (
        columns.get(name, "").removeprefix("columns.").removeprefix("metrics.") for name in ("steps", "params")
    )
    one_size = len({str(row.get(size)) for row in rows}) == 1
    unique = [name for name, inside in cells.items() if len({*inside}) == len(rows)]
    if len(rows) < 2 or not all(_counts_rows(name, cells[name]) for name in unique):
        return None
    for key in dict.fromkeys((mapped, *(title for word in _COUNTERS for title in titles if folded(title) == word))):
        values = [math.nan if (value := number(row.get(key))) is None else value for row in rows]
        grows = all(before < after for before, after in pairwise(values))
        if (grows and one_size) if not cells else any(_are_curves(rows, inside, key) for inside in cells.values()):
            return key
    return None


def _series(rows: Sequence[Row], step_key: str | None) -> Series:
    """Return the metrics of a history; rows without a step are counted."""
    series = Series()
    for count, row in enumerate(rows):
        step = None if step_key is None or row.get(step_key) is None else number(row[step_key])
        for key, value in row.items():
            reading = None if value is None else number(value)
            if reading is not None:
                series.add(key, count if step is None or not math.isfinite(step) else step_of(step), reading)
    return series


def _flat(rows: list[Row], path: Path, columns: Mapping[str, str]) -> list[Logged | LeftOut]:
    """Return the runs of a table: one row per run, or one per step of one or several runs."""
    titles = list(dict.fromkeys(key for row in rows for key in row))
    names = [key for word in _NAMES for key in titles if folded(key) == word]
    cells = {name: [str(row.get(name, "")) for row in rows] for name in names}
    step = _step_of(rows) or _counter_of(rows, cells, columns)
    curves = [] if step is None else [name for name in names if _are_curves(rows, cells[name], step)]
    single = [name for name in names if len(set(cells[name])) == len(rows) > 1 or (len(rows) == 1 and step is None)]
    if step is not None and curves and all(_counts_rows(name, cells[name]) for name in single):
        return _histories(rows, {name: cells[name] for name in curves}, single, step)
    if single:
        note = f"each row of {plain(path.name)} is read as a run, by {plain(single[0])}, though some are alike in {{}}"
        runs = [_whole(row, value) for row, value in zip(rows, cells[single[0]], strict=True)]
        return [*_noted(runs, [note.format(plain(name)) for name in curves[:1]])]
    if step is None and not names:
        return [_whole(row, f"{path.stem} {i}") for i, row in enumerate(rows, start=1)]
    if step is None:
        raise DataError(
            f"{plain(path.name)} has several rows of one {listed(names)} and no _step; export histories with _step, or "
            "a column with the id of each run"
        )
    if names:
        raise DataError(f"{plain(path.name)} repeats a {plain(step)} of one {listed(names)}; add a column with run ids")
    known = folded(step) in _STEPS
    note = f"the rows of {plain(path.name)} are read as one run, whose steps {plain(step)} counts"
    return [*_noted([_history(rows, path.stem, step)], [] if known else [note])]


def _are_curves(rows: Sequence[Row], cells: Sequence[str], step: str) -> bool:
    """Return whether rows with the same cell are the steps of a run, and some run has several."""
    points = {(cell, row.get(step)) for cell, row in zip(cells, rows, strict=True)}
    return len(points) == len(rows) and (len(set(cells)) < len(rows) or len(rows) == 1)


def _counts_rows(name: str, cells: Sequence[str]) -> bool:
    """Return whether a column is a number of each row, as a database adds it, and not the id of a run."""
    return folded(name) == "id" and all((value := number(cell)) is not None and value % 1 == 0 for cell in cells)


def _histories(
    rows: Sequence[Row], curves: Mapping[str, Sequence[str]], unused: Sequence[str], step: str
) -> list[Logged | LeftOut]:
    """Return the runs of a table of steps.

    Parameters
    ----------
    curves : columns that tell runs apart, with their cells, the best name of a run first
    unused : columns that only count rows
    """
    name = next(iter(curves))
    ids = (one for one in curves if folded(one) in ("run_id", "id"))
    # Runs of a sweep often share a name; an id that belongs to several names is a number within a run.
    id_ = next((one for one in ids if len({*zip(curves[one], curves[name], strict=True)}) == len({*curves[one]})), name)
    groups: dict[tuple[str, str], list[Row]] = {}
    for run, of, row in zip(curves[name], curves[id_], rows, strict=True):
        groups.setdefault((run, of), []).append(row)
    notes = [
        f"column {plain(one)} differs in every row, so runs are told apart by column {plain(id_)}" for one in unused
    ]
    if len(groups) > len({run for run, _ in groups}):
        notes.append(f"runs with the same name in column {plain(name)} are told apart by column {plain(id_)}")
    runs = [dataclasses.replace(_history(inside, run, step), id=of) for (run, of), inside in groups.items()]
    return [*_noted(runs, notes)]


def _noted(runs: Sequence[Logged], notes: Sequence[str]) -> list[Logged]:
    """Add notes on a table to the first of its runs."""
    return [dataclasses.replace(runs[0], notes=(*runs[0].notes, *notes)), *runs[1:]]


def _whole(row: Row, name: str) -> Logged:
    """Return a run of the runs table, which has config and summary in the same row."""
    return Logged(name, name, {}, {"columns": row}, _state(row))


def _state(row: Row) -> str:
    return str(next((value for key, value in row.items() if folded(key) in ("state", "status")), ""))


def _history(rows: list[Row], name: str, step: str) -> Logged:
    once = {}
    for key in dict.fromkeys(key for row in rows for key in row):
        texts = {row[key] for row in rows if isinstance(row.get(key), str)}
        if len(texts) == 1 and number(next(iter(texts))) is None:
            once[key] = texts.pop()
    series = _series(rows, step)
    return Logged(name, name, series.metrics, {"columns": once}, _state(rows[-1]), series.overwritten)
