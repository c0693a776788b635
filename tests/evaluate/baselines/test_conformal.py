"""Conformal intervals: exact ranks, exact coverage of exchangeable errors, a distribution that is one."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import scipy.integrate

import bayes_scaling as bs
from bayes_scaling.evaluate.baselines import conformal
from bayes_scaling.evaluate.baselines.conformal import DRAWS, ConformalFit, Ranked, conformal_fit
from bayes_scaling.evaluate.baselines.point_fits import PointFit
from tests.support import design

CHINCHILLA = bs.load_law("chinchilla")
TRUTH = dict(CHINCHILLA.at("besiroglu2024").constants.values)
AHEAD = {"params": np.array([7e10]), "tokens": np.array([1.4e12])}


def simulated(n: int = 48) -> bs.Runs:
    return bs.simulate(CHINCHILLA, design(n), TRUTH | {"sigma": 0.005, "nu": 30.0}, seed=1)


def around(errors: np.ndarray) -> ConformalFit:
    """Return the law at known constants with known errors."""
    one = {name: np.array([value]) for name, value in TRUTH.items()}
    return ConformalFit(PointFit("known", CHINCHILLA, TRUTH, one, 0.01, 0.0), np.sort(errors), "random")


@pytest.mark.parametrize("runs", [4, 1])
def test_errors_are_measured_on_whole_runs(runs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of a fitted curve say nothing of the errors on another one; a single curve can only be split by rows."""
    law, rows = bs.load_law("power_law", input="tokens"), 24 // runs
    tokens = np.tile(np.geomspace(1e9, 1e11, rows), runs)
    frame = pd.DataFrame({"run": np.repeat(list("abcd")[:runs], rows), "tokens": tokens, "loss": 2 + tokens**-0.1})
    fitted: list[bs.Runs] = []
    theta = {"E": 2.0, "alpha": 0.1, "X_c": 1.0}
    fit = PointFit("known", law, theta, {name: np.array([value]) for name, value in theta.items()}, 0.01, 0.0)
    monkeypatch.setattr(conformal, "point_fit", lambda _, runs, **__: (fitted.append(runs), fit)[1])
    found = conformal_fit(law, bs.Runs.from_frame(frame))
    assert len(found.errors) == 6 and found.errors == pytest.approx(np.zeros(6), abs=1e-12)
    assert len(fitted[0]) == 18 and len(set(fitted[0].labels)) == max(runs - 1, 1)


def test_half_widths_are_errors_by_rank() -> None:
    fit = around(np.array([0.04, 0.01, 0.02, 0.03]))
    # (n + 1) p is 5 p: the next integer is the rank.
    assert [fit.half_width(p) for p in (0.2, 0.21, 0.5, 0.6, 0.8)] == [0.01, 0.02, 0.03, 0.03, 0.04]
    assert fit.half_width(0.81) == math.inf
    with pytest.raises(bs.errors.ForecastError, match="write 0.9 for 90 percent"):
        fit.half_width(90)


@pytest.mark.parametrize("n", [4, 19])
def test_exchangeable_errors_are_held_as_often_as_promised(n: int) -> None:
    """P(new error <= k-th of n) = k / (n + 1), whatever their distribution; here by simulation of heavy tails."""
    rng = np.random.default_rng(0)
    tables = 4000
    errors = np.abs(rng.standard_cauchy((tables, n + 1)))
    for probability in (0.5, 0.8):
        rank = math.ceil((n + 1) * probability - 1e-9)
        held = np.mean([row[-1] <= around(row[:-1]).half_width(probability) for row in errors])
        exact = rank / (n + 1)
        assert exact >= probability
        assert held == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / tables))


def test_the_predictive_distribution_has_these_ranks() -> None:
    errors = np.linspace(0.01, 0.16, 16)  # ranks 4, 8, 12 and 16 of 16 are taken
    fit = around(errors)
    predicted = fit.predict(AHEAD)
    centre = CHINCHILLA.evaluate(TRUTH, **AHEAD)
    assert predicted.location == pytest.approx(np.full((DRAWS, 1), np.log(centre)), rel=1e-12)
    assert predicted.probability_below(centre) == pytest.approx([0.5])
    for rank in (4, 8, 12, 16):
        above, below = (predicted.probability_below(centre * np.exp(sign * errors[rank - 1])) for sign in (1, -1))
        assert above - below == pytest.approx([rank / 17])
        assert (above + below) == pytest.approx([1.0])
    # Between ranks 4 and 8 the density is constant: 4/17 of probability on two sides, .04 wide each.
    density = np.exp(predicted.log_density(centre * np.exp(0.06))) * centre * np.exp(0.06)
    assert density == pytest.approx([4 / 17 / 2 / 0.04])


