"""The generative model: priors, a law's mean and a noise model, as one NumPyro program over padded tables."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
from numpyro.infer.util import potential_energy

from bayes_scaling._errors import DataError
from bayes_scaling._law import Array, Derived, Law, Parameter, ReferencePoint, resolve
from bayes_scaling._noise import Noise
from bayes_scaling._priors import WrittenPrior, as_argument, as_distribution
from bayes_scaling._runs import Runs

type Priors = Mapping[str, WrittenPrior | dist.Distribution]


# --- the table as arrays ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Observations:
    """A table of runs as arrays of a fixed length, so that tables of similar size share one compiled program.

    Attributes
    ----------
    columns : (n_padded,) inputs of the law and of the noise model
    log_loss : (n_padded,) natural logarithm of the loss
    weight : (n_padded,) 1 for a run, 0 for padding
    at : the reference point of the table
    """

    columns: Mapping[str, Any]
    log_loss: Any
    weight: Any
    at: ReferencePoint


jax.tree_util.register_dataclass(Observations, data_fields=["columns", "log_loss", "weight", "at"], meta_fields=[])


def reference_point(law: Law, runs: Runs) -> ReferencePoint:
    """Return the centre of a table: median loss, geometric mean of each input and feature of the law."""
    return centre_of(law, float(np.median(runs.loss)), law_table(law, runs))


def centre_of(law: Law, loss: float, table: Mapping[str, np.ndarray]) -> ReferencePoint:
    """Return the reference point of a table of the law's inputs, ``(n_row,)`` each, at a typical loss."""
    columns = {**{name: table[name] for name in law.inputs}, **law.arrays(table)}

    def centre(values: np.ndarray) -> float:
        positive = bool((values > 0).all())
        return float(np.exp(np.mean(np.log(values)))) if positive else float(np.mean(values))

    return ReferencePoint(loss, {name: centre(values) for name, values in columns.items()})


def law_table(law: Law, runs: Runs) -> dict[str, np.ndarray]:
    """Return the columns that a law reads of a table, ``(n_row,)`` each, with run ids as integers where there are."""
    table = {name: runs.column(name) for name in law.inputs}
    return {**table, "run": pd.factorize(runs.table["run"])[0]} if "run" in runs else table


SIZES = ("flops", "params", "tokens", "steps")


def size_column(runs: Runs) -> str:
    """Return the column that says how large a run is: FLOPs where they are known."""
    return next(name for name in SIZES if name in runs)


def model_columns(
    law: Law, noise: Noise, table: Mapping[str, np.ndarray], size: tuple[str, float]
) -> dict[str, np.ndarray]:
    """Return the arrays that law and noise read of a table, ``(n_row,)`` each.

    Parameters
    ----------
    table : columns of runs that were measured, or of runs that are planned
    size : the column that measures the size of a run and its geometric mean over the fitted runs
    """
    columns = law.arrays(table)
    if "relative_se" in noise.columns:
        # A planned run has no standard error of its own: its scatter is sigma alone.
        columns["relative_se"] = (
            table["loss_se"] / table["loss"] if "loss_se" in table else np.zeros_like(table[law.inputs[0]])
        )
    if "relative_size" in noise.columns:
        columns["relative_size"] = table[size[0]] / size[1]
    return columns


def size_of(runs: Runs) -> tuple[str, float]:
    """Return the column that measures the size of these runs, and its geometric mean."""
    name = size_column(runs)
    return name, float(np.exp(np.mean(np.log(runs.column(name)))))


def padded_length(n: int) -> int:
    """Round a number of runs up to 32, 64, 128, 192, 256, 384, 512, ... so that few shapes are ever compiled."""
    length = 32
    while length < n:
        length *= 2
    three_quarters = 3 * length // 4
    return three_quarters if length > 128 and n <= three_quarters else length


def observe(law: Law, noise: Noise, runs: Runs) -> Observations:
    """Turn a table of runs into padded arrays."""
    if "relative_se" in noise.columns and "loss_se" not in runs:
        raise DataError(f"noise scale 'known' reads the column loss_se, which {runs.source} does not have")
    n, total = len(runs), padded_length(len(runs))
    table = law_table(law, runs)
    table |= {name: runs.column(name) for name in (*SIZES, "loss", "loss_se") if name in runs}

    def pad(values: np.ndarray, fill: Any) -> np.ndarray:
        return np.concatenate([values, np.broadcast_to(fill, (total - n, *values.shape[1:]))])

    columns = model_columns(law, noise, table, size_of(runs))
    arrays = Observations(
        columns={name: pad(values, values[0]) for name, values in columns.items()},
        log_loss=pad(np.log(runs.loss), float(np.log(runs.loss[0]))),
        weight=pad(np.ones(n), 0.0),
        at=reference_point(law, runs),
    )
    padded: Observations = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), arrays)
    return padded


