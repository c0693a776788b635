"""The posterior of the same table under other priors, from draws that are there: no sampling."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import numpyro.distributions as dist

from bayes_scaling.base.scope import scope
from bayes_scaling.inference.compiled import log_priors, placed
from bayes_scaling.inference.draws import flattened, posterior_of, prior_draws
from bayes_scaling.inference.fit import said_priors
from bayes_scaling.inference.result import Fit
from bayes_scaling.inference.weights import effective, pareto_smoothed
from bayes_scaling.laws.law import Law
from bayes_scaling.model.composition import priors_of, spelled_out
from bayes_scaling.model.program import model_of


def under_other_priors(fitted: Fit, law: Law, seed: int) -> Fit | None:
    """Return the posterior under the priors of a law, from weighted draws; None where only sampling can tell.

    Weights are smoothed and judged as everywhere: k-hat at most 0.7, and as many effective draws as a fit must have,
    those of the chains times the share that the weights leave.

    Parameters
    ----------
    fitted : posterior of the same law under other priors
    seed : of draws from the prior
    """
    composition = dataclasses.replace(fitted.composition, law=law)
    model = model_of(composition, fitted.groups)
    if model is not fitted.model or not fitted.converged or not _same_line(fitted.law, law):
        return None
    chains, draws, dim = fitted.unconstrained.shape
    with scope():
        _, data, priors = posterior_of(composition, fitted.runs)
        u = fitted.unconstrained.reshape(-1, dim)
        after, before = (
            sum(np.asarray(values) for values in log_priors(model)(u, which).values())
            for which in (priors, priors_of(fitted.composition))
        )
        _, prior = jax.tree.map(np.asarray, placed(model)(prior_draws(composition, model, seed), data, priors))
    log_weight = np.where(np.isnan(after - before), -np.inf, after - before)
    if not np.isfinite(log_weight.max()):
        return None
    (smoothed,), (k_hat,) = pareto_smoothed(log_weight[None])
    weight = np.exp(smoothed)
    share = effective(weight) / len(weight)
    report = fitted.diagnostics
    report = dataclasses.replace(
        report, ess_bulk=share * report.ess_bulk, ess_tail=share * report.ess_tail, k_hat=float(k_hat)
    )
    if np.isnan(k_hat) or report.problems(len(weight)):
        return None
    # Evenly spaced along the weights, so that choosing adds next to no noise, and chains stay in their order.
    chosen = np.searchsorted(np.cumsum(weight), (np.arange(len(weight)) + 0.5) / len(weight) * weight.sum())

    def taken(values: np.ndarray) -> np.ndarray:
        kept: np.ndarray = values.reshape(chains * draws, *values.shape[2:])[chosen].reshape(values.shape)
        return kept

    said = {**said_priors(composition), "sampler_used": f"{fitted.sampler_used}, reweighted"}
    return dataclasses.replace(
        fitted,
        composition=composition,
        draws={name: taken(values) for name, values in fitted.draws.items()},
        prior=flattened(prior, spelled_out(composition, fitted.groups)),
        unconstrained=taken(fitted.unconstrained),
        stats={name: taken(values) for name, values in fitted.stats.items()},
        diagnostics=report,
        manifest={**fitted.manifest, **said},
    )


def _same_line(before: Law, after: Law) -> bool:
    """Say whether every parameter keeps its place on the real line under the other priors."""
    was, now = ({row.name: row.prior for row in law.sampled} for law in (before, after))
    places = np.array([-1.0, 0.0, 1.0])

    def on_it(prior: dist.Distribution) -> np.ndarray:
        return np.asarray(dist.biject_to(prior.support)(places))

    return all(
        type(was[name]) is type(prior) and np.array_equal(on_it(was[name]), on_it(prior)) for name, prior in now.items()
    )
