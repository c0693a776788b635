"""Point fits: known answers, and the same footing as the posterior."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.optimize

import bayes_scaling as bs
from bayes_scaling.evaluate.baselines.point_fits import PointFit, point_fit
from tests.support import design, public_table

CHINCHILLA = bs.load_law("chinchilla")
TRUTH = dict(CHINCHILLA.at("besiroglu2024").constants.values)


def noiseless(table: pd.DataFrame) -> bs.Runs:
    return bs.simulate(CHINCHILLA, table, TRUTH | {"sigma": 1e-7, "nu": 30.0})


@pytest.fixture(scope="module")
def public_fit() -> PointFit:
    table = pd.read_csv(public_table("chinchilla_svg.csv")).query("in_epoch_fit == 1")
    return point_fit(CHINCHILLA, bs.Runs.from_frame(table[["params", "tokens", "flops", "loss"]]))


@pytest.mark.parametrize("loss", ["huber", "squares"])
def test_the_truth_of_a_noiseless_table_is_found(loss: str) -> None:
    fit = point_fit(CHINCHILLA, noiseless(design()), loss=loss, bootstrap=20)
    assert fit.theta == pytest.approx(TRUTH, rel=1e-3)
    assert fit.sigma < 1e-6
    for name, values in fit.bootstrap.items():
        assert values == pytest.approx(TRUTH[name], rel=1e-2)


def test_the_public_table_gives_the_published_optimum(public_fit: PointFit) -> None:
    published = {"A": 477.5, "B": 2142.6, "E": 1.81715, "alpha": 0.34728, "beta": 0.36715}
    assert public_fit.theta == pytest.approx(published, rel=0.01)
    assert public_fit.objective == pytest.approx(0.00101827, rel=1e-4)


def test_the_bootstrap_on_the_public_table_has_the_published_spread(public_fit: PointFit) -> None:
    published = next(row for row in CHINCHILLA.published if row.name == "besiroglu2024").standard_error
    for name in ("E", "alpha", "beta"):
        assert published[name] / 1.5 < public_fit.bootstrap[name].std() < published[name] * 1.5


def test_a_replicate_is_the_fit_to_its_rows() -> None:
    truth = TRUTH | {"sigma": 0.005, "nu": 4.0}
    runs = bs.simulate(CHINCHILLA, design(), truth, seed=3)
    fit = point_fit(CHINCHILLA, runs, bootstrap=20, seed=5)
    drawn = np.random.default_rng(5).multinomial(len(runs), np.full(len(runs), 1 / len(runs)), size=20)
    for i, times in enumerate(drawn[:1]):
        table = runs.table.loc[np.repeat(np.arange(len(runs)), times)]
        table = table.assign(run=[f"copy-{j}" for j in range(len(table))])
        again = point_fit(CHINCHILLA, bs.Runs.from_frame(table), bootstrap=20)
        assert {name: values[i] for name, values in fit.bootstrap.items()} == pytest.approx(again.theta, rel=2e-3)


def test_an_outlier_moves_least_squares_more_than_huber() -> None:
    runs = bs.simulate(CHINCHILLA, design(), TRUTH | {"sigma": 0.003, "nu": 30.0}, seed=1)
    loss = runs.loss
    loss[int(np.argmax(runs.column("flops")))] *= 1.2
    spoiled = bs.Runs.from_frame(runs.table.assign(loss=loss))
    moved = {}
    for kind in ("huber", "squares"):
        before, after = (point_fit(CHINCHILLA, table, loss=kind, bootstrap=20).theta for table in (runs, spoiled))
        moved[kind] = abs(after["E"] - before["E"])
    assert moved["squares"] > 3 * moved["huber"]


def test_the_same_seed_gives_the_same_fit() -> None:
    runs = bs.simulate(CHINCHILLA, design(), TRUTH | {"sigma": 0.005, "nu": 30.0}, seed=1)
    first, again, other = (point_fit(CHINCHILLA, runs, bootstrap=20, seed=seed) for seed in (0, 0, 1))
    assert first.theta == again.theta
    assert (first.bootstrap["alpha"] == again.bootstrap["alpha"]).all()
    assert not (first.bootstrap["alpha"] == other.bootstrap["alpha"]).any()
    assert other.theta == pytest.approx(first.theta, rel=1e-5)


def test_a_prediction_is_normal_around_the_law_at_each_replicate() -> None:
    runs = bs.simulate(CHINCHILLA, design(), TRUTH | {"sigma": 0.005, "nu": 30.0}, seed=1)
    fit = point_fit(CHINCHILLA, runs, bootstrap=20)
    points = {"params": np.array([7e9, 7e10, 4e11]), "tokens": np.array([1.4e12, 1.4e12, 15e12])}
    scatter = fit.predict(points)
    assert scatter.location.shape == scatter.scale.shape == (20, 3)
    assert (scatter.scale == fit.sigma).all()
    assert {block.family.label for block in scatter.residuals} == {"normal"}
    assert fit.sigma == pytest.approx(0.005, rel=0.4)
    last = CHINCHILLA.evaluate({name: values[-1] for name, values in fit.bootstrap.items()}, **points)
    assert scatter.location[-1] == pytest.approx(np.log(last), rel=1e-12)
    truth = CHINCHILLA.evaluate(TRUTH, **points)
    assert np.isfinite(scatter.log_density(truth)).all()
    assert ((scatter.probability_below(truth) > 0.001) & (scatter.probability_below(truth) < 0.999)).all()


def test_points_must_be_whole() -> None:
    fit = point_fit(CHINCHILLA, noiseless(design()), bootstrap=20)
    with pytest.raises(bs.errors.DataError, match="tokens is missing"):
        fit.predict({"params": np.array([7e9])})
    with pytest.raises(bs.errors.DataError, match="is negative"):
        fit.predict({"params": np.array([7e9]), "tokens": np.array([-1.0])})


def test_the_bootstrap_draws_runs_with_all_their_rows() -> None:
    """Rows of a curve err together: as if they were runs of their own, a bootstrap is far too sure."""
    law, rng = bs.load_law("power_law", input="tokens"), np.random.default_rng(0)
    tokens = np.tile(np.geomspace(1e9, 1e11, 30), 6)
    off = np.repeat(0.02 * rng.standard_normal(6), 30)
    loss = (1.8 + (1e9 / tokens) ** 0.3) * np.exp(off + 1e-3 * rng.standard_normal(180))
    frame = pd.DataFrame({"tokens": tokens, "loss": loss})
    curves = bs.Runs.from_frame(frame.assign(run=np.repeat(list("abcdef"), 30)))
    spread = {}
    for name, runs in (("runs", curves), ("rows", bs.Runs.from_frame(frame))):
        fit = point_fit(law, runs, loss="squares", bootstrap=60)
        spread[name] = fit.predict({"tokens": np.array([1e10])}).location.std()
    assert spread["runs"] > 3 * spread["rows"] and spread["runs"] == pytest.approx(np.std(off) / np.sqrt(6), rel=0.4)


def test_a_law_of_one_input() -> None:
    law = bs.load_law("power_law", input="tokens")
    truth = {"E": 1.8, "alpha": 0.3, "X_c": 1e9}
    table = pd.DataFrame({"tokens": np.geomspace(1e9, 1e12, 20)})
    fit = point_fit(law, bs.simulate(law, table, truth | {"sigma": 1e-7, "nu": 30.0}), bootstrap=20)
    assert fit.theta == pytest.approx(truth, rel=1e-3)
    assert fit.predict({"tokens": np.array([1e13])}).location.shape == (20, 1)
    assert fit.label == "Huber point fit of power_law:input=tokens"


def test_no_descent_from_the_optimum_of_an_ill_conditioned_law_goes_lower() -> None:
    runs, law = bs.datasets.load("stdlib_sweep"), bs.load_law("farseer")
    columns = {name: runs.column(name) for name in law.inputs}
    fits = [point_fit(law, runs, loss="squares", bootstrap=1, seed=seed) for seed in range(3)]
    fit = min(fits, key=lambda one: one.objective)
    names = [name for name, value in fit.theta.items() if value != 0]

    def residual(step: np.ndarray) -> np.ndarray:
        moved = {name: np.sign(fit.theta[name]) * np.exp(x) for name, x in zip(names, step, strict=True)}
        return np.log(runs.loss) - np.log(law.evaluate(fit.theta | moved, **columns))

    start = np.log(np.abs([fit.theta[name] for name in names]))
    again = scipy.optimize.least_squares(residual, start, xtol=1e-14, ftol=1e-14, x_scale="jac")
    assert fit.objective == pytest.approx(np.sum(residual(start) ** 2) / 2, rel=1e-9)
    assert again.cost > fit.objective * (1 - 1e-4)


def test_a_law_without_its_floor_stays_finite() -> None:
    law = bs.load_law("power_law", input="tokens")
    table = pd.DataFrame({"tokens": np.geomspace(1e9, 1e12, 20)})
    bent = table.assign(loss=3 * np.exp(-0.01 * np.log(table["tokens"] / 3e10) ** 2 / 2) * (table["tokens"]) ** -0.05)
    fit = point_fit(law, bs.Runs.from_frame(bent), bootstrap=20)  # falls faster and faster: E tends to 0
    assert fit.theta["E"] < 1e-3 * bent["loss"].min()
    assert all(np.isfinite(values).all() for values in fit.bootstrap.values())


def test_what_cannot_be_fitted_is_refused() -> None:
    runs = noiseless(design())
    with pytest.raises(
        bs.errors.FitError, match="loss 'mse' of a point fit is not known; choose one of huber, squares"
    ):
        point_fit(CHINCHILLA, runs, loss="mse")
    with pytest.raises(bs.errors.FitError, match="bootstrap of 0 replicates"):
        point_fit(CHINCHILLA, runs, bootstrap=0)
    with pytest.raises(bs.errors.DataError, match="5 rows for the 5 parameters"):
        point_fit(CHINCHILLA, runs.where(np.arange(len(runs)) < 5))
    with pytest.raises(bs.errors.DataError, match="has no column 'unique_tokens'"):
        point_fit(bs.load_law("repeated_data"), runs)
