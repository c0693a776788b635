"""Fitting: from a law and a table of runs to a posterior that says whether it can be trusted."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling.base.progress import progress_bar
from bayes_scaling.base.scope import scope
from bayes_scaling.data.runs import Runs
from bayes_scaling.data.validation import Origin, numeric
from bayes_scaling.errors import DataError, FitError
from bayes_scaling.inference.methods import METHODS, Problem, with_good_geometry
from bayes_scaling.inference.result import Fit, flattened, parts, prior_draws
from bayes_scaling.inference.sampling import PIECE, Settings, constrained, placed
from bayes_scaling.laws.catalogue import load_law
from bayes_scaling.laws.law import Law
from bayes_scaling.laws.priors import describe_prior, prior_to_spec
from bayes_scaling.model.discrepancy import Discrepancy
from bayes_scaling.model.noise import Noise
from bayes_scaling.model.pooling import Pooling, checked_pooling
from bayes_scaling.model.program import (
    ALONG,
    Composition,
    spelled_out,
)
from bayes_scaling.version import __version__

if TYPE_CHECKING:
    pass


def fit(
    law: Law | str,
    runs: Runs,
    *,
    noise: Noise | None = None,
    discrepancy: Discrepancy | None = None,
    pooling: Pooling | None = None,
    method: str = "auto",
    chains: int = 4,
    draws: int = 1000,
    seed: int = 0,
    device: str = "auto",
    like_rows: int | None = None,
    progress: bool | None = None,
) -> Fit:
    """Sample the posterior of a law given runs.

    Parameters
    ----------
    law : a `Law`, or what ``load_law`` takes
    runs : the table
    noise : scatter of log loss; by default Student-t with learned tails, or normal with correlated rows where the
        table holds training curves (see `default_noise`)
    discrepancy : how the truth may leave the law; by default as a random path along the size of runs, whose scale is
        learned; ``Discrepancy("none")`` takes the law to be exactly right
    pooling : how parameters vary between groups of runs: ``{"alpha": partial("dataset")}``; a parameter that is not
        named is shared. A parameter is named as its prior is
    method : ``auto`` (fast NUTS, and the safe one where its diagnostics are not good), ``nuts`` (the safe one), or
        ``laplace`` (importance-resampled normal approximation, judged by its Pareto k-hat)
    chains, draws : NUTS chains and kept draws per chain
    seed : the same seed on the same machine gives the same draws
    device : ``auto`` (CPU unless the table is very large), ``cpu`` or ``gpu``
    like_rows : compile for a table of this many rows, so that fits to parts of one table share a program
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
    noise = default_noise(runs) if noise is None else noise
    pooling = checked_pooling(pooling or {}, (*law.parameters, *noise.parameters))
    composition = Composition(law, noise, Discrepancy() if discrepancy is None else discrepancy, pooling)
    if method not in METHODS:
        raise FitError(f"method {method!r} is not known; choose one of {', '.join(METHODS)}")
    if chains < 2 or draws < 100:
        raise FitError(f"{chains} chains of {draws} draws are too few to judge convergence; take at least 2 of 100")
    _refuse_unusable_columns(law, runs)
    draws = -(-draws // PIECE) * PIECE
    started = time.perf_counter()
    with scope(device, len(runs)), progress_bar(f"fit {law.label}", progress) as report:
        report("compiling", 0.0)
        model, data, priors = parts(composition, runs, like_rows)
        sites = prior_draws(composition, model, seed)
        prior_u, prior = jax.tree.map(np.asarray, placed(model)(sites, data, priors))
        problem = Problem(model, data, priors, prior_u, Settings(chains=chains, draws=draws), seed, report)
        problem = with_good_geometry(problem)
        sampled, diagnostics, path = METHODS[method](problem)
        sampled = dataclasses.replace(sampled, u=problem.standardised(sampled.u))
        u = jnp.asarray(sampled.u.reshape(-1, len(model.sites)))
        posterior = jax.tree.map(np.asarray, constrained(model)(u, data, priors))
    how = {"method": method, "path": path, "seed": seed, "chains": chains, "draws": draws}
    manifest = _manifest(composition, runs, how, time.perf_counter() - started)
    names = spelled_out(composition, composition.groups(runs))
    flat, flat_prior = flattened(posterior, names), flattened(prior, names)
    return Fit(
        composition=composition,
        runs=runs,
        draws={name: values.reshape(sampled.u.shape[:2]) for name, values in flat.items()},
        prior=flat_prior,
        unconstrained=sampled.u,
        stats=sampled.stats,
        diagnostics=diagnostics,
        manifest=manifest,
    )


def default_noise(runs: Runs) -> Noise:
    """Return the noise model for a table: Student-t for separate runs, correlated normal rows for training curves.

    A table holds curves where most of its rows belong to runs of three rows or more. Along a curve heavy tails would
    pass for spikes what the law does not explain, a drop of the learning rate for example, and give narrow bands.
    """
    if "run" not in runs or not any(name in runs for name in ALONG):
        return Noise()
    rows_of_run = runs.table.groupby("run", sort=False)["loss"].transform("size")
    return Noise("normal", rows="correlated") if float((rows_of_run >= 3).mean()) > 0.5 else Noise()


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


def _manifest(composition: Composition, runs: Runs, how: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    law, noise, pooling = composition.law, composition.noise, composition.pooling
    return {
        "law": law.origin.name,
        "law_options": dict(law.origin.options),
        "law_source_sha256": law.source_hash,
        "posterior_names": list(composition.names),
        "priors": {row.site: describe_prior(row.prior) for row in composition.sampled},
        "priors_given": {row.name: prior_to_spec(row.prior) for row in law.sampled if row.name in law.overridden},
        "noise": {"family": noise.shape.label, "scale": noise.scale, "rows": noise.rows},
        "discrepancy": dataclasses.asdict(composition.discrepancy),
        "pooling": {name: {"by": pool.by, "mode": pool.mode} for name, pool in pooling.items()},
        "runs": {
            "source": runs.source,
            "rows": len(runs),
            "sha256": runs.hash_of([*law.inputs, *(pool.by for pool in pooling.values())]),
            "params_convention": runs.params_convention,
            "loss_unit": runs.loss_unit,
        },
        **how,
        "seconds": round(seconds, 3),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {name: importlib.metadata.version(name) for name in ("jax", "numpyro", "numpy")}
        | {"bayes-scaling": __version__},
    }
