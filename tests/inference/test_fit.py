"""Sampling a posterior: paths, repeatability, convergence, and what comes back."""

from __future__ import annotations

import dataclasses
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest
from numpyro.infer.util import potential_energy

import bayes_scaling as bs
from bayes_scaling.base.names import DiscrepancyName, NoiseName, SamplerName
from bayes_scaling.base.scope import scope
from bayes_scaling.errors import BayesScalingWarning
from bayes_scaling.inference.chains import Chains, Settings
from bayes_scaling.inference.diagnostics import Diagnostics, diagnose
from bayes_scaling.inference.draws import posterior_of
from bayes_scaling.inference.methods import sample_auto, sample_nuts
from bayes_scaling.inference.mode import Mode
from bayes_scaling.inference.nuts import Whitening
from bayes_scaling.inference.problem import Problem, Sampled
from bayes_scaling.model.composition import Composition
from bayes_scaling.model.observations import padded_length
from tests.support import fit_exact, public_table

GROUPS = {
    "posterior",
    "unconstrained_posterior",
    "sample_stats",
    "log_likelihood",
    "log_prior",
    "posterior_predictive",
    "prior",
    "prior_predictive",
    "observed_data",
    "constant_data",
}


def test_the_default_fit_takes_the_fast_path_and_converges(chinchilla_fit: bs.Fit) -> None:
    assert chinchilla_fit.sampler_used == "fast NUTS" and chinchilla_fit.converged and not chinchilla_fit.problems
    assert set(chinchilla_fit.draws) == {"E", "A", "B", "alpha", "beta", "sigma", "nu"}
    assert all(values.shape == (4, 1000) for values in chinchilla_fit.draws.values())


def test_the_truth_is_inside(chinchilla_fit: bs.Fit) -> None:
    truth = bs.load_law("chinchilla").at("besiroglu2024").constants.values
    for name, value in truth.items():
        low, high = np.quantile(chinchilla_fit.flat()[name], [0.005, 0.995])
        assert low < value < high, name


def test_the_same_seed_gives_the_same_draws(chinchilla_runs: bs.Runs, chinchilla_fit: bs.Fit) -> None:
    again = fit_exact("chinchilla", chinchilla_runs, seed=0)
    other = fit_exact("chinchilla", chinchilla_runs, seed=1)
    np.testing.assert_array_equal(again.unconstrained, chinchilla_fit.unconstrained)
    assert not np.array_equal(other.unconstrained, chinchilla_fit.unconstrained)


def test_laws_are_fitted_in_threads_as_one_after_the_other(chinchilla_runs: bs.Runs) -> None:
    """NumPyro has one stack of handlers for all threads: models that are traced at the same time would mix."""
    laws = ("max_form", "product_form", "overtraining", "chinchilla_tied")

    def quick(law: str) -> bs.Fit:
        return fit_exact(law, chinchilla_runs, sampler=bs.Sampler("laplace", draws=200), progress=False)

    with ThreadPoolExecutor(len(laws)) as pool:
        together = list(pool.map(quick, laws))
    for law, found in zip(laws, together, strict=True):
        assert np.array_equal(found.unconstrained, quick(law).unconstrained)


def test_row_order_does_not_matter(chinchilla_runs: bs.Runs, chinchilla_fit: bs.Fit) -> None:
    shuffled = bs.Runs.from_frame(chinchilla_runs.table.sample(frac=1, random_state=0))
    again = fit_exact("chinchilla", shuffled, seed=0)
    for name, values in chinchilla_fit.flat().items():
        spread = values.std()
        assert abs(np.median(again.flat()[name]) - np.median(values)) < 0.2 * spread


