"""Observation models: how the log loss of one run scatters around its law.

A noise model is a *family* (the shape of the scatter), a *scale* (how wide it is for each run), and what *rows* of one
run have in common; the three are chosen separately. All of them describe residuals of the natural logarithm of the
loss, so ``sigma = 0.01`` is one percent.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import scipy.special
import scipy.stats

from bayes_scaling.errors import LawError
from bayes_scaling.laws.law import Parameter
from bayes_scaling.model.curves import Lanes, draw_departures, one_step_ahead

_SIGMA = Parameter(
    "sigma",
    dist.LogNormal(math.log(0.008), 1.0),
    unit="log loss",
    meaning="scale of the scatter of a run around the law",
    source="repeated runs and refits of public tables: 0.0006 to 0.02 of the loss",
)
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
_GROWTH = Parameter(
    "kappa",
    dist.HalfNormal(0.25),
    unit="per e-fold of the run's size",
    meaning="how fast the scatter grows towards small runs: sigma (size / reference)^-kappa",
    source="weakly informative",
)

_SIGMA_CURVE = Parameter(
    "sigma_curve",
    dist.LogNormal(math.log(0.008), 1.0),
    unit="log loss",
    meaning="scale of the slow departure of a whole curve from the law",
    source="seeds, tuning and an imperfect law move whole curves by about as much as single runs",
)
_LENGTH = Parameter(
    "length",
    dist.LogNormal(0.0, 0.75),
    unit="e-folds of steps",
    meaning="distance along a curve over which its departure is forgotten",
    source="weakly informative: 0.2 to 4 e-folds",
)

FAMILIES: Mapping[str, tuple[Parameter, ...]] = {"normal": (), "student_t": (_NU,)}
SCALES: Mapping[str, tuple[Parameter, ...]] = {
    "constant": (_SIGMA,),
    "known": (_SIGMA,),
    "growing": (_SIGMA, _GROWTH),
}


ROWS: Mapping[str, tuple[Parameter, ...]] = {"independent": (), "correlated": (_SIGMA_CURVE, _LENGTH)}


@dataclasses.dataclass(frozen=True)
class Noise:
    """Scatter of log loss around the law.

    Attributes
    ----------
    family : ``student_t`` (default; learns how heavy the tails are) or ``normal``
    scale : ``constant``; ``known``, where each run's ``loss_se`` adds to sigma in quadrature; or ``growing``,
        where sigma grows towards small runs
    rows : ``independent``; or ``correlated``, where rows of one run share a slow departure from the law (see
        `bayes_scaling.model.curves`)
    """

    family: str = "student_t"
    scale: str = "constant"
    rows: str = "independent"

    def __post_init__(self) -> None:
        for kind, chosen, table in (
            ("family", self.family, FAMILIES),
            ("scale", self.scale, SCALES),
            ("rows", self.rows, ROWS),
        ):
            if chosen not in table:
                raise LawError(f"noise {kind} {chosen!r} is not known; choose one of {', '.join(table)}")

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Rows of the parameters of this noise model."""
        return (*SCALES[self.scale], *FAMILIES[self.family], *ROWS[self.rows])

    @property
    def columns(self) -> tuple[str, ...]:
        """What this noise model reads of each run besides its loss."""
        of_scale = {"constant": (), "known": ("relative_se",), "growing": ("relative_size",)}[self.scale]
        return (*of_scale, *(("lane_row", "lane_gap") if self.rows == "correlated" else ()))

    @property
    def label(self) -> str:
        """Short name, for manifests and legends."""
        scale = "" if self.scale == "constant" else f", {self.scale} scale"
        return f"{self.family}{scale}{', correlated rows' if self.rows == 'correlated' else ''}"

    def width(self, theta: Mapping[str, Any], runs: Mapping[str, Any]) -> Any:
        """Return the scale of the scatter of each row's log loss, ``(n_run,)`` or scalar.

        Parameters
        ----------
        theta : noise parameters
        runs : ``relative_se`` (standard error over loss) or ``relative_size`` (size over its geometric mean)
        """
        if self.scale == "known":
            return jnp.sqrt(theta["sigma"] ** 2 + runs["relative_se"] ** 2)
        if self.scale == "growing":
            return theta["sigma"] * jnp.exp(-theta["kappa"] * jnp.log(runs["relative_size"]))
        return theta["sigma"]

    def distribution(
        self, log_mean: Any, theta: Mapping[str, Any], runs: Mapping[str, Any], log_loss: Any
    ) -> dist.Distribution:
        """Return the distribution of each row's log loss, given the law and the rows of its run before it.

        Parameters
        ----------
        log_mean : (n_row,) log of the law's mean
        theta : noise parameters, scalar or (n_row,)
        runs : `columns` of this noise model
        log_loss : (n_row,) what was observed, which correlated rows look back on
        """
        location, width = log_mean, self.width(theta, runs)
        if self.rows == "correlated":
            expected, width = one_step_ahead(log_loss - log_mean, width, theta, runs)
            location = log_mean + expected
        if self.family == "student_t":
            return dist.StudentT(theta["nu"], location, width)
        return dist.Normal(location, width)

    def heard(self, log_mean: Any, theta: Mapping[str, Any], runs: Mapping[str, Any], log_loss: Any) -> Any:
        """Return how much each row counts, ``(n_row,)``: 1, and less the further it lies out where tails are heavy."""
        if self.family != "student_t":
            return jnp.ones_like(log_mean)
        squares = self.squares(log_mean, theta, runs, log_loss)
        return (theta["nu"] + 1) / (theta["nu"] + squares)

    def squares(self, log_mean: Any, theta: Mapping[str, Any], runs: Mapping[str, Any], log_loss: Any) -> Any:
        """Return the squared standardised residual of each row, given the rows of its run before it, ``(n_row,)``."""
        normal = dataclasses.replace(self, family="normal")
        plain = {name: value for name, value in theta.items() if name != "nu"}
        observed = normal.distribution(log_mean, plain, runs, log_loss)
        return ((log_loss - observed.loc) / observed.scale) ** 2

    def scattered(
        self,
        log_mean: np.ndarray,
        width: np.ndarray,
        theta: Mapping[str, np.ndarray],
        seed: int,
        lanes: Lanes | None = None,
    ) -> np.ndarray:
        """Draw losses around their means, ``(n_draw, n_row)``.

        Parameters
        ----------
        log_mean, width : (n_draw, n_row), of the law and of the scatter of single rows
        theta : noise parameters, (n_draw,) or (n_draw, n_row)
        lanes : the layout of correlated rows
        """
        return self.scatter(log_mean, width, theta, seed, lanes).losses(seed)

    def scatter(
        self,
        log_mean: np.ndarray,
        width: np.ndarray,
        theta: Mapping[str, np.ndarray],
        seed: int,
        lanes: Lanes | None = None,
    ) -> Scatter:
        """Return the distribution of losses around their means; the departures of whole curves are drawn."""
        if lanes is not None:
            log_mean = log_mean + draw_departures(theta, lanes, log_mean.shape[1], np.random.default_rng([seed, 2]))
        nu = _per_row(theta["nu"]) if self.family == "student_t" else np.full((1, 1), np.inf)
        return Scatter(log_mean, np.broadcast_to(width, log_mean.shape), np.broadcast_to(nu, log_mean.shape))

    def cumulative(self, theta: Mapping[str, np.ndarray], residual: np.ndarray) -> np.ndarray:
        """Return the probability of a residual of unit scale below ``residual``, ``(n_draw, n_row)``."""
        if self.family == "student_t":
            return np.asarray(scipy.special.stdtr(_per_row(theta["nu"]), residual))
        return np.asarray(scipy.special.ndtr(residual))


