"""The law's own error: against a dense Gaussian process, on tables where the law is wrong, and beyond the data."""

from __future__ import annotations

import tracemalloc
from typing import Literal

import numpy as np
import pytest
import scipy.stats

import bayes_scaling as bs
from bayes_scaling.base.scope import scope
from bayes_scaling.inference.draws import posterior_of
from bayes_scaling.inference.many import fit_many
from bayes_scaling.model.discrepancy import KNOTS, Axis, DiscrepancyGrid, PathGrid, _covariance, log_size, size_inputs
from bayes_scaling.predict.paths import Paths
from tests.support import design, fit_exact


def power_law_runs(n: int = 20, tau: float = 0.0, seed: int = 0, sigma: float = 0.005) -> bs.Runs:
    """Runs of a power law that the truth leaves."""
    constants = {"E": 1.5, "alpha": 0.3, "X_c": 1e12, "sigma": sigma} | ({"tau": tau} if tau else {})
    discrepancy: Literal["brownian", "none"] = "brownian" if tau else "none"
    table = bs.grid(tokens=np.logspace(9, 11.5, n))
    noise = bs.Noise("normal")
    return bs.simulate("power_law:input=tokens", table, constants, noise=noise, discrepancy=discrepancy, seed=seed)


def test_size_is_compute_or_what_there_is_of_it() -> None:
    assert size_inputs(bs.load_law("chinchilla")) == ("params", "tokens")
    assert size_inputs(bs.load_law("isoflop")) == ("flops",)
    assert size_inputs(bs.load_law("repeated_data")) == ("params", "tokens")
    assert size_inputs(bs.load_law("three_term")) == ("params", "steps", "batch_tokens")
    assert size_inputs(bs.load_law("context")) == ("position",)
    assert size_inputs(bs.load_law("shape")) == ("layers", "width", "tokens")
    assert size_inputs(bs.load_law("vocabulary_size")) == ("params", "characters")
    table = {"params": np.array([1e8]), "tokens": np.array([2e9])}
    assert log_size(bs.load_law("chinchilla"), table) == pytest.approx(np.log(2e17))
    shares = {"code": np.array([0.0, 0.5]), "web": np.array([0.2, 0.1])}
    assert log_size(bs.load_law("mixture:domains=code+web+books"), shares) == pytest.approx(np.log([0.03, 0.53]))
    assert [name for name in bs.available_laws() if not size_inputs(bs.load_law(name))] == ["mixture_targets"]


def test_knots_do_not_depend_on_rounding() -> None:
    """Equal products of params and tokens may differ in their last digits."""
    places = np.repeat(np.linspace(30.0, 40.0, 6), 2)
    rounded = places.copy()
    rounded[::2] = np.nextafter(places[::2], np.inf)
    knots = [PathGrid.of(bs.Discrepancy(), Axis(("params", "tokens")), where).knots for where in (places, rounded)]
    np.testing.assert_allclose(*knots, rtol=1e-12)
    assert len(knots[0]) == 6


def mixture_runs() -> bs.Runs:
    """Losses on code that fall like a power of its share, as no exponential does."""
    rng = np.random.default_rng(0)
    shares = np.repeat([0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7], 4)
    table = bs.grid(code=shares[:1]).iloc[:0].reindex(range(len(shares))).assign(code=shares, web=(1 - shares) / 2)
    loss = 2.0 + 0.5 * (shares + 0.02) ** -0.3
    return bs.Runs.from_frame(table.assign(loss=loss * np.exp(0.003 * rng.standard_normal(len(shares)))))


def test_a_law_of_shares_leaves_itself_along_the_share_that_lowers_its_loss() -> None:
    law, runs = bs.load_law("mixture:domains=code+web+books"), mixture_runs()
    above = runs.table["code"] > 0.35
    scores = {}
    for kind in ("brownian", "none"):
        fit = bs.fit(law, runs.where(~above), discrepancy=kind, seed=0, progress=False)  # type: ignore[arg-type]
        ahead = bs.forecast(fit, runs.where(above), unconverged=True)
        low, high = np.quantile(ahead.new_run, [0.05, 0.95], axis=0)
        scores[kind] = np.mean((low <= runs.loss[above]) & (runs.loss[above] <= high))
    assert scores["brownian"] >= 0.9 > scores["none"]