def test_unit_of_the_loss_does_not_matter(chinchilla_runs: bs.Runs, chinchilla_fit: bs.Fit) -> None:
    bits = bs.Runs.from_frame(
        chinchilla_runs.table.assign(loss=chinchilla_runs.loss / np.log(2)), loss_unit="bits/token"
    )
    again = fit_exact("chinchilla", bits, seed=0)
    np.testing.assert_allclose(np.median(again.flat()["alpha"]), np.median(chinchilla_fit.flat()["alpha"]), rtol=1e-2)
    np.testing.assert_allclose(
        np.median(again.flat()["E"]) * np.log(2), np.median(chinchilla_fit.flat()["E"]), rtol=1e-2
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["nuts", "tempered", "laplace"])
def test_all_paths_agree(chinchilla_runs: bs.Runs, chinchilla_fit: bs.Fit, method: str) -> None:
    other = fit_exact("chinchilla", chinchilla_runs, sampler=method, seed=3)
    used = {"nuts": "NUTS", "tempered": "tempered HMC", "laplace": "Laplace"}
    assert other.converged and other.sampler_used == used[method]
    for name in ("E", "alpha", "beta", "sigma"):
        mine, theirs = chinchilla_fit.flat()[name], other.flat()[name]
        assert abs(mine.mean() - theirs.mean()) < 0.15 * mine.std(), name
        assert 0.85 < theirs.std() / mine.std() < 1.18, name


@pytest.mark.slow
def test_tempering_agrees_with_nuts_where_increments_are_integrated_out_and_groups_pooled() -> None:
    law, truth = "power_law:input=tokens", {"E": 1.8, "alpha": 0.3, "sigma": 0.01}
    runs = bs.simulate(law, bs.grid(tokens=np.logspace(8, 11, 16)), truth, seed=0)
    parts = [runs.table.assign(group=name, loss=runs.loss * factor) for name, factor in (("a", 1.0), ("b", 1.1))]
    table = pd.concat(parts, ignore_index=True)
    both = bs.Runs.from_frame(table.assign(run=[f"run {i}" for i in table.index]))
    how: dict[str, Any] = {"noise": "normal", "pooling": {"alpha": bs.partial("group")}, "progress": False}
    one, other = (bs.fit(law, both, sampler=name, seed=1, **how) for name in ("nuts", "tempered"))
    assert one.converged and other.converged and other.sampler_used == "tempered HMC"
    for name in ("E", "alpha[a]", "alpha[b]", "alpha_sd", "tau", "sigma"):
        mine, theirs = one.flat()[name], other.flat()[name]
        assert abs(mine.mean() - theirs.mean()) < 0.15 * mine.std(), name
        assert 0.8 < theirs.std() / mine.std() < 1.25, name


def test_laplace_says_that_it_was_used(chinchilla_runs: bs.Runs) -> None:
    quick = fit_exact("chinchilla", chinchilla_runs, sampler="laplace")
    assert quick.sampler_used == "Laplace" and "Laplace" in repr(quick)
    assert quick.diagnostics.k_hat < 0.7


@pytest.mark.slow
def test_a_weak_table_falls_back_and_lets_the_prior_speak() -> None:
    frame = pd.DataFrame({"params": [1e8, 2e8, 4e8], "tokens": [2e9, 4e9, 8e9], "loss": [3.6, 3.2, 2.9]})
    fit = fit_exact("chinchilla", bs.Runs.from_frame(frame), seed=0)
    assert fit.converged
    assert fit.contraction["beta"] < 0.8 and fit.contraction["E"] < 0.8
    wide = np.diff(bs.forecast(fit, params=7e10, tokens=1.4e12).interval(0.9)).item()
    assert wide > 0.5


def test_outliers_do_not_move_the_default_fit(chinchilla_runs: bs.Runs, chinchilla_fit: bs.Fit) -> None:
    """Five planted outliers: Student-t keeps N*, normal noise does not; all five are flagged."""
    loss = chinchilla_runs.loss.copy()
    planted = np.argsort(chinchilla_runs.column("flops"))[:5]
    loss[planted] *= [1.3, 1.25, 1.2, 1.15, 1.1]
    runs = bs.Runs.from_frame(chinchilla_runs.table.assign(loss=loss))
    robust = fit_exact("chinchilla", runs, seed=0)
    normal = fit_exact("chinchilla", runs, noise=bs.Noise("normal"), seed=0)
    truth = 7.225e10  # besiroglu2024 at this budget
    low, high = bs.compute_optimal(robust, 5.76e23).interval("params", 0.9)
    assert low < truth < high and high < 200e9
    untouched, moved, off = (
        np.log(np.median(bs.compute_optimal(fit, 5.76e23).params)) for fit in (chinchilla_fit, robust, normal)
    )
    assert abs(off - untouched) > 1.5 * abs(moved - untouched)
    outliers = bs.evaluate.find_outliers(robust)
    assert set(outliers[outliers["outlier"]]["run"]) >= {runs.labels[i] for i in planted}
    assert outliers["outlier"].sum() <= 6


