"""Whether posteriors can be trusted: calibration on simulated tables, and what a fit says about its own table.

Simulation-based calibration (Talts et al. 2018, arXiv 1804.06788): where parameters are drawn from the prior and a
table is simulated from them, the rank of each true value among independent posterior draws is uniform. A likelihood,
a prior or a sampler that is not what it claims to be shows as ranks that pile up. Ranks of parameters alone would also
be uniform for a posterior that ignores the table, so one quantity that reads the table is ranked along with them
(Modrak et al. 2023, arXiv 2211.02383).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import scipy.special
import scipy.stats

from bayes_scaling.base.arguments import Seed, validated
from bayes_scaling.base.executors import ExecutorChoice, opened
from bayes_scaling.base.programs import compiled
from bayes_scaling.base.progress import progress_bar, silent
from bayes_scaling.base.scope import scope
from bayes_scaling.base.spacing import evenly
from bayes_scaling.base.tasks import Task, carried_out
from bayes_scaling.errors import FitError
from bayes_scaling.evaluate.checks import leave_one_out_weights
from bayes_scaling.inference.at_rows import AtRows, by_draws
from bayes_scaling.inference.batched import BATCHED
from bayes_scaling.inference.chains import Settings
from bayes_scaling.inference.compiled import constrained, placed
from bayes_scaling.inference.draws import posterior_of, prior_draws
from bayes_scaling.inference.fit import composed
from bayes_scaling.inference.problem import Problem, Sampled
from bayes_scaling.inference.result import Fit
from bayes_scaling.inference.sampler import Sampler, sample_all
from bayes_scaling.laws.arithmetic import Array
from bayes_scaling.laws.catalogue import load_law
from bayes_scaling.laws.law import Law
from bayes_scaling.laws.parameters import ReferencePoint
from bayes_scaling.model.choices import DiscrepancyChoice, NoiseChoice
from bayes_scaling.model.composition import Composition
from bayes_scaling.model.discrepancy import log_size
from bayes_scaling.model.observations import Observations, centre_of, law_table
from bayes_scaling.model.program import Model
from bayes_scaling.model.simulate import draw_truth, simulate, typical_design

TYPICAL_LOSS = 3.0  # of the fixed reference point around which all truths are drawn
RANKED = 99  # nearly independent draws of each posterior: ranks take 100 values, ten for each bin
BINS = 10
AT_ONCE = 100  # tables whose draws are kept at a time
MISFIT = "misfit"
FALSE_ALARMS = 0.05  # probability of any surprise in a clean table

# --- simulated tables -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Ranks:
    """Ranks of true values among posterior draws, over simulated tables.

    Attributes
    ----------
    names : parameters of law, noise and discrepancy in the notation of the paper, and ``misfit``, the sum of squared
        distances in log loss between the table and the law
    ranks : (n_table, n_name) number of posterior draws below the truth, 0 to ``draws``
    draws : number of posterior draws among which a truth is ranked
    converged : (n_table,) whether the fit to each table is within all limits of convergence
    seconds : (n_table,) wall-clock time of each table, the mean of those that were sampled at once; the first ones also
        compile
    alone : (n_table,) whether it was sampled alone, as its draws beside other tables were not good
    """

    names: tuple[str, ...]
    ranks: np.ndarray
    draws: int
    converged: np.ndarray
    seconds: np.ndarray
    alone: np.ndarray

    @classmethod
    @validated
    def joined(cls, parts: Sequence[Ranks]) -> Ranks:
        """Join the parts of one study: the same law and design, other tables."""
        if not len(parts):
            raise FitError("there are no parts to join; give what sbc returned, one or more")
        first = parts[0]
        if any((part.names, part.draws) != (first.names, first.draws) for part in parts):
            raise FitError("these parts rank other quantities; join parts of one law, noise and discrepancy")
        by_table = ("ranks", "converged", "seconds", "alone")
        whole = {name: np.concatenate([getattr(part, name) for part in parts]) for name in by_table}
        return cls(first.names, draws=first.draws, **whole)

    def uniformity(self) -> pd.DataFrame:
        """Test for each name whether its ranks are uniform, over the tables whose fit converged.

        Whether a fit converges depends on its table, not on the truth, so leaving tables out does not move ranks.

        Returns
        -------
        pandas.DataFrame
            One row per name: ``p_value`` (chi-square over 10 bins), ``mean_z`` and ``sd_z`` (mean and standard
            deviation of the ranks' normal scores: 0 and 1 where calibrated, a mean above 0 where the posterior lies
            too low, a standard deviation above 1 where it is too narrow).
        """
        ranks, values = self.ranks[self.converged], self.draws + 1
        if not len(ranks):
            raise FitError(f"none of the {len(self.ranks)} fits converged, so there are no ranks to judge")
        share = np.bincount(np.arange(values) * BINS // values, minlength=BINS) / values
        z = scipy.special.ndtri((ranks + 0.5) / values)
        table = {}
        for i, name in enumerate(self.names):
            counts = np.bincount(ranks[:, i] * BINS // values, minlength=BINS)
            p_value = float(scipy.stats.chisquare(counts, len(ranks) * share).pvalue)
            table[name] = {"p_value": p_value, "mean_z": z[:, i].mean(), "sd_z": z[:, i].std()}
        return pd.DataFrame.from_dict(table, orient="index")


@validated
def sbc(
    law: Law | str,
    design: pd.DataFrame | None = None,
    *,
    noise: NoiseChoice = "auto",
    discrepancy: DiscrepancyChoice = "brownian",
    tables: int | range = 200,
    executor: ExecutorChoice | None = None,
    seed: Seed = 0,
    progress: bool | None = None,
) -> Ranks:
    """Calibrate a law on tables that are simulated from its own prior.

    The prior stands at one reference point for all tables, at a loss of 3; `fit` puts it at the median loss of the
    table it is given, which makes a prior that has seen the data and ranks that are only nearly uniform. All tables
    are fitted as `fit` does otherwise, by the same compiled programs; what a table gives does not depend on the others.

    Parameters
    ----------
    law : a `Law`, or what ``load_law`` takes
    design : one row per run, the law's inputs in raw units; by default 48 runs over the usual span of the inputs
    noise, discrepancy : as of `fit`
    tables : number of tables, or their numbers: a long study can be done in parts, see `Ranks.joined`
    executor : whose workers fit the tables, a hundred at a time: a number of processes of this machine, or an executor
        of `concurrent.futures`; by default this process. The ranks are the same
    seed : the same seed on the same machine gives the same ranks
    progress : show a bar; by default on a terminal

    Returns
    -------
    Ranks
        Rank of the true value of each parameter among draws, one row per table.

    Raises
    ------
    FitError
        When there are no tables, or tables with numbers below 0.
    WorkerError
        When workers are lost for good, or the law cannot be sent to one.
    """
    law = load_law(law) if isinstance(law, str) else law
    numbers = range(tables) if isinstance(tables, int) else tables
    if not numbers:
        raise FitError(f"tables is {tables}; calibration takes at least 1, and 100 or more to be informative")
    if min(numbers) < 0:
        raise FitError(f"tables is {tables}; tables are counted from 0")
    design = typical_design(law) if design is None else design
    few = [numbers[start : start + AT_ONCE] for start in range(0, len(numbers), AT_ONCE)]
    tasks = [Calibration(law, design, noise, discrepancy, some, Sampler("batched"), seed) for some in few]
    with opened(executor) as workers, progress_bar(f"calibrate {law.label}", progress) as report:
        return Ranks.joined(carried_out(tasks, workers, report))


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration(Task[Ranks]):
    """Some tables of a study, which are fitted at once by a sampler of choice.

    Attributes
    ----------
    law, design, noise, discrepancy, seed : as of `sbc`
    tables : their numbers
    sampler : how they are fitted
    """

    law: Law
    design: pd.DataFrame
    noise: NoiseChoice
    discrepancy: DiscrepancyChoice
    tables: range
    sampler: Sampler
    seed: int = 0

    @property
    def label(self) -> str:
        """Which tables."""
        return f"tables {self.tables[0]} to {self.tables[-1]}"

    def measure(self) -> Ranks:
        """Simulate these tables, fit them and rank the truth."""
        law, design, started = self.law, self.design, time.perf_counter()
        # Any table of this design has its inputs; the losses of this one are not used.
        template = simulate(law, design, seed=self.seed)
        composition = composed(law, template, self.noise, self.discrepancy, None)
        at = centre_of(law, TYPICAL_LOSS, law_table(law, template))
        with scope(), progress_bar(f"calibrate {law.label}", False) as report:
            report("compiling", 0.0)
            model, data, priors = posterior_of(composition, template)
            starts = np.asarray(placed(model)(prior_draws(composition, model, self.seed), _at(at, data), priors)[0])
            posed = [_posed(composition, design, at, starts, (self.seed, table)) for table in self.tables]
            sampled = sample_all(self.sampler, [problem for _, problem in posed], report)
            ranks = [_ranked(*asked, *found) for asked, found in zip(posed, sampled, strict=True)]
        good = [not one.diagnostics.problems(one.chains.stats["energy"].size) for _, one in sampled]
        alone = [one.how != BATCHED for _, one in sampled]
        seconds = np.full(len(self.tables), (time.perf_counter() - started) / len(self.tables))
        names = (*composition.names, MISFIT)
        return Ranks(names, np.array(ranks), RANKED, np.array(good), seconds, np.array(alone))


def _posed(
    composition: Composition, design: pd.DataFrame, at: ReferencePoint, starts: np.ndarray, seed: tuple[int, int]
) -> tuple[dict[str, float], Problem]:
    """Simulate one table; return the truth and the posterior that is to find it."""
    law, noise, discrepancy = composition.law, composition.noise, composition.discrepancy
    # The sampler has a seed of its own: with that of the truth, its chains would start from the very same keys.
    of_truth, of_sampler = (int(word) for word in np.random.SeedSequence(seed).generate_state(2))
    truth = draw_truth(law, noise, discrepancy, at, of_truth)
    runs = simulate(law, design, truth, noise=noise, discrepancy=discrepancy, seed=of_truth)
    model, data, priors = posterior_of(composition, runs)
    return truth, Problem(model, _at(at, data), priors, starts, Settings(), of_sampler, silent)


def _ranked(truth: Mapping[str, float], posed: Problem, problem: Problem, sampled: Sampled) -> np.ndarray:
    """Return the rank of every truth, ``(n_name,)``, among draws in the coordinates of ``problem``."""
    (model, data, priors), u = posed.posterior, sampled.chains.u
    count = int(np.prod(u.shape[:2]))
    thinned = u.reshape(count, -1)[evenly(count, RANKED)]
    theta = constrained(model)(jnp.asarray(problem.standardised(thinned[None])[0]), data, priors)
    values = {name: np.append(truth[name], theta[name]) for name in truth}
    values[MISFIT] = np.asarray(_misfit(model)({name: values[name] for name in model.law_names}, data))
    return np.array([int(np.sum(value[1:] < value[0])) for value in values.values()])


def _at(at: ReferencePoint, data: Observations) -> Observations:
    """Return a table whose priors are stated at a given point, in place of its own centre."""
    return dataclasses.replace(data, at=jax.tree.map(lambda leaf: jnp.asarray(leaf, float), at))


@compiled
def _misfit(model: Model) -> Any:
    """Return the compiled sum of squared distances between a table and the law, by draw."""

    def misfit(theta: Mapping[str, Array], data: Observations) -> Array:
        return jnp.sum(data.weight * (data.log_loss - model.log_law(theta, data.columns)) ** 2)

    return jax.jit(jax.vmap(misfit, (0, None)))


# --- one fitted table -------------------------------------------------------------------------------------------


@validated
def predictive_check(fit: Fit) -> pd.DataFrame:
    """Compare the residuals of a table with those of tables that the fit would have made.

    Each draw judges the observed losses and one replicated table against its own curve: ``scale`` is the standard
    deviation of their residuals in log loss, ``largest`` the largest absolute residual in units of the scatter,
    ``neighbours`` the correlation of residuals of runs that are next to each other in size, ``skewness`` theirs.
    Parameters were learned from the same table, so probabilities are conservative: a small one means something.

    Returns
    -------
    pandas.DataFrame
        One row per statistic: ``observed`` (median over draws), ``5.0%`` and ``95.0%`` of replicated tables,
        ``tail_probability`` (two-sided), ``surprising`` (it is so small that a clean table has any such in 1 of 20).
    """
    along = np.argsort(log_size(fit.law, law_table(fit.law, fit.runs)), kind="stable")
    statistics: dict[str, Callable[[np.ndarray, AtRows], np.ndarray]] = {
        "scale": lambda residual, at: residual.std(axis=1),
        "largest": lambda residual, at: np.abs(residual / at.row_scale).max(axis=1),
        "neighbours": lambda residual, at: _lag_one(residual[:, along]),
        "skewness": lambda residual, at: np.asarray(scipy.stats.skew(residual, axis=1)),
    }
    found: dict[str, list[np.ndarray]] = {name: [] for name in statistics}
    for at in by_draws(fit):
        residuals = (np.log(fit.runs.loss) - at.log_mean, np.log(fit.replicate(at)) - at.log_mean)
        for name, statistic in statistics.items():
            found[name].append(np.stack([statistic(residual, at) for residual in residuals]))
    table = {}
    for name, blocks in found.items():
        seen, expected = np.concatenate(blocks, axis=1)
        tail = min(1.0, 2 * min(float(np.mean(expected >= seen)), float(np.mean(expected <= seen))))
        table[name] = {
            "observed": np.median(seen),
            "5.0%": np.quantile(expected, 0.05),
            "95.0%": np.quantile(expected, 0.95),
            "tail_probability": tail,
            "surprising": tail < FALSE_ALARMS / len(statistics),
        }
    return pd.DataFrame.from_dict(table, orient="index").astype({"surprising": bool})


def _lag_one(residual: np.ndarray) -> np.ndarray:
    """Return the correlation between each value and the next along the rows of each draw, ``(n_draw,)``."""
    centred = residual - residual.mean(axis=1, keepdims=True)
    return np.asarray((centred[:, 1:] * centred[:, :-1]).sum(axis=1) / (centred**2).sum(axis=1))


@validated
def loo_pit(fit: Fit) -> np.ndarray:
    """Return where each loss lies in what all other runs predict for it, ``(n_row,)``: the probability of a lower one.

    Uniform over 0 to 1 for a fit that predicts well; piled up at both ends where its predictions are too narrow. The
    predictions come from reweighting draws (PSIS-LOO), see ``k_hat`` of `find_influential` for where that is to be
    trusted. Where rows of a run are correlated, they are given the rows before it.
    """
    log_loss, found = np.log(fit.runs.loss), []
    for at, log_weight, _ in leave_one_out_weights(fit):
        below = fit.noise.scatter_family.probability_below((log_loss[at.rows] - at.expected) / at.scale, at.theta)
        found.append((np.exp(log_weight) * below.T).sum(axis=1))
    # Rounding may lift a sum of weights above one.
    return np.asarray(np.clip(np.concatenate(found), 0.0, 1.0))
