"""Fitting: from a law and a table of runs to a posterior that says whether it can be trusted."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from bayes_scaling.base.ahead import done_ahead
from bayes_scaling.base.arguments import Seed, validated
from bayes_scaling.base.messages import listed
from bayes_scaling.base.progress import progress_bar
from bayes_scaling.base.scope import LARGE_TABLE, scope
from bayes_scaling.base.warned import warn_caller
from bayes_scaling.data.runs import Runs
from bayes_scaling.data.validation import Origin, numeric
from bayes_scaling.errors import DataError
from bayes_scaling.inference.chains import Progress
from bayes_scaling.inference.compiled import Posterior, constrained, placed, value_and_gradient
from bayes_scaling.inference.coordinates import sampled_model, with_good_geometry
from bayes_scaling.inference.draws import flattened, posterior_of, prior_draws
from bayes_scaling.inference.methods import fast_settings
from bayes_scaling.inference.nuts import compile_chains
from bayes_scaling.inference.problem import Problem, Sampled
from bayes_scaling.inference.result import Fit
from bayes_scaling.inference.sampler import Sampler, SamplerChoice, chosen_sampler
from bayes_scaling.laws.catalogue import check_groups, load_law
from bayes_scaling.laws.law import Law
from bayes_scaling.laws.priors import describe_prior, prior_to_spec
from bayes_scaling.model.choices import (
    DiscrepancyChoice,
    NoiseChoice,
    chosen_discrepancy,
    chosen_noise,
    discrepancy_along,
)
from bayes_scaling.model.composition import Composition, spelled_out
from bayes_scaling.model.observations import Observations, observe, rows_read
from bayes_scaling.model.pooling import Pooling, checked_pooling
from bayes_scaling.version import __version__

ALONG_A_RUN = frozenset({"steps", "tokens", "batch_tokens", "learning_rate"})
"""Inputs by which a law may describe the curve of one model; every other input differs from model to model."""


@validated
def fit_law(
    law: Law | str,
    runs: Runs,
    *,
    noise: NoiseChoice = "auto",
    discrepancy: DiscrepancyChoice = "brownian",
    pooling: Pooling | None = None,
    sampler: SamplerChoice = "auto",
    seed: Seed = 0,
    progress: bool | None = None,
) -> Fit:
    """Sample the posterior of one law given runs; ``bs.fit``, in `bayes_scaling.evaluate.fitting`, calls it.

    Parameters
    ----------
    law : a `Law`, or what ``load_law`` takes
    runs : the table
    noise, discrepancy, pooling : as of ``LawOptions`` there
    sampler, seed, progress : as of ``fit`` there

    Returns
    -------
    Fit
        Marked as not converged, not refused, when even stronger settings do not help; forecasts from it refuse.

    Raises
    ------
    DataError
        When the table lacks a column that law or noise reads.
    """
    law = load_law(law) if isinstance(law, str) else law
    composition = composed(law, runs, noise, discrepancy, pooling)
    _warn_of_sizes_taken_for_one(composition, runs)
    _warn_of_rows_taken_for_one_run(law, runs)
    sampler = chosen_sampler(sampler)
    started = time.perf_counter()
    with scope(sampler.device, len(runs)), progress_bar(f"fit {law.label}", progress) as report:
        report("compiling", 0.0)
        asked = ask(composition, runs, sampler, seed, report)
        with done_ahead([lambda: _compile_ahead(lambda: asked.problem.posterior, sampler, len(runs))]):
            problem = with_good_geometry(asked.problem)
            return asked.answer(problem, sampler.function(problem), time.perf_counter() - started)


@dataclasses.dataclass(frozen=True, eq=False)
class AskedPosterior:
    """A posterior that is asked for.

    Attributes
    ----------
    composition, runs : what is fitted to what
    sampler : how it is to be sampled
    prior : (prior draw,) draws of its parameters before the table is seen, by name
    problem : the posterior, in the coordinates of its priors
    """

    composition: Composition
    runs: Runs
    sampler: Sampler
    prior: Mapping[str, np.ndarray]
    problem: Problem

    def answer(self, problem: Problem, sampled: Sampled, seconds: float) -> Fit:
        """Return the fit that draws make.

        Parameters
        ----------
        problem : the posterior in the coordinates of the draws
        seconds : that they took
        """
        composition, runs, (model, data, priors) = self.composition, self.runs, self.problem.posterior
        unconstrained = problem.standardised(sampled.chains.u)
        u = unconstrained.reshape(-1, len(model.sites))
        posterior = jax.tree.map(np.asarray, constrained(model)(u, data, priors))
        how = {
            "sampler": self.sampler.name,
            "sampler_used": sampled.how,
            "seed": problem.seed,
            "chains": problem.settings.chains,
            "draws": problem.settings.draws,
        }
        flat = flattened(posterior, spelled_out(composition, composition.groups(runs)))
        return Fit(
            composition=composition,
            runs=runs,
            draws={name: values.reshape(unconstrained.shape[:2]) for name, values in flat.items()},
            prior=self.prior,
            unconstrained=unconstrained,
            stats=sampled.chains.stats,
            diagnostics=sampled.diagnostics,
            manifest=_manifest(composition, runs, how, seconds),
        )


def composed(
    law: Law, runs: Runs, noise: NoiseChoice, discrepancy: DiscrepancyChoice, pooling: Pooling | None
) -> Composition:
    """Return what is fitted to a table that has what it reads; arguments as of `fit_law`."""
    scatter = chosen_noise(noise, runs, law)
    pooling = checked_pooling(pooling or {}, (*law.parameters, *scatter.parameters))
    departure = chosen_discrepancy(discrepancy)
    Composition(law, scatter, departure, pooling)  # names that clash are refused before columns that are missing
    refuse_unusable_columns(law, runs)
    if of_law := [row.name for row in law.sampled if row.name in pooling]:
        check_groups(law, of_law)
    return Composition(law, scatter, discrepancy_along(departure, scatter, law, runs), pooling)


def ask(composition: Composition, runs: Runs, sampler: Sampler, seed: int, report: Progress) -> AskedPosterior:
    """Return the posterior of a composition given a table, before anything is sampled; in a scope of its device."""
    model, data, priors = posterior_of(composition, runs, sampler.like_rows)
    sites = prior_draws(composition, model, seed)
    prior_u, prior = jax.tree.map(np.asarray, placed(model)(sites, data, priors))
    flat_prior = flattened(prior, spelled_out(composition, composition.groups(runs)))
    data = _to_sample(composition, runs, sampler, data)
    problem = Problem(model, data, priors, prior_u, sampler.settings, seed, report)
    return AskedPosterior(composition, runs, sampler, flat_prior, problem)


def prepare(composition: Composition, runs: Runs, sampler: Sampler) -> None:
    """Compile what a fit of these runs most likely samples with, which takes no knowledge of the posterior."""

    def posterior() -> Posterior:
        model, data, priors = posterior_of(composition, runs, sampler.like_rows)
        return Posterior(model, _to_sample(composition, runs, sampler, data), priors)

    _compile_ahead(posterior, sampler, len(runs))


def _compile_ahead(posterior: Callable[[], Posterior], sampler: Sampler, rows: int) -> None:
    """Compile the fast path; not for a large table, which would be held twice."""
    if sampler.method != "auto" or rows >= LARGE_TABLE:
        return
    with scope(sampler.device, rows):
        model, data, priors = posterior()
        if not model.populations:
            to_sample = Posterior(sampled_model(model, data), data, priors)
            value_and_gradient(to_sample)
            compile_chains(to_sample, fast_settings(sampler.settings))


def _to_sample(composition: Composition, runs: Runs, sampler: Sampler, data: Observations) -> Observations:
    """Return what the sampler reads of a table: all of ``data``, or chosen rows of its curves."""
    read = rows_read(composition, runs)
    if len(read) == len(runs):
        return data
    like = None if sampler.like_rows is None else -(-sampler.like_rows * len(read) // len(runs))
    return observe(composition, runs, like, read)


def refuse_unusable_columns(law: Law, runs: Runs) -> None:
    """Refuse a table that lacks a column of the law, or has a value in one that no run can have."""
    missing = [name for name in law.inputs if name not in runs]
    if missing:
        have = ", ".join(name for name in runs.table.columns)
        raise DataError(
            f"law {law.label} reads {', '.join(law.inputs)}, but {runs.source} has no {missing[0]} (it has {have}); "
            "map a column to it, or choose another law"
        )
    numeric(
        runs.table, law.inputs, Origin(runs.source, {}), law.may_be_zero
    )  # columns of the law's own are checked only here


def _warn_of_sizes_taken_for_one(composition: Composition, runs: Runs) -> None:
    """Warn where a law of the curve of one model is fitted to curves of several sizes: its chains may never meet."""
    law, pooled = composition.law, any(pool.by == "params" for pool in composition.pooling.values())
    if not composition.noise.correlated or pooled or "params" not in runs or not ALONG_A_RUN.issuperset(law.inputs):
        return
    sizes = np.unique(runs.column("params"))
    if len(sizes) > 1:
        warn_caller(
            f"{runs.source} has curves of {len(sizes)} sizes, {sizes[0]:.3g} to {sizes[-1]:.3g} parameters, which "
            f"{law.label} takes for one: it reads {listed(law.inputs)} alone. Fit one size at a time, pool a parameter "
            "by params, or name a law that reads params"
        )


def _warn_of_rows_taken_for_one_run(law: Law, runs: Runs) -> None:
    """Warn where a law of whole schedules is fitted to rows of which nothing says which run they are of."""
    if law.features is not None and "run" not in runs and len(runs) > 1:
        warn_caller(
            f"{runs.source} has no column run, and {law.label} reads the learning rate of whole runs: all rows are "
            "taken for one run. Give each row the id of its run"
        )


def said_priors(composition: Composition) -> dict[str, Any]:
    """Return what a manifest says of priors: each in words, and those that a law was given as they are read again."""
    law = composition.law
    return {
        "priors": {row.site: describe_prior(row.prior) for row in composition.sampled},
        "priors_given": {row.name: prior_to_spec(row.prior) for row in law.sampled if row.name in law.overridden},
    }


def _manifest(composition: Composition, runs: Runs, how: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    law, noise, pooling = composition.law, composition.noise, composition.pooling
    return {
        "law": law.origin.name,
        "law_options": dict(law.origin.options),
        "law_source_sha256": law.source_hash,
        "posterior_names": list(composition.names),
        **said_priors(composition),
        "noise": noise.as_dict(),
        "discrepancy": composition.discrepancy.as_dict(),
        "pooling": {name: {"by": pool.by, "mode": pool.mode} for name, pool in pooling.items()},
        "runs": {
            "source": runs.source,
            "rows": len(runs),
            "rows_read": len(rows_read(composition, runs)),
            "sha256": runs.hash_of([*law.inputs, *(pool.by for pool in pooling.values())]),
            "params_convention": runs.params_convention,
            "loss_unit": runs.loss_unit,
        },
        **how,
        "seconds": round(seconds, 3),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {name: importlib.metadata.version(name) for name in ("jax", "numpyro", "numpy")}
        | {"bayes-scaling": __version__},
    }
