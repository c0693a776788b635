"""Runs from a local MLflow store: a tracking folder (``mlruns``) or its SQLite file, read without MLflow.

A tracking folder holds ``EXPERIMENT/RUN/`` with one file per parameter, tag and metric; a line of a metric is
``timestamp value step``. The SQLite store holds the same in tables of MLflow's public schema.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Unpack

from bayes_scaling.base.arguments import FilePath, validated
from bayes_scaling.base.messages import plain, shown
from bayes_scaling.data.importers.assembling import ImportOptions, assemble
from bayes_scaling.data.importers.logged import (
    LeftOut,
    Logged,
    Series,
    content_of,
    local,
    named_apart,
    step_of,
    yaml_of,
)
from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import DataError

_STATUS = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
"""Status of a run by its number in meta.yaml."""


@validated
def import_mlflow(
    path: FilePath,
    columns: Mapping[str, str],
    **options: Unpack[ImportOptions],
) -> Runs:
    """Read runs from a local MLflow store.

    Parameters
    ----------
    path : a tracking folder, one experiment of it, or a SQLite file such as ``mlflow.db``
    columns : canonical names to metrics, parameters or tags: ``{"params": "n_params", "loss": "val/loss"}``; ``_step``
        is the step of a metric, ``run.experiment`` the experiment; ``metrics.KEY``, ``params.KEY`` and ``tags.KEY`` say
        which is meant if several exist
    options : `ImportOptions`: last, groups, params_convention, loss_unit

    Returns
    -------
    Runs
        The notes name every run that was left out, with the reason. Deleted runs are not read.

    Raises
    ------
    DataError
        When this is not an MLflow store, or no run has the mapped keys.
    """
    path = local(path, "an MLflow tracking folder or SQLite file")
    found = _from_folder(path) if path.is_dir() else _from_sqlite(path)
    return assemble(named_apart(found), columns, path.name or str(path), **options)


# --- tracking folder ---


def _from_folder(path: Path) -> list[Logged | LeftOut]:
    within = [path] if list(path.glob("*/metrics")) else sorted(path.iterdir())
    experiments = [one for one in within if (one / "meta.yaml").is_file()]
    if not experiments:
        inside = sorted(path.glob("*.db"))
        hint = f"; for its SQLite file give {plain(str(inside[0]), 200)}" if inside else ""
        raise DataError(
            f"{plain(str(path), 200)} is not an MLflow tracking folder: it has no experiment with a meta.yaml{hint}"
        )
    found: list[Logged | LeftOut] = []
    for experiment in experiments:
        name = str(yaml_of(experiment / "meta.yaml", "mlflow").get("name", experiment.name))
        for meta in sorted(experiment.glob("*/meta.yaml")):
            try:
                found += _from_files(meta.parent, name)
            except DataError as error:
                found.append(LeftOut(meta.parent.name, str(error)))
    return found


def _from_files(folder: Path, experiment: str) -> list[Logged]:
    """Return the run of a folder, in a list; an empty one if the run was deleted."""
    meta = yaml_of(folder / "meta.yaml", "mlflow")
    if meta.get("lifecycle_stage") == "deleted":
        return []
    series = Series()
    for key, file in _files(folder / "metrics"):
        for line, content in enumerate(_words(file).splitlines(), start=1):
            cells = content.split()
            try:
                series.add(key, step_of(cells[2]) if len(cells) > 2 else 0, float(cells[1]))
            except (DataError, ValueError, IndexError) as error:
                raise DataError(f"metric {plain(key)}, line {line}: {shown(content, 40)} is damaged") from error
    params, tags = ({key: _words(file) for key, file in _files(folder / kind)} for kind in ("params", "tags"))
    name = str(meta.get("run_name") or tags.get("mlflow.runName", ""))
    status = meta.get("status", "")
    known = _STATUS.get(status) if isinstance(status, int) else None
    return [_logged(name, folder.name, experiment, known or str(status), params, tags, series)]


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield keys, which may contain slashes, and their files; not those that a link takes from elsewhere."""
    for file in sorted(folder.rglob("*")):
        inside = file.resolve().is_relative_to(folder.resolve())
        if inside and file.is_file() and not file.name.startswith("."):
            yield file.relative_to(folder).as_posix(), file


def _words(file: Path) -> str:
    try:
        return content_of(file).decode("utf-8").rstrip("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{plain(file.name)} is not UTF-8 text") from error


# --- SQLite ---


def _from_sqlite(path: Path) -> list[Logged | LeftOut]:
    if not path.is_file():  # SQLite would wait for a pipe without end
        raise DataError(f"{plain(str(path), 200)} is not a file; expected a tracking folder or a SQLite file of MLflow")
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as store:
            return list(_from_tables(store))
    except sqlite3.Error as error:
        raise DataError(
            f"{plain(path.name)} is not a readable SQLite file of MLflow ({plain(str(error), 120)}); "
            "expected a tracking folder or such a file"
        ) from error


def _from_tables(store: sqlite3.Connection) -> Iterator[Logged | LeftOut]:
    views = store.execute(
        "SELECT name FROM sqlite_master WHERE type <> 'table' AND name IN ('runs', 'experiments', 'params', 'tags', "
        "'metrics')"
    ).fetchall()
    if views:  # a query that whoever made the file wrote, and that may never end
        raise sqlite3.DatabaseError(f"{views[0][0]} is no table")
    runs = store.execute(
        "SELECT run_uuid, runs.name, status, experiments.name FROM runs LEFT JOIN experiments USING (experiment_id) "
        "WHERE runs.lifecycle_stage = 'active' ORDER BY start_time, run_uuid"
    ).fetchall()
    for run, name, status, experiment in runs:
        params, tags = (
            {
                str(key): value
                for key, value in store.execute(f"SELECT key, value FROM {table} WHERE run_uuid = ?", (run,))
            }
            for table in ("params", "tags")
        )
        try:
            series = _series_of(store, run)
        except DataError as error:
            yield LeftOut(str(name or run), str(error))
            continue
        known_as = str(name or tags.get("mlflow.runName", ""))
        yield _logged(known_as, str(run), str(experiment or ""), str(status or ""), params, tags, series)


def _series_of(store: sqlite3.Connection, run: str) -> Series:
    """Return the metrics of a run. SQLite keeps whatever was written, text in a column of numbers too."""
    series = Series()
    for key, step, value, is_nan in store.execute(
        "SELECT key, step, value, is_nan FROM metrics WHERE run_uuid = ? ORDER BY step, timestamp", (run,)
    ):
        try:
            number, at = float(value), step_of(step)
        except (DataError, TypeError, ValueError) as error:
            cells = f"{shown(value, 40)} at step {shown(step, 40)}"
            raise DataError(f"metric {plain(str(key))}: {cells} is damaged, expected numbers") from error
        # MLflow stores infinities as the largest floats, because SQL has none.
        large = abs(number) >= 1.7e308
        series.add(str(key), at, math.nan if is_nan else math.copysign(math.inf, number) if large else number)
    return series


def _logged(
    name: str, run: str, experiment: str, status: str, params: dict[str, Any], tags: dict[str, Any], series: Series
) -> Logged:
    about = {"experiment": experiment, "name": name, "id": run, "status": status}
    return Logged(name, run, series.metrics, {"params": params, "tags": tags, "run": about}, status, series.overwritten)
