"""The normal approximation of a posterior as it is usually meant: draws around the mode, uncorrected."""

from __future__ import annotations

import numpy as np

from bayes_scaling.inference.chains import Chains
from bayes_scaling.inference.diagnostics import Diagnostics
from bayes_scaling.inference.problem import Problem, Sampled


def normal_approximation(problem: Problem) -> Sampled:
    """Draw from the normal distribution with the mode and the curvature of the posterior, a `SamplingMethod`.

    The sampler ``laplace`` weighs draws by the posterior and says where that fails; this one cannot fail, and does not
    say how wrong it is.
    """
    shape = (problem.settings.chains, problem.settings.draws, len(problem.coordinates))
    white = np.random.default_rng(problem.seed).standard_normal(shape)
    u = problem.mode.u + white @ np.linalg.cholesky(problem.mode.covariance).T
    energy = -problem.log_density(u.reshape(-1, shape[-1])).reshape(shape[:2])
    draws = float(shape[0] * shape[1])
    report = Diagnostics(1.0, draws, draws, 0, float("nan"))
    return Sampled(
        Chains(u, {"diverging": np.zeros(shape[:2], bool), "energy": energy}), report, "normal approximation"
    )
