"""The usual learning-rate schedule of a table: how planned runs are taken to end where none is given for them.

A law that reads the learning rate reads the history of a run. Where a planned run is given by its end alone, its rate
is taken to have gone as along the longest fitted run, of equally long ones along the one that ends lowest: the same
rate after the same share of the run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Mapping

import numpy as np

from bayes_scaling.base.spacing import evenly
from bayes_scaling.data.columns import GROWING
from bayes_scaling.data.runs import Runs
from bayes_scaling.laws.law import Law

STEP_RATE = "learning_rate"  # column: of the step of each row, not the peak of its run
ROWS = 64  # of a planned run, at most


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How the learning rate went along one run.

    Attributes
    ----------
    run : which
    done : share of the run at each of its rows, up to 1
    rates : learning rate there
    """

    run: str
    done: tuple[float, ...]
    rates: tuple[float, ...]

    @classmethod
    def usual(cls, law: Law, runs: Runs) -> Schedule | None:
        """Return the usual schedule of a table; None for a law that reads none, and for a table without curves."""
        along = next((name for name in GROWING if name in law.inputs), "")
        if STEP_RATE not in law.inputs or not along or "run" not in runs:
            return None
        last = runs.table.sort_values(along, kind="stable").groupby("run", sort=False).tail(1)
        longest = last[last[along] >= 0.99 * last[along].max()]
        run = longest.loc[longest["loss"].idxmin(), "run"]
        rows = runs.table[runs.table["run"] == run].sort_values(along, kind="stable")
        kept = evenly(len(rows), ROWS)
        position, rate = rows[along].to_numpy(float)[kept], rows[STEP_RATE].to_numpy(float)[kept]
        return cls(str(run), tuple((position / position[-1]).tolist()), tuple(rate.tolist()))

    @property
    def said(self) -> str:
        """What is assumed of runs without rates, in a sentence."""
        return f"no learning rate is given: it is taken to go as along run {self.run!r}, to the end"

    def along(self, positions: np.ndarray) -> np.ndarray:
        """Return the rate at each row of one run, ``(n_row,)``, given the steps or tokens of its rows in order."""
        return np.asarray(np.interp(positions / positions[-1], self.done, self.rates))

    def whole_runs(self, ends: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the rows of whole runs, run by run, given the columns of their ends, ``(n_run,)`` each."""
        count, rows = len(next(iter(ends.values()))), len(self.done)
        whole = {name: np.repeat(np.asarray(values, float), rows) for name, values in ends.items()}
        for name in {*GROWING} & {*ends}:
            whole[name] = whole[name] * np.tile(self.done, count)
        return {**whole, STEP_RATE: np.tile(self.rates, count), "run": np.repeat(np.arange(count), rows)}

    def at_ends(self, law: Law, ends: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return what a law takes of the ends of runs, as `Law.arrays`, ``(n_run, ...)`` each."""
        rows = len(self.done)
        return {name: values[rows - 1 :: rows] for name, values in law.arrays(self.whole_runs(ends)).items()}


def missing_inputs(law: Law, known: Container[str], usual: Schedule | None) -> list[str]:
    """Return the inputs of a law that planned runs lack, but for rates that follow the usual schedule.

    Parameters
    ----------
    known : names of what is known of the runs
    usual : of the fitted table
    """
    missing = [name for name in law.inputs if name not in known]
    return [] if missing == [STEP_RATE] and usual is not None else missing
