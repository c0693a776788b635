"""Fitting: from a law, a noise model and a table of runs to a posterior that says whether it can be trusted."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import importlib.metadata
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from bayes_scaling._catalogue import load_law
from bayes_scaling._errors import ConvergenceError, DataError, FitError
from bayes_scaling._law import Law
from bayes_scaling._methods import METHODS, Problem
from bayes_scaling._model import Model, Observations, Priors, model_of, observe, priors_of
from bayes_scaling._noise import Noise
from bayes_scaling._priors import describe_prior, draw_prior, prior_to_spec
from bayes_scaling._progress import progress_bar
from bayes_scaling._runs import Runs
from bayes_scaling._sampling import PIECE, Diagnostics, Settings, constrained, placed
from bayes_scaling._scope import scope
from bayes_scaling._validation import Origin, checked_probability, numeric

if TYPE_CHECKING:
    import xarray as xr

PRIOR_DRAWS = 1000


# --- the result -------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """A posterior, the data and law it belongs to, and what its sampler said.

    Attributes
    ----------
    law, noise, runs : what was fitted
    draws : by parameter, in the notation of the paper, (chain, draw)
    prior : by parameter, (prior draw,)
    unconstrained : (chain, draw, site) coordinates that were sampled
    stats : sampler statistics by name, (chain, draw)
    diagnostics : convergence of the sampler
    manifest : everything needed to say where this came from and to make it again
    """

    law: Law
    noise: Noise
    runs: Runs
    draws: Mapping[str, np.ndarray]
    prior: Mapping[str, np.ndarray]
    unconstrained: np.ndarray
    stats: Mapping[str, np.ndarray]
    diagnostics: Diagnostics
    manifest: Mapping[str, Any]

    @property
    def path(self) -> str:
        """How the posterior was sampled: ``fast NUTS``, ``NUTS``, ``NUTS, stronger settings`` or ``Laplace``."""
        return str(self.manifest["path"])

    @property
    def problems(self) -> tuple[str, ...]:
        """Limits of convergence that are broken; empty for a fit that can be used."""
        return self.diagnostics.problems(int(np.prod(self.unconstrained.shape[:2])))

    @property
    def converged(self) -> bool:
        """Whether the sampler's diagnostics are all within limits."""
        return not self.problems

    def require_convergence(self, anyway: bool = False) -> None:
        """Raise `ConvergenceError` for a fit that did not converge, unless told to go on ``anyway``."""
        if self.problems and not anyway:
            raise ConvergenceError(
                f"the fit of {self.law.label} did not converge ({'; '.join(self.problems)}); "
                "fit again with more draws or tighter priors, or pass unconverged=True to use it anyway"
            )

    def flat(self) -> dict[str, np.ndarray]:
        """Return the draws of every parameter in one row, ``(chain * draw,)``."""
        return {name: values.reshape(-1) for name, values in self.draws.items()}

    @functools.cached_property
    def contraction(self) -> dict[str, float]:
        """How much the data narrowed each parameter: 1 minus posterior over prior variance, on the log scale.

        Near 0 the posterior is the prior speaking. Positive parameters are compared as logarithms.
        """
        out = {}
        for name, values in self.draws.items():
            after, before = values.reshape(-1), np.asarray(self.prior[name])
            if (before > 0).all() and (after > 0).all():
                after, before = np.log(after), np.log(before)
            out[name] = float(max(0.0, 1 - after.var() / before.var()))
        return out

    def summary(self, probability: float = 0.9) -> pd.DataFrame:
        """Return one row per parameter: median, equal-tailed interval, contraction from the prior.

        Parameters
        ----------
        probability : content of the interval
        """
        probability = checked_probability(probability)
        low, high = (1 - probability) / 2, (1 + probability) / 2
        rows = {
            name: {
                "median": np.median(values),
                f"{low:.1%}": np.quantile(values, low),
                f"{high:.1%}": np.quantile(values, high),
                "learned": self.contraction[name],
            }
            for name, values in self.flat().items()
        }
        return pd.DataFrame.from_dict(rows, orient="index")

    @functools.cached_property
    def _at_rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Log mean, scale of the scatter and log density of log loss, ``(chain * draw, row)`` each."""
        with scope():
            model, data, _ = parts(self.law, self.noise, self.runs)
            values = _at_observations(model)(_device_draws(self.flat()), data)
            log_mean, width, density = (np.asarray(value)[:, : len(self.runs)] for value in values)
        return log_mean, width, density

    @property
    def log_mean(self) -> np.ndarray:
        """Log of the law's mean at the fitted runs, ``(chain * draw, row)``."""
        return self._at_rows[0]

    @property
    def width(self) -> np.ndarray:
        """Scale of the scatter of log loss at the fitted runs, ``(chain * draw, row)``."""
        return self._at_rows[1]

    @property
    def log_likelihood(self) -> np.ndarray:
        """Log density of each observed loss, ``(chain, draw, row)``, per unit of the loss."""
        per_loss = self._at_rows[2] - np.log(self.runs.loss)
        return per_loss.reshape(*self.unconstrained.shape[:2], -1)

    @functools.cached_property
    def log_prior(self) -> dict[str, np.ndarray]:
        """Log prior density of every sampled site, ``(chain, draw)``."""
        with scope():
            model, _, priors = parts(self.law, self.noise, self.runs)
            u = jnp.asarray(self.unconstrained.reshape(-1, len(model.sites)))
            values = _log_priors(model)(u, priors)
        return {site: np.asarray(v).reshape(self.unconstrained.shape[:2]) for site, v in values.items()}

    @functools.cached_property
    def replicated(self) -> np.ndarray:
        """Losses of one new run at every fitted point (posterior predictive), ``(chain, draw, row)``."""
        losses = self.noise.scattered(self.log_mean, self.width, self.flat(), seed=int(self.manifest["seed"]))
        return losses.reshape(*self.unconstrained.shape[:2], -1)

    @functools.cached_property
    def prior_predictive(self) -> np.ndarray:
        """Losses of one new run at every fitted point before any data were seen, ``(prior draw, row)``."""
        with scope():
            model, data, _ = parts(self.law, self.noise, self.runs)
            values = location_and_width(model)(_device_draws(self.prior), data.columns)
            log_mean, width = (np.asarray(value)[:, : len(self.runs)] for value in values)
        return self.noise.scattered(log_mean, width, self.prior, seed=int(self.manifest["seed"]))

    @functools.cached_property
    def idata(self) -> xr.DataTree:
        """Everything as an ArviZ-ready ``DataTree``: posterior, prior, predictive, likelihood, data, statistics."""
        from bayes_scaling._store import to_datatree

        return to_datatree(self)

    def save(self, path: str | Path) -> None:
        """Write the fit as one netCDF file; an existing file is replaced only when the new one is whole."""
        from bayes_scaling._store import save

        save(self, Path(path))

    def __repr__(self) -> str:
        state = "converged" if self.converged else "NOT converged: " + "; ".join(self.problems)
        return f"<Fit of {self.law.label} ({self.noise.label}) to {len(self.runs)} runs, {self.path}, {state}>"