@dataclasses.dataclass(frozen=True)
class Scatter:
    """Predictive distribution of losses as a mixture over draws: log losses are Student-t given a draw.

    Attributes
    ----------
    location, width, nu : (n_draw, n_row) centre, scale and degrees of freedom of log loss; infinite for a normal
    """

    location: np.ndarray
    width: np.ndarray
    nu: np.ndarray

    def losses(self, seed: int) -> np.ndarray:
        """Draw one loss per draw and row, ``(n_draw, n_row)``.

        Very heavy tails would overflow; draws beyond e^300 or below e^-300 are held there, so that means stay finite.
        """
        rng, normal = np.random.default_rng([seed, 1]), np.isinf(self.nu)
        residual = rng.standard_normal(self.nu.shape)
        if not normal.all():
            heavy = np.where(normal, 1.0, self.nu)
            residual *= np.where(normal, 1.0, np.sqrt(heavy / rng.chisquare(heavy)))
        return np.asarray(np.exp(np.clip(self.location + self.width * residual, -300, 300)))

    def log_density(self, loss: np.ndarray) -> np.ndarray:
        """Return the log density of a loss at each row, ``(n_row,)``, per unit of the loss."""
        density = np.asarray(scipy.stats.t.logpdf(np.log(loss), self.nu, self.location, self.width))
        return np.asarray(scipy.special.logsumexp(density, axis=0) - np.log(len(density)) - np.log(loss))

    def probability_below(self, loss: np.ndarray) -> np.ndarray:
        """Return the probability of a loss below the given one at each row, ``(n_row,)``."""
        below = np.asarray(scipy.stats.t.cdf(np.log(loss), self.nu, self.location, self.width))
        return np.asarray(below.mean(axis=0))


def _per_row(values: np.ndarray) -> np.ndarray:
    """Return draws of a parameter, ``(n_draw,)`` or ``(n_draw, n_row)``, so that they broadcast over rows."""
    values = np.asarray(values)
    return values[:, None] if values.ndim == 1 else values
