"""What tests of several folders share: tables, ensembles without a fit, the command line in this process."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from arviz_stats.base import array_stats
from typer.testing import CliRunner

import bayes_scaling as bs
from bayes_scaling.base.scope import scope
from bayes_scaling.cli._remedies import as_option
from bayes_scaling.cli.commands import app
from bayes_scaling.errors import DataError, WorkerError, WriteError
from bayes_scaling.model.composition import Composition
from bayes_scaling.model.noise import Noise
from bayes_scaling.model.observations import Yardstick
from bayes_scaling.model.program import model_of
from bayes_scaling.model.simulate import typical_design
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.frontier import best_split
from bayes_scaling.predict.members import Member
from bayes_scaling.predict.paths import OnePath, Paths
from bayes_scaling.predict.predictive import Predictive, Residuals

fit_exact = functools.partial(bs.fit, discrepancy="none")
"""Fit a law without a discrepancy."""


def scattered(location: Any, scale: Any, nu: float = math.inf) -> Predictive:
    """Predictive distribution whose log loss is normal, or Student-t, around each location, ``(n_draw, n_point)``."""
    location = np.asarray(location, float)
    if math.isinf(nu):
        return Predictive.of(location, np.asarray(scale, float), Residuals.normal(len(location)))
    family = Noise("student_t").scatter_family
    return Predictive.of(
        location, np.asarray(scale, float), Residuals.of(family, {"nu": np.full(len(location), nu)}, len(location), 0)
    )


SHARED = Path(__file__).parents[2] / "shared" / "data"


def public_table(name: str) -> Path:
    """Return a public run table, or skip the test where it is not at hand."""
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"the public table {name} is not at {SHARED}; it is not part of this repository")
    return path


def design(n: int = 48, seed: int = 0) -> pd.DataFrame:
    """Scatter runs over two decades of parameters and tokens per parameter."""
    rng = np.random.default_rng(seed)
    params = np.exp(rng.uniform(np.log(6e7), np.log(6e9), n))
    return pd.DataFrame({"params": params, "tokens": params * np.exp(rng.uniform(np.log(3), np.log(300), n))})


def run(*arguments: object) -> tuple[int, str, str]:
    """Run the command line in this process; (exit code, standard output, standard error)."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if isinstance(result.exception, bs.BayesScalingError):  # what `main` turns into one line
        code = 1 if isinstance(result.exception, WriteError | WorkerError) else 2
        return code, result.stdout, f"error: {result.exception.worded(as_option)}"
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def losses_of_parts(predictive: Predictive, seed: int = 0) -> np.ndarray:
    """Draw one loss of each normal part of a predictive distribution, ``(n_draw * n_part, n_point)``."""
    noise = np.random.default_rng([seed, 12]).standard_normal(predictive.width.shape[:2])[:, :, None]
    drawn = np.exp(predictive.centre + predictive.width * noise)
    return np.asarray(drawn.reshape(-1, predictive.location.shape[1]))


def refusal(call: Callable[[], object]) -> str:
    """Return the message of the `DataError` that ``call`` must raise: one line that prints, and not a long one."""
    with pytest.raises(DataError) as caught:
        call()
    message = str(caught.value)
    assert message.isprintable(), message
    assert 10 < len(message) < 900, message
    return message


def filled(folder: Path) -> Path:
    """Fill the disk of a folder with one file."""
    with (folder / "filled").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return folder


LAW_FILE = """
import numpyro.distributions as dist
from bayes_scaling.laws import Law, Parameter, power

def mean(params, E, A, alpha):
    return E + A * power(params, -alpha)

LAW = Law(
    name="mine", title="t", formula="L = E + A / N^alpha", mean=mean, references=("me",), holds="here", fails="there",
    decreasing_in=("params",),
    parameters=(
        Parameter("E", dist.LogNormal(0.0, 0.3), unit="loss", meaning="floor", source="guess"),
        Parameter("alpha", dist.LogNormal(-1.0, 0.3), unit="1", meaning="exponent", source="guess"),
        Parameter("A", dist.LogNormal(0.0, 0.5), unit="loss params^alpha", meaning="coefficient", source="guess",
                  quantity="term / loss", value=lambda draw, at, alpha: draw * at.loss * power(at.params, alpha)),
    ),
)
"""


