"""The start of training curves: warm-up and first steps, which no scaling law describes, are learned beside the law.

At the start of a run the loss lies away from the law, by an amount that depends on the size of the model and on its
batch and that dies out along the run. Left in, such rows ruin the law that later rows follow. So the log of the
expected loss gets

    sum_k exp(-x / x_k) (a_k + b_k z_1 + c_k z_2 + d_k z_1 z_2)

with x the position along the run (steps, or tokens), x_k three lengths of which the longest is a tenth of the median
run (the share that Choshen et al. 2024, arXiv 2410.11840, leave out) and the others 2.8 and 8 times shorter, and z the
standardised logarithms of what else the law reads of a run. At another batch the start lasts for more steps or fewer:
lengths grow by exp(``start_reach``) with each standard deviation of log batch. All curves share the coefficients, so
that those of new runs are forecast as well. What is left scatters the wider the nearer a row is to the start, by
``sigma_start`` there.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from bayes_scaling.base.arguments import check_fields
from bayes_scaling.data.columns import GROWING
from bayes_scaling.errors import LawError
from bayes_scaling.laws.arithmetic import Array
from bayes_scaling.laws.law import Law
from bayes_scaling.laws.parameters import Parameter

ALONG_RUN = "noise.start_along"  # column: the position of a row, in the longest of the lengths
BATCH = "batch_tokens"
BY = ("params", BATCH)  # what the start of a run may depend on
SHORTER = (8.0, 8.0**0.5, 1.0)  # times that the lengths over which the start dies out are shorter than the longest
PARTS = ("the part that dies out first", "the middle part", "the part that lasts longest")
SHARE = 0.1  # of a run

_SIGMA_START = Parameter(
    "sigma_start",
    dist.LogNormal(math.log(0.05), 0.7),
    unit="log loss",
    meaning="scale of the scatter at the very start of a curve; it dies out over the shortest of its lengths",
    source="single rows of the bundled curves in their first steps lie 2 to 20 % off any smooth course",
)
_REACH = Parameter(
    "start_reach",
    dist.Normal(0.0, 0.5),
    unit="log length",
    meaning="how much longer the start of curves is, for one standard deviation of log batch_tokens",
    source="weakly informative: half as long to twice as long",
)


@dataclasses.dataclass(frozen=True)
class Start:
    """How the start of curves departs from a law.

    Attributes
    ----------
    along : the column that grows along a run, of which the start is a part
    by : what else it depends on, at most two columns that a run keeps; others are as in the law
    share : of the median run over which the departure dies out to 1 / e; between 0 and 1
    """

    along: str = "steps"
    by: tuple[str, ...] = BY
    share: float = SHARE

    def __post_init__(self) -> None:
        check_fields(self)
        if self.along not in GROWING or len(self.by) > 2 or not set(self.by) <= set(BY):
            raise LawError(f"the start of curves lies along one of {', '.join(GROWING)} and depends on {', '.join(BY)}")
        if not 0 < self.share < 1:
            raise LawError(f"share of a run is {self.share:g}, expected a fraction between 0 and 1")

    @property
    def terms(self) -> dict[str, tuple[int, tuple[str, ...]]]:
        """By name of a coefficient, the index of its length and the columns that it multiplies."""
        products = [(), *itertools.combinations(self.by, 1), *itertools.combinations(self.by, 2)]
        return {
            "_".join((f"start_{k + 1}", *columns)): (k, columns) for k in range(len(SHORTER)) for columns in products
        }

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Rows of its parameters."""
        reach = (_REACH,) if BATCH in self.by else ()
        return (_SIGMA_START, *reach, *(_coefficient(name, k, columns) for name, (k, columns) in self.terms.items()))

    @property
    def columns(self) -> tuple[str, ...]:
        """What it reads of each row."""
        return (ALONG_RUN, *map(_standard, self.by))

    def design(self, theta: Mapping[str, Any], runs: Mapping[str, Any]) -> dict[str, Array]:
        """Return what one unit of each coefficient adds to the log of each row's expected loss, ``(n_row,)`` each.

        Parameters
        ----------
        theta : its other parameters, scalar or (n_row,)
        runs : `columns`
        """
        position = self._position(theta, runs)
        fading = [jnp.exp(-position * shorter) for shorter in SHORTER]
        return {
            name: math.prod((runs[_standard(one)] for one in columns), start=fading[k])
            for name, (k, columns) in self.terms.items()
        }

    def departure(self, theta: Mapping[str, Any], runs: Mapping[str, Any]) -> Array:
        """Return how far the log of each row's expected loss lies from the law, ``(n_row,)``.

        Parameters
        ----------
        theta : its parameters, scalar or (n_row,)
        runs : `columns`
        """
        added = (theta[name] * column for name, column in self.design(theta, runs).items())
        total: Array = sum(added, start=jnp.zeros_like(runs[ALONG_RUN]))
        return total

    def _position(self, theta: Mapping[str, Any], runs: Mapping[str, Any]) -> Array:
        """Return how many of the longest of its lengths each row lies behind the start of its run, ``(n_row,)``."""
        position: Array = runs[ALONG_RUN]
        return position * jnp.exp(-theta[_REACH.name] * runs[_standard(BATCH)]) if BATCH in self.by else position

    def scatter(self, theta: Mapping[str, Any], runs: Mapping[str, Any]) -> Any:
        """Return the scale of what the start adds to the scatter of each row, ``(n_row,)``."""
        return theta["sigma_start"] * jnp.exp(-self._position(theta, runs) * SHORTER[0])


