"""How far sizes lie from the law's best rate and batch: read off sweeps, learned, and wider further out."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.data.tuning import BATCH, RATE, bottoms
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.tuned_sizes import SCALES, USUAL, Leftover, _growth, _posterior
from tests.predict.test_tuning import TRUTH, TUNING, fitted

RATES, BATCHES = np.geomspace(5e-4, 8e-3, 7), np.geomspace(5e4, 1.6e6, 6)


def cell(best_rate: float, best_batch: float, noise: float, seed: int, batches: np.ndarray = BATCHES) -> pd.DataFrame:
    """Runs of one size on a grid, whose log loss is a tilted parabola."""
    rate, batch = (one.ravel() for one in np.meshgrid(RATES, batches))
    z, y = np.log(rate / best_rate), np.log(batch / best_batch)
    loss = 3 * np.exp(0.006 * z**2 + 0.005 * y**2 - 0.004 * z * y)
    loss = loss * np.exp(noise * np.random.default_rng(seed).standard_normal(len(loss)))
    return pd.DataFrame({"params": 1e8, "tokens": 1e10, RATE: rate, BATCH: batch, "loss": loss})


def test_the_bottom_of_a_size_is_read_off_within_its_standard_error() -> None:
    off = []
    for seed in range(60):
        (found,) = bottoms(cell(2e-3, 3e5, 0.001, seed))
        off.append((found.best - np.log([2e-3, 3e5])) / found.errors)
    assert np.abs(np.mean(off, axis=0)).max() < 0.5
    assert 0.75 < np.sqrt(np.mean(np.square(off))) < 1.3


def test_each_run_twice_says_more_but_the_curve_takes_as_much_of_it() -> None:
    """Seven runs leave four beyond the three coefficients of their curve, and fourteen leave eleven."""
    runs = cell(2e-3, 3e5, 0.001, 0, np.array([3e5]))
    (once,), (twice,) = bottoms(runs), bottoms(pd.concat([runs, runs], ignore_index=True))
    assert twice.errors[0] / once.errors[0] == pytest.approx(math.sqrt(4 / 11))


def test_a_batch_that_does_not_vary_has_no_error_and_few_or_sloping_runs_say_nothing() -> None:
    (found,) = bottoms(cell(2e-3, 3e5, 0.0, 0, np.array([3e5])))
    assert found.best == pytest.approx(np.log([2e-3, 3e5]), abs=1e-3) and np.isnan(found.errors[1])
    assert not bottoms(cell(2e-3, 3e5, 0.001, 0).iloc[:5])
    assert not bottoms(cell(1.0, 3e5, 0.001, 0))


def test_the_scale_is_learned_from_deviations_beyond_their_errors() -> None:
    rng = np.random.default_rng(0)
    errors = np.full(60, 0.03)
    for scale in (0.05, 0.2):
        weight = _posterior(np.hypot(scale, 0.03) * rng.standard_normal(60), errors)
        assert SCALES @ weight == pytest.approx(scale, rel=0.25)
    assert SCALES @ _posterior(0.03 * rng.standard_normal(60), errors) < 0.02
    nothing = _posterior(np.empty(0), np.empty(0))
    assert SCALES @ nothing == pytest.approx(USUAL * math.sqrt(2 / math.pi), rel=0.04)


def test_deviations_grow_away_from_the_fitted_sizes() -> None:
    sizes = np.log([[1e8, 1e9], [1e8, 1e10], [1e9, 1e9], [1e9, 1e10]])
    inside = _growth(sizes, sizes.mean(axis=0))
    assert inside == pytest.approx(1 + 1 / 4)
    further = [_growth(sizes, np.log([n, 1e10])) for n in (1e9, 1e10, 1e11)]
    assert sorted(further) == further and further[1] > inside + math.log(10)
    assert np.isfinite(_growth(sizes[:1], np.log([1e10, 1e11])))


def test_sizes_that_leave_the_law_widen_the_answer() -> None:
    """The same draws beside runs whose best rate and batch lie on the law, and beside runs where they do not."""
    rng = np.random.default_rng(0)
    scales, spread = [], []
    for apart in (0.0, 0.3):
        parts = []
        for i, (params, tokens) in enumerate((n, d) for n in (1e8, 2e8, 4e8, 8e8) for d in (4e9, 1.6e10)):
            batch = float(TUNING.quantity("best_batch", TRUTH, params=params, tokens=tokens))
            batch *= math.exp(apart * rng.standard_normal())
            rate = float(TUNING.quantity("best_rate", TRUTH, params=params, tokens=tokens, batch_tokens=batch))
            rate *= math.exp(apart * rng.standard_normal())
            own = cell(2e-3, 3e5, 0.0005, i).assign(params=params, tokens=tokens)
            parts.append(own.assign(**{RATE: own[RATE] * rate / 2e-3, BATCH: own[BATCH] * batch / 3e5}))
        runs = bs.Runs.from_frame(pd.concat(parts, ignore_index=True))
        ensemble = Ensemble.of(dataclasses.replace(fitted(), runs=runs), unconverged=True)
        found = Leftover.of(ensemble, 8e8, 1.6e10, seed=0)
        assert found.sizes == 8
        further = Leftover.of(ensemble, 8e9, 1.6e11, seed=0)
        assert further.rate.std() > 1.5 * found.rate.std(), "away from the fitted sizes little is known"
        scales.append(found.scales)
        spread.append((found.rate.std(), found.batch.std()))
    assert max(scales[0]) < 0.06 and min(scales[1]) > 0.12
    assert np.array(spread[1]) == pytest.approx(np.array(scales[1]), rel=0.6)
    assert (np.array(spread[1]) > 2 * np.array(spread[0])).all()
