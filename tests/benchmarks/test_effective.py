"""Effective draws beside others: the same density over the same coordinates, by a sampler of ours and by NumPyro's."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import bayes_scaling as bs
from tests.support import design

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def effective(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, imported as it is run: its folder is the first on the path."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("effective")


@pytest.mark.slow
def test_both_sample_one_posterior(effective: ModuleType) -> None:
    runs = bs.simulate("chinchilla", design(24), "besiroglu2024", seed=0)
    asked = effective.Question("chinchilla", runs, warmup=300, draws=300)
    mine, others = (effective.METHODS[name](asked) for name in ("ours", "numpyro-dense"))
    assert others.u.shape[1] == 300 <= mine.u.shape[1]  # ours draws more where so few are not enough
    assert mine.u.shape[::2] == others.u.shape[::2] and mine.seconds > 0 and others.gradients > 1
    model = asked.density()[0]
    sd = mine.u.std(axis=(0, 1))
    named = [i for i, site in enumerate(model.sites) if not site.startswith(effective.INCREMENTS)]
    gap = np.abs(mine.u.mean(axis=(0, 1)) - others.u.mean(axis=(0, 1))) / sd
    assert np.all(gap[named] < 0.5)
    found = effective.measured("ours", asked)
    assert set(found) == set(effective.COLUMNS) and found["ess"] > 100