@dataclasses.dataclass(frozen=True)
class StartOfTable:
    """The units in which a table measures the start of its curves.

    Attributes
    ----------
    start : of which curves
    length : the longest of the lengths over which it dies out
    centres, spreads : mean and standard deviation of the logarithm of each column that it depends on
    """

    start: Start
    length: float
    centres: tuple[float, ...]
    spreads: tuple[float, ...]

    @classmethod
    def of(cls, start: Start, table: Mapping[str, np.ndarray]) -> StartOfTable:
        """Measure the runs of a table; rows without ``run`` are runs of their own."""
        position = np.asarray(table[start.along], float)
        _, run = np.unique(table.get("run", np.arange(len(position))), return_inverse=True)
        ends = np.zeros(run.max() + 1)
        np.maximum.at(ends, run.reshape(-1), position)
        logs = [np.log(table[name]) for name in start.by]
        centres, spreads = (tuple(float(of(values)) for values in logs) for of in (np.mean, np.std))
        return cls(start, start.share * float(np.median(ends)), centres, spreads)

    def columns(self, table: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the columns that the start reads of rows that were measured or are planned, ``(n_row,)`` each."""
        along = np.asarray(table[self.start.along], float) / self.length
        columns = {ALONG_RUN: along}
        for name, centre, spread in zip(self.start.by, self.centres, self.spreads, strict=True):
            # Runs that are all alike in it say nothing of what it does.
            columns[_standard(name)] = (np.log(table[name]) - centre) / spread if spread > 1e-9 else 0.0 * along
        return columns


def describes_whole_curves(law: Law) -> bool:
    """Whether a law says what curves of any size do at any step: it reads size, progress, and batch or rate."""
    reads = set(law.inputs)
    return "params" in reads and not reads.isdisjoint(GROWING) and not reads.isdisjoint((BATCH, "learning_rate"))


def start_for(law: Law) -> Start | None:
    """Return how curves depart from a law at their start by default; None for a law that is not of whole curves."""
    if not describes_whole_curves(law):
        return None
    along = next(name for name in GROWING if name in law.inputs)
    return Start(along, tuple(name for name in BY if name in law.inputs))


def _coefficient(name: str, k: int, columns: tuple[str, ...]) -> Parameter:
    of = f", and how it grows per standard deviation of log {' times log '.join(columns)}" if columns else ""
    return Parameter(
        name,
        dist.Normal(0.0, 0.3 if columns else 0.5),
        unit="log loss",
        meaning=f"how far curves start above the law, {PARTS[k]}{of}",
        source="weakly informative: the loss starts up to twice as high as the law says, or lower",
    )


def _standard(name: str) -> str:
    return f"noise.start_by_{name}"
