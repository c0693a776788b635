"""Coordinates in which a posterior is sampled."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np


@dataclasses.dataclass(frozen=True)
class Geometry:
    """Coordinates in which a posterior is sampled; they change how easily, not what is sampled.

    Groups: how far each is sampled as its own value (1) rather than as its standardised offset from the population (0).

    Discrepancy: given the parameters theta, its increments z are nearly normal, with precision 1 + tau^2 q lambda along
    the columns of ``rotation`` and mean tau q pull(residual) / (1 + tau^2 q lambda), where q = (sigma_0 / sigma)^2.
    Sampled is what remains: the distance to that mean in standard deviations. Where this is exact, the scale tau says
    nothing about what remains, and the funnel between the two is gone.

    Attributes
    ----------
    centring : (n_group,) by site of offsets
    rotation : (size, size) orthogonal
    curvature : (size,) lambda, what the table says about the increments, over prior precision
    pull : (size, n_padded) what a residual of each row moves
    sigma : scale of the scatter sigma_0 at which the two were taken
    """

    centring: Mapping[str, Any]
    rotation: Any
    curvature: Any
    pull: Any
    sigma: Any

    @classmethod
    def standard(cls, centring: Mapping[str, Any], size: int, rows: int) -> Geometry:
        """Return the coordinates in which draws are kept: offsets and increments as their priors have them."""
        nothing = {site: np.zeros(np.shape(values)) for site, values in centring.items()}
        return cls(nothing, np.eye(size), np.zeros(size), np.zeros((size, rows)), np.ones(()))


jax.tree_util.register_dataclass(
    Geometry, data_fields=["centring", "rotation", "curvature", "pull", "sigma"], meta_fields=[]
)