def test_a_share_that_a_loss_needs_follows_the_departure() -> None:
    law, runs = bs.load_law("mixture:domains=code+web+books"), mixture_runs()
    fit = bs.fit(law, runs, sampler="laplace", seed=0, progress=False)
    at = float(2.0 + 0.5 * 0.22**-0.3)  # the loss of a share of a fifth
    needed = bs.required(fit, at, of="code", web=0.4, unconverged=True)
    low, high = np.quantile(needed.draws, [0.05, 0.95])
    assert 0.1 < low <= 0.2 <= high < 0.3


@pytest.mark.parametrize(
    ("smoothness", "memory", "kind"),
    [(0.3, 0.0, "brownian"), (0.5, 0.0, "brownian"), (0.8, 0.0, "brownian"), (0.5, 1.0, "trend")],
)
def test_a_held_path_has_the_covariance_of_the_process(smoothness: float, memory: float, kind: str) -> None:
    """What knots say plus what they do not is exactly the process, at the runs and away from them."""
    law = bs.load_law("power_law:input=tokens")
    table = {"tokens": np.logspace(8, 11, 60)}
    grid = DiscrepancyGrid.of(bs.Discrepancy(kind, smoothness=smoothness), law, table)
    (departure,) = grid.paths
    assert len(departure.knots) <= grid.size == KNOTS
    places = np.log(np.array([2e8, 3e9, 3e9, 5e10, 1e12, 1e14]))
    told = departure.basis(places)
    rng = np.random.default_rng(0)
    draws = rng.standard_normal((200_000, KNOTS)) @ told.T + departure.unresolved(places, 200_000, rng)
    exact = _covariance(places, places, departure.centre, smoothness, memory)
    np.testing.assert_allclose(np.cov(draws.T), exact, atol=0.03 * exact.max())
    apart = np.var(draws[:, 4] - draws[:, 3])
    gap = abs(places[4] - places[3])
    grown = (gap - 1 + np.exp(-gap)) * np.e if memory else gap ** (2 * smoothness)
    assert apart == pytest.approx(grown, rel=0.02)
    np.testing.assert_allclose(draws[:, 1], draws[:, 2])  # runs of one size leave the law together


def test_brownian_increments_are_independent() -> None:
    places = np.array([0.0, 1.0, 3.0, 7.0])
    covariance = _covariance(places, places, -1.0, 0.5)
    steps = np.diff(np.eye(4), axis=0)
    np.testing.assert_allclose(steps @ covariance @ steps.T, np.diag(np.diff(places)), atol=1e-12)


def test_a_trend_goes_on_and_fades() -> None:
    """From its last two values a smooth path goes on as it went, for about an e-fold; over one it has unit scale."""
    places = np.array([0.0, 0.01, 0.51, 1.01, 5.01, 9.01])
    covariance = _covariance(places, places, -2.0, 0.5, 1.0)
    steps = np.diff(np.eye(6), axis=0)
    within = steps @ covariance @ steps.T
    expected = within[1:, 0] / within[0, 0] * 0.01  # slope 1 over the first gap
    np.testing.assert_allclose(np.cumsum(expected), [1 - np.exp(-0.5), 1 - np.exp(-1), 1, 1], atol=0.02)
    assert within[1:3].sum(axis=0)[1:3].sum() == pytest.approx(1.0)


