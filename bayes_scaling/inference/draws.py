"""Draws by name: of the prior, by group and by row."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from bayes_scaling.base.streams import NEW_GROUPS, stream
from bayes_scaling.data.runs import Runs
from bayes_scaling.inference.compiled import Posterior
from bayes_scaling.laws.priors import draw_prior
from bayes_scaling.model.composition import INCREMENTS, Composition, priors_of, site_priors
from bayes_scaling.model.observations import observe
from bayes_scaling.model.program import Model, model_of

PRIOR_DRAWS = 1000


def prior_draws(composition: Composition, model: Model, seed: int) -> dict[str, np.ndarray]:
    """Draw every sampled site from its prior, ``(prior draw,)`` or ``(prior draw, group)``."""
    rng = np.random.default_rng(seed)
    priors = {**site_priors(composition), INCREMENTS: dist.Normal(0.0, 1.0)}
    draws = {}
    for site, count in model.blocks.items():
        values = draw_prior(priors[site], rng, PRIOR_DRAWS * (count or 1))
        draws[site] = values if count is None else values.reshape(PRIOR_DRAWS, count)
    return draws


def new_group_draws(site: str, prior: dist.Distribution, names: Sequence[str], count: int, seed: int) -> np.ndarray:
    """Draw a site of groups that the fitted table does not have, each by its name, ``(count, n_name)``."""
    return np.stack([draw_prior(prior, _rng_of(site, name, seed), count) for name in names], axis=1)


def _rng_of(site: str, name: str, seed: int) -> np.random.Generator:
    """Return random numbers of a name and a site, the same in every process."""
    digest = hashlib.sha256(f"{site}\0{name}".encode("utf-8", "surrogatepass")).digest()
    return stream(seed, NEW_GROUPS, int.from_bytes(digest[:8], "big"))


def flattened(values: Mapping[str, np.ndarray], names: Mapping[str, list[tuple[str, int]]]) -> dict[str, np.ndarray]:
    """Return one array of draws, ``(n,)``, for every name of `spelled_out`."""
    return {
        key: values[name] if values[name].ndim == 1 else values[name][:, cell]
        for name, keys in names.items()
        for key, cell in keys
    }


def by_row(theta: Mapping[str, np.ndarray], cell: np.ndarray) -> dict[str, np.ndarray]:
    """Give each row the parameters of its cell: ``(n_draw,)``, or ``(n_draw, n_row)`` where they vary."""
    return {name: values if values.ndim == 1 else values[:, cell] for name, values in theta.items()}


def posterior_of(composition: Composition, runs: Runs, rows: int | None = None) -> Posterior:
    """Return the posterior of what is fitted to a table, padded as in `observe`."""
    return Posterior(
        model_of(composition, composition.groups(runs)), observe(composition, runs, rows), priors_of(composition)
    )


def device_draws(draws: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return draws as JAX arrays."""
    return {name: jnp.asarray(values) for name, values in draws.items()}
