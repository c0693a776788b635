"""Questions asked backwards, against Chinchilla's closed forms at every posterior draw."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.predict.frontier import SMALLER
from tests.model.test_start import LAW, table
from tests.support import fit_exact


def closed_form(theta: dict[str, np.ndarray], flops: float) -> tuple[np.ndarray, np.ndarray]:
    """Return N* and L* of Hoffmann et al. 2022, eq 4."""
    a, b, A, B = theta["alpha"], theta["beta"], theta["A"], theta["B"]
    scale = (a * A / (b * B)) ** (1 / (a + b))
    params = scale * (flops / 6) ** (b / (a + b))
    return params, theta["E"] + A * params**-a + B * (flops / 6 / params) ** -b


@pytest.mark.parametrize("flops", [1e19, 5.76e23, 1e27])
def test_the_best_split_is_the_closed_form(chinchilla_fit: bs.Fit, flops: float) -> None:
    found = bs.compute_optimal(chinchilla_fit, flops)
    params, loss = closed_form(chinchilla_fit.flat(), flops)
    np.testing.assert_allclose(found.params, params, rtol=1e-6)
    np.testing.assert_allclose(found.loss, loss, rtol=1e-12)
    np.testing.assert_allclose(6 * found.params * found.tokens, flops, rtol=1e-12)
    low, high = found.interval("params", 0.9)
    assert low < np.median(found.params) < high


def test_the_loss_of_the_best_split_counts_the_error_of_the_law(wandering_fit: bs.Fit) -> None:
    """At the size of the largest run, where each draw says how far the truth is off the law."""
    exact = dataclasses.replace(wandering_fit, draws={**wandering_fit.draws, "tau": 0 * wandering_fit.draws["tau"]})
    flops = float(wandering_fit.runs.column("flops").max())
    split, run = (
        np.log(ask(wandering_fit) / ask(exact))
        for ask in (
            lambda fit: bs.compute_optimal(fit, flops).loss,
            lambda fit: bs.forecast(fit, params=1e9, tokens=flops / 6e9).mean[:, 0],
        )
    )
    assert run.std() > 1e-4
    np.testing.assert_allclose(split, run, rtol=1e-6, atol=1e-9)


def test_a_path_along_params_is_read_at_the_params_of_the_split(chinchilla_runs: bs.Runs) -> None:
    along = bs.Discrepancy(along="params")
    fit = bs.fit("chinchilla", chinchilla_runs, discrepancy=along, sampler="laplace", seed=0)
    exact = dataclasses.replace(fit, draws={**fit.draws, "tau": 0 * fit.draws["tau"]})
    split, known = (bs.compute_optimal(one, 1e21, unconverged=True) for one in (fit, exact))
    run = {"params": float(np.median(known.params)), "tokens": 1e12}
    there, law = (bs.forecast(one, **run, unconverged=True).mean[:, 0] for one in (fit, exact))
    assert np.corrcoef(np.log(split.loss / known.loss), np.log(there / law))[0, 1] > 0.7


def test_required_compute_is_the_closed_form(chinchilla_fit: bs.Fit) -> None:
    needed = bs.required(chinchilla_fit, 2.1)
    _, loss = closed_form(chinchilla_fit.flat(), needed.draws)
    np.testing.assert_allclose(loss, 2.1, rtol=1e-9)
    assert needed.of == "flops" and needed.reachable == 1.0
    assert needed.interval(0.9)[0] < needed.quantile(0.5) < needed.interval(0.9)[1]


def test_compute_far_outside_the_fitted_runs_is_cautioned(chinchilla_fit: bs.Fit) -> None:
    assert bs.required(chinchilla_fit, 2.1).cautions == ()
    (said,) = bs.required(chinchilla_fit, 1.86).cautions
    assert re.fullmatch(r"flops \S+e\+\d+ is \S+ times the largest of the fitted runs \(\S+ to \S+\)", said)
    (said,) = bs.required(chinchilla_fit, 9.0).cautions
    assert said.startswith("flops ") and "times below the smallest of the fitted runs" in said and "unit" not in said
    assert bs.required(chinchilla_fit, 9.0).to_dict()["cautions"] == [said]
    assert bs.required(chinchilla_fit, 0.1).cautions == (), "it is out of reach, which is said already"


def test_a_loss_before_the_paths_of_the_discrepancy_is_solved_there(
    wandering_fit: bs.Fit, chinchilla_fit: bs.Fit
) -> None:
    """Both sides of the start of the paths, which are constant before it: draws differ, and the curve stays one."""
    start = float(wandering_fit.runs.column("flops").min()) * np.exp(-SMALLER)
    edge = float(np.median(closed_form(wandering_fit.flat(), start)[1]))
    for loss in (3 * edge, 1.5 * edge):
        found = bs.required(wandering_fit, loss)
        assert found.interval()[0] < found.quantile(0.5) < min(found.interval()[1], start)
        assert found.quantile(0.5) == pytest.approx(bs.required(chinchilla_fit, loss).quantile(0.5), rel=0.2)
    before, at, after = (bs.required(wandering_fit, edge * by).quantile(0.5) for by in (1.02, 1.0, 0.98))
    assert before < at < after


def test_a_fixed_ratio_costs_at_least_the_best_split(chinchilla_fit: bs.Fit) -> None:
    best = bs.required(chinchilla_fit, 2.1).draws
    for ratio in (2.0, 20.0, 200.0):
        fixed = bs.required(chinchilla_fit, 2.1, tokens_per_param=ratio)
        assert np.all(fixed.draws >= best * (1 - 1e-9))
        assert fixed.along == f"{ratio:g} tokens per parameter"


def test_one_input_with_the_other_fixed(chinchilla_fit: bs.Fit) -> None:
    needed = bs.required(chinchilla_fit, 2.1, of="tokens", params=7e10)
    theta = chinchilla_fit.flat()
    loss = theta["E"] + theta["A"] * 7e10 ** -theta["alpha"] + theta["B"] * needed.draws ** -theta["beta"]
    np.testing.assert_allclose(loss, 2.1, rtol=1e-9)


def test_a_loss_below_the_floor_is_out_of_reach(chinchilla_fit: bs.Fit) -> None:
    needed = bs.required(chinchilla_fit, 0.5)
    assert needed.reachable == 0.0 and needed.quantile(0.5) == np.inf
    median_floor = float(np.median(chinchilla_fit.flat()["E"]))
    assert 0.3 < bs.required(chinchilla_fit, median_floor).reachable < 0.7


@pytest.mark.slow
def test_a_loss_is_reached_though_the_law_rises_far_beyond() -> None:
    """In many draws of this fit the loss at the best split falls, and rises again far beyond the runs."""
    runs = bs.simulate("chinchilla", bs.grid(params=[1e8, 3e8, 1e9], tokens=[2e9, 1e10, 5e10]), "besiroglu2024", seed=1)
    fit = bs.fit("farseer", runs, discrepancy="none", noise="normal", sampler="laplace", seed=0)
    far = bs.forecast(fit, params=1e16, tokens=2e17, unconverged=True).draws(of="mean")
    assert np.mean(far > runs.loss.max()) > 0.1
    for target in (runs.loss.max(), 1.02 * runs.loss.min()):
        for ratio in (None, 20.0):
            needed = bs.required(fit, float(target), tokens_per_param=ratio, unconverged=True)
            assert needed.reachable == 1.0
    compute = 6 * float(runs.column("params").max()) * float(runs.column("tokens").max())
    at_best = bs.compute_optimal(fit, compute, unconverged=True)
    assert np.mean(needed.draws <= compute) <= np.mean(at_best.loss <= target) + 0.01


def test_laws_in_one_input(grid_runs: bs.Runs) -> None:
    fit = fit_exact("power_law:input=flops,form=pure", grid_runs)
    theta = fit.flat()
    np.testing.assert_allclose(bs.required(fit, 2.0).draws, theta["X_c"] * 2.0 ** (-1 / theta["alpha"]), rtol=1e-6)
    with pytest.raises(bs.errors.ForecastError, match="needs a law in params and tokens"):
        bs.compute_optimal(fit, 1e23)


def test_bad_questions_are_explained(chinchilla_fit: bs.Fit) -> None:
    for ask, says in (
        (lambda: bs.compute_optimal(chinchilla_fit, -1), "the budget is -1 FLOPs"),
        (lambda: bs.required(chinchilla_fit, 0.0), "target loss is 0"),
        (lambda: bs.required(chinchilla_fit, 2.0, of="steps"), "it cannot say how many steps"),
        (lambda: bs.required(chinchilla_fit, 2.0, of="tokens"), "needs these other inputs fixed: params; got none"),
        (lambda: bs.required(chinchilla_fit, 2.0, params=1e9), "to fix params use of='tokens'"),
        (lambda: bs.required(chinchilla_fit, 2.0, tokens_per_param=-2), "tokens_per_param is -2"),
        (lambda: bs.required(chinchilla_fit, 2.0, tokens_per_param=math.inf), "tokens_per_param is inf"),
        (lambda: bs.required(chinchilla_fit, 2.0).interval(95), "write 0.95 for 95 percent"),
        (lambda: bs.compute_optimal(chinchilla_fit, 1e23).interval("flops"), "not 'flops'"),
    ):
        with pytest.raises(bs.errors.ForecastError) as caught:
            ask()
        assert says in str(caught.value)


def test_one_flop_is_too_few_and_positive(chinchilla_fit: bs.Fit) -> None:
    with pytest.raises(bs.errors.ForecastError, match="the budget is 1 FLOPs, too few for one parameter"):
        bs.compute_optimal(chinchilla_fit, 1.0)
    with pytest.raises(bs.errors.ForecastError, match="the budget is -1 FLOPs, expected a positive number"):
        bs.compute_optimal(chinchilla_fit, -1.0)


@pytest.fixture(scope="module")
def curve_fit() -> bs.Fit:
    """A quick fit to whole curves of four sizes at three batches."""
    curves = table(1)
    small = curves.where(curves.column("params") < 5e5)
    fit = bs.fit(LAW, small, sampler="laplace", seed=0, progress=False)
    assert fit.discrepancy.along == "params and batch"
    return fit


@pytest.mark.slow
@pytest.mark.parametrize(
    ("of", "fixed", "at"),
    [
        ("params", {"steps": 4000.0, "batch_tokens": 64e3}, (2e5, 1e6, 3e6)),
        ("batch_tokens", {"steps": 4000.0, "params": 3e5}, (1e4, 6e4, 4e5)),
        ("steps", {"params": 1e6, "batch_tokens": 2e5}, (1e3, 4e3, 2e4)),
    ],
)
def test_what_a_loss_needs_agrees_with_the_forecast_of_whole_curves(
    curve_fit: bs.Fit, of: str, fixed: dict[str, float], at: tuple[float, ...]
) -> None:
    """Paths along params and batch: the odds that an input is enough are those that the loss there is low enough."""
    fit = curve_fit
    loss = float(bs.forecast(fit, **{of: at[1]}, **fixed, unconverged=True).median(of="mean")[0])
    needed = bs.required(fit, loss, of=of, unconverged=True, **fixed)
    for value in at:
        found = bs.forecast(fit, **{of: value}, **fixed, unconverged=True)
        enough = np.mean(needed.draws <= value)
        assert enough == pytest.approx(np.mean(found.mean <= loss), abs=0.05)


@pytest.mark.slow
def test_a_fit_to_whole_curves_is_saved_with_what_its_paths_run_along(curve_fit: bs.Fit, tmp_path: Path) -> None:
    curve_fit.save(tmp_path / "fit.nc")
    again = bs.load_fit(tmp_path / "fit.nc")
    planned = {"params": 1e6, "batch_tokens": 2e5, "steps": 4e3}
    drawn = [bs.forecast(fit, **planned, unconverged=True).new_run for fit in (curve_fit, again)]
    np.testing.assert_array_equal(*drawn)
    assert again.discrepancy == curve_fit.discrepancy


@pytest.mark.parametrize(("params", "says"), [(-5.0, "-5 is negative"), (0.0, "0 is zero"), (math.inf, "is infinite")])
def test_an_impossible_input_that_is_fixed_is_refused(chinchilla_fit: bs.Fit, params: float, says: str) -> None:
    with pytest.raises(bs.errors.DataError, match=f"the inputs, row 1, column params: .*{says}"):
        bs.required(chinchilla_fit, 2.0, of="tokens", params=params)
