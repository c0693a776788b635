"""Prior sensitivity: what the table says, what the prior says, and how far a forecast depends on it."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpyro.distributions as dist
import pandas as pd

from bayes_scaling.base.arguments import Seed, validated
from bayes_scaling.base.executors import ExecutorChoice, opened
from bayes_scaling.base.progress import progress_bar
from bayes_scaling.base.tasks import Task, carried_out
from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import ForecastError
from bayes_scaling.inference.fit import fit_law
from bayes_scaling.inference.result import Fit
from bayes_scaling.laws.law import Law
from bayes_scaling.laws.priors import LateBetas
from bayes_scaling.model.composition import Composition
from bayes_scaling.predict.forecast import forecast

SENSITIVE = 0.05  # power-scaling diagnostic above which a posterior moves with its prior (Kallioinen et al. 2023)
DISAGREE = "prior and table disagree"
LITTLE_LEARNED = 0.5  # contraction below which the table says little

FLOORS: Mapping[str, dist.Distribution] = LateBetas(
    {
        "wide": (1.5, 1.5),
        "no irreducible loss": (1.0, 30.0),
        "low": (1.5, 4.0),
        "high": (4.0, 1.5),
        "flat": (1.0, 1.0),
    }
)
"""Priors of the irreducible loss, as a share of the loss at the centre of the data."""


@validated
def prior_sensitivity(fitted: Fit) -> pd.DataFrame:
    """Show how much the table says about each parameter, and how the posterior moves when prior or data count for more.

    Returns
    -------
    pandas.DataFrame
        One row per parameter: ``learned`` (contraction from prior to posterior, 0 to 1), ``prior_pull`` and
        ``data_pull`` (power-scaling sensitivity: change of the posterior when prior or likelihood are raised to a
        power near 1), ``says`` (in words).

    Notes
    -----
    Kallioinen et al. 2023, arXiv 2107.14054, computed by ArviZ.
    """
    import arviz as az

    tree = fitted.idata
    variables = [name for name in fitted.draws if name in tree["posterior"].data_vars]
    with _quiet():
        table = az.psense_summary(tree, var_names=variables)
    rows = []
    for name in variables:
        pull, data = float(table.loc[name, "prior"]), float(table.loc[name, "likelihood"])
        learned = fitted.contraction[name]
        if learned < LITTLE_LEARNED:
            says = "the table says little: the prior dominates"
        elif pull > SENSITIVE:
            says = DISAGREE if data > SENSITIVE else "the prior dominates"
        else:
            says = "the table dominates"
        rows.append({"parameter": name, "learned": learned, "prior_pull": pull, "data_pull": data, "says": says})
    return pd.DataFrame(rows)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep ArviZ from warning of constants among the prior's terms, and from logging what the table says anyway."""
    logger = logging.getLogger("arviz_stats")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)


def floor_parameter(law: Law) -> str:
    """Return the name of the law's irreducible loss.

    Raises
    ------
    ForecastError
        When the law has none.
    """
    row = law.irreducible
    if row is not None and row.quantity:
        return row.name
    raise ForecastError(f"law {law.label} has no irreducible loss, so there is no prior of it to vary")


@validated
def floor_panel(
    fitted: Fit,
    points: Any = None,
    *,
    floors: Mapping[str, dist.Distribution] = FLOORS,
    executor: ExecutorChoice | None = None,
    seed: Seed = 0,
    unconverged: bool = False,
    progress: bool | None = None,
    **inputs: Any,
) -> pd.DataFrame:
    """Forecast under several priors of the irreducible loss, which long extrapolations depend on most.

    Parameters
    ----------
    fitted : posterior of a law with an irreducible loss
    points, inputs : future runs, as of `forecast`
    floors : priors by name, of the irreducible loss as a share of the loss at the centre
    executor : whose workers make the fits, as of `compare`
    seed : of sampler and scatter
    unconverged : accept fits that did not converge
    progress : show a bar; by default on a terminal

    Returns
    -------
    pandas.DataFrame
        One row per prior and point: ``prior``, ``point``, ``median``, ``low`` and ``high`` (90 %, one new run),
        ``irreducible`` (its posterior median), ``converged``.
    """
    name = floor_parameter(fitted.law)
    laws = {label: fitted.law.with_priors({name: prior}) for label, prior in floors.items()}
    tasks = [
        _UnderPrior(
            label, dataclasses.replace(fitted.composition, law=law), fitted.runs, points, inputs, seed, unconverged
        )
        for label, law in laws.items()
    ]
    with opened(executor) as workers, progress_bar("sensitivity", progress) as report:
        rows = carried_out(tasks, workers, report)
    return pd.DataFrame([row for some in rows for row in some])


@dataclasses.dataclass(frozen=True, eq=False)
class _UnderPrior(Task[list[dict[str, Any]]]):
    """A fit under another prior, and what it forecasts: the rows of one prior in `floor_panel`."""

    prior: str
    composition: Composition
    runs: Runs
    points: Any
    inputs: Mapping[str, Any]
    seed: int
    unconverged: bool

    @property
    def label(self) -> str:
        """What is fitted."""
        return f"{self.composition.law.label} with the prior {self.prior}"

    def measure(self) -> list[dict[str, Any]]:
        """Fit and forecast; one row per point."""
        fitted = self.composition
        again = fit_law(
            fitted.law,
            self.runs,
            noise=fitted.noise,
            discrepancy=fitted.discrepancy,
            pooling=fitted.pooling,
            seed=self.seed,
            progress=False,
        )
        ahead = forecast(again, self.points, seed=self.seed, unconverged=self.unconverged, **self.inputs)
        median, (low, high) = ahead.median(), ahead.interval(0.9).T
        name = floor_parameter(fitted.law)
        floor = float(np.median(np.concatenate([v for k, v in again.flat().items() if k.split("[")[0] == name])))
        return [
            {
                "prior": self.prior,
                "point": i + 1,
                "median": median[i],
                "low": low[i],
                "high": high[i],
                "irreducible": floor,
                "converged": again.converged,
            }
            for i in range(len(median))
        ]
