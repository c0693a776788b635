"""The normal approximation at the mode as a posterior, corrected by importance weights."""

from __future__ import annotations

import math

import numpy as np

from bayes_scaling.inference.chains import Chains, Settings
from bayes_scaling.inference.compiled import potentials
from bayes_scaling.inference.diagnostics import Diagnostics
from bayes_scaling.inference.mode import Mode
from bayes_scaling.inference.weights import pareto_smoothed
from bayes_scaling.model.composition import Priors
from bayes_scaling.model.observations import Observations
from bayes_scaling.model.program import Model


def laplace_draws(
    model: Model, data: Observations, priors: Priors, mode: Mode, settings: Settings, seed: int
) -> tuple[Chains, Diagnostics]:
    """Importance-resample a heavy-tailed (t with 4 degrees of freedom) approximation at the mode.

    Weights are Pareto-smoothed; their k-hat and effective size say whether the approximation can stand in for the
    posterior. The draws carry no chain structure: they are dealt out to ``chains`` at random.
    """
    rng = np.random.default_rng(seed)
    total, dim = settings.chains * settings.draws, len(mode.u)
    factor = np.linalg.cholesky(mode.covariance)
    proposals = 2 * total
    white = rng.standard_normal((proposals, dim)) / np.sqrt(rng.chisquare(4, (proposals, 1)) / 4)
    u = mode.u + white @ factor.T
    log_target = -np.asarray(potentials(model)(u, data, priors))
    log_proposal = -(4 + dim) / 2 * np.log1p((white**2).sum(1) / 4)
    log_weight = np.where(np.isfinite(log_target), log_target - log_proposal, -np.inf)
    (smoothed,), (k_hat,) = pareto_smoothed(log_weight[None])
    weight = np.exp(smoothed)
    chosen = rng.choice(proposals, total, p=weight)
    effective = float(1 / (np.sum(weight**2) + 1 / total))  # of the weights, and of drawing from them
    shape = (settings.chains, settings.draws)
    energy = -log_target[chosen].reshape(shape)
    stats = {
        "diverging": np.zeros(shape, bool),
        "n_steps": np.zeros(shape, np.int64),
        "energy": energy,
        "acceptance_rate": np.ones(shape),
    }
    # Weights without a k-hat are as bad as can be; NaN would say that there are no weights.
    k_hat = math.inf if np.isnan(k_hat) else float(k_hat)
    report = Diagnostics(1.0, effective, effective, 0, 1.0, worst=model.sites[0], k_hat=k_hat)
    return Chains(u[chosen].reshape(*shape, dim), stats), report