def test_a_thinned_fit_keeps_draws_and_statistics_together(chinchilla_fit: bs.Fit, tmp_path: Path) -> None:
    few = chinchilla_fit.thinned(400)
    assert few.unconstrained.shape[:2] == (4, 100)
    for values in (*few.draws.values(), *few.stats.values()):
        assert values.shape == (4, 100)
    np.testing.assert_array_equal(few.draws["alpha"][:, [0, -1]], chinchilla_fit.draws["alpha"][:, [0, -1]])
    assert few.problems == chinchilla_fit.problems and few.drawn == 4000
    assert dict(few.idata["sample_stats"].sizes) == {"chain": 4, "draw": 100}
    few.save(tmp_path / "few.nc")
    again = bs.load_fit(tmp_path / "few.nc")
    assert again.drawn == 4000 and again.thinned(40).drawn == 4000
    assert chinchilla_fit.thinned(9999) is chinchilla_fit


def test_the_data_tree_has_arviz_groups(chinchilla_fit: bs.Fit) -> None:
    tree = chinchilla_fit.idata
    assert set(tree.children) == GROUPS
    assert set(tree["posterior"].data_vars) == {"E", "A", "B", "alpha", "beta", "sigma", "nu"}
    assert dict(tree["log_likelihood"].sizes) == {"chain": 4, "draw": 1000, "row": 48}
    assert tree["posterior"]["alpha"].attrs["unit"] == "1"
    assert tree["observed_data"]["run"].values[0] == "sim-1"
    np.testing.assert_array_equal(tree["observed_data"]["loss"], chinchilla_fit.runs.loss)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # ArviZ's own warnings are not ours to fail on
def test_arviz_reads_the_data_tree(chinchilla_fit: bs.Fit) -> None:
    import arviz as az

    summary = az.summary(chinchilla_fit.idata, var_names=["E", "alpha"], round_to="none")
    assert summary.loc["alpha", "mean"] == pytest.approx(chinchilla_fit.flat()["alpha"].mean(), rel=1e-6)
    loo = az.loo(chinchilla_fit.idata, reff=1.0)  # ours takes draws as independent
    assert loo.elpd == pytest.approx(bs.evaluate.leave_one_out(chinchilla_fit).sum(), abs=1e-3)


def test_log_likelihood_is_the_density_of_the_loss(chinchilla_fit: bs.Fit) -> None:
    import scipy.stats

    theta = {name: values[7] for name, values in chinchilla_fit.flat().items()}
    runs = chinchilla_fit.runs
    mean = chinchilla_fit.law.evaluate(
        {k: theta[k] for k in chinchilla_fit.law.parameter_names},
        params=runs.column("params"),
        tokens=runs.column("tokens"),
    )
    expected = scipy.stats.t(theta["nu"], np.log(mean), theta["sigma"]).logpdf(np.log(runs.loss)) - np.log(runs.loss)
    np.testing.assert_allclose(chinchilla_fit.log_likelihood.reshape(-1, 48)[7], expected, rtol=1e-9)


def test_posterior_predictive_covers_the_data(chinchilla_fit: bs.Fit) -> None:
    low, high = np.quantile(chinchilla_fit.replicated.reshape(-1, 48), [0.05, 0.95], axis=0)
    inside = np.mean((low < chinchilla_fit.runs.loss) & (chinchilla_fit.runs.loss < high))
    assert 0.78 <= inside <= 1.0


def test_prior_predictive_is_wide_and_around_the_data(chinchilla_fit: bs.Fit) -> None:
    before, after = chinchilla_fit.prior_predictive, chinchilla_fit.replicated.reshape(-1, 48)
    assert before.shape == (1000, 48) and np.isfinite(before).all()
    low, high = np.quantile(before, [0.005, 0.995], axis=0)
    assert np.all((low < chinchilla_fit.runs.loss) & (chinchilla_fit.runs.loss < high))
    assert np.all(before.std(axis=0) > 5 * after.std(axis=0))


