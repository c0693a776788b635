"""The best learning rate and batch: intervals, what choices waste, regions, and tables that cannot say."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import pandas as pd
import pytest
import scipy.optimize

import bayes_scaling as bs
from bayes_scaling.model.noise import Noise
from bayes_scaling.model.observations import centre_of
from bayes_scaling.model.simulate import draw_truth, simulate
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.tuning import Hyperparameters

TUNING = bs.load_law("tuning")
TRUTH = {
    **{"E": 1.5, "A": 20.0, "K": 30.0, "alpha": 0.18, "beta": 0.16, "q": 0.4},
    **{"c_r": 1.79 / 0.58**0.4, "a": 0.713, "b": 0.307 - 0.4 * 0.571, "c": 0.4, "w_r": 0.06, "s_r": 0.6},
    **{"c_B": 0.58, "d": 0.571, "e": 0.0, "w_B": 0.05, "s_B": 0.1},
}
RUN = {"params": 1e9, "tokens": 1e11}


def sweep(seed: int = 0, rows: int = 200) -> pd.DataFrame:
    """Scatter rates and batches around usual ones."""
    rng = np.random.default_rng(seed)
    batch = np.exp(rng.uniform(math.log(5e4), math.log(2e6), rows))
    return pd.DataFrame(
        {
            "params": np.exp(rng.uniform(math.log(6e7), math.log(1e9), rows)),
            "steps": np.exp(rng.uniform(math.log(2e9), math.log(5e10), rows)) / batch,
            "batch_tokens": batch,
            "peak_learning_rate": np.exp(rng.uniform(math.log(3e-4), math.log(1e-2), rows)),
        }
    )


@functools.cache
def fitted() -> bs.Fit:
    runs = simulate(TUNING, sweep(), {**TRUTH, "sigma": 0.003}, noise=Noise("normal"), seed=1)
    sampler = bs.Sampler("laplace", draws=100)
    return bs.fit(TUNING, runs, noise="normal", discrepancy="none", sampler=sampler, seed=0).thinned(200)


@functools.cache
def found() -> Hyperparameters:
    return bs.optimal_hyperparameters(fitted(), **RUN, unconverged=True)


def test_the_intervals_hold_the_published_optimum_that_made_the_runs() -> None:
    batch, rate = 0.58 * 1e11**0.571, 1.79 * 1e9**-0.713 * 1e11**0.307
    for of, true in (("rate", rate), ("batch_tokens", batch)):
        low, high = found().interval(of, 0.99)
        assert low < true < high < 3 * low
    assert found().wasted(rate, batch).mean() < 0.05


def test_the_recommended_choice_wastes_least_and_regions_are_around_it() -> None:
    h = found()
    expected = h.wasted(h.rate).mean()
    for rate, batch in ((1.3, 1), (1 / 1.3, 1), (1, 1.5), (1, 1 / 1.5)):
        assert h.wasted(h.rate * rate, h.batch_tokens * batch).mean() > expected
    wide = bs.optimal_hyperparameters(fitted(), **RUN, within=0.05, unconverged=True)
    for of, at in (("rate", wide.rate), ("batch_tokens", wide.batch_tokens)):
        low, high = wide.region(of)
        assert low < at < high
    low, high = wide.region("rate")
    assert [wide.wasted(end).mean() for end in (low, high)] == pytest.approx([0.05, 0.05], rel=0.1)
    below, above = np.median(h.tolerance, axis=0)
    assert below < 1 < above


def test_wasted_compute_is_that_of_the_tuned_run_with_the_same_loss() -> None:
    h = found()
    i = int(np.abs(h.leftover.rate).argmax())  # the draw whose best rate is furthest from the law's
    draw = {name: float(values[i]) for name, values in h.ensemble.leading.flat().items()}
    constants = {name: draw[name] for name in TUNING.parameter_names}

    def loss(tokens: float, batch: float, rate: float) -> float:
        inputs = {"params": 1e9, "steps": tokens / batch, "batch_tokens": batch, "peak_learning_rate": rate}
        return float(TUNING.evaluate(constants, **inputs))

    def tuned(saved: float) -> float:
        tokens = 1e11 * math.exp(-saved)
        batch = float(TUNING.quantity("best_batch", constants, params=1e9, tokens=tokens))
        rate = float(TUNING.quantity("best_rate", constants, params=1e9, tokens=tokens, batch_tokens=batch))
        return loss(tokens, batch, rate)

    def best_rate(batch: float) -> float:
        return float(TUNING.quantity("best_rate", constants, params=1e9, tokens=1e11, batch_tokens=batch))

    # The run's valley is the law's, moved by what this draw says that its best batch, and best rate at it, are off.
    there = 4e5 * math.exp(-h.leftover.batch[i])
    wanted = loss(1e11, there, 2e-3 * math.exp(-h.leftover.rate[i]) * best_rate(there) / best_rate(4e5))
    saved = scipy.optimize.brentq(lambda x: tuned(x) - wanted, 0, 5)
    assert h.wasted(2e-3, 4e5)[i] == pytest.approx(-math.expm1(-saved), rel=0.02)
    rate, batch = float(h.rates[i]), float(h.batches[i])
    assert h.wasted(rate, batch)[i] == pytest.approx(0.0, abs=1e-6)
    assert [h.wasted(rate * off, batch)[i] for off in h.tolerance[i]] == pytest.approx([h.within] * 2, rel=0.05)


def test_more_tuned_runs_waste_less_and_a_larger_miss_more() -> None:
    h = found()
    means = [h.best_of(runs)[0] for runs in (1, 2, 4, 16)]
    assert sorted(means, reverse=True) == means and means[-1] > 0
    two, four = h.off_by(2.0), h.off_by(4.0)
    assert (four["wasted"] > two["wasted"]).all()
    assert two["rate"].tolist() == pytest.approx([h.rate / 2, h.rate * 2])
    np.testing.assert_allclose(two.loc[0, ["low", "high"]].tolist(), np.quantile(h.wasted(h.rate / 2), [0.05, 0.95]))


def test_one_run_drawn_from_two_settings_wastes_their_mean() -> None:
    def of(*rows: int) -> float:
        fit = dataclasses.replace(fitted(), runs=fitted().runs.where(np.isin(np.arange(200), rows)))
        members = {name: dataclasses.replace(one, fit=fit) for name, one in found().ensemble.members.items()}
        ensemble = dataclasses.replace(found().ensemble, members=members)
        return dataclasses.replace(found(), ensemble=ensemble).best_of(1)[0]

    assert of(3, 8) == pytest.approx((of(3) + of(8)) / 2)
    assert abs(of(3) - of(8)) > 0.01


def test_the_best_of_several_is_drawn_from_the_settings_of_the_group() -> None:
    """Another optimizer's rates, far from the best of this one, say nothing of how this one is tuned."""
    h, table = found(), fitted().runs.table
    far = table.assign(optimizer="muon", peak_learning_rate=table["peak_learning_rate"] * 50)
    both = pd.concat([table.assign(optimizer="adamw"), far], ignore_index=True)
    fit = dataclasses.replace(fitted(), runs=bs.Runs.from_frame(both.assign(run=[f"r{i}" for i in range(len(both))])))
    members = {name: dataclasses.replace(one, fit=fit) for name, one in h.ensemble.members.items()}
    ensemble = dataclasses.replace(h.ensemble, members=members, group={"optimizer": "adamw"})
    assert dataclasses.replace(h, ensemble=ensemble).best_of(4) == pytest.approx(h.best_of(4))