@pytest.mark.slow
def test_posterior_and_forecast_equal_a_dense_gaussian_process() -> None:
    """Normal noise, every size a knot: given the parameters, the path is a Gaussian process, computed here densely."""
    runs = power_law_runs(16, tau=0.03, seed=3)
    fit = bs.fit("power_law:input=tokens", runs, noise=bs.Noise("normal"), sampler=bs.Sampler(draws=2000), seed=0)
    assert fit.converged, fit
    theta, places = fit.flat(), np.log(runs.column("tokens"))
    future = np.log(np.array([5e11, 5e12]))
    (path,) = fit.discrepancy_grid.paths
    rng = np.random.default_rng(0)
    (within,), (beyond,) = (Paths.drawn(fit, [at], seed).along for seed, at in enumerate((places, future)))
    dense, ours = [], np.concatenate([within.learned, beyond.total], axis=1)
    everywhere = np.concatenate([places, future])
    unit = _covariance(everywhere, everywhere, path.centre, 0.5)
    law = np.log(theta["E"][:, None] + (theta["X_c"][:, None] / np.exp(places)) ** theta["alpha"][:, None])
    for i in range(0, len(law), 10):
        covariance = theta["tau"][i] ** 2 * unit
        gain = covariance[:, :16] @ np.linalg.inv(covariance[:16, :16] + theta["sigma"][i] ** 2 * np.eye(16))
        mean = gain @ (np.log(runs.loss) - law[i])
        rest = covariance - gain @ covariance[:16]
        dense.append(rng.multivariate_normal(mean, (rest + rest.T) / 2, method="eigh"))
    spread = np.std(dense, axis=0)
    np.testing.assert_allclose(ours.mean(axis=0), np.mean(dense, axis=0), atol=0.12 * spread.max())
    np.testing.assert_allclose(ours.std(axis=0)[-2:], spread[-2:], rtol=0.12)


@pytest.mark.slow
def test_coordinates_do_not_change_the_posterior() -> None:
    """The whitened geometry and the standard one have the same density but for the constant of their map."""
    import jax

    from bayes_scaling.inference.chains import Settings
    from bayes_scaling.inference.coordinates import with_good_geometry
    from bayes_scaling.inference.problem import Problem

    runs = bs.simulate("chinchilla", design(30), "besiroglu2024", seed=0)
    fit = bs.fit("chinchilla", runs, seed=0, sampler="laplace")
    with scope():
        model, data, priors = posterior_of(fit.composition, runs)
        rng = np.random.default_rng(0)
        u = 0.3 * rng.standard_normal((2, len(model.sites)))
        problem = Problem(model, data, priors, u, Settings(), 0, lambda stage, done: None)
        moved = with_good_geometry(problem)

        def density(at: np.ndarray, where: Problem) -> float:
            return -float(model.potential(at, where.data, priors))

        def log_volume(at: np.ndarray) -> float:
            map_back = jax.jacfwd(lambda z: model.moved(z, data.geometry, moved.data, priors))
            return float(np.linalg.slogdet(np.asarray(map_back(at)))[1])

        differences = [
            density(there, moved) - density(here, problem) - log_volume(there)
            for here, there in zip(u, moved.prior_u, strict=True)
        ]
    assert differences[0] == pytest.approx(differences[1], abs=1e-6)


@pytest.mark.slow
def test_bands_hold_where_the_truth_leaves_the_law() -> None:
    """Twenty tables: with the discrepancy 90 % bands hold about 90 % of far runs, without it far fewer."""
    cuts = [power_law_runs(24, tau=0.03, seed=seed).cut("tokens", 3e10) for seed in range(20)]
    inside = {}
    for kind in ("brownian", "none"):
        fits = fit_many(
            "power_law:input=tokens",
            [below for below, _ in cuts],
            noise=bs.Noise("normal"),
            discrepancy=bs.Discrepancy(kind),
            seed=0,
            progress=False,
        )
        bands = [
            bs.forecast(fit, above, unconverged=True).interval(0.9)[-1]
            for fit, (_, above) in zip(fits, cuts, strict=True)
        ]
        inside[kind] = [low <= above.loss[-1] <= high for (low, high), (_, above) in zip(bands, cuts, strict=True)]
    assert 0.7 <= np.mean(inside["brownian"]) <= 1.0
    assert np.mean(inside["none"]) < 0.6


