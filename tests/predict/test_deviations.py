"""Deviations of curves at rows ahead: against the joint normal distribution of all rows of a run."""

from __future__ import annotations

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.predict.deviations import SoFar, of_new_runs, of_runs_that_go_on

CORRELATED = bs.Noise("normal", rows="correlated")
DRAWS, SLOW, LENGTH, WIDTH = 40_000, 0.7, 1.3, 0.3
THETA = {"sigma": np.full(DRAWS, WIDTH), "sigma_curve": np.full(DRAWS, SLOW), "length": np.full(DRAWS, LENGTH)}


def so_far(positions: dict[int, list[float]], residuals: dict[int, list[float]]) -> SoFar:
    """Rows of runs at log positions, the same for every draw."""
    run = np.concatenate([np.full(len(at), one) for one, at in positions.items()])
    residual = np.concatenate([residuals[one] for one in positions])
    shape = (DRAWS, len(run))
    known = np.exp(np.concatenate(list(positions.values())))
    return SoFar(run, known, np.broadcast_to(residual, shape), np.full(shape, WIDTH), THETA)


def joint_normal(known: list[float], seen: list[float], ahead: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the deviation at log positions ahead, given residuals at known ones."""
    position = np.array([*known, *ahead])
    n = len(known)
    prior = SLOW**2 * np.exp(-np.abs(position[:, None] - position) / LENGTH)
    gain = prior[n:, :n] @ np.linalg.inv(prior[:n, :n] + WIDTH**2 * np.eye(n))
    return gain @ np.array(seen), prior[n:, n:] - gain @ prior[:n, n:]


@pytest.mark.parametrize("gaps", [[0.0], [0.3, 2.0]])
def test_the_deviation_ahead_is_that_of_the_joint_normal(gaps: list[float]) -> None:
    """Two runs at once; what one run showed says nothing of the other."""
    known = {0: [0.0, 0.5, 1.1], 1: [0.2, 0.4]}
    seen = {0: [0.4, -0.2, 0.9], 1: [-0.5, -0.7]}
    ahead = {one: [at[-1] + gap for gap in gaps] for one, at in known.items()}
    run = np.repeat([1, 0], len(gaps))  # the second run first
    position = np.exp(np.concatenate([ahead[1], ahead[0]]))
    rng = np.random.default_rng(0)
    found = of_runs_that_go_on(CORRELATED, so_far(known, seen), run, position, THETA, rng)
    for one in known:
        mean, covariance = joint_normal(known[one], seen[one], ahead[one])
        own = run == one
        np.testing.assert_allclose(found.centre[0, own], mean, rtol=1e-9)
        np.testing.assert_allclose(found.scale[0, own] ** 2, np.diag(covariance), rtol=1e-9)
        np.testing.assert_allclose(found.drawn[:, own].mean(axis=0), mean, atol=0.02)
        np.testing.assert_allclose(np.cov(found.drawn[:, own].T).reshape(covariance.shape), covariance, atol=0.02)
    between = np.corrcoef(found.drawn.T)[0, -1]
    assert abs(between) < 0.02


def test_a_new_run_has_the_stationary_deviation() -> None:
    table = {"run": np.array([0, 0, 1]), "tokens": np.exp([0.0, 0.5, 0.5])}
    found = of_new_runs(CORRELATED, THETA, table, seed=0)
    assert not found.centre.any()
    np.testing.assert_array_equal(found.scale, SLOW)
    np.testing.assert_allclose(found.drawn.std(axis=0), SLOW, rtol=0.02)
    between = np.corrcoef(found.drawn.T)
    assert between[0, 1] == pytest.approx(np.exp(-0.5 / LENGTH), abs=0.02)
    assert abs(between[1, 2]) < 0.02


def test_independent_rows_have_none() -> None:
    theta = {"sigma": np.full(3, 0.1)}
    found = of_new_runs(bs.Noise("normal"), theta, {"tokens": np.ones(2)}, seed=0)
    assert not (found.centre.any() or found.scale.any() or found.drawn.any())