@pytest.mark.parametrize("errors", [[0.02], [0.01, 0.01, 0.01, 0.03], [0.0, 0.0], list(np.geomspace(1e-4, 1, 30))])
def test_the_distribution_is_one(errors: list[float]) -> None:
    family = Ranked.of(np.array(errors))
    last = family.sizes[-1]
    inside = sum(
        scipy.integrate.quad(lambda z: math.exp(family.log_density(np.array([[z]]), {}).item()), low, high)[0]
        for low, high in zip(family.sizes[:-1], family.sizes[1:], strict=True)
    )
    density = math.exp(family.log_density(np.array([[2 * last]]), {}).item())
    beyond = 1 - family.levels[-1]
    assert 2 * inside == pytest.approx(family.levels[-1])
    assert density == pytest.approx(beyond * 3 / last / 2 / 2**4)
    assert family.probability_below(np.array([[2 * last]]), {}).item() == pytest.approx(1 - beyond / 2 / 8)
    levels = np.linspace(0.001, 0.999, 41)[None]
    assert family.probability_below(family.quantile(levels, {}), {}) == pytest.approx(levels)
    assert np.isfinite(family.log_density(np.array([[0.0, last, 10.0]]), {})).all()
    with pytest.raises(bs.errors.FitError, match="no noise to fit"):
        family.distribution(0.0, 1.0, {})


def test_scores_follow_from_the_errors() -> None:
    fit = around(np.linspace(0.01, 0.16, 16))
    truth = CHINCHILLA.evaluate(TRUTH, **AHEAD) * np.exp(0.05)
    row = bs.evaluate.score(fit.predict(AHEAD), truth).iloc[0]
    assert row["error"] == pytest.approx(0.05, abs=0.006)  # of 2,000 draws of errors
    assert row["pit"] == pytest.approx(0.5 + 5 / 17 / 2)
    assert row["upper"] / row["median"] == pytest.approx(np.exp(0.5 * 17 / 16 * 0.16), rel=0.01)


def test_a_random_quarter_is_kept_or_the_largest() -> None:
    runs = simulated()
    usual, largest = (conformal_fit(CHINCHILLA, runs, split=split) for split in ("random", "largest"))
    assert len(usual.errors) == len(largest.errors) == 12
    assert usual.label == "Huber point fit of chinchilla, conformal on a random quarter"
    order = np.argsort(runs.column("flops"))
    small = bs.evaluate.point_fit(CHINCHILLA, runs.where(np.isin(np.arange(48), order[:36])))
    assert largest.fit.theta == pytest.approx(small.theta)
    held = runs.where(np.isin(np.arange(48), order[36:]))
    ahead = CHINCHILLA.evaluate(small.theta, params=held.column("params"), tokens=held.column("tokens"))
    assert largest.errors == pytest.approx(np.sort(np.abs(np.log(held.loss / ahead))))
    again, other = (conformal_fit(CHINCHILLA, runs, seed=seed) for seed in (0, 1))
    assert (again.errors == usual.errors).all() and not (other.errors == usual.errors).all()


def test_bands_hold_runs_like_those_that_were_fitted() -> None:
    fit = conformal_fit(CHINCHILLA, simulated(120))
    new = bs.simulate(CHINCHILLA, design(400, seed=5), TRUTH | {"sigma": 0.005, "nu": 30.0}, seed=9)
    inside = bs.evaluate.score(fit.predict({"params": new.column("params"), "tokens": new.column("tokens")}), new.loss)[
        "pit"
    ].between(0.05, 0.95)
    assert 0.75 < inside.mean() < 0.99  # with 30 errors, coverage of one table is Beta(27, 3) or so


def test_few_rows_are_refused_and_few_are_enough() -> None:
    runs = simulated()
    few = conformal_fit(CHINCHILLA, runs.where(np.arange(48) < 7))
    assert len(few.errors) == 1 and np.isfinite(few.predict(AHEAD).log_density(np.array([2.0]))).all()
    with pytest.raises(bs.errors.DataError, match="6 rows for the 5 parameters .* two rows more than parameters"):
        conformal_fit(CHINCHILLA, runs.where(np.arange(48) < 6))
    with pytest.raises(bs.errors.DataError, match="split is 'half'; expected one of random, largest"):
        conformal_fit(CHINCHILLA, runs, split="half")
