"""Backtest: one comparison for each of many tables, and how often the bands held over all of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import pandas as pd

from bayes_scaling.base.arguments import FilePath, Seed, validated
from bayes_scaling.base.executors import opened
from bayes_scaling.base.names import ALONGSIDE
from bayes_scaling.base.progress import progress_bar
from bayes_scaling.base.tasks import Task, attempted
from bayes_scaling.data.reading import READ_ENDINGS
from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import BayesScalingError, DataError
from bayes_scaling.evaluate.candidates import Candidate, Cut
from bayes_scaling.evaluate.comparing import AskedComparison, WorkOptions, folder_of
from bayes_scaling.evaluate.comparison import Comparison
from bayes_scaling.evaluate.defaults import default_laws
from bayes_scaling.evaluate.scores import COVERAGES, summarise
from bayes_scaling.laws.law import Law


@dataclasses.dataclass(frozen=True, eq=False)
class Backtest:
    """How candidates did over many tables.

    Attributes
    ----------
    comparisons : by table
    failures : by table, why it could not be compared
    scores : held-out rows of all tables, with a column ``table``
    """

    comparisons: Mapping[str, Comparison]
    failures: Mapping[str, str]
    scores: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """Return scores and coverage of each candidate, every table counted once.

        Returns
        -------
        pandas.DataFrame
            Best log score first: ``candidate``, ``tables``, means over tables of ``rmsle``, ``log_score``, ``crps``,
            ``width`` and coverage.
        """
        by_table = summarise(self.scores, ["candidate", "table"])
        means = by_table.drop(columns=["table", "n"]).groupby("candidate", sort=False).mean()
        means.insert(0, "tables", by_table.groupby("candidate", sort=False).size())
        return means.sort_values("log_score", ascending=False).reset_index()

    def by_table(self) -> pd.DataFrame:
        """Return scores of each candidate on each table."""
        return summarise(self.scores, ["table", "candidate"])

    def to_dict(self) -> dict[str, Any]:
        """Return everything but draws as plain values, for JSON."""
        return {
            "coverages": list(COVERAGES),
            "table": json.loads(self.to_frame().to_json(orient="records", double_precision=12)),
            "by_table": json.loads(self.by_table().to_json(orient="records", double_precision=12)),
            "weights": {name: dict(comparison.weights) for name, comparison in self.comparisons.items()},
            "verdicts": {name: comparison.verdict for name, comparison in self.comparisons.items()},
            "failures": dict(self.failures),
        }


@validated
def backtest(
    tables: Mapping[str, Runs],
    laws: Sequence[str | Law | Candidate] | None = None,
    *,
    cuts: Sequence[Cut] | None = None,
    alongside: Sequence[str] = tuple(ALONGSIDE),
    loo: bool = False,
    seed: Seed = 0,
    progress: bool | None = None,
    **options: Unpack[WorkOptions],
) -> Backtest:
    """Compare laws on each of many tables.

    Parameters
    ----------
    tables : runs by name
    laws : as of `compare`; by default those that `fit` takes for the columns of each table
    cuts, alongside, loo : as of `compare`; by default the cuts are those of each table, all laws together stand beside
        each one, as what `fit` would have answered, and no run is left out alone
    seed : of sampler and scores
    progress : show a bar; by default on a terminal
    options : `WorkOptions`: folder, executor, of the fits of all tables together

    Returns
    -------
    Backtest
        Tables that cannot be compared are listed with the reason.

    Raises
    ------
    DataError
        When no table can be compared.
    WorkerError
        As of `compare`.
    """
    failures: dict[str, str] = {}
    asked: dict[str, AskedComparison] = {}
    kept = folder_of(options)
    with opened(options.get("executor")) as workers, progress_bar("backtest", progress) as report:
        for name, runs in tables.items():
            try:
                chosen = default_laws(runs) if laws is None else laws
                asked[name] = AskedComparison.of(chosen, runs, cuts, alongside, loo, kept, seed)
            except BayesScalingError as error:
                failures[name] = str(error)
        tasks: list[Task[Any]] = [task for one in asked.values() for task in one.tasks]
        made = iter(attempted(tasks, workers, report))
    comparisons: dict[str, Comparison] = {}
    for name, one in asked.items():
        results = [next(made) for _ in one.tasks]
        wrong = next((result for result in results if isinstance(result, BayesScalingError)), None)
        if wrong is None:
            comparisons[name] = one.answered(results)
        else:
            failures[name] = str(wrong)
    scored = [comparison.scores.assign(table=name) for name, comparison in comparisons.items()]
    if not scored:
        reasons = "; ".join(f"{name}: {why}" for name, why in failures.items())
        raise DataError(f"no table could be compared ({reasons or 'there is none'})")
    return Backtest(comparisons, failures, pd.concat(scored, ignore_index=True))


@validated
def read_tables(folder: FilePath) -> tuple[dict[str, Runs], dict[str, str]]:
    """Read every table of runs in a folder; return the tables, and why others could not be read, by file name."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give one that holds tables of runs ({', '.join(READ_ENDINGS)})")
    found: dict[str, Runs] = {}
    failures: dict[str, str] = {}
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in READ_ENDINGS):
        try:
            found[path.name] = Runs.read(path)
        except BayesScalingError as error:
            failures[path.name] = str(error)
    if not found:
        why = next(iter(failures.values()), f"expected files like runs.csv, ending in one of {', '.join(READ_ENDINGS)}")
        raise DataError(f"no table in {folder} can be read: {why}")
    return found, failures
