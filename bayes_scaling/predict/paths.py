"""Paths of the discrepancy of a law along the size of runs, drawn once and stored: one function wherever it is read."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from bayes_scaling.base.arguments import validated
from bayes_scaling.inference.result import Fit

BEYOND, STEPS = (
    30.0,
    256,
)  # how far paths extend beyond the largest fitted size, in e-folds, and the number of places there


@dataclasses.dataclass(frozen=True, eq=False)
class Paths:
    """The discrepancy of a law along the size of runs, one path per draw.

    Attributes
    ----------
    sizes : (n_place,) log sizes at which paths are stored, sorted
    learned : (n_draw, n_place) part of the discrepancy that the fitted runs determine, in log loss
    unresolved : (n_draw, n_place) the rest of it; both are 0 for a law that is assumed to be exact
    """

    sizes: np.ndarray
    learned: np.ndarray
    unresolved: np.ndarray

    @classmethod
    def drawn(cls, fit: Fit, sizes: np.ndarray, seed: int) -> Paths:
        """Draw the paths of a fit at some log sizes, sorted."""
        grid = fit.discrepancy_grid
        count = len(fit.unconstrained) * fit.unconstrained.shape[1]
        if not grid.size:
            nothing = np.zeros((count, len(sizes)))
            return cls(sizes, nothing, nothing)
        tau = fit.flat()["tau"][:, None]
        fresh = grid.unresolved(sizes, len(tau), np.random.default_rng([seed, 4]))
        return cls(sizes, tau * (fit.increments @ grid.basis(sizes).T), tau * fresh)

    @classmethod
    def on_grid(cls, fit: Fit, seed: int) -> Paths:
        """Draw the paths of a fit from its smallest size to 30 e-folds beyond its largest."""
        fitted = fitted_sizes(fit)
        return cls.drawn(fit, np.linspace(fitted.min(), fitted.max() + BEYOND, STEPS), seed)

    def __len__(self) -> int:
        return len(self.learned)

    @validated
    def take(self, draws: np.ndarray) -> Paths:
        """Keep some draws, by index."""
        return Paths(self.sizes, self.learned[draws], self.unresolved[draws])

    @functools.cached_property
    def total(self) -> np.ndarray:
        """The whole discrepancy where paths are stored, in log loss, ``(n_draw, n_place)``."""
        return np.asarray(self.learned + self.unresolved)

    def at(self, values: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Interpolate values stored at the places, ``(n_draw, n_place)``, at log sizes; constant beyond the ends."""
        if len(self.sizes) == 1:
            return np.repeat(values, len(sizes), axis=1)
        before = np.clip(np.searchsorted(self.sizes, sizes, side="right") - 1, 0, len(self.sizes) - 2)
        share = np.clip((sizes - self.sizes[before]) / (self.sizes[before + 1] - self.sizes[before]), 0.0, 1.0)
        return np.asarray((1 - share) * values[:, before] + share * values[:, before + 1])


def fitted_sizes(fit: Fit) -> np.ndarray:
    """Return where the fitted runs lie on the path of the discrepancy, by default their log sizes, ``(n_row,)``."""
    return fit.discrepancy.places(fit.law, {name: fit.runs.column(name) for name in fit.law.inputs})