def test_padding_changes_nothing(chinchilla_runs: bs.Runs) -> None:
    """The potential of 47 runs differs from that of 48 runs by exactly one run's density."""
    what = Composition(bs.load_law("chinchilla"), bs.Noise(), bs.Discrepancy("none"), {})
    one_less = chinchilla_runs.where(np.arange(48) < 47)
    with scope():
        model, data, priors = posterior_of(what, chinchilla_runs)
        _, fewer, _ = posterior_of(what, one_less)
        fewer = dataclasses.replace(fewer, at=data.at)
        u = np.full(len(model.sites), 0.1)
        theta = model.constrain(u, data, priors)
        gap = float(model.potential(u, fewer, priors) - model.potential(u, data, priors))
        assert gap == pytest.approx(float(model.at_rows(theta, data)[4][47]), rel=1e-9)
        assert np.all(np.asarray(model.at_rows(theta, fewer)[4])[47:] == 0)


@pytest.mark.parametrize("law", ["chinchilla", "nesting"])
def test_the_potential_is_the_log_posterior_up_to_a_constant(chinchilla_runs: bs.Runs, law: str) -> None:
    """Constants of priors, which take long to compile, are all that it lacks."""
    with scope():
        model, data, priors = posterior_of(
            Composition(bs.load_law(law), bs.Noise(), bs.Discrepancy(), {}), chinchilla_runs
        )
        places = 0.3 * np.random.default_rng(0).standard_normal((6, len(model.sites)))
        exact = [float(potential_energy(model, (data, priors), {}, model.unravel(u))) for u in places]
        ours = [float(model.potential(u, data, priors)) for u in places]
    np.testing.assert_allclose(np.diff(ours), np.diff(exact), rtol=1e-9)
    assert abs(ours[0] - exact[0]) > 0.1


def test_padded_lengths_are_few_and_close() -> None:
    lengths = [padded_length(n) for n in range(1, 2000)]
    assert all(p >= n for n, p in enumerate(lengths, start=1))
    assert all(p <= 1.5 * n for n, p in enumerate(lengths, start=1) if n > 128)
    assert set(lengths) == {32, 64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048}


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"rhat": 1.05}, "R-hat 1.050 of alpha is above 1.01"),
        ({"rhat": float("nan")}, "R-hat"),
        ({"ess_bulk": 120.0}, "bulk ESS 120 is below 400"),
        ({"ess_tail": float("nan")}, "tail ESS"),
        ({"divergences": 50}, "50 of 4000 draws diverged"),
        ({"bfmi": 0.1}, "BFMI 0.10"),
        ({"k_hat": 0.9}, "k-hat 0.90"),
    ],
)
def test_every_limit_can_be_broken(broken: dict[str, float], says: str) -> None:
    good = Diagnostics(1.0, 2000, 2000, 0, 1.0, worst="alpha")
    assert good.problems(4000) == ()
    problems = dataclasses.replace(good, **broken).problems(4000)
    assert len(problems) == 1 and says in problems[0]


def test_chains_that_disagree_are_seen(chinchilla_fit: bs.Fit) -> None:
    from bayes_scaling.inference.chains import Chains

    u = chinchilla_fit.unconstrained.copy()
    u[0] += 5 * u[0].std(axis=0)
    sites = tuple(row.site for row in (*chinchilla_fit.law.sampled, *chinchilla_fit.noise.parameters))
    assert diagnose(Chains(u, dict(chinchilla_fit.stats)), sites).rhat > 1.1


def test_an_unconverged_fit_is_refused_downstream(chinchilla_fit: bs.Fit) -> None:
    bad = dataclasses.replace(chinchilla_fit, diagnostics=dataclasses.replace(chinchilla_fit.diagnostics, rhat=1.2))
    assert not bad.converged and "NOT converged" in repr(bad)
    for ask in (
        lambda **how: bs.forecast(bad, params=7e10, tokens=1.4e12, **how),
        lambda **how: bs.compute_optimal(bad, 1e23, **how),
        lambda **how: bs.required(bad, 2.0, **how),
    ):
        with pytest.raises(bs.errors.ConvergenceError, match="R-hat 1.200"):
            ask()
        ask(unconverged=True)