# --- the program ------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A law with a noise model: the NumPyro program and its pure functions over unconstrained coordinates.

    ``u``, ``(n_site,)``, holds all sampled sites on the real line (NumPyro's own bijections) in the order of
    ``sites``. Numbers inside priors are arguments, not constants, so that other priors need no new compilation.
    """

    mean: Callable[..., Any]
    arguments: tuple[tuple[str, str], ...]
    law_names: tuple[str, ...]
    law_rows: tuple[Parameter | Derived, ...]
    noise: Noise

    @property
    def rows(self) -> tuple[Parameter | Derived, ...]:
        """Rows of law and noise."""
        return (*self.law_rows, *self.noise.parameters)

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters of law and noise, in the notation of the papers."""
        return (*self.law_names, *(row.name for row in self.noise.parameters))

    @functools.cached_property
    def sites(self) -> tuple[str, ...]:
        """Sampled sites in the order of the unconstrained vector."""
        return tuple(row.site for row in self.rows if isinstance(row, Parameter))

    def log_mean(self, theta: Mapping[str, Any], columns: Mapping[str, Any]) -> Array:
        """Return the log of the law's mean, ``(n_row,)``."""
        law = {name: theta[name] for name in self.law_names}
        return jnp.log(self.mean(**{name: columns[column] for name, column in self.arguments}, **law))

    def observation(self, theta: Mapping[str, Any], columns: Mapping[str, Any]) -> dist.Distribution:
        """Return the distribution of the log loss of each row, ``(n_row,)``."""
        return self.noise.distribution(self.log_mean(theta, columns), theta, columns)

    def __call__(self, data: Observations, priors: Priors) -> None:
        """Sample the rows, derive the papers' constants, observe the log losses: the NumPyro program."""
        draws = {site: numpyro.sample(site, as_distribution(priors[site])) for site in self.sites}
        theta = resolve(self.rows, draws, data.at)
        for name, value in theta.items():
            if name not in self.sites:
                numpyro.deterministic(name, value)
        with numpyro.handlers.mask(mask=data.weight > 0):
            numpyro.sample("log_loss", self.observation(theta, data.columns), obs=data.log_loss)

    def unravel(self, u: Array) -> dict[str, Array]:
        """Split the unconstrained vector by site."""
        return {site: u[i] for i, site in enumerate(self.sites)}

    def potential(self, u: Array, data: Observations, priors: Priors) -> Array:
        """Return minus the log posterior density, up to a constant, at ``u``."""
        energy: Array = potential_energy(self, (data, priors), {}, self.unravel(u))
        return energy

    def constrain(self, u: Array, data: Observations, priors: Priors) -> dict[str, Array]:
        """Return the parameters under the names of the papers at ``u``."""
        draws = {site: self._bijection(priors, site)(value) for site, value in self.unravel(u).items()}
        return self._named(resolve(self.rows, draws, data.at))

    def _named(self, values: Mapping[str, Array]) -> dict[str, Array]:
        return {name: values[name] for name in self.names}

    def place(self, draws: Mapping[str, Array], data: Observations, priors: Priors) -> tuple[Array, dict[str, Array]]:
        """Return the unconstrained vector and the parameters of draws of the sampled sites; inverts `constrain`."""
        u = jnp.stack([self._bijection(priors, site).inv(draws[site]) for site in self.sites])
        return u, self._named(resolve(self.rows, draws, data.at))

    def log_prior(self, u: Array, priors: Priors) -> dict[str, Array]:
        """Return the log prior density of every sampled site at ``u``, in its own scale."""
        return {
            site: as_distribution(priors[site]).log_prob(self._bijection(priors, site)(value))
            for site, value in self.unravel(u).items()
        }

    def _bijection(self, priors: Priors, site: str) -> dist.transforms.Transform:
        return dist.biject_to(as_distribution(priors[site]).support)

    def location_and_width(self, theta: Mapping[str, Any], columns: Mapping[str, Any]) -> tuple[Array, Array]:
        """Return the log mean and the scale of the scatter of log loss, ``(n_row,)`` each."""
        log_mean = self.log_mean(theta, columns)
        return log_mean, jnp.broadcast_to(self.noise.width(theta, columns), log_mean.shape)

    def log_likelihood(self, theta: Mapping[str, Any], data: Observations) -> Array:
        """Return the log density of each row's log loss, ``(n_padded,)``; padding reads 0."""
        density = self.observation(theta, data.columns).log_prob(data.log_loss)
        return jnp.where(data.weight > 0, density, 0.0)


_MODELS: dict[tuple[Any, ...], Model] = {}


def model_of(law: Law, noise: Noise) -> Model:
    """Return the model of a law with a noise; one object for laws that differ only in the numbers of their priors.

    Compiled programs hang on the model, so this is what makes a second fit cheap.
    """
    key = (law.mean, law.arguments, tuple((row.name, row.value) for row in law.parameters), noise)
    return _MODELS.setdefault(key, Model(law.mean, law.arguments, law.parameter_names, law.parameters, noise))


def priors_of(law: Law, noise: Noise) -> dict[str, WrittenPrior | dist.Distribution]:
    """Return the prior of every sampled site, with float64 leaves."""
    rows = (*law.sampled, *noise.parameters)
    return {row.site: jax.tree.map(lambda leaf: jnp.asarray(leaf, float), as_argument(row.prior)) for row in rows}
