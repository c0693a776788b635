"""The mode of a posterior and the curvature there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import scipy.optimize

from bayes_scaling.errors import FitError
from bayes_scaling.inference.compiled import Posterior, value_and_gradient

LEAST_CURVATURE, MOST_CURVATURE = 0.25, 1e13
SAME_PLACE = 0.1  # standard deviations between ends of climbs to one mode, at most
NOWHERE = 1e30  # potential of a point at which the density is not finite


@dataclasses.dataclass(frozen=True)
class Mode:
    """Highest point of the posterior that many starts found, with the curvature there.

    Attributes
    ----------
    u : (site,)
    covariance : (site, site) of the normal approximation
    rivals : (n_rival, site) other places where a climb ended, within 6 log units of the best
    ends : (place, site) where climbs ended, the best first, each place once, where that is known
    """

    u: np.ndarray
    covariance: np.ndarray
    rivals: np.ndarray
    ends: np.ndarray | None = None


def find_mode(posterior: Posterior, starts: np.ndarray, climbs: int) -> Mode:
    """Climb to the posterior mode with BFGS from the best of several starts, ``(n_start, site)``.

    Raises
    ------
    FitError
        When the density is not finite at any start.
    """
    function = value_and_gradient(posterior)

    def objective(u: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = function(u)
        if not np.isfinite(value) or not np.all(np.isfinite(gradient)):
            return NOWHERE, np.zeros_like(u)
        return value, gradient

    values = [objective(u)[0] for u in starts]
    if min(values) == NOWHERE:
        raise FitError(
            f"the law or its noise gives no finite density of these runs at any of {len(starts)} draws of the prior: "
            "look for rows that it cannot read, such as one up to which the learning rate is 0 all along"
        )
    best_first = np.argsort(values, kind="stable")
    found = [
        scipy.optimize.minimize(objective, u, jac=True, method="BFGS", options={"gtol": 1e-4})
        for u in starts[best_first[:climbs]]
    ]
    found.sort(key=lambda result: float(result.fun))
    best = found[0]
    covariance = _curvature_covariance(lambda u: objective(u)[1], best.x)
    sd = np.sqrt(np.diag(covariance))
    rivals = [r.x for r in found if r.fun < best.fun + 6 and np.any(np.abs(r.x - best.x) > 3 * sd)]
    ends: list[np.ndarray] = []
    for result in found:
        if all(np.any(np.abs(result.x - end) > SAME_PLACE * sd) for end in ends):
            ends.append(result.x)
    return Mode(best.x, covariance, np.array(rivals).reshape(len(rivals), len(best.x)), np.stack(ends))


def _curvature_covariance(gradient: Callable[[np.ndarray], np.ndarray], u: np.ndarray) -> np.ndarray:
    """Invert the Hessian at ``u``, from central differences of the gradient; flat directions get variance 4.

    Steep ones get at least what rounding leaves of a covariance in both.
    """
    step = 1e-5
    rows = [(gradient(u + step * e) - gradient(u - step * e)) / (2 * step) for e in np.eye(len(u))]
    hessian = np.stack(rows)
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    covariance: np.ndarray = (vectors / np.clip(values, LEAST_CURVATURE, MOST_CURVATURE)) @ vectors.T
    return covariance