def test_a_prior_can_dominate_on_request(chinchilla_runs: bs.Runs) -> None:
    law = bs.load_law("chinchilla", priors={"alpha": dist.LogNormal(np.log(0.6), 0.001)})
    assert np.median(fit_exact(law, chinchilla_runs).flat()["alpha"]) == pytest.approx(0.6, rel=0.01)


def test_bad_requests_are_explained(chinchilla_runs: bs.Runs) -> None:
    for options, says in (
        ({"method": "advi"}, "sampler is 'advi'; expected one of auto, nuts, batched, tempered, laplace"),
        ({"chains": 1}, "too few to judge convergence"),
        ({"draws": 10}, "too few to judge convergence"),
        ({"device": "abacus"}, "device is 'abacus'; expected auto"),
    ):
        with pytest.raises(bs.errors.FitError) as caught:
            fit_exact("chinchilla", chinchilla_runs, sampler=bs.Sampler(**options))  # type: ignore[arg-type]
        assert says in str(caught.value)
    with pytest.raises(bs.errors.DataError, match="reads params, tokens, but .* has no params"):
        fit_exact("chinchilla", bs.Runs.from_frame(pd.DataFrame({"tokens": [1e9, 2e9], "loss": [3.0, 2.9]})))


def test_the_summary_takes_a_fraction(chinchilla_fit: bs.Fit) -> None:
    assert list(chinchilla_fit.summary(0.8)) == ["median", "10.0%", "90.0%", "learned"]
    with pytest.raises(bs.errors.ForecastError, match="write 0.8 for 80 percent"):
        chinchilla_fit.summary(80)


def test_float64_stays_in_our_scope() -> None:
    import jax.numpy as jnp

    assert jnp.asarray(1.0).dtype == np.float32


@pytest.mark.slow
def test_public_chinchilla_table_with_its_outliers() -> None:
    """245 rows untouched: N* holds 70B and excludes 200B, the five largest losses are flagged."""
    runs = bs.Runs.from_csv(public_table("chinchilla_svg.csv"))
    assert len(runs) == 245
    fit = fit_exact("chinchilla", runs, seed=0)
    assert fit.converged
    low, high = bs.compute_optimal(fit, 5.76e23).interval("params", 0.9)
    assert low < 70e9 < high < 200e9
    flagged = bs.evaluate.find_outliers(fit).query("outlier")["run"]
    assert {runs.labels[i] for i in np.argsort(-runs.loss)[:5]} <= set(flagged)
    published = {"E": (1.769, 1.871), "alpha": (0.317, 0.373), "beta": (0.331, 0.415)}
    for name, (lower, upper) in published.items():
        ours = np.quantile(fit.flat()[name], [0.025, 0.975])
        assert ours[0] < upper and ours[1] > lower


TWO_MODES = """
import numpyro.distributions as dist
from bayes_scaling.laws import Law, Parameter, power

def mean(params, theta):
    return 2.0 + theta**2 + power(params / 1e8, -0.3)

LAW = Law(
    name="two_modes", title="t", formula="L = 2 + theta^2 + N^-0.3", mean=mean, references=("r",), holds="h", fails="f",
    parameters=(Parameter("theta", dist.Normal(0.0, 1.0), unit="1", meaning="m", source="s"),),
)
"""


def test_two_modes_are_weighed(tmp_path: Path) -> None:
    """theta and -theta fit equally well. Chains of NUTS sit at either; those of parallel tempering go to and fro."""
    (tmp_path / "two_modes.py").write_text(TWO_MODES)
    law = bs.load_law(tmp_path / "two_modes.py")
    runs = bs.simulate(law, bs.grid(params=np.logspace(7, 10, 20)), {"theta": 0.8, "sigma": 0.01, "nu": 30.0}, seed=0)
    fit = fit_exact(law, runs, seed=0)
    assert fit.converged and fit.sampler_used == "tempered HMC"
    theta = fit.draws["theta"]
    assert np.mean(theta > 0) == pytest.approx(0.5, abs=0.1)
    np.testing.assert_allclose(np.abs(theta), 0.8, atol=0.1)
    asked = fit_exact(law, runs, seed=0, sampler="tempered")
    assert asked.manifest["sampler"] == "tempered" and asked.sampler_used == fit.sampler_used
    np.testing.assert_array_equal(asked.draws["theta"], theta)