# --- making one -------------------------------------------------------------------------------------------------


def fit(
    law: Law | str,
    runs: Runs,
    *,
    noise: Noise | None = None,
    method: str = "auto",
    chains: int = 4,
    draws: int = 1000,
    seed: int = 0,
    device: str = "auto",
    progress: bool | None = None,
) -> Fit:
    """Sample the posterior of a law given runs.

    Parameters
    ----------
    law : a `Law`, or what ``load_law`` takes
    runs : the table
    noise : scatter of log loss; Student-t with learned tails by default
    method : ``auto`` (fast NUTS, and the safe one where its diagnostics are not good), ``nuts`` (the safe one), or
        ``laplace`` (importance-resampled normal approximation, judged by its Pareto k-hat)
    chains, draws : NUTS chains and kept draws per chain
    seed : the same seed on the same machine gives the same draws
    device : ``auto`` (CPU unless the table is very large), ``cpu`` or ``gpu``
    progress : show a bar; by default on a terminal

    Returns
    -------
    Fit
        Marked as not converged, not refused, when even stronger settings do not help; forecasts from it refuse.

    Raises
    ------
    DataError
        When the table lacks a column that law or noise reads.
    """
    law = load_law(law) if isinstance(law, str) else law
    noise = Noise() if noise is None else noise
    if method not in METHODS:
        raise FitError(f"method {method!r} is not known; choose one of {', '.join(METHODS)}")
    if chains < 2 or draws < 100:
        raise FitError(f"{chains} chains of {draws} draws are too few to judge convergence; take at least 2 of 100")
    _refuse_unusable_columns(law, runs)
    draws = -(-draws // PIECE) * PIECE
    started = time.perf_counter()
    with scope(device, len(runs)), progress_bar(f"fit {law.label}", progress) as report:
        report("compiling", 0.0)
        model, data, priors = parts(law, noise, runs)
        rng = np.random.default_rng(seed)
        sites = {row.site: draw_prior(row.prior, rng, PRIOR_DRAWS) for row in (*law.sampled, *noise.parameters)}
        prior_u, prior = jax.tree.map(np.asarray, placed(model)(sites, data, priors))
        problem = Problem(model, data, priors, prior_u, Settings(chains=chains, draws=draws), seed, report)
        sampled, diagnostics, path = METHODS[method](problem)
        u = jnp.asarray(sampled.u.reshape(-1, len(model.sites)))
        posterior = jax.tree.map(np.asarray, constrained(model)(u, data, priors))
    manifest = _manifest(law, noise, runs, path, seed, chains, draws, method, time.perf_counter() - started)
    return Fit(
        law=law,
        noise=noise,
        runs=runs,
        draws={name: posterior[name].reshape(sampled.u.shape[:2]) for name in model.names},
        prior={name: prior[name] for name in model.names},
        unconstrained=sampled.u,
        stats=sampled.stats,
        diagnostics=diagnostics,
        manifest=manifest,
    )


# --- parts ------------------------------------------------------------------------------------------------------


def parts(law: Law, noise: Noise, runs: Runs) -> tuple[Model, Observations, Priors]:
    """Return the compiled model's arguments for a law, a noise model and a table."""
    return model_of(law, noise), observe(law, noise, runs), priors_of(law, noise)


@functools.cache
def location_and_width(model: Model) -> Any:
    """Return the compiled function from draws and columns to log mean and scale of the scatter, (draw, row) each."""
    return jax.jit(jax.vmap(model.location_and_width, (0, None)))


@functools.cache
def _at_observations(model: Model) -> Any:
    def at_observations(theta: Mapping[str, Any], data: Observations) -> tuple[Any, Any, Any]:
        return *model.location_and_width(theta, data.columns), model.log_likelihood(theta, data)

    return jax.jit(jax.vmap(at_observations, (0, None)))


@functools.cache
def _log_priors(model: Model) -> Any:
    return jax.jit(jax.vmap(model.log_prior, (0, None)))


def _device_draws(draws: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {name: jnp.asarray(values) for name, values in draws.items()}


def _refuse_unusable_columns(law: Law, runs: Runs) -> None:
    missing = [name for name in law.inputs if name not in runs]
    if missing:
        have = ", ".join(name for name in runs.table.columns)
        raise DataError(
            f"law {law.label} reads {', '.join(law.inputs)}, but {runs.source} has no {missing[0]} (it has {have}); "
            "map a column to it, or choose another law"
        )
    numeric(
        runs.table, law.inputs, Origin(runs.source, {}), law.may_be_zero
    )  # columns of the law's own are checked only here


def _manifest(
    law: Law, noise: Noise, runs: Runs, path: str, seed: int, chains: int, draws: int, method: str, seconds: float
) -> dict[str, Any]:
    name, options = law.origin
    return {
        "law": name,
        "law_options": dict(options),
        "law_source_sha256": law.source_hash,
        "posterior_names": [*law.parameter_names, *(row.name for row in noise.parameters)],
        "priors": {row.site: describe_prior(row.prior) for row in (*law.sampled, *noise.parameters)},
        "priors_given": {row.name: prior_to_spec(row.prior) for row in law.sampled if row.name in law.overridden},
        "noise": {"family": noise.family, "scale": noise.scale},
        "runs": {
            "source": runs.source,
            "rows": len(runs),
            "sha256": runs.content_hash,
            "params_convention": runs.params_convention,
            "loss_unit": runs.loss_unit,
        },
        "seed": seed,
        "method": method,
        "path": path,
        "chains": chains,
        "draws": draws,
        "seconds": round(seconds, 3),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {name: importlib.metadata.version(name) for name in ("jax", "numpyro", "numpy")}
        | {"bayes-scaling": _own_version()},
    }


def _own_version() -> str:
    from bayes_scaling import __version__

    return __version__
