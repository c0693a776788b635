"""Groups of runs: shared, separate and partially pooled parameters, and forecasts for groups old and new."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.errors import BayesScalingWarning
from bayes_scaling.inference.draws import new_group_draws
from bayes_scaling.model.pooling import Groups, checked_pooling, sd_prior, varies_over
from tests.support import LAW_FILE, design, fit_exact

ALPHA = {"a": 0.28, "b": 0.32, "c": 0.30, "d": 0.34}


def families(names: str = "abcd", n: int = 10, seed: int = 0) -> bs.Runs:
    """Families of runs that differ in the exponent of params and in the irreducible loss."""
    tables = []
    for i, name in enumerate(names):
        truth = {"E": 1.6 + 0.05 * i, "A": 406.4, "B": 410.7, "alpha": ALPHA[name], "beta": 0.28, "sigma": 0.003}
        runs = bs.simulate("chinchilla", design(n, seed + i), truth, noise=bs.Noise("normal"), seed=seed + i)
        tables.append(runs.table.assign(family=name, run=lambda t, name=name: name + t["run"]))
    return bs.Runs.from_frame(pd.concat(tables, ignore_index=True))


@pytest.fixture(scope="module")
def pooled() -> bs.Fit:
    pooling = {"E": bs.partial("family"), "alpha": bs.partial("family"), "L_0": bs.separate("family")}
    return fit_exact("chinchilla", families(), noise=bs.Noise("normal"), pooling=pooling, seed=0)


def test_every_group_has_its_own_value_and_the_rest_is_shared(pooled: bs.Fit) -> None:
    assert pooled.converged, pooled
    assert {f"alpha[{g}]" for g in "abcd"} <= pooled.draws.keys()
    assert {f"A[{g}]" for g in "abcd"} <= pooled.draws.keys(), "what follows from a pooled parameter varies, too"
    assert {"sigma", "alpha_sd", "E_sd"} <= pooled.draws.keys()
    assert "alpha" not in pooled.draws and "L_0_sd" not in pooled.draws
    for name, value in ALPHA.items():
        low, high = np.quantile(pooled.draws[f"alpha[{name}]"], [0.005, 0.995])
        assert low < value < high
    summary = pooled.summary()
    assert list(summary.index) == list(pooled.draws)


@pytest.mark.slow
def test_partial_pooling_borrows_strength() -> None:
    """A family with three runs is known better beside others than alone."""
    runs = families()
    few = runs.where((runs.table["family"] != "d") | (runs.table.groupby("family").cumcount() < 3))
    widths = {}
    for mode in (bs.partial, bs.separate):
        pooling = {name: mode("family") for name in ("L_0", "E", "alpha", "beta", "A")}
        fit = fit_exact("chinchilla", few, noise=bs.Noise("normal"), pooling=pooling, seed=0)
        assert fit.converged, (mode, fit)
        low, high = bs.forecast(fit, params=7e10, tokens=1.4e12, family="d").interval(0.9, of="mean")[0]
        widths[mode] = high - low
    assert widths[bs.partial] < 0.6 * widths[bs.separate]


def test_a_new_group_is_drawn_from_the_population(pooled: bs.Fit) -> None:
    point = {"params": 7e10, "tokens": 1.4e12}
    spread = {}
    for name in ("b", "new"):
        low, high = bs.forecast(pooled, **point, family=name).interval(0.9, of="mean")[0]
        spread[name] = high - low
    assert spread["new"] > 2 * spread["b"]
    both = bs.forecast(pooled, pd.DataFrame({**point, "family": ["new", "b", "new"]}))
    np.testing.assert_array_equal(both.mean[:, 0], both.mean[:, 2])
    assert list(both.points["family"]) == ["new", "b", "new"]


def test_each_new_group_is_one_of_its_own(pooled: bs.Fit) -> None:
    """Its draws hang on its name alone, not on what is asked beside it, and are independent of those of others."""
    point = {"params": 7e10, "tokens": 1.4e12}
    together = bs.forecast(pooled, pd.DataFrame({**point, "family": ["new", "b", "other", "new"]})).mean
    np.testing.assert_array_equal(together[:, 0], together[:, 3])
    for column, name in ((0, "new"), (1, "b"), (2, "other")):
        np.testing.assert_allclose(
            bs.forecast(pooled, **point, family=name).mean[:, 0], together[:, column], rtol=1e-12
        )
    new, other = (pooled.theta({"family": name}) for name in ("new", "other"))
    assert (new["alpha"] != other["alpha"]).all() and (new["E"] != other["E"]).all()


def test_draws_of_new_groups_are_independent_and_the_same_in_every_process() -> None:
    here = new_group_draws("alpha.offset", dist.Normal(0.0, 1.0), ["new", "other"], 4000, 0)
    there = new_group_draws("E.offset", dist.Normal(0.0, 1.0), ["new"], 4000, 0)
    later = new_group_draws("alpha.offset", dist.Normal(0.0, 1.0), ["new"], 4000, 1)
    together = np.corrcoef(np.concatenate([here, there, later], axis=1).T)
    assert np.abs(together - np.eye(4)).max() < 0.06
    np.testing.assert_allclose(here[0], [-0.471950, -0.011342], atol=1e-6)


def test_frontier_and_requirement_of_a_group(pooled: bs.Fit) -> None:
    optimum = {g: bs.compute_optimal(pooled, 1e23, group={"family": g}) for g in "ad"}
    assert np.median(optimum["a"].params) != np.median(optimum["d"].params)
    assert bs.required(pooled, 2.0, group={"family": "a"}).reachable > 0.9
    with pytest.raises(bs.errors.FitError, match="say which family is meant: a, b, c, d, or a new one"):
        bs.compute_optimal(pooled, 1e23)
    with pytest.raises(bs.errors.FitError, match="pooled over family, not over lab"):
        bs.compute_optimal(pooled, 1e23, group={"lab": "x", "family": "a"})
    with pytest.raises(bs.errors.ForecastError, match="say the family of each future run: a, b, c, d, or a new one"):
        bs.forecast(pooled, params=7e10, tokens=1.4e12)


def test_pooled_fit_survives_its_file(pooled: bs.Fit, tmp_path: Path) -> None:
    pooled.save(tmp_path / "fit.nc")
    again = bs.load_fit(tmp_path / "fit.nc")
    assert again.pooling == pooled.pooling and again.groups == pooled.groups
    assert list(again.draws) == list(pooled.draws)
    for name, draws in pooled.draws.items():
        np.testing.assert_array_equal(again.draws[name], draws)
    posterior = pooled.idata["posterior"]
    assert posterior["alpha"].dims == ("chain", "draw", "group.family")
    assert list(posterior["alpha"].coords["group.family"].values) == list("abcd")
    here, there = (bs.forecast(f, params=7e10, tokens=1.4e12, family="b") for f in (pooled, again))
    np.testing.assert_array_equal(here.new_run, there.new_run)
    assert len(pooled.log_prior) == 10  # six sites, two spreads, two sets of offsets


def test_checks_work_on_pooled_fits(pooled: bs.Fit) -> None:
    assert not bs.evaluate.find_outliers(pooled)["outlier"].any()
    assert set(bs.evaluate.find_influential(pooled)["parameter"]) <= set(pooled.law_names)
    assert pooled.replicated.shape == (4, 1000, 40) and pooled.prior_predictive.shape == (1000, 40)
    assert bs.evaluate.leave_one_out(pooled).shape == (40,)


@pytest.mark.slow
def test_coverage_over_groups() -> None:
    """Exponents of eight groups drawn from a population: 90 % intervals hold about 90 % of them."""
    hits = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        exponents = 0.08 * np.exp(0.15 * rng.standard_normal(8))
        tables = [
            bs.simulate(
                "power_law:input=params,form=pure",
                bs.grid(params=np.geomspace(1e7, 1e9, 5)),
                {"alpha": a, "X_c": 1e9 * 3 ** (1 / a), "sigma": 0.01},
                noise=bs.Noise("normal"),
                seed=100 * seed + i,
            ).table.assign(group=f"g{i}", run=lambda t, i=i: f"{i}-" + t["run"])
            for i, a in enumerate(exponents)
        ]
        runs = bs.Runs.from_frame(pd.concat(tables, ignore_index=True))
        pooling = {"alpha": bs.partial("group"), "L_0": bs.separate("group")}
        fit = fit_exact("power_law:input=params,form=pure", runs, noise=bs.Noise("normal"), pooling=pooling, seed=seed)
        assert fit.converged, (seed, fit)
        for i, a in enumerate(exponents):
            low, high = np.quantile(fit.draws[f"alpha[g{i}]"], [0.05, 0.95])
            hits.append(low <= a <= high)
    assert 0.8 <= np.mean(hits) <= 0.98


def test_two_columns_of_groups() -> None:
    runs = families("ab", 8)
    runs = bs.Runs.from_frame(runs.table.assign(eval=np.where(np.arange(16) % 2, 1, 2)))
    pooling = {"E": bs.partial("family"), "alpha": bs.separate("eval")}
    fit = fit_exact("chinchilla", runs, noise=bs.Noise("normal"), pooling=pooling, sampler="laplace")
    assert {"E[a]", "E[b]", "alpha[1]", "alpha[2]", "A[a,1]", "A[b,2]"} <= fit.draws.keys()
    assert set(fit.theta({"family": "a", "eval": "2"})) == {"E", "A", "B", "alpha", "beta", "sigma"}
    newcomers = pd.DataFrame({"family": ["a", "x", "x", "y"], "eval": ["x", "1", "x", "2"]})
    theta, cell = fit.in_groups(newcomers, "the table")
    E, alpha = theta["E"][:, cell], theta["alpha"][:, cell]
    np.testing.assert_array_equal(E[:, 1], E[:, 2])
    np.testing.assert_array_equal(alpha[:, 0], alpha[:, 2])
    np.testing.assert_allclose(E[:, 0], fit.flat()["E[a]"], rtol=1e-9)
    np.testing.assert_allclose(alpha[:, 3], fit.flat()["alpha[2]"], rtol=1e-9)
    assert (E[:, 3] != E[:, 2]).all()


def test_bad_pooling_is_refused() -> None:
    law = bs.load_law("chinchilla")
    with pytest.raises(
        bs.errors.LawError, match="'B' cannot be pooled: it follows from the others; those with a prior are"
    ):
        checked_pooling({"B": bs.partial("x")}, law.parameters)
    with pytest.raises(bs.errors.LawError, match="'gamma' cannot be pooled: it is no parameter of this law and noise"):
        checked_pooling({"gamma": bs.partial("x")}, law.parameters)
    with pytest.raises(bs.errors.LawError, match=r"pooling of E is 'x'; expected partial\('column'\)"):
        checked_pooling({"E": "x"}, law.parameters)  # type: ignore[dict-item]
    runs = families("ab", 6)
    with pytest.raises(bs.errors.DataError, match="the table has no column 'lab' to say which group"):
        fit_exact(law, runs, pooling={"E": bs.partial("lab")})
    holes = bs.Runs.from_frame(runs.table.assign(lab=["x", None] * 6))
    with pytest.raises(bs.errors.DataError, match="row 2, column lab: the group is missing"):
        fit_exact(law, holes, pooling={"E": bs.partial("lab")})


def test_a_users_law_that_cannot_differ_between_groups_is_refused(tmp_path: Path) -> None:
    (path := tmp_path / "mine.py").write_text(
        LAW_FILE.replace("return E + A * power", "return jnp.stack([E, 0.0 * A]).sum(0) + A * power").replace(
            "import numpyro", "import jax.numpy as jnp\nimport numpyro"
        )
    )
    runs = families("ab", 6)
    with pytest.warns(BayesScalingWarning, match="'family', which mine does not read, explains"):
        assert fit_exact(str(path), runs, sampler="laplace").law.name == "mine"
    with pytest.raises(bs.errors.LawError, match="law mine cannot be pooled over A .* behind jnp.broadcast_arrays"):
        fit_exact(str(path), runs, pooling={"A": bs.separate("family")})


def test_what_varies_is_what_depends() -> None:
    law = bs.load_law("chinchilla")
    over = varies_over(law.parameters, {"alpha": bs.partial("g")})
    assert over["alpha"] == over["beta"] == over["A"] == over["B"] == ("g",)
    assert over["E"] == over["L_0"] == ()


def test_spread_has_the_scale_of_the_prior() -> None:
    rows = {row.name: row for row in bs.load_law("chinchilla").sampled}
    assert float(np.exp(sd_prior(rows["alpha"]).loc)) == pytest.approx(0.3 * 0.5, rel=0.02)


def test_group_names_are_text_whatever_the_column() -> None:
    table = pd.DataFrame({"g": [1, 2, 1], "h": [1.0, 2.0, 1.5]})
    assert Groups.of({"E": bs.partial("g")}, table, "t").labels == (("1", "2"),)
    assert Groups.of({"E": bs.partial("h")}, table, "t").labels == (("1", "1.5", "2"),)


@pytest.mark.parametrize("by", ["loss", "loss_se"])
def test_a_parameter_does_not_differ_by_what_it_explains(by: str) -> None:
    with pytest.raises(bs.errors.LawError, match=f"a parameter cannot differ by {by}, which it explains"):
        bs.separate(by)