@pytest.mark.slow
def test_two_modes_of_a_table_that_is_too_long_to_temper_are_not_hidden(tmp_path: Path) -> None:
    """Chains sit at both, and the fit says that they do not agree."""
    (tmp_path / "two_modes.py").write_text(TWO_MODES)
    law = bs.load_law(tmp_path / "two_modes.py")
    sizes = bs.grid(params=np.logspace(7, 10, 1100))
    runs = bs.simulate(law, sizes, {"theta": 0.8, "sigma": 0.01, "nu": 30.0}, seed=0)
    fit = fit_exact(law, runs, seed=0)
    assert np.ptp([np.median(chain) for chain in fit.draws["theta"]]) > 1.0
    assert not fit.converged and "R-hat" in fit.problems[0]


@dataclasses.dataclass(frozen=True)
class Stubborn:
    """A posterior whose chains agree, but are short for their tails; its table is too long to temper."""

    seed: int = 0
    tail: float = 250.0
    settings: Settings = dataclasses.field(default_factory=Settings)
    model: types.SimpleNamespace = dataclasses.field(
        default_factory=lambda: types.SimpleNamespace(populations=(), sites=("a",))
    )
    mode: Mode = dataclasses.field(default_factory=lambda: Mode(np.zeros(1), np.eye(1), np.empty((0, 1))))
    known_mode: Mode | None = None
    coordinates: tuple[str, ...] = ("a",)
    data: types.SimpleNamespace = dataclasses.field(
        default_factory=lambda: types.SimpleNamespace(log_loss=np.zeros(5000))
    )

    def sample(
        self, starts: np.ndarray, settings: Settings, whitening: Whitening | None = None
    ) -> tuple[Chains, Diagnostics]:
        u = np.random.default_rng(self.seed).standard_normal((settings.chains, settings.draws, 1))
        stats = {"diverging": np.zeros(u.shape[:2]), "energy": u[:, :, 0]}
        return Chains(u, stats), Diagnostics(1.008, 600.0, self.tail, 0, 1.0, "a")


def test_chains_that_agree_get_others_beside_them() -> None:
    sampled = sample_nuts(Stubborn())  # type: ignore[arg-type]
    chains, diagnostics = sampled.chains, sampled.diagnostics
    assert sampled.how == "NUTS, stronger settings, twice the chains"
    assert chains.u.shape == (8, 3000, 1) and chains.stats["energy"].shape == (8, 3000)
    assert not np.array_equal(chains.u[:4], chains.u[4:])
    assert not diagnostics.problems(24_000)
    # What is far from converged is not worth more time, and says so.
    sampled = sample_nuts(Stubborn(tail=150.0))  # type: ignore[arg-type]
    assert sampled.how == "NUTS, stronger settings" and sampled.diagnostics.problems(12_000)


@dataclasses.dataclass(frozen=True)
class Skewed(Problem):
    """A posterior on whose first draws R-hat is not good enough."""

    first_rhat: float = 1.02

    def sample(
        self, starts: np.ndarray, settings: Settings, whitening: Whitening | None = None
    ) -> tuple[Chains, Diagnostics]:
        chains, diagnostics = super().sample(starts, settings, whitening)
        rhat = self.first_rhat if whitening is None and not settings.adapt_mass else diagnostics.rhat
        return chains, dataclasses.replace(diagnostics, rhat=rhat)


@pytest.mark.parametrize(("rhat", "how"), [(1.02, "fast NUTS, whitened by its draws"), (1.5, "NUTS")])
def test_draws_that_are_nearly_good_whiten_a_second_round(chinchilla_runs: bs.Runs, rhat: float, how: str) -> None:
    """And chains that have not met are left to the safe path."""

    def sampled(problem: Problem) -> Sampled:
        fields = {field.name: getattr(problem, field.name) for field in dataclasses.fields(Problem)}
        return sample_auto(Skewed(**fields, first_rhat=rhat))

    fit = fit_exact("chinchilla", chinchilla_runs, sampler=bs.Sampler(sampled))
    safe = fit_exact("chinchilla", chinchilla_runs, sampler="nuts")
    assert fit.sampler_used == how and fit.converged
    for name, draws in safe.draws.items():
        error = 4 * draws.std() * np.sqrt(2 / 400)
        assert abs(fit.draws[name].mean() - draws.mean()) < error, name