def test_the_parts_of_the_spread_add_up() -> None:
    fit = bs.fit("power_law:input=tokens", power_law_runs(tau=0.02), sampler="laplace", seed=0)
    ahead = bs.forecast(fit, tokens=[1e12, 1e14], unconverged=True)
    spread = ahead.uncertainty()
    parts = spread[["parameters", "law_form", "discrepancy", "run_noise"]]
    np.testing.assert_allclose((parts**2).sum(axis=1), spread["total"] ** 2)
    assert (spread["law_form"] == 0).all()
    assert spread["discrepancy"][1] > spread["discrepancy"][0] > 0
    assert "the law's own error" in ahead.contains["mean"] and "error" not in ahead.contains["fitted"]
    exact = fit_exact("power_law:input=tokens", power_law_runs(tau=0.02), sampler="laplace")
    alone = bs.forecast(exact, tokens=[1e12, 1e14], unconverged=True)
    assert (alone.uncertainty()["discrepancy"] == 0).all() and "error" not in alone.contains["mean"]
    assert np.diff(ahead.interval(0.9))[1] > np.diff(alone.interval(0.9))[1]


@pytest.mark.slow
def test_a_law_that_is_right_keeps_its_scale_small() -> None:
    fit = bs.fit("power_law:input=tokens", power_law_runs(40), seed=0)
    assert np.median(fit.flat()["tau"]) < 0.01  # prior median 0.02
    wrong = bs.fit("power_law:input=tokens", power_law_runs(40, tau=0.08, seed=2), seed=0)
    assert np.median(wrong.flat()["tau"]) > 0.04


@pytest.mark.slow
def test_required_compute_follows_the_departures() -> None:
    runs = bs.simulate("chinchilla", design(40), "besiroglu2024", seed=0)
    fit, alone = bs.fit("chinchilla", runs, seed=0), fit_exact("chinchilla", runs, seed=0)
    needed, exact = bs.required(fit, 2.1), bs.required(alone, 2.1)
    assert 0.5 < needed.quantile(0.5) / exact.quantile(0.5) < 2.0
    # At the answer the mean curve is at the target: half of the draws are above it, half below.
    optimum = bs.compute_optimal(fit, needed.quantile(0.5))
    assert np.median(optimum.loss) == pytest.approx(2.1, rel=0.01)
    fixed = bs.required(fit, 2.1, of="tokens", params=7e10)
    assert np.isfinite(fixed.quantile(0.5))
    loss = bs.forecast(fit, params=7e10, tokens=fixed.quantile(0.5)).median("mean")
    assert loss[0] == pytest.approx(2.1, rel=0.01)


def test_bad_requests_are_explained() -> None:
    for options, says in (
        ({"kind": "wiener"}, "discrepancy is 'wiener'; expected brownian, trend or none"),
        ({"smoothness": 1.0}, "smoothness is 1, expected a number between 0 and 1"),
        ({"scale": -1.0}, "scale of the discrepancy is -1, expected a positive number"),
    ):
        with pytest.raises(bs.errors.LawError, match=says):
            bs.Discrepancy(**options)  # type: ignore[arg-type]


def test_simulated_departures_have_the_scale_that_was_asked_for() -> None:
    """Without run noise, increments of log loss beyond the law are normal with tau sqrt(e-folds)."""
    steps = []
    for seed in range(40):
        runs = power_law_runs(20, tau=0.05, seed=seed, sigma=1e-9)
        tokens = runs.column("tokens")
        order = np.argsort(tokens)
        departure = (np.log(runs.loss) - np.log(1.5 + (1e12 / tokens) ** 0.3))[order]
        steps.append(np.diff(departure) / np.sqrt(np.diff(np.log(tokens[order]))) / 0.05)
    assert scipy.stats.kstest(np.concatenate(steps), "norm").pvalue > 1e-3


def test_departures_of_many_runs_take_memory_by_the_run() -> None:
    places = np.linspace(40.0, 55.0, 3_000)
    (grid,) = DiscrepancyGrid.of(bs.Discrepancy(), bs.load_law("power_law"), {"flops": np.exp(places)}).paths
    tracemalloc.start()
    try:
        drawn = grid.unresolved(places, 200, np.random.default_rng(0))
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()
    # Between knots an e-fold apart the rest is a bridge, which the coarser drawing must not flatten.
    few = grid.unresolved(places[::10], 200, np.random.default_rng(0))
    assert drawn[:, ::10].std() == pytest.approx(few.std(), rel=0.1)
