"""Shared tables and fits; every fit that several tests read is made once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling._simulate import grid, simulate

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


@pytest.fixture(scope="session")
def chinchilla_runs() -> bs.Runs:
    """Forty-eight runs around the published Chinchilla curve, half a percent of scatter."""
    truth = dict(bs.load_law("chinchilla").at("besiroglu2024").constants.values)
    return simulate("chinchilla", design(), truth | {"sigma": 0.005, "nu": 30.0}, seed=1)


@pytest.fixture(scope="session")
def chinchilla_fit(chinchilla_runs: bs.Runs) -> bs.Fit:
    """The default fit to them."""
    return bs.fit("chinchilla", chinchilla_runs, seed=0)


@pytest.fixture(scope="session")
def grid_runs() -> bs.Runs:
    """A small grid in one input, for laws of compute."""
    return simulate("power_law:input=flops,form=pure", grid(flops=np.logspace(17, 22, 24)), "kaplan2020_naive", seed=2)
