"""Families of scatter: the shape of the distribution of a run's log loss around its expected value.

A family describes residuals of unit scale; how wide they are for each run is the business of the noise model
(`bayes_scaling.model.noise`). One method has to be written, a NumPyro distribution; the others follow from it and are
overridden where a closed form is exact or faster. A family of one's own:

    class Laplace(Family):
        label = "laplace"

        def distribution(self, location, scale, theta):
            return dist.Laplace(location, scale)

    bs.fit("chinchilla", runs, noise=bs.Noise(family=Laplace()))
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import scipy.special

from bayes_scaling.base.scope import scope
from bayes_scaling.base.streams import NORMAL_PARTS, stream
from bayes_scaling.laws.arithmetic import Array
from bayes_scaling.laws.parameters import Parameter

PARTS = 4  # normals of random scale by which a Student-t is represented, given a draw
STRATA = 16  # normals by which any other family is represented
FURTHEST = 20.0  # scales: a run that scatters further has failed, and is started again
HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)
GRID = 2001  # quantiles over which an expectation is taken

type Theta = Mapping[str, Any]
"""Parameters of a family by name: scalars in JAX, ``(n_draw,)`` or ``(n_draw, n_row)`` in numpy."""


@dataclasses.dataclass(frozen=True, eq=False)
class NormalParts:
    """Standardised residuals given each draw, as an equal mixture of normals.

    Attributes
    ----------
    offset : (n_draw, n_part) centre of each part
    stretch : (n_draw, n_part) standard deviation of each part
    """

    offset: np.ndarray
    stretch: np.ndarray

    def take(self, draws: np.ndarray | slice) -> NormalParts:
        """Keep some draws, by index."""
        return NormalParts(self.offset[draws], self.stretch[draws])


class Family(abc.ABC):
    """Shape of the scatter of log loss; symmetric or not, with mean near zero and unit scale.

    Attributes
    ----------
    label : name, as it stands in manifests and legends
    parameters : rows of its shape parameters, with priors
    """

    label: str
    parameters: tuple[Parameter, ...] = ()

    @abc.abstractmethod
    def distribution(self, location: Any, scale: Any, theta: Theta) -> dist.Distribution:
        """Return the distribution of log loss, in JAX.

        Parameters
        ----------
        location, scale : (n_row,) or scalar
        theta : parameters of the family, and others of the model
        """

    def draw(self, theta: Theta, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Draw standardised residuals, of ``shape`` (n_draw, n_row)."""
        return self.quantile(rng.uniform(size=shape), theta)

    def log_density(self, residual: np.ndarray, theta: Theta) -> np.ndarray:
        """Return the log density of standardised residuals, ``(n_draw, n_row)``."""
        with scope():
            return np.asarray(self.distribution(0.0, 1.0, _by_draw(theta)).log_prob(residual))

    def probability_below(self, residual: np.ndarray, theta: Theta) -> np.ndarray:
        """Return the distribution function at standardised residuals, ``(n_draw, n_row)``."""
        with scope():
            return np.asarray(self.distribution(0.0, 1.0, _by_draw(theta)).cdf(residual))

    def quantile(self, probability: np.ndarray, theta: Theta) -> np.ndarray:
        """Return quantiles of standardised residuals, ``(n_draw, n_row)``."""
        with scope():
            return np.asarray(self.distribution(0.0, 1.0, _by_draw(theta)).icdf(probability))

    def weight(self, squares: Any, theta: Theta) -> Any:
        """Return how much a row counts, given its squared standardised residual, in JAX: 1 for a normal.

        That is the slope of minus the log density over the residual: less than 1 far out where tails are heavy.
        """

        def log_density(residual: Any) -> Any:
            return jnp.sum(self.distribution(0.0, 1.0, theta).log_prob(residual))

        residual = jnp.sqrt(jnp.maximum(squares, 1e-12))
        return -jax.grad(log_density)(residual) / residual

    def normal_parts(self, theta: Theta, draws: int, seed: int) -> NormalParts:
        """Represent standardised residuals of each draw by normals, for integrals in closed form.

        Parameters
        ----------
        theta : (n_draw,) each
        draws : n_draw
        seed : where in each of its strata a part stands
        """
        edges = self.quantile(np.broadcast_to(np.linspace(0, 1, STRATA + 1)[1:-1], (draws, STRATA - 1)), theta)
        shares = (np.arange(STRATA) + stream(seed, NORMAL_PARTS).uniform(size=(draws, STRATA))) / STRATA
        middle = np.clip(self.quantile(shares, theta), -FURTHEST, FURTHEST)
        reach = np.diff(edges, axis=1) / np.sqrt(12)
        return NormalParts(middle, np.concatenate([reach[:, :1], reach, reach[:, -1:]], axis=1))

    def informative_variance(self, theta: Theta, draws: int) -> np.ndarray:
        """Return the variance of a normal that says as much about its mean as one residual, ``(n_draw,)``.

        The inverse of the Fisher information of the location.
        """
        levels = (np.arange(GRID) + 0.5) / GRID
        residual = self.quantile(np.broadcast_to(levels, (draws, GRID)), theta)
        slope = np.gradient(self.log_density(residual, theta), axis=1) / np.gradient(residual, axis=1)
        return np.asarray(1 / np.mean(slope**2, axis=1))

    def central_half_width(self, theta: Theta) -> np.ndarray:
        """Return half the width of the central 68 % of residuals, ``(n_draw, 1)`` or ``(n_draw, n_row)``."""
        inner = scipy.special.ndtr(1.0)
        shape = np.broadcast_shapes((1, 1), *(np.shape(value) for value in by_row(self, theta).values()))
        low, high = (self.quantile(np.full(shape, level), theta) for level in (1 - inner, inner))
        return np.asarray((high - low) / 2)


