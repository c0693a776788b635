"""What a suite hands to the scoreboard: cells that are measured one by one and kept, and rows of the table."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.base.names import SamplerName
from bayes_scaling.base.tasks import Task
from bayes_scaling.evaluate.scores import COVERAGES, coverage

ROOT = Path(__file__).parents[2]
SOURCES = ("bayes_scaling/base", "bayes_scaling/data", "bayes_scaling/laws", "bayes_scaling/model",
           "bayes_scaling/inference", "bayes_scaling/predict", "bayes_scaling/evaluate", "models")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Cell:
    """One measurement, kept when it is done.

    Attributes
    ----------
    suite : the suite that it belongs to
    name : its name there
    measure : a function of the suite's module, of what is given and a sampler; one row per held-out run: columns of
        `answer.scored`, and ``fit`` (fitted together)
    given : its first arguments, which can be pickled
    """

    suite: str
    name: str
    measure: Callable[..., pd.DataFrame]
    given: tuple[Any, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Measurement(Task[pd.DataFrame]):
    """A cell that is measured and kept, here or by a worker.

    Attributes
    ----------
    cell, out, sampler : as of `measured`
    """

    cell: Cell
    out: Path
    sampler: SamplerName

    @property
    def label(self) -> str:
        """Suite and name."""
        return f"{self.cell.suite}, {self.cell.name}"

    def measure(self) -> pd.DataFrame:
        """Measure it."""
        return measured(self.out, self.cell, self.sampler)


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes
    ----------
    suite, task, answer : what was measured, and who answered
    metric : the published metric
    value : ours
    published : scores of others under that metric, by name
    n : held-out runs
    inside : share of them inside the 50, 80 and 90 % interval
    log_score : mean log density of the log loss
    rmsle : root mean square error of the log loss
    converged : share of the fits that converged
    seconds : from table to forecast, all fits together
    note : what was done to the table; why a cell is missing
    """

    suite: str
    task: str
    answer: str
    metric: str
    value: float
    published: Mapping[str, float]
    n: int
    inside: tuple[float, float, float]
    log_score: float
    rmsle: float
    converged: float
    seconds: float
    note: str = ""


def missing(cell: Cell, why: str) -> Row:
    """Return the row of a cell that could not be measured, which says why."""
    nan = math.nan
    return Row(cell.suite, cell.name, "none", "none", nan, {}, 0, (nan, nan, nan), nan, nan, nan, nan, why)


def row(
    suite: str,
    task: str,
    metric: str,
    value: float,
    scores: pd.DataFrame,
    published: Mapping[str, float],
    note: str = "",
) -> Row:
    """Return the row of the scores of one answer."""
    pit = scores["pit"].to_numpy()
    inside = tuple(coverage(pit, p) for p in COVERAGES)
    fits = scores.drop_duplicates("fit")
    return Row(
        suite,
        task,
        str(scores["answer"].iloc[0]),
        metric,
        float(value),
        dict(published),
        len(scores),
        inside,  # type: ignore[arg-type]
        float(scores["log_score"].mean()),
        float(np.sqrt(np.mean(scores["error"] ** 2))),
        float(fits["converged"].mean()),
        float(fits["seconds"].sum()),
        note,
    )


@functools.cache
def fingerprint(suite: Path) -> str:
    """Return the hash of what a score is computed from, 8 hex digits: the package's steps, its laws, the suite.

    Parameters
    ----------
    suite : the file of the suite
    """
    digest = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    for path in (Path(__file__).with_name("answer.py"), suite):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def slug(cell: Cell) -> str:
    """Return the name of a cell's file, without its ending."""
    plain = re.sub(r"[^a-z0-9]+", "-", f"{cell.suite} {cell.name}".lower()).strip("-")[:80]
    return f"{plain}-{hashlib.sha256(f'{cell.suite} {cell.name}'.encode()).hexdigest()[:6]}"


def kept_at(out: Path, cell: Cell, sampler: SamplerName) -> Path:
    """Return where the scores of a cell are kept: its name, how it was sampled, and the sources."""
    return out / f"{slug(cell)}.{sampler}.{fingerprint(Path(inspect.getfile(cell.measure)))}.json"


def found(out: Path, cell: Cell, sampler: SamplerName, *, stale: bool) -> pd.DataFrame | None:
    """Return the kept scores of a cell: of these sources, or else the newest of any if ``stale``; None without any.

    The column ``stale`` says which.
    """
    path = kept_at(out, cell, sampler)
    fresh = path.is_file()
    if not fresh:
        others = sorted(out.glob(f"{slug(cell)}.{sampler}.*.json"), key=lambda other: other.stat().st_mtime)
        if not stale or not others:
            return None
        path = others[-1]
    return pd.DataFrame(json.loads(path.read_text())).assign(stale=not fresh)


def measured(out: Path, cell: Cell, sampler: SamplerName) -> pd.DataFrame:
    """Measure a cell and keep its scores: a temporary file that is renamed, so that no half of one is ever found."""
    started = time.perf_counter()
    scores = cell.measure(*cell.given, sampler)
    out.mkdir(parents=True, exist_ok=True)
    path = kept_at(out, cell, sampler)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(scores.to_dict(orient="list")))
    partial.replace(path)
    print(f"{cell.suite}, {cell.name}: {time.perf_counter() - started:.0f} s", flush=True)
    return scores.assign(stale=False)


def located(data: Path, name: str) -> Path | None:
    """Return a file of the folder, or of the folder ``scoreboard`` in it; None where it is absent."""
    for path in (data / name, data / "scoreboard" / name):
        if path.is_file():
            return path
    return None