def test_the_group_that_is_asked_for_is_that_of_the_answer() -> None:
    """An ensemble for one group says of another one what the fit says."""
    one = simulate(TUNING, sweep(rows=60), {**TRUTH, "sigma": 0.003}, noise=Noise("normal"), seed=1).table
    far = one.assign(peak_learning_rate=one["peak_learning_rate"] * 5)
    both = pd.concat([one.assign(optimizer="adamw"), far.assign(optimizer="muon")], ignore_index=True)
    fit = bs.fit(
        TUNING,
        bs.Runs.from_frame(both),
        pooling={"c_r": bs.separate("optimizer")},
        noise="normal",
        discrepancy="none",
        sampler=bs.Sampler("laplace", draws=100),
    ).thinned(30)
    direct = bs.optimal_hyperparameters(fit, **RUN, group={"optimizer": "muon"}, unconverged=True)
    ensemble = Ensemble.of(fit, group={"optimizer": "adamw"}, unconverged=True)
    other = bs.optimal_hyperparameters(ensemble, **RUN, group={"optimizer": "muon"})
    np.testing.assert_array_equal(other.rates, direct.rates)
    assert other.ensemble.group == {"optimizer": "muon"} and ensemble.group == {"optimizer": "adamw"}
    with pytest.raises(bs.errors.FitError, match="pooled over optimizer, not over dataset"):
        bs.optimal_hyperparameters(ensemble, **RUN, group={"dataset": "c4"})


