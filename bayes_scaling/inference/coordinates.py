"""Coordinates in which a posterior is easy to sample, chosen by what the table says."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import numpy as np

from bayes_scaling.base.programs import compiled
from bayes_scaling.base.warned import warn_caller
from bayes_scaling.inference.compiled import constrained, potentials
from bayes_scaling.inference.mode import Mode
from bayes_scaling.inference.problem import Problem, moved
from bayes_scaling.model.composition import BASIS
from bayes_scaling.model.geometry import Geometry
from bayes_scaling.model.integrated import Integrated, integrated
from bayes_scaling.model.observations import Observations
from bayes_scaling.model.program import Model

CENTRING_DRAWS = 4000  # of the normal approximation, to see how much groups say
FIRST_SCALE = 0.01  # of the scatter, for a first look at the table
SCATTER = "sigma"  # the coordinate that is the log of its scale
EXACT = 1e-5  # scale of the scatter at the mode, below which a law describes its runs exactly
KNOWN_TO = 1e-4  # of a loss: the scatter that such runs are given


def with_good_geometry(problem: Problem) -> Problem:
    """Return the same posterior in coordinates that suit what the table says about groups and discrepancy."""
    for step in (*BEFORE_MODE, *AT_MODE):
        problem = step(problem)
    return problem


def sampled_model(model: Model, data: Observations) -> Model:
    """Return the model whose coordinates are sampled: where noise is normal, without what is linear."""
    if not model.noise.jointly_normal:
        return model
    without = integrated(model, data)
    return without if without.size else model


def _with_linear_integrated(problem: Problem) -> Problem:
    """Leave out what is linear, where noise is normal; `Problem.standardised` draws it given all else."""
    model = sampled_model(problem.model, problem.data)
    if not isinstance(model, Integrated):
        return problem
    return dataclasses.replace(problem, model=model, prior_u=problem.prior_u[:, model.kept])


def _with_whitened_increments(problem: Problem) -> Problem:
    """Whiten the increments of the discrepancy given all else, by what the table says about them.

    What a row says depends on the scale of the scatter and on whether it is an outlier, and so on the mode. This first
    look counts all rows alike; the second weights them by what the mode of the first says.
    """
    if not problem.model.increments:
        return problem
    weight = np.asarray(problem.data.weight) / FIRST_SCALE**2
    return _whitened(problem, np.asarray(problem.data.columns[BASIS]) * weight[:, None], FIRST_SCALE)


def _with_some_scatter(problem: Problem) -> Problem:
    """Where a law describes its runs exactly, take each log loss as known to no more than `KNOWN_TO`.

    Nothing else would keep the scale of the scatter from 0, at which the posterior has no width to sample. Runs that
    were computed from a law and not measured are like that.
    """
    if SCATTER not in problem.coordinates:
        return problem
    if problem.mode.u[problem.coordinates.index(SCATTER)] > math.log(EXACT):
        return problem
    log_loss, runs = np.asarray(problem.data.log_loss), np.asarray(problem.data.weight).sum()
    if runs > len(problem.model.law_names) + 1:  # fewer, as below a cut, may be measured: a law can go through them
        said = f"a loss is taken as known to {KNOWN_TO:.2%}"
        warn_caller(f"a law describes these runs exactly, as none does measured runs: {said}")
    off = KNOWN_TO * np.random.default_rng(0).standard_normal(log_loss.shape)
    data = dataclasses.replace(problem.data, log_loss=log_loss + off)
    return dataclasses.replace(problem, data=data, known_mode=None, known_ends=None)


def _with_whitened_increments_at_mode(problem: Problem) -> Problem:
    """Whiten the increments by what the table says about them at the mode of a first look."""
    if not problem.model.increments:
        return problem
    theta = _theta_at_mode(problem)
    pulls = np.asarray(_pulls(problem.model)(theta, problem.data))
    after = _whitened(problem, pulls, np.exp(np.mean(np.log(theta["sigma"]))))
    ends = problem.mode.ends
    return after if ends is None else dataclasses.replace(after, known_ends=moved(problem, ends, after.data.geometry))


def _whitened(problem: Problem, pulls: np.ndarray, sigma: float) -> Problem:
    curvature = np.asarray(problem.data.columns[BASIS]).T @ pulls
    size, rotation = np.linalg.eigh((curvature + curvature.T) / 2)
    geometry = Geometry(
        problem.data.geometry.centring,
        rotation,
        np.maximum(size, 0.0),
        rotation.T @ pulls.T,
        np.asarray(float(sigma)),
    )
    return problem.in_geometry(geometry)


def _theta_at_mode(problem: Problem) -> dict[str, np.ndarray]:
    settings, u = problem.settings, problem.mode.u
    as_many = np.resize(u, (settings.chains * settings.draws, len(u)))  # as draws will be, for which it is compiled
    theta = constrained(problem.model)(as_many, problem.data, problem.priors)
    return {name: np.asarray(values)[0] for name, values in theta.items()}


@compiled
def _pulls(model: Model) -> Any:
    return jax.jit(model.pulls)


def _with_good_centring(problem: Problem) -> Problem:
    """Return the same posterior in coordinates that suit how much each group says about itself.

    A group whose runs fix its value is sampled as that value, one that says little as its offset from the
    population; the share is 1 minus the variance of the group's value over that of the population, in the normal
    approximation at the mode. The approximation itself is carried over to the new coordinates by its draws: a mode
    sought there may run away to a population in which all groups are equal.
    """
    if not problem.model.populations:
        return problem
    rng, mode = np.random.default_rng(problem.seed), problem.mode
    draws = rng.multivariate_normal(mode.u, mode.covariance, CENTRING_DRAWS, method="eigh")
    geometry = problem.data.geometry
    values = _on_the_line(problem.model)(draws, geometry.centring, problem.priors)
    centring = {}
    for site, (line, sd) in values.items():
        share = np.var(np.asarray(line), axis=0) / np.median(np.asarray(sd)) ** 2
        centring[site] = np.clip(1 - share, 0, 1)
    after = dataclasses.replace(geometry, centring=centring)
    there = moved(problem, draws, after)
    chosen = problem.in_geometry(after)
    # Far draws of an approximation in many dimensions lie where the posterior is not: the better half says where it is.
    energy = np.asarray(potentials(problem.model)(there, chosen.data, problem.priors))
    better = there[np.argsort(np.where(np.isfinite(energy), energy, np.inf))[: CENTRING_DRAWS // 2]]
    return dataclasses.replace(chosen, known_mode=Mode(better.mean(0), np.cov(better.T), np.empty((0, there.shape[1]))))


BEFORE_MODE = (_with_linear_integrated, _with_whitened_increments)
AT_MODE = (_with_some_scatter, _with_whitened_increments_at_mode, _with_good_centring)
"""The steps to good coordinates; those at the mode of the coordinates before them come last."""


@compiled
def _on_the_line(model: Model) -> Any:
    return jax.jit(jax.vmap(model.on_the_line, (0, None, None)))
