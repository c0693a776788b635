"""Which laws are fitted to a table where none is named: a small table, by the columns that say something."""

from __future__ import annotations

import dataclasses

import numpy as np

from bayes_scaling.base.messages import listed
from bayes_scaling.base.names import NoiseName, RowsChoice, ScaleChoice, StartName
from bayes_scaling.data.consistency import unread_sizes
from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import REMEDY, DataError, Remedy
from bayes_scaling.laws.law import Law
from bayes_scaling.model.choices import default_noise
from bayes_scaling.model.noise import Noise
from bayes_scaling.model.observations import size_of
from bayes_scaling.model.schedule import STEP_RATE

HALF = 0.5  # of the runs, along which a learning rate changes where a schedule is on record
OWN_BATCH = (
    1.4  # factor by which batches scatter around their trend along N and D where they say something of their own
)


@dataclasses.dataclass(frozen=True)
class Default:
    """The laws for tables in which some columns vary.

    Attributes
    ----------
    columns : these
    laws : as of `load_law`
    curves : only for tables of training curves
    there : columns that only have to be there
    """

    columns: tuple[str, ...]
    laws: tuple[str, ...]
    curves: bool = False
    there: tuple[str, ...] = ()


REPEATED = ("repeated_data", "repeated_data:exponents=free")
DEFAULTS = (
    Default(("params", "tokens", "unique_tokens"), REPEATED),
    Default(("unique_tokens",), REPEATED, there=("params", "tokens")),
    Default(("params", "tokens", "learning_rate"), ("nesting_schedule", "chinchilla"), curves=True),
    Default(("tokens", "steps", "learning_rate"), ("nesting_schedule", "multi_power"), curves=True, there=("params",)),
    Default(("steps", "learning_rate"), ("multi_power", "annealing"), curves=True),
    Default(
        ("params", "tokens", "batch_tokens"),
        ("kaplan_trajectory", "kaplan_trajectory:form=irreducible", "three_term"),
        curves=True,
    ),
    Default(("params", "tokens", "batch_tokens"), ("chinchilla", "three_term", "kaplan_trajectory:form=irreducible")),
    Default(("params", "tokens"), ("chinchilla", "kaplan_joint", "nesting", "farseer")),
    Default(("params", "steps"), ("kaplan_steps",), curves=True),
    *(
        Default((column,), (f"power_law:input={column}", f"delayed_power_law:input={column}"))
        for column in ("tokens", "params", "flops", "steps")
    ),
)
"""The first row whose columns all vary holds; along curves of several sizes and batches laws of steps and batch do.

A learning rate counts where it changes along a run: one number for each run may mean many things.
"""


def default_laws(runs: Runs) -> tuple[str, ...]:
    """Return the laws that are fitted to a table where none is named.

    Raises
    ------
    DataError
        When nothing varies in the table that the default laws read.
    """
    there = _telling(runs)
    curves = default_noise(runs).correlated
    for row in DEFAULTS:
        known = all(name in runs for name in row.there)
        if there.issuperset(row.columns) and known and (curves or not row.curves):
            return row.laws
    columns = sorted({column for row in DEFAULTS for column in row.columns})
    varying = [name for name in columns if name in runs and len(np.unique(runs.column(name))) > 1]
    why = f"none reads {listed(varying)} alone" if varying else f"none of {listed(columns)} varies in it"
    hints = "".join(f"; {hint}" for hint in unread_sizes(runs.table))
    raise DataError(
        f"there are no default laws for {runs.source}: {why}; name a law that reads what varies, {REMEDY}, or map "
        f"params, tokens or flops{hints}",
        Remedy("law", value="my_law.py"),
    )


@dataclasses.dataclass(frozen=True)
class NoiseAsked:
    """What is asked of the noise of several laws; what is ``auto`` is as where nothing is asked.

    Attributes
    ----------
    family, scale, rows, start : as in `Noise`, the first three or ``auto``
    """

    family: NoiseName = "auto"
    scale: ScaleChoice = "auto"
    rows: RowsChoice = "auto"
    start: StartName = "learned"

    def of(self, law: Law, runs: Runs) -> Noise:
        """Return the noise model of a law for a table.

        Small runs are tuned less well, and laws fit them less well, than large ones. A scale that may grow towards
        small runs lets the large ones, which say most about the largest, count for more (``benchmarks/weights.py``).
        """
        usual = default_noise(runs).rows
        rows = usual if self.rows == "auto" else self.rows
        by_rows: NoiseName = "normal" if rows == "correlated" else "student_t"
        separate = rows == usual == "independent"
        grows = separate and len(law.inputs) > 1 and bool(size_of(runs)[0])
        by_law: ScaleChoice = "growing" if grows else "constant"
        return Noise(
            by_rows if self.family == "auto" else self.family,
            by_law if self.scale == "auto" else self.scale,
            rows,
            start=self.start,
        )


def _telling(runs: Runs) -> set[str]:
    """Return the columns that say something: that vary, and do so for their own sake."""
    columns = {column for row in DEFAULTS for column in row.columns}
    there = {name for name in columns if name in runs and len(np.unique(runs.column(name))) > 1}
    # Where all text is read once, and where all runs read the same text as often, repetition says nothing.
    repeats = "unique_tokens" in runs and (runs.column("tokens") > runs.column("unique_tokens")).any()
    if repeats and {"tokens", "unique_tokens"} & there:
        there |= {"unique_tokens"}
    else:
        there -= {"unique_tokens"}
    if STEP_RATE in there and not ("run" in runs and _changes_along_runs(runs)):
        there -= {STEP_RATE}
    if {"params", "tokens", "batch_tokens"} <= there and not _own_batches(runs):
        there -= {"batch_tokens"}
    return there


def _own_batches(runs: Runs) -> bool:
    """Say whether batches vary between runs of the same size, not only along with it."""
    size = np.log(np.stack([runs.column("params"), runs.column("tokens")], axis=1))
    design, batch = np.insert(size, 0, 1.0, axis=1), np.log(runs.column("batch_tokens"))
    left = batch - design @ np.linalg.lstsq(design, batch)[0]
    return bool(left.std() > np.log(OWN_BATCH))


def _changes_along_runs(runs: Runs) -> bool:
    """Say whether the learning rate changes along most of the runs."""
    rates = runs.table.groupby("run", sort=False)[STEP_RATE].nunique()
    return bool((rates > 1).mean() > HALF)
