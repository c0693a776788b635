"""The predictive distribution of log loss at points: a mixture over the posterior draws of one law or several.

Given a draw, the log loss of one run has a location, a scale and a family of residuals
(`bayes_scaling.model.families`). Integrals over normal residuals have a closed form, so a Student-t, or any other
family, is also represented by an equal mixture of normals, its parts.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.special

from bayes_scaling.model.families import Family, Normal, NormalParts, Theta
from bayes_scaling.model.noise import losses, residual_rng

type Chosen = Sequence[int] | np.ndarray  # indices


@dataclasses.dataclass(frozen=True, eq=False)
class Residuals:
    """Standardised residuals of draws that share a noise family.

    Attributes
    ----------
    family : their distribution, given a draw
    theta : its parameters, (n_draw,) or (n_draw, n_point)
    parts : the same residuals as a mixture of normals
    """

    family: Family
    theta: Theta
    parts: NormalParts

    @classmethod
    def of(cls, family: Family, theta: Theta, draws: int, seed: int) -> Residuals:
        """Return the residuals of a family for a number of draws, each with its own parameters."""
        own = {row.name: np.asarray(theta[row.name]) for row in family.parameters}
        whole = {name: values[:, 0] if values.ndim == 2 else values for name, values in own.items()}
        return cls(family, own, family.normal_parts(whole, draws, seed))

    @classmethod
    def normal(cls, draws: int) -> Residuals:
        """Return normal residuals."""
        return cls.of(Normal(), {}, draws, 0)

    def __len__(self) -> int:
        return len(self.parts.stretch)

    def take(self, draws: np.ndarray | slice) -> Residuals:
        """Keep some draws."""
        theta = {name: values[draws] for name, values in self.theta.items()}
        return Residuals(self.family, theta, self.parts.take(draws))

    def like(self, other: Residuals) -> bool:
        """Whether another block has the same family, with parameters of the same shape."""
        shapes = ({name: np.shape(values)[1:] for name, values in one.theta.items()} for one in (self, other))
        return self.family == other.family and next(shapes) == next(shapes)

    def at(self, points: Chosen) -> Residuals:
        """Keep some points."""
        theta = {name: values[:, points] if values.ndim == 2 else values for name, values in self.theta.items()}
        return dataclasses.replace(self, theta=theta)


@dataclasses.dataclass(frozen=True, eq=False)
class Predictive:
    """Distribution of the log loss of one new run at each point.

    Attributes
    ----------
    location : (n_draw, n_point) location of log loss
    scale : (n_draw, n_point) scale of the residuals
    residuals : families of the residuals, one for each block of draws
    deviation : (n_draw, n_point) standard deviation of a normal term that rows of a run share; 0 without one
    """

    location: np.ndarray
    scale: np.ndarray
    residuals: tuple[Residuals, ...]
    deviation: np.ndarray

    @classmethod
    def of(
        cls, location: np.ndarray, scale: np.ndarray, residuals: Residuals, deviation: np.ndarray | None = None
    ) -> Predictive:
        """Take the predictive distribution of one fit."""
        scale = np.broadcast_to(scale, location.shape)
        deviation = np.broadcast_to(np.zeros((1, 1)) if deviation is None else deviation, location.shape)
        return cls(location, scale, (residuals,), deviation)

    @classmethod
    def mixture(cls, members: Sequence[Predictive]) -> Predictive:
        """Return the equal mixture of all draws of several distributions; a weight is a number of draws."""
        return cls(
            np.concatenate([member.location for member in members]),
            np.concatenate([member.scale for member in members]),
            _joined([block for member in members for block in member.residuals]),
            np.concatenate([member.deviation for member in members]),
        )

    def __len__(self) -> int:
        return len(self.location)

    # --- subsets ---

    def take(self, draws: np.ndarray) -> Predictive:
        """Keep some draws, by index; those of one law stay together."""
        kept, order = [], []
        for block, rows in self._blocks():
            inside = draws[(draws >= rows.start) & (draws < rows.stop)]
            kept.append(block.take(inside - rows.start))
            order.append(inside)
        index = np.concatenate(order)
        return Predictive(self.location[index], self.scale[index], tuple(kept), self.deviation[index])

    def every(self, step: int) -> Predictive:
        """Thin the draws: keep one in ``step``."""
        return self if step == 1 else self.take(np.arange(0, len(self), step))

    def at(self, points: Chosen) -> Predictive:
        """Keep some points, by index."""
        blocks = tuple(block.at(points) for block in self.residuals)
        return Predictive(self.location[:, points], self.scale[:, points], blocks, self.deviation[:, points])

    def measured_with(self, relative_se: np.ndarray) -> Predictive:
        """Add the standard error of a measurement to the scale of residuals, in quadrature.

        Parameters
        ----------
        relative_se : (n_point,) standard error of a loss over the loss
        """
        return dataclasses.replace(self, scale=np.hypot(self.scale, relative_se))

    def _blocks(self) -> list[tuple[Residuals, slice]]:
        ends = np.cumsum([len(block) for block in self.residuals])
        return [(block, slice(end - len(block), end)) for block, end in zip(self.residuals, ends, strict=True)]

    @property
    def total_scale(self) -> np.ndarray:
        """Scale of a run's residual including its deviation, ``(n_draw, n_point)``; exact for normal residuals."""
        return self._total_scale_at(...)

    def _total_scale_at(self, where: Any) -> np.ndarray:
        """Return the total scale of some draws and points alone: points may be thousands."""
        return np.asarray(np.hypot(self.scale[where], self.deviation[where]))

    # --- the distribution ---

    def losses(self, seed: int) -> np.ndarray:
        """Draw one loss of one new run per draw and point, ``(n_draw, n_point)``."""
        rng = residual_rng(seed)
        residual = [block.family.draw(block.theta, self.location[rows].shape, rng) for block, rows in self._blocks()]
        return losses(self.location, self.total_scale, np.concatenate(residual))

    def log_losses_of(self, draws: np.ndarray, points: Chosen, rng: np.random.Generator) -> np.ndarray:
        """Draw log losses at some points as some draws predict them, ``(n_drawn, n_chosen)``; both may repeat."""
        where = np.ix_(draws, points)
        residual = np.empty((len(draws), len(points)))
        for block, rows in self._blocks():
            inside = (draws >= rows.start) & (draws < rows.stop)
            own = block.take(draws[inside] - rows.start).at(points)
            residual[inside] = own.family.draw(own.theta, (int(inside.sum()), len(points)), rng)
        return np.asarray(self.location[where] + self._total_scale_at(where) * residual)

    def log_density(self, loss: np.ndarray) -> np.ndarray:
        """Return the log density of a loss at each point, ``(n_point,)``, per unit of the loss."""
        given_draw = self.log_density_given_draw(np.log(loss)[None])
        return np.asarray(scipy.special.logsumexp(given_draw, axis=0) - np.log(len(self)) - np.log(loss))

    def log_density_given_draw(self, log_loss: np.ndarray) -> np.ndarray:
        """Return the log density of log losses, ``(1 or n_draw, n_point)``, given each draw, ``(n_draw, n_point)``."""
        z = (log_loss - self.location) / self.total_scale
        density = [block.family.log_density(z[rows], block.theta) for block, rows in self._blocks()]
        return np.asarray(np.concatenate(density) - np.log(self.total_scale))

    def log_density_of(self, log_losses: np.ndarray, point: int) -> np.ndarray:
        """Return the log density of several log losses at one point, given each draw, ``(n_draw, n_loss)``."""
        scale = self._total_scale_at(np.s_[:, [point]])
        z = (log_losses[None] - self.location[:, [point]]) / scale
        density = [block.family.log_density(z[rows], block.at([point]).theta) for block, rows in self._blocks()]
        return np.asarray(np.concatenate(density) - np.log(scale))

    def probability_below(self, loss: np.ndarray | float) -> np.ndarray:
        """Return the probability of a loss below the given one at each point, ``(n_point,)``."""
        z = (np.log(loss) - self.location) / self.total_scale
        below = [block.family.probability_below(z[rows], block.theta) for block, rows in self._blocks()]
        return np.asarray(np.concatenate(below).mean(axis=0))

    @functools.cached_property
    def informative_variance(self) -> np.ndarray:
        """Variance of a normal observation that tells as much about the location as a run, ``(n_draw, n_point)``."""
        factor = [block.family.informative_variance(block.theta, len(block)) for block, _ in self._blocks()]
        factors = [values[:, None] if values.ndim == 1 else values for values in factor]
        return np.asarray(np.concatenate(factors) * self.total_scale**2)

    # --- in normal parts ---

    @functools.cached_property
    def centre(self) -> np.ndarray:
        """Centre of each normal part of log loss, ``(n_draw, 1 or n_part, n_point)``."""
        if not any(block.parts.offset.any() for block in self.residuals):
            return self.location[:, None]
        return np.asarray(self.location[:, None] + self.scale[:, None] * self._of_parts("offset"))

    @functools.cached_property
    def width(self) -> np.ndarray:
        """Standard deviation of each normal part of log loss, ``(n_draw, n_part, n_point)``; weights are equal."""
        return np.asarray(np.hypot(self.scale[:, None] * self._of_parts("stretch"), self.deviation[:, None]))

    def _of_parts(self, name: str) -> np.ndarray:
        """Return an attribute of the parts of all blocks, ``(n_draw, n_part, 1)``, repeated to equal counts."""
        values = [getattr(block.parts, name) for block in self.residuals]
        most = int(np.lcm.reduce([value.shape[1] for value in values]))
        return np.concatenate([np.repeat(value, most // value.shape[1], axis=1) for value in values])[:, :, None]

    def standardised(self, loss: np.ndarray | float) -> np.ndarray:
        """Return the z-score of a loss in each part, ``(n_draw, n_part, n_point)``."""
        return np.asarray((np.log(loss) - self.centre) / self.width)


def _joined(blocks: Sequence[Residuals]) -> tuple[Residuals, ...]:
    """Join blocks of one family that follow each other, so that they share a stream of random numbers."""
    joined: list[Residuals] = []
    for block in blocks:
        if not joined or not joined[-1].like(block):
            joined.append(block)
            continue
        last = joined.pop()
        theta = {name: np.concatenate([values, block.theta[name]]) for name, values in last.theta.items()}
        offset, stretch = (
            np.concatenate([getattr(one.parts, of) for one in (last, block)]) for of in ("offset", "stretch")
        )
        joined.append(Residuals(last.family, theta, NormalParts(offset, stretch)))
    return tuple(joined)
