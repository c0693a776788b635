"""The discrepancy integrated out: the same posterior as with its increments sampled, by dense algebra and by draws."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import scipy.stats

import bayes_scaling as bs
from bayes_scaling.base.progress import silent
from bayes_scaling.base.scope import scope
from bayes_scaling.inference.chains import Settings
from bayes_scaling.inference.compiled import placed
from bayes_scaling.inference.coordinates import with_good_geometry
from bayes_scaling.inference.draws import posterior_of, prior_draws
from bayes_scaling.inference.methods import sample_auto
from bayes_scaling.inference.problem import Problem
from bayes_scaling.model.choices import chosen_noise
from bayes_scaling.model.composition import BASIS, INCREMENTS, Composition
from bayes_scaling.model.integrated import Integrated, integrated
from bayes_scaling.model.observations import observe, rows_read

CORRELATED = bs.Noise("normal", rows="correlated")
NOISES = {
    "independent": bs.Noise("normal"),
    "growing": bs.Noise("normal", "growing"),
    "known": bs.Noise("normal", "known"),
    "correlated": CORRELATED,
    "correlated, growing": bs.Noise("normal", "growing", "correlated"),
}


def curves(runs: int = 4, rows: int = 6, seed: int = 0) -> bs.Runs:
    """Curves of a power law in tokens, of sizes that differ, with standard errors, rows in any order."""
    rng = np.random.default_rng(seed)
    tokens = np.concatenate([np.geomspace(1e8, 10 ** rng.uniform(9, 10), rows) for _ in range(runs)])
    loss = (1.8 + (2e9 / tokens) ** 0.3) * np.exp(0.01 * rng.standard_normal(len(tokens)))
    params, batch = np.repeat(np.geomspace(1e7, 1e9, runs), rows), np.repeat(np.resize([1e5, 4e5], runs), rows)
    table = pd.DataFrame({"run": np.repeat([f"r{i}" for i in range(runs)], rows), "tokens": tokens, "loss": loss})
    table = table.assign(loss_se=0.01 * loss, params=params, batch_tokens=batch, steps=tokens / batch)
    return bs.Runs.from_frame(table.sample(frac=1, random_state=seed))


def problem_of(
    noise: bs.Noise,
    runs: bs.Runs,
    pooling: dict[str, bs.object] | None = None,
    law: str = "power_law:input=tokens",
    along: str = "auto",
) -> Problem:
    chosen = bs.load_law(law)
    departure = bs.Discrepancy(along=along)
    composition = Composition(chosen, chosen_noise(noise, runs, chosen), departure, pooling or {})
    model, data, priors = posterior_of(composition, runs)
    sites = prior_draws(composition, model, 0)
    u = np.asarray(placed(model)(sites, data, priors)[0])
    return Problem(model, data, priors, u, Settings(draws=500), 0, silent)


def dense(problem: Problem, runs: bs.Runs, noise: bs.Noise, theta: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Return the residual of each row, its basis, and the covariance of its noise, by no filter."""
    n, data = len(runs), problem.data
    residual = np.asarray(data.log_loss - problem.model.log_law(theta, data.columns))[:n]
    scale = np.broadcast_to(np.asarray(noise.row_scale(theta, data.columns)), len(data.log_loss))[:n]
    covariance = np.diag(scale**2)
    if noise.correlated:
        position, run = np.log(runs.column("tokens")), runs.table["run"].to_numpy()
        apart = np.abs(position[:, None] - position)
        slow = theta["sigma_curve"] ** 2 * np.exp(-apart / theta["length"])
        covariance = covariance + slow * (run[:, None] == run)
    return residual, theta["tau"] * np.asarray(data.columns[BASIS])[:n], covariance


@pytest.mark.parametrize("kind", NOISES)
def test_density_and_increments_are_those_of_the_joint_normal(kind: str) -> None:
    noise, runs = NOISES[kind], curves()
    with scope():
        problem = problem_of(noise, runs)
        model = integrated(problem.model, problem.data)
        for u in problem.prior_u[:3, : len(model.sites)]:
            theta = {name: np.asarray(v) for name, v in model.constrain(u, problem.data, problem.priors).items()}
            residual, basis, covariance = dense(problem, runs, noise, theta)
            joint = scipy.stats.multivariate_normal(np.zeros(len(runs)), covariance + basis @ basis.T)
            assert float(model.log_likelihood(theta, problem.data)) == pytest.approx(joint.logpdf(residual), rel=1e-7)
            mean, factor = (np.asarray(part) for part in model.standard_given(theta, problem.data))
            gain = basis.T @ np.linalg.inv(covariance + basis @ basis.T)
            np.testing.assert_allclose(mean, gain @ residual, rtol=1e-5, atol=1e-7)
            np.testing.assert_allclose(
                np.linalg.inv(factor @ factor.T), np.eye(len(mean)) - gain @ basis, rtol=1e-5, atol=1e-7
            )


def test_drawn_increments_have_the_conditional_mean_and_covariance() -> None:
    runs = curves()
    with scope():
        problem = with_good_geometry(problem_of(CORRELATED, runs))
        model = problem.model
        assert isinstance(model, Integrated)
        u = np.broadcast_to(problem.prior_u[0], (1, 20_000, len(model.sites)))
        whole = problem.standardised(u)
        theta = model.constrain(problem.prior_u[0], problem.data, problem.priors)
        mean, factor = (np.asarray(part) for part in model.standard_given(theta, problem.data))
    drawn = whole[0, :, len(model.sites) :]
    np.testing.assert_array_equal(whole[..., : len(model.sites)], u)
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.035)
    np.testing.assert_allclose(np.cov(drawn.T), np.linalg.inv(factor @ factor.T), atol=0.05)


