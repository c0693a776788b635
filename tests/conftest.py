"""Shared tables and fits; every fit that several tests read is made once."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.model.noise import Noise
from bayes_scaling.model.simulate import grid, simulate
from bayes_scaling.predict.predictive import Predictive, Residuals

fit_exact = functools.partial(bs.fit, discrepancy="none")
"""Fit a law that is taken to be exactly right."""


def scattered(location: Any, scale: Any, nu: float = math.inf) -> Predictive:
    """Predictive distribution whose log loss is normal, or Student-t, around each location, ``(n_draw, n_point)``."""
    location = np.asarray(location, float)
    if math.isinf(nu):
        return Predictive.of(location, np.asarray(scale, float), Residuals.normal(len(location)))
    family = Noise("student_t").shape
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


def design_for(law: bs.laws.Law, n: int = 48, seed: int = 0) -> pd.DataFrame:
    """Scatter runs over the usual span of whatever a law takes; laws of schedules get whole curves."""
    rng = np.random.default_rng([seed, 7])
    if "learning_rate" in law.inputs:
        return pd.concat([curve(kind, n // 4) for kind in ("constant", "cosine", "linear", "step")], ignore_index=True)
    table = design(n, seed).assign(flops=lambda t: 6 * t["params"] * t["tokens"])
    table["unique_tokens"] = table["tokens"] / np.exp(rng.uniform(0, np.log(30), n))
    for name in law.inputs:
        if name not in table:
            column = law.column(name)
            shares = rng.uniform(size=n)
            table[name] = column.low * (column.high / column.low) ** shares if column.low > 0 else shares * column.high
    return table[list(law.inputs)]


def curve(kind: str, n: int, steps: int = 20_000, peak: float = 3e-4, warmup: int = 1_000) -> pd.DataFrame:
    """Rows of one run after its warm-up, under a learning-rate schedule."""
    step = np.linspace(warmup, steps, n)
    done = (step - warmup) / (steps - warmup)
    rate = {
        "constant": np.ones(n),
        "cosine": 0.55 + 0.45 * np.cos(np.pi * done),
        "linear": np.clip((1 - done) / 0.3, 0.05, 1),
        "step": np.where(done < 0.5, 1.0, 0.3),
    }[kind]
    return pd.DataFrame({"run": kind, "steps": step, "learning_rate": peak * rate})


@pytest.fixture(scope="session")
def chinchilla_runs() -> bs.Runs:
    """Forty-eight runs around the published Chinchilla curve, half a percent of scatter."""
    truth = dict(bs.load_law("chinchilla").at("besiroglu2024").constants.values)
    return simulate("chinchilla", design(), truth | {"sigma": 0.005, "nu": 30.0}, seed=1)


@pytest.fixture(scope="session")
def chinchilla_fit(chinchilla_runs: bs.Runs) -> bs.Fit:
    """The default fit to them."""
    return fit_exact("chinchilla", chinchilla_runs, seed=0)


@pytest.fixture(scope="session")
def grid_runs() -> bs.Runs:
    """A small grid in one input, for laws of compute."""
    return simulate("power_law:input=flops,form=pure", grid(flops=np.logspace(17, 22, 24)), "kaplan2020_naive", seed=2)