@dataclasses.dataclass(frozen=True)
class Normal(Family):
    """Normal scatter: no run is an outlier."""

    label = "normal"

    def distribution(self, location: Any, scale: Any, theta: Theta) -> dist.Distribution:
        """Return a normal distribution."""
        return dist.Normal(location, scale)

    def draw(self, theta: Theta, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Draw standard normals."""
        return rng.standard_normal(shape)

    def log_density(self, residual: np.ndarray, theta: Theta) -> np.ndarray:
        """Return the standard normal log density."""
        return np.asarray(-np.square(residual) / 2 - HALF_LOG_TWO_PI)

    def probability_below(self, residual: np.ndarray, theta: Theta) -> np.ndarray:
        """Return the standard normal distribution function."""
        return np.asarray(scipy.special.ndtr(residual))

    def quantile(self, probability: np.ndarray, theta: Theta) -> np.ndarray:
        """Return standard normal quantiles."""
        return np.asarray(scipy.special.ndtri(probability))

    def weight(self, squares: Any, theta: Theta) -> Any:
        """Return 1: every row counts the same."""
        return jnp.ones_like(squares)

    def normal_parts(self, theta: Theta, draws: int, seed: int) -> NormalParts:
        """Return one normal per draw."""
        return NormalParts(np.zeros((draws, 1)), np.ones((draws, 1)))

    def informative_variance(self, theta: Theta, draws: int) -> np.ndarray:
        """Return 1."""
        return np.ones(draws)

    def central_half_width(self, theta: Theta) -> np.ndarray:
        """Return 1."""
        return np.ones((1, 1))


_NU = Parameter(
    "nu",
    dist.Gamma(2.0, 0.1),
    unit="degrees of freedom",
    meaning="weight of the tails: about 1 is very heavy, above 30 is normal",
    source="weakly informative (Juarez and Steel 2010); below 1 a flexible law could pass through some runs and "
    "take all others for outliers",
    quantity="nu - 1",
    value=lambda draw: 1.0 + draw,
)


def log_gamma_half_step(x: Array) -> Array:
    """Return log Gamma(x + 1/2) - log Gamma(x) for x of 1/2 or more, to 14 digits, in JAX.

    Stirling's series ten steps further up, and back by the recurrence. Two general log gammas with their gradients
    would be a third of what is compiled for a posterior.
    """
    y = x + 10
    v = 1 / (8 * y)
    v2 = v * v
    # With v = 1 / (8 y): log(y) / 2 - v + 8 v^3 / 3 - 256 v^5 / 5 + 17 * 1024 v^7 / 7 - ...
    series = v * (1 - v2 * (8 / 3 - v2 * (256 / 5 - v2 * (17_408 / 7 - v2 * 2_031_616 / 9))))
    return jnp.log(y) / 2 - series - jnp.sum(jnp.log1p(0.5 / (x[..., None] + jnp.arange(10))), axis=-1)


class _StudentT(dist.StudentT):  # type: ignore[misc]  # NumPyro's classes have no types
    """NumPyro's distribution, with a log density that compiles to little."""

    def log_prob(self, value: Any) -> Any:
        """Return the log density, in JAX."""
        squares = jnp.square((value - self.loc) / self.scale)
        constant = log_gamma_half_step(jnp.asarray(self.df) / 2) - jnp.log(math.pi * self.df) / 2 - jnp.log(self.scale)
        return constant - (self.df + 1) / 2 * jnp.log1p(squares / self.df)


@dataclasses.dataclass(frozen=True)
class StudentT(Family):
    """Student-t scatter that learns how heavy its tails are, so that a few bad runs do not bend the law."""

    label = "student_t"
    parameters = (_NU,)

    def distribution(self, location: Any, scale: Any, theta: Theta) -> dist.Distribution:
        """Return a Student-t distribution."""
        return _StudentT(theta["nu"], location, scale)

    def draw(self, theta: Theta, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Draw normals of random scale."""
        nu = np.broadcast_to(_rows(theta["nu"]), shape)
        return np.asarray(rng.standard_normal(shape) * np.sqrt(nu / rng.chisquare(nu)))

    def log_density(self, residual: np.ndarray, theta: Theta) -> np.ndarray:
        """Return the log density of Student's t."""
        nu = _rows(theta["nu"])
        constant = scipy.special.gammaln((nu + 1) / 2) - scipy.special.gammaln(nu / 2) - np.log(math.pi * nu) / 2
        return np.asarray(constant - (nu + 1) / 2 * np.log1p(np.square(residual) / nu))

    def probability_below(self, residual: np.ndarray, theta: Theta) -> np.ndarray:
        """Return the distribution function of Student's t."""
        return np.asarray(scipy.special.stdtr(_rows(theta["nu"]), residual))

    def quantile(self, probability: np.ndarray, theta: Theta) -> np.ndarray:
        """Return quantiles of Student's t."""
        return np.asarray(scipy.special.stdtrit(_rows(theta["nu"]), probability))

    def weight(self, squares: Any, theta: Theta) -> Any:
        """Return (nu + 1) / (nu + z^2)."""
        return (theta["nu"] + 1) / (theta["nu"] + squares)

    def normal_parts(self, theta: Theta, draws: int, seed: int) -> NormalParts:
        """Return centred normals, whose precisions are strata of the gamma distribution that mixes them to a t."""
        nu = np.asarray(theta["nu"])
        rng = stream(seed, NORMAL_PARTS)
        shares = (np.arange(PARTS) + rng.uniform(size=(draws, PARTS))) / PARTS
        half = nu[:, None] / 2
        least = half / FURTHEST**2
        stretch = np.sqrt(half / np.maximum(scipy.special.gammaincinv(half, shares), least))
        return NormalParts(np.zeros_like(stretch), stretch)

    def informative_variance(self, theta: Theta, draws: int) -> np.ndarray:
        """Return (nu + 3) / (nu + 1)."""
        nu = np.asarray(theta["nu"])
        return np.asarray((nu + 3) / (nu + 1))

    def central_half_width(self, theta: Theta) -> np.ndarray:
        """Return the quantile of Student's t at one normal standard deviation."""
        return np.asarray(scipy.special.stdtrit(_rows(theta["nu"]), scipy.special.ndtr(1.0)))


FAMILIES: Mapping[str, Family] = {family.label: family for family in (Normal(), StudentT())}
"""Families that have a name."""


def by_row(family: Family, theta: Theta) -> dict[str, np.ndarray]:
    """Return the parameters of a family, so that they broadcast over rows: ``(n_draw, 1)`` or ``(n_draw, n_row)``."""
    return {row.name: _rows(theta[row.name]) for row in family.parameters}


def _rows(values: Any) -> np.ndarray:
    values = np.asarray(values)
    return np.asarray(values[:, None] if values.ndim == 1 else values)


def _by_draw(theta: Theta) -> dict[str, np.ndarray]:
    return {name: _rows(values) for name, values in theta.items()}