def test_a_law_of_one_curve_says_that_it_takes_several_sizes_for_one() -> None:
    frame = bs.datasets.load("stdlib_schedules").table
    few = bs.Runs.from_frame(frame.iloc[::4])
    with pytest.warns(BayesScalingWarning, match=r"curves of 3 sizes, .* annealing takes for one: it reads .* alone"):
        bs.fit("annealing", few, discrepancy="none", sampler="laplace")
    one = bs.Runs.from_frame(few.table[few.table["params"] == few.table["params"].max()])
    bs.fit("annealing", one, discrepancy="none", sampler="laplace")
    bs.fit("chinchilla", few, discrepancy="none", sampler="laplace")


def test_a_law_of_whole_schedules_says_that_it_takes_all_rows_for_one_run() -> None:
    frame = bs.datasets.load("stdlib_schedules").table
    one = frame[frame["run"] == frame["run"].iloc[0]].iloc[::4].drop(columns="run")
    with pytest.warns(BayesScalingWarning, match="has no column run, and annealing reads the learning rate of"):
        bs.fit("annealing", bs.Runs.from_frame(one), discrepancy="none", sampler="laplace")


@pytest.mark.parametrize(
    ("noise", "discrepancy", "sampler"),
    [
        ("student_t", "brownian", "auto"),
        ("normal", "none", "batched"),
        pytest.param("student_t", "none", "auto", marks=pytest.mark.slow),
        pytest.param("normal", "brownian", "auto", marks=pytest.mark.slow),
        pytest.param("student_t", "brownian", "batched", marks=pytest.mark.slow),
    ],
)
def test_runs_computed_from_a_law_are_fitted_and_said_to_be_exact(
    noise: NoiseName, discrepancy: DiscrepancyName, sampler: SamplerName
) -> None:
    law = bs.load_law("chinchilla")
    frame = pd.DataFrame(bs.grid(params=np.geomspace(1e7, 1e9, 6), tokens=np.geomspace(1e9, 1e11, 6)))
    c = law.at("besiroglu2024").constants.values

    def truth(params: Any, tokens: Any) -> Any:
        return c["E"] + c["A"] / params ** c["alpha"] + c["B"] / tokens ** c["beta"]

    exact = bs.Runs.from_frame(frame.assign(loss=truth(frame["params"], frame["tokens"])))
    with pytest.warns(BayesScalingWarning, match="describes these runs exactly, as none does measured runs"):
        fit = bs.fit(law, exact, noise=noise, discrepancy=discrepancy, sampler=sampler)
    assert fit.converged
    far = {"params": 1e10, "tokens": 1e12}
    low, high = bs.forecast(fit, **far).interval(0.9)[0]
    assert low < truth(**far) < high < 1.003 * low


def test_few_measured_runs_are_not_said_to_be_computed() -> None:
    """A law of nine parameters goes through eight runs; nothing is warned of, and warnings are errors here."""
    rng = np.random.default_rng(1)
    sizes = {"params": 10 ** rng.uniform(7, 9, 8), "tokens": 10 ** rng.uniform(9, 11, 8)}
    law = bs.load_law("chinchilla")
    loss = law.evaluate(law.at("besiroglu2024").constants.values, **sizes) * np.exp(0.003 * rng.normal(size=8))
    measured = bs.Runs.from_frame(pd.DataFrame({**sizes, "loss": loss}))
    fit = bs.fit("farseer", measured, discrepancy="none", noise="normal", sampler="laplace")
    assert len(fit.law.parameter_names) > len(measured)


@pytest.mark.filterwarnings("ignore:a law describes these runs exactly")
@pytest.mark.parametrize("law", ["chinchilla", pytest.param("nesting", marks=pytest.mark.slow)])
def test_one_loss_of_all_runs_is_no_traceback(law: str) -> None:
    frame = pd.DataFrame(bs.grid(params=np.geomspace(1e7, 1e9, 6), tokens=np.geomspace(1e9, 1e11, 6)))
    alike = bs.Runs.from_frame(frame.assign(loss=2.5))
    fit = bs.fit(law, alike, discrepancy="none")
    ahead = bs.forecast(fit, params=2e9, tokens=2e11, unconverged=True)
    assert ahead.median() == pytest.approx(2.5, rel=0.02)
