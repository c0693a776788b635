"""Paths of the discrepancy of a law, drawn once and stored: one function wherever it is read."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bayes_scaling.base.arguments import validated
from bayes_scaling.base.blas import ONE_THREAD
from bayes_scaling.base.streams import PATHS, stream
from bayes_scaling.inference.result import Fit
from bayes_scaling.model.discrepancy import MOST_PLACES

E_FOLDS_BEYOND = 30.0  # how far paths extend beyond the largest fitted place, in e-folds
STEPS = 256  # number of places there


@dataclasses.dataclass(frozen=True, eq=False)
class OnePath:
    """One path of a discrepancy, one course per draw.

    Attributes
    ----------
    places : (n_place,) logarithms of what it runs along, at which it is stored, sorted
    learned : (n_draw, n_place) part that the fitted runs determine, in log loss
    unresolved : (n_draw, n_place) the rest of it; both are 0 for a law that is assumed to be exact
    """

    places: np.ndarray
    learned: np.ndarray
    unresolved: np.ndarray

    def take(self, draws: np.ndarray | slice) -> OnePath:
        """Keep some draws, by index."""
        return OnePath(self.places, self.learned[draws], self.unresolved[draws])

    @functools.cached_property
    def total(self) -> np.ndarray:
        """The whole path where it is stored, in log loss, ``(n_draw, n_place)``."""
        return np.asarray(self.learned + self.unresolved)

    def at(self, values: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Interpolate values stored at the places, ``(n_draw, n_place)``, at others; constant beyond the ends."""
        if len(self.places) == 1:
            return np.repeat(values, len(places), axis=1)
        before = np.clip(np.searchsorted(self.places, places, side="right") - 1, 0, len(self.places) - 2)
        share = np.clip((places - self.places[before]) / (self.places[before + 1] - self.places[before]), 0.0, 1.0)
        return np.asarray((1 - share) * values[:, before] + share * values[:, before + 1])


@dataclasses.dataclass(frozen=True, eq=False)
class Paths:
    """The discrepancy of a law: the sum of its paths, along the size of runs or along each of what they run along.

    Attributes
    ----------
    along : the paths, in the order of `Discrepancy.axes`
    """

    along: tuple[OnePath, ...]

    @classmethod
    @ONE_THREAD.on()
    def drawn(cls, fit: Fit, places: Sequence[np.ndarray], seed: int) -> Paths:
        """Draw the paths of a fit, each at some places, sorted."""
        grid = fit.discrepancy_grid
        count = len(fit.unconstrained) * fit.unconstrained.shape[1]
        if not grid.size:
            nothing = (np.zeros((count, len(one))) for one in places)
            return cls(tuple(OnePath(one, zeros, zeros) for one, zeros in zip(places, nothing, strict=True)))
        scales, rng, drawn = fit.flat(), stream(seed, PATHS), []
        for path, increments, one in zip(grid.paths, grid.increments_of(fit.increments), places, strict=True):
            scale, fresh = scales[path.axis.scale][:, None], path.unresolved(one, count, rng)
            drawn.append(OnePath(one, scale * (increments @ path.basis(one).T), scale * fresh))
        return cls(tuple(drawn))

    @classmethod
    def on_grid(cls, fit: Fit, seed: int) -> Paths:
        """Draw the paths of a fit from its smallest places to 30 e-folds beyond its largest."""
        fitted = fitted_places(fit).T
        return cls.drawn(fit, [np.linspace(one.min(), one.max() + E_FOLDS_BEYOND, STEPS) for one in fitted], seed)

    @classmethod
    def at_runs(cls, fit: Fit, places: np.ndarray, seed: int) -> Paths:
        """Draw the paths of a fit exactly at the places of runs, ``(n_row, n_path)``; on a grid where they are many."""
        distinct = [np.unique(one) for one in places.T]
        few = [one if len(one) <= MOST_PLACES else np.linspace(one[0], one[-1], MOST_PLACES) for one in distinct]
        return cls.drawn(fit, few, seed)

    def __len__(self) -> int:
        return len(self.along[0].learned)

    @validated
    def take(self, draws: np.ndarray | slice) -> Paths:
        """Keep some draws, by index."""
        return Paths(tuple(path.take(draws) for path in self.along))

    def at(self, places: np.ndarray) -> np.ndarray:
        """Return the whole discrepancy at places, ``(n_place, n_path)``: (n_draw, n_place), in log loss."""
        return sum_of(path.at(path.total, one) for path, one in zip(self.along, places.T, strict=True))

    def parts_at(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the part that the fitted runs determine, and the rest, as in `at`."""
        learned = [path.at(path.learned, one) for path, one in zip(self.along, places.T, strict=True)]
        rest = [path.at(path.unresolved, one) for path, one in zip(self.along, places.T, strict=True)]
        return sum_of(learned), sum_of(rest)


def fitted_places(fit: Fit) -> np.ndarray:
    """Return where the fitted runs lie on the paths of the discrepancy, ``(n_row, n_path)``."""
    return fit.discrepancy.places(fit.law, {name: fit.runs.column(name) for name in fit.law.inputs})


def sum_of(parts: Iterable[np.ndarray]) -> np.ndarray:
    """Return the sum of arrays of one shape."""
    return np.asarray(functools.reduce(np.add, parts))


def paths_at(
    fit: Fit, table: Mapping[str, np.ndarray], seed: int, draws: np.ndarray | slice
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the discrepancy at the runs of a table, in log loss, ``(n_draw, n_row)`` each.

    Returns
    -------
    the part that the fitted runs determine, and the rest; both are 0 for a law that is assumed to be exact
    """
    if not fit.discrepancy_grid.size:
        return np.zeros((1, 1)), np.zeros((1, 1))
    places = fit.discrepancy.places(fit.law, table)
    return Paths.at_runs(fit, places, seed).take(draws).parts_at(places)