PF_DAY = 8.64e19  # floating-point operations


def pure(column: str, name: str = "kaplan2020") -> bs.laws.Curve:
    """Return a published power law in one input, without an irreducible loss."""
    return bs.load_law("power_law", input=column, form="pure").at(name)


def close(actual: object, expected: object, tolerance: float = 5e-4) -> None:
    """Check numbers that a paper prints with three or four digits."""
    np.testing.assert_allclose(actual, expected, rtol=tolerance)


def optimum(name: str, flops: float) -> tuple[float, float, float]:
    """Return (N, D, L) of the compute-optimal split under a published set, by our optimiser."""
    law = bs.load_law("chinchilla")
    constants = law.at(name).constants.values
    with scope():
        theta = {key: jnp.asarray(value) for key, value in constants.items()}

        def log_mean(log_params: jax.Array, log_tokens: jax.Array) -> jax.Array:
            return jnp.log(law.mean(params=jnp.exp(log_params), tokens=jnp.exp(log_tokens), **theta))

        log_params, log_loss = best_split(log_mean, jnp.asarray(np.log(flops)))
    params = float(np.exp(log_params))
    return params, flops / (6 * params), float(np.exp(log_loss))


THREE = {"E": 1.7, "A": 300.0, "K": 30.0, "J": 5e4, "alpha": 0.33, "beta": 0.4, "gamma": 0.75}


def believed(name: str, constants: Mapping[str, float], draws: int = 40, spread: float = 0.02) -> Ensemble:
    """Ensemble around constants, as a posterior would hold them, without the time that a fit takes."""
    law, noise = bs.load_law(name), bs.Noise("normal")
    runs = bs.simulate(law, typical_design(law), constants, noise=noise, seed=1)
    rng = np.random.default_rng(0)
    theta = {k: v * np.exp(spread * rng.standard_normal(draws) * (np.arange(draws) > 0)) for k, v in constants.items()}
    theta["sigma"] = np.full(draws, 0.005)
    right = bs.Discrepancy("none")
    fit: Any = SimpleNamespace(
        law=law,
        noise=noise,
        discrepancy=right,
        runs=runs,
        yardstick=Yardstick.of(law, noise, runs),
        model=model_of(Composition(law, noise, right, {})),
        problems=(),
        manifest={"law_source_sha256": law.source_hash, "runs": {}, "seed": 0, "versions": {}},
    )
    paths = Paths((OnePath(np.array([0.0]), np.zeros((draws, 1)), np.zeros((draws, 1))),))
    member = Member(fit, 1.0, theta, paths, Residuals.normal(draws), np.zeros((draws, 1)), np.arange(draws))
    return Ensemble({name: member}, runs.loss_unit, float(runs.loss.min()))


def off_by(ensemble: Ensemble, error: float) -> Ensemble:
    """Return the same laws, each of which the truth leaves by a constant, in log loss."""
    members = {}
    for name, member in ensemble.members.items():
        along = tuple(dataclasses.replace(path, learned=path.learned + error) for path in member.paths.along)
        members[name] = dataclasses.replace(member, paths=Paths(along))
    return dataclasses.replace(ensemble, members=members)


MOST_APART = 4.5
"""Monte Carlo errors between two means; one of a few hundred is beyond by chance once in 500 runs."""


def errors_apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return how far means and spreads of draws lie apart, in Monte Carlo errors, ``(2 * coordinate,)``."""
    apart = []
    for a, b in zip(np.moveaxis(one, -1, 0), np.moveaxis(other, -1, 0), strict=True):
        middle = b.mean()
        for x, y in ((a, b), (np.abs(a - middle), np.abs(b - middle))):
            ess = [float(array_stats.ess(v, chain_axis=0, draw_axis=1, method="mean")) for v in (x, y)]
            apart.append((x.mean() - y.mean()) / np.sqrt(x.var() / ess[0] + y.var() / ess[1]))
    return np.array(apart)