def test_published_rules_stand_beside_it() -> None:
    table = found().to_frame().set_index("choice")
    assert list(table.index) == ["recommended", "kaplan2020", "deepseek2024", "steplaw2025", "schaipp2026"]
    assert table["wasted"].idxmin() == "recommended"
    assert table.loc["steplaw2025", "wasted"] < 0.05 < table.loc["deepseek2024", "wasted"]
    assert "not read in the paper" in table.loc["schaipp2026", "source"]
    content = found().to_dict()
    assert content["rate"] == found().rate and content["best_of"]["4"]["mean"] > content["best_of"]["16"]["mean"]


def test_a_given_batch_is_kept_and_has_a_rate_of_its_own() -> None:
    h = bs.optimal_hyperparameters(fitted(), **RUN, batch_tokens=2e5, unconverged=True)
    assert h.batch_tokens == 2e5 and (h.batches == 2e5).all() and "as given" in h.verdict
    assert h.rate < found().rate  # the best rate grows with the batch
    assert "schaipp2026" not in set(h.to_frame()["choice"])


def test_laws_without_a_valley_are_left_out_and_alone_are_refused() -> None:
    sampler = bs.Sampler("laplace", draws=100)
    nesting = bs.fit("nesting", fitted().runs, discrepancy="none", sampler=sampler)
    member = {name: Ensemble.of(fit, unconverged=True) for name, fit in (("a", fitted()), ("b", nesting))}
    both = bs.Ensemble(
        {name: next(iter(one.members.values())) for name, one in member.items()}, "nats/token", 2.0, seed=0
    )
    assert list(bs.optimal_hyperparameters(both, **RUN).ensemble.members) == ["a"]
    with pytest.raises(
        bs.errors.ForecastError, match="no law here has a best learning rate .nesting reads params, tokens"
    ):
        bs.optimal_hyperparameters(nesting, **RUN, unconverged=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"params": -1.0}, "params is -1, expected a positive number"),
        ({"tokens": 0.0}, "tokens is 0, expected a positive number"),
        ({"batch_tokens": 1e12}, "batch_tokens is 1e\\+12, more than the 1e\\+11 tokens of the run"),
        ({"within": 1.0}, "within is 1, expected a share of the compute, like 0.01; write 0.01 for 1 percent"),
    ],
)
def test_impossible_questions_are_refused(change: dict[str, float], words: str) -> None:
    with pytest.raises(bs.errors.ForecastError, match=words):
        bs.optimal_hyperparameters(fitted(), **{**RUN, **change}, unconverged=True)


def test_only_the_rate_and_the_batch_have_intervals_and_regions() -> None:
    for ask in (found().interval, found().region):
        with pytest.raises(bs.errors.ForecastError, match="the best batch_tokens are known, not 'warm-up'"):
            ask("warm-up")  # type: ignore[arg-type]


def test_a_table_without_a_rate_is_refused_in_one_sentence() -> None:
    runs = bs.Runs.from_frame(fitted().runs.table.drop(columns="peak_learning_rate"))
    with pytest.raises(bs.errors.BayesScalingError, match="the table has no peak_learning_rate .it has params, tokens"):
        bs.fit("tuning", runs)


def test_far_batches_are_cautioned_against() -> None:
    h = bs.optimal_hyperparameters(fitted(), params=1e12, tokens=1e15, unconverged=True)
    assert any("tokens in a batch" in line for line in h.cautions)


@pytest.mark.slow
def test_optimal_rate_and_batch_are_held_as_often_as_promised() -> None:
    """Truth from the prior, 80 runs: 90 % intervals of the best rate and batch of a run beyond them."""
    held, inputs = [], {name: values.to_numpy() for name, values in sweep(0, 80).items()}
    at = centre_of(TUNING, 3.0, inputs)
    for seed in range(20):
        truth = {**draw_truth(TUNING, Noise("normal"), bs.Discrepancy("none"), at, seed), "sigma": 0.003}
        runs = simulate(TUNING, pd.DataFrame(inputs), truth, noise=Noise("normal"), seed=seed)
        fit = bs.fit(TUNING, runs, noise="normal", discrepancy="none", sampler="batched", seed=seed)
        if fit.converged:
            size = {"params": 4e9, "tokens": 2e11}
            batch = float(TUNING.quantity("best_batch", truth, **size))
            rate = float(TUNING.quantity("best_rate", truth, **size, batch_tokens=batch))
            h = bs.optimal_hyperparameters(fit.thinned(400), **size, within=0.1)
            for true, (low, high) in ((rate, h.interval("rate")), (batch, h.interval("batch_tokens"))):
                held.append(low <= true <= high)
    assert len(held) >= 30
    assert np.mean(held) >= 0.78  # more than 90 %: the prior adds scatter that the truth does not have
