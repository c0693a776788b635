"""Observation models: how the log loss of one run scatters around its law.

A noise model is a *family* (the shape of the scatter) and a *scale* (how wide it is for each run); the two are
chosen separately. All of them describe residuals of the natural logarithm of the loss, so ``sigma = 0.01`` is one
percent.
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

from bayes_scaling._errors import LawError
from bayes_scaling._law import Parameter

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
    source="weakly informative (Juarez and Steel 2010)",
)
_GROWTH = Parameter(
    "kappa",
    dist.HalfNormal(0.25),
    unit="per e-fold of the run's size",
    meaning="how fast the scatter grows towards small runs: sigma (size / reference)^-kappa",
    source="weakly informative",
)

FAMILIES: Mapping[str, tuple[Parameter, ...]] = {"normal": (), "student_t": (_NU,)}
SCALES: Mapping[str, tuple[Parameter, ...]] = {
    "constant": (_SIGMA,),
    "known": (_SIGMA,),
    "growing": (_SIGMA, _GROWTH),
}


@dataclasses.dataclass(frozen=True)
class Noise:
    """Scatter of log loss around the law.

    Attributes
    ----------
    family : ``student_t`` (default; learns how heavy the tails are) or ``normal``
    scale : ``constant``; ``known``, where each run's ``loss_se`` adds to sigma in quadrature; or ``growing``,
        where sigma grows towards small runs
    """

    family: str = "student_t"
    scale: str = "constant"

    def __post_init__(self) -> None:
        for kind, chosen, table in (("family", self.family, FAMILIES), ("scale", self.scale, SCALES)):
            if chosen not in table:
                raise LawError(f"noise {kind} {chosen!r} is not known; choose one of {', '.join(table)}")

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Rows of the parameters of this noise model."""
        return (*SCALES[self.scale], *FAMILIES[self.family])

    @property
    def columns(self) -> tuple[str, ...]:
        """What this noise model reads of each run besides its loss."""
        return {"constant": (), "known": ("relative_se",), "growing": ("relative_size",)}[self.scale]

    @property
    def label(self) -> str:
        """Short name, for manifests and legends."""
        return self.family if self.scale == "constant" else f"{self.family}, {self.scale} scale"

    def width(self, theta: Mapping[str, Any], runs: Mapping[str, Any]) -> Any:
        """Return the scale of log loss for each run, ``(n_run,)`` or scalar.

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

    def distribution(self, location: Any, theta: Mapping[str, Any], runs: Mapping[str, Any]) -> dist.Distribution:
        """Return the distribution of log loss around ``location``, ``(n_run,)``."""
        width = self.width(theta, runs)
        if self.family == "student_t":
            return dist.StudentT(theta["nu"], location, width)
        return dist.Normal(location, width)

    def standard_draws(self, theta: Mapping[str, np.ndarray], shape: tuple[int, int], seed: int) -> np.ndarray:
        """Draw residuals of unit scale, ``shape`` = (n_draw, n_row), one row per posterior draw."""
        rng = np.random.default_rng([seed, 1])
        if self.family == "student_t":
            return rng.standard_t(np.asarray(theta["nu"])[:, None], shape)
        return rng.standard_normal(shape)

    def scattered(
        self, log_mean: np.ndarray, width: np.ndarray, theta: Mapping[str, np.ndarray], seed: int
    ) -> np.ndarray:
        """Draw losses around their means, ``(n_draw, n_row)``.

        Very heavy tails would overflow; draws beyond e^300 or below e^-300 are held there, so that means stay finite.
        """
        log_loss = log_mean + width * self.standard_draws(theta, (log_mean.shape[0], log_mean.shape[1]), seed)
        return np.asarray(np.exp(np.clip(log_loss, -300, 300)))

    def cumulative(self, theta: Mapping[str, np.ndarray], residual: np.ndarray) -> np.ndarray:
        """Return the probability of a residual of unit scale below ``residual``, ``(n_draw, n_row)``."""
        if self.family == "student_t":
            return np.asarray(scipy.special.stdtr(np.asarray(theta["nu"])[:, None], residual))
        return np.asarray(scipy.special.ndtr(residual))