@pytest.mark.parametrize(
    ("law", "along"), [("power_law:input=tokens", "auto"), ("three_term", "auto"), ("three_term", "params and batch")]
)
def test_density_is_the_integral_over_what_is_linear(law: str, along: str) -> None:
    """Density of all coordinates over that of what is linear given the rest, the same wherever that lies."""
    with scope():
        problem = problem_of(CORRELATED, curves(3, 4), law=law, along=along)
        whole, model = problem.model, integrated(problem.model, problem.data)
        assert bool(model.coefficients) == (law == "three_term")
        assert len(model.learned) == (1 if along == "auto" else 2)
        u = problem.prior_u[1, model.kept]
        alone = -float(model.potential(u, problem.data, problem.priors))
        theta = model.constrain(u, problem.data, problem.priors)
        mean, factor = (np.asarray(part) for part in model.standard_given(theta, problem.data))
        given = scipy.stats.multivariate_normal(mean, np.linalg.inv(factor @ factor.T))
        for seed in range(3):
            rng = np.random.default_rng(seed)
            z = mean + rng.standard_normal(len(mean)) / 3
            (everything,) = model.whole_coordinates(u[None], z[None], rng)
            density = -float(whole.potential(everything, problem.data, problem.priors))
            increments = everything[len(everything) - whole.increments :]
            nothing = np.delete(increments, model.chosen)
            others = np.sum(scipy.stats.norm.logpdf(nothing)) - np.sum(np.log([*model.coefficients.values()]))
            assert density - others - given.logpdf(z) == pytest.approx(alone, rel=1e-9)


def test_increments_that_no_run_speaks_of_are_drawn_from_their_prior() -> None:
    with scope():
        problem = with_good_geometry(problem_of(CORRELATED, curves(1, 6)))
        assert isinstance(problem.model, Integrated) and problem.model.learned == (8,)
        drawn = problem.standardised(np.broadcast_to(problem.prior_u[0], (1, 4000, len(problem.model.sites))))
    free = drawn[0, :, -problem.model.whole.increments + 8 :]
    assert free.shape[1] == 16
    np.testing.assert_allclose(free.mean(axis=0), 0.0, atol=0.08)
    np.testing.assert_allclose(free.std(axis=0), 1.0, atol=0.06)


def test_a_start_that_differs_between_groups_is_sampled() -> None:
    runs = curves(4, 6)
    named = bs.Runs.from_frame(runs.table.assign(dataset=np.where(runs.table["run"] < "r2", "a", "b")))
    with scope():
        problem = problem_of(CORRELATED, named, {"start_1": bs.separate("dataset")}, "three_term")
        model = integrated(problem.model, problem.data)
    assert not model.coefficients
    assert {"start_1[0]", "start_1[1]", "start_2"} <= set(model.sites)


@pytest.mark.slow
def test_posterior_is_that_of_sampled_increments() -> None:
    runs = curves(4, 6, 1)
    found = {}
    with scope():
        for name, noise in {"integrated": CORRELATED, "sampled": CORRELATED}.items():
            problem = problem_of(noise, runs)
            if name == "integrated":
                problem = with_good_geometry(problem)
            sampled = sample_auto(problem)
            assert sampled.diagnostics.ess_bulk > 400
            u = problem.standardised(sampled.chains.u)
            found[name] = u.reshape(-1, u.shape[-1])
    ours, theirs = found["integrated"], found["sampled"]
    # Quantiles: standard deviations of coordinates with long tails depend on a few draws, and so on the machine.
    low, middle, high = np.quantile(theirs, [0.05, 0.5, 0.95], axis=0)
    ours_low, ours_middle, ours_high = np.quantile(ours, [0.05, 0.5, 0.95], axis=0)
    np.testing.assert_allclose((ours_middle - middle) / (high - low), 0.0, atol=0.08)
    np.testing.assert_allclose((ours_high - ours_low) / (high - low), 1.0, atol=0.2)


def test_other_scatter_is_sampled_with_its_increments() -> None:
    with scope():
        problem = with_good_geometry(problem_of(bs.Noise(), curves()))
    assert not isinstance(problem.model, Integrated)
    assert any(site.startswith(INCREMENTS) for site in problem.coordinates)


def test_pooled_parameters_are_integrated_around_too() -> None:
    table = curves(6, 5).table.drop(columns="params")
    table = table.assign(dataset=np.where(table["run"] < "r3", "a", "b"))
    fit = bs.fit(
        "power_law:input=tokens",
        bs.Runs.from_frame(table),
        pooling={"alpha": bs.partial("dataset")},
        sampler=bs.Sampler("laplace", draws=100),
    )
    assert fit.noise == CORRELATED
    assert fit.increments.shape == (400, fit.model.increments)
    assert np.isfinite(fit.log_mean).all()


def test_reading_some_rows_is_fitting_a_table_of_them_around_the_same_centre() -> None:
    runs, noise = curves(4, 9), dataclasses.replace(CORRELATED, rows_per_curve=4)
    composition = Composition(bs.load_law("power_law:input=tokens"), noise, bs.Discrepancy(), {})
    with scope():
        read = rows_read(composition, runs)
        some, whole = observe(composition, runs, read=read), observe(composition, runs)
        alone = observe(composition, runs.where(np.isin(np.arange(len(runs)), read)))
    assert len(read) == 16 == int(np.asarray(some.weight).sum())
    np.testing.assert_array_equal(some.log_loss[:16], whole.log_loss[read])
    np.testing.assert_array_equal(some.columns[BASIS][:16], whole.columns[BASIS][read])
    gaps = (np.sort(np.asarray(part.columns["noise.layout_gap"]), axis=1) for part in (some, alone))
    np.testing.assert_array_equal(*gaps)
    assert some.at == whole.at
