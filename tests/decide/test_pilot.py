"""Pilot runs: what they would tell, what that is worth, and when to buy none."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bayes_scaling as bs
from bayes_scaling.base.progress import part_of
from bayes_scaling.decide import designs, pilot
from bayes_scaling.decide.information import Joint, Posteriors, learned, posteriors, shifts_of, winsorise
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.predictive import Predictive
from tests.support import believed, fit_exact, scattered

BUDGET = 1e23
OFFERS = pd.DataFrame(itertools.product((1e8, 1e9, 1e10), (1e9, 1e10, 1e11)), columns=["params", "tokens"])


@pytest.fixture(scope="module")
def few_runs(chinchilla_runs: bs.Runs) -> bs.Runs:
    """A dozen small runs, which leave much open."""
    table = chinchilla_runs.table.nsmallest(14, "flops")[["params", "tokens", "loss"]]
    return bs.Runs.from_frame(table.reset_index(drop=True))


@pytest.fixture(scope="module")
def few(few_runs: bs.Runs) -> Ensemble:
    """Ensemble after them."""
    return Ensemble.of(fit_exact("chinchilla", few_runs, seed=0, sampler=bs.Sampler(like_rows=16)), unconverged=True)


@pytest.fixture(scope="module")
def plan(few: Ensemble) -> bs.PilotPlan:
    """Pilots for a budget, paid out of it."""
    return bs.pilot(few, OFFERS, 0.02 * BUDGET, budget=BUDGET)


@pytest.fixture(scope="module")
def loose() -> Ensemble:
    """Constants that are known to one percent, without a fit."""
    return believed("chinchilla", bs.load_law("chinchilla").at("besiroglu2024").constants.values, 400, spread=0.01)


@pytest.fixture(scope="module")
def sure(loose: Ensemble) -> bs.PilotPlan:
    """Pilots for a big run that is certain to improve on the incumbent."""
    return bs.pilot(loose, OFFERS, 0.02 * BUDGET, budget=BUDGET, incumbent=50.0)


# --- what runs tell -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("copies", [1, 3])
def test_a_normal_choice_has_its_closed_form(noise: float, copies: int) -> None:
    """Nothing or theta, theta normal: the value of n runs is s phi(0), s the spread of the posterior mean."""
    rng = np.random.default_rng(0)
    theta = rng.standard_normal((4000, 1))
    theta = (theta - theta.mean()) / theta.std()
    run = scattered(theta, noise)
    spread = math.sqrt(1 / (1 + noise**2 / copies))
    value = spread / math.sqrt(2 * math.pi)
    worth = np.concatenate([np.zeros_like(theta), theta], axis=1)
    chosen = [0] * copies
    shifts, left = shifts_of(Joint.of(run, theta), chosen)
    assert math.sqrt((shifts**2).sum()) == pytest.approx(spread, rel=0.02)
    assert left.covariance[1, 0] == pytest.approx(1 - spread**2, rel=0.1, abs=0.02)
    after = posteriors(run, chosen, 1000, 0)
    assert after.means(worth).max(axis=1).mean() == pytest.approx(value, abs=4 * spread / math.sqrt(1000))
    np.testing.assert_allclose(after.weights.sum(axis=1), 1)
    assert np.median(after.variances(theta)) == pytest.approx(1 - spread**2, rel=0.1)
    foretold = learned(run, chosen, worth, 0)
    gained = np.where(foretold.predicted[:, 1] > foretold.predicted[:, 0], worth[:, 1], 0.0).mean()
    assert value - 0.05 < gained < value + 3 * spread / math.sqrt(4000)


def test_weights_say_when_too_few_draws_speak() -> None:
    rng = np.random.default_rng(0)
    theta = rng.standard_normal((500, 6))
    assert posteriors(scattered(theta, 3.0), [0], 100, 0).unreliable == 0
    assert posteriors(scattered(theta, 0.02), range(6), 100, 0).unreliable > 0.5


def test_runs_that_tell_laws_apart_are_worth_it() -> None:
    """Two laws agree on nothing but the choice that their runs would settle."""
    law = np.repeat([0.0, 1.0], 1000)
    worth = np.stack([law, 1 - law], axis=1)
    after = posteriors(scattered(law[:, None], 0.1, nu=5.0), [0], 500, 0)
    assert after.means(worth).max(axis=1).mean() > 0.95
    nothing = posteriors(scattered(np.zeros((2000, 1)), 0.1, nu=5.0), [0], 500, 0)
    assert nothing.means(worth).max(axis=1).mean() == pytest.approx(0.5, abs=1e-3)


@pytest.fixture(scope="module")
def two_laws() -> Ensemble:
    """Two laws with weights of 30 % and 70 %, each with its constants well known, that agree at one size."""
    size = {"params": 1e9, "tokens": 2e10}
    one, other = bs.load_law("chinchilla").at("besiroglu2024"), bs.load_law("kaplan_joint").at("kaplan2020")
    gap = float(one(**size) / other(**size))
    constants = dict(other.constants.values)
    constants["D_c"] *= gap ** (1 / constants["alpha_D"])
    constants["N_c"] *= gap ** (1 / constants["alpha_N"])
    parts = {
        "chinchilla": believed("chinchilla", one.constants.values, 600, spread=1e-4),
        "kaplan_joint": believed("kaplan_joint", constants, 1400, spread=1e-4),
    }
    members = {name: dataclasses.replace(part.members[name], weight=len(part) / 2000) for name, part in parts.items()}
    return dataclasses.replace(parts["chinchilla"], members=members)


def laws_apart(laws: Ensemble, offers: pd.DataFrame) -> np.ndarray:
    """Return by how much two laws differ at each run, in log loss."""
    means = laws.log_mean(laws.points(params=offers["params"].to_numpy(), tokens=offers["tokens"].to_numpy()))
    return np.asarray(np.abs(means[:600].mean(axis=0) - means[600:].mean(axis=0)))


def test_outcomes_update_the_weights_of_laws(two_laws: Ensemble) -> None:
    """Where laws are far apart an outcome names the law that it came from; where not, weights stay as they are."""
    offers = pd.DataFrame({"params": np.geomspace(1e7, 1e12, 60), "tokens": 20 * np.geomspace(1e7, 1e12, 60)})
    apart = laws_apart(two_laws, offers)
    far, near = int(apart.argmax()), int(apart.argmin())
    assert apart[far] > 0.05 and apart[near] < 0.003  # the scatter of a run is 0.005
    runs = two_laws.new_run(two_laws.points(**{name: offers[name].to_numpy() for name in offers}))
    first = np.repeat([1.0, 0.0], [600, 1400])[:, None]  # whether a draw is of the first law
    origin = np.random.default_rng([0, 21]).choice(2000, 400, replace=False)  # as `posteriors` draws them
    told = posteriors(runs, [far], 400, 0).means(first)[:, 0]
    assert np.abs(told - (origin < 600)) == pytest.approx(0, abs=1e-3)
    left = posteriors(runs, [near], 400, 0).means(first)[:, 0]
    assert np.abs(left - 0.3).max() < 0.2
    for weights in (told, left):  # on average, outcomes leave beliefs as they are
        assert weights.mean() == pytest.approx(0.3, abs=4 * math.sqrt(0.3 * 0.7 / 400))
    assert learned(runs, [far], first, 0).predicted[:, 0] == pytest.approx(first[:, 0], abs=0.2)


def test_a_pilot_buys_the_run_that_tells_laws_apart(two_laws: Ensemble) -> None:
    sizes = np.geomspace(1e7, 1e11, 40)
    line = pd.DataFrame({"params": sizes, "tokens": 20 * sizes})
    apart = laws_apart(two_laws, line)
    far, near = int(apart.argmax()), int(apart.argmin())
    offers = line.iloc[[near, far]].reset_index(drop=True).assign(cost=1.0)
    at = {"params": 1e12, "tokens": 2e13}
    plan = bs.pilot(two_laws, offers, 1.0, forecast_at=at, copies=1)
    assert plan.chosen == (1,)
    assert plan.offers["uncertainty_left"][0] > 0.9 and plan.offers["uncertainty_left"][1] < 0.1
    # One law alone has nothing to learn that matters.
    assert two_laws.only("chinchilla").log_mean(two_laws.points(**at)).std() < 1e-3


def test_no_draw_foretells_its_own_outcome() -> None:
    theta = np.random.default_rng(0).standard_normal((300, 1))
    after = posteriors(scattered(theta, 1e-4), [0], 50, 3)
    origin = np.random.default_rng([3, 21]).choice(300, 50, replace=False)
    assert (after.weights[np.arange(50), origin] < 1e-9).all()
    assert (after.variances(theta) >= 0).all()


def test_what_is_learned_is_tested_on_other_draws() -> None:
    """Outcomes that have nothing to do with a quantity predict it worse than its mean does."""
    rng = np.random.default_rng(0)
    found = learned(scattered(rng.standard_normal((60, 4)), 0.1), range(4), rng.standard_normal((60, 1)), 0)
    assert ((found.predicted - found.actual) ** 2).mean() > found.actual.var()


def test_heavy_tails_say_less_than_their_width() -> None:
    theta = np.random.default_rng(0).standard_normal((2000, 1))
    normal, heavy = (Joint.of(scattered(theta, 0.5, nu), theta).noise[0] for nu in (math.inf, 2.0))
    assert heavy == pytest.approx(normal * 5 / 3)


@pytest.mark.slow
def test_reweighting_agrees_with_refits(few: Ensemble, few_runs: bs.Runs) -> None:
    big = few.points(params=4e10, tokens=8e11)
    target = few.log_mean(big)
    run = few.points(params=2e9, tokens=1e11)
    scatter = few.new_run(run)
    after = posteriors(scatter, [0], 64, 5)
    origin = np.random.default_rng([5, 21]).choice(len(target), 64, replace=False)
    told = after.means(target)[:, 0]
    for place in (int(told.argmin()), int(told.argmax())):
        # The outcome is drawn again as `posteriors` did, to be measured.
        rng = np.random.default_rng([5, 21])
        rng.choice(len(target), 64, replace=False)
        from bayes_scaling.decide.information import _outcomes

        losses = _outcomes(scatter, origin, [0], rng)
        row = {"params": 2e9, "tokens": 1e11, "loss": float(np.exp(losses[place, 0]))}
        more = pd.concat([few_runs.table[list(row)], pd.DataFrame([row])], ignore_index=True)
        refit = fit_exact("chinchilla", bs.Runs.from_frame(more), seed=0, sampler=bs.Sampler(like_rows=16))
        exact = Ensemble.of(refit, unconverged=True).log_mean(big)
        assert told[place] == pytest.approx(exact.mean(), abs=0.25 * target.std())
        spread = math.sqrt(after.variances(winsorise(target))[place, 0])
        assert spread == pytest.approx(winsorise(exact).std(), rel=0.35)


# --- sets -----------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 200), copies=st.integers(1, 2))
def test_sets_keep_to_the_budget_and_come_close_to_the_best(seed: int, copies: int) -> None:
    rng = np.random.default_rng(seed)
    theta = rng.standard_normal((400, 3))
    joint = Joint.of(scattered(theta @ rng.standard_normal((3, 5)), 0.5), theta[:, :1])
    offer = designs.Offer(np.exp(rng.normal(size=5)), np.full(5, copies), 2.0)
    chosen = designs.best_set(joint, offer)
    assert offer.spent(chosen) <= 2.0 * (1 + 1e-9)
    assert max(np.bincount(chosen, minlength=5), default=0) <= copies

    def told(some: Any) -> float:
        return float((shifts_of(joint, some)[0] ** 2).sum())

    sets = (c for n in range(6) for c in itertools.combinations(list(range(5)) * copies, n))
    best = max(told(some) for some in sets if offer.spent(some) <= 2.0)
    assert told(chosen) >= 0.8 * best
    for some in designs.beginnings(joint, offer):
        assert offer.spent(some) <= 2.0 * (1 + 1e-9)


def test_an_order_of_runs_ends_at_the_longest_set_that_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, steps = np.random.default_rng(0), []
    theta = rng.standard_normal((400, 3))
    joint = Joint.of(scattered(theta @ rng.standard_normal((3, 60)), 0.5), theta[:, :1])
    given_one = Joint.given
    monkeypatch.setattr(Joint, "given", lambda self, run: steps.append(run) or given_one(self, run))
    sets = designs.beginnings(joint, designs.Offer(np.ones(60), np.full(60, 4), 200.0))
    assert max(map(len, sets)) == max(designs.LENGTHS)
    assert len(steps) <= len(designs.POWERS) * max(designs.LENGTHS)


def test_a_run_that_is_known_leaves_what_a_normal_leaves() -> None:
    """After each run the covariance is that of a normal, and none of it is copied: it has a row for each candidate."""
    rng = np.random.default_rng(0)
    theta = rng.standard_normal((400, 3))
    joint = Joint.of(scattered(theta @ rng.standard_normal((3, 6)), 0.5), theta[:, :2])
    left = shifts_of(joint, [2, 4, 2])[1]
    covariance = joint.covariance
    for run in (2, 4, 2):
        total = covariance[run, run] + joint.noise[run]
        covariance = covariance - np.outer(covariance[:, run], covariance[run]) / total
    np.testing.assert_allclose(left.covariance, covariance, atol=1e-12)
    np.testing.assert_allclose(left.shifts, covariance[6:] / np.sqrt(np.diagonal(covariance) + joint.noise), atol=1e-12)
    assert left.before is joint.before


def test_one_run_of_thousands_is_appraised_by_its_own_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scale of all candidates is as large as their draws; computing it for each of them is quadratic."""
    runs = scattered(np.random.default_rng(0).standard_normal((300, 8)), 0.5, nu=5.0)
    expected = runs.log_density_given_draw(np.full((1, 8), 0.3))[:, [3]]
    monkeypatch.setattr(Predictive, "total_scale", property(lambda self: pytest.fail("of all candidates")))
    np.testing.assert_allclose(runs.log_density_of(np.array([0.3]), 3), expected)
    assert posteriors(runs, [3], 50, 0).weights.shape == (50, 300)
    assert learned(runs, [3], runs.location[:, :1], 0).predicted.shape == (300, 1)


def test_progress_tells_of_each_run(few: Ensemble) -> None:
    told: list[tuple[str, float]] = []
    with part_of(lambda stage, fraction: told.append((stage, fraction)), "pilots", 0.0, 1.0):
        bs.pilot(few, OFFERS, 0.02 * BUDGET, budget=BUDGET)
    assert sum("each run alone" in stage for stage, _ in told) == len(OFFERS)
    assert [fraction for _, fraction in told] == sorted(fraction for _, fraction in told)


# --- plans ----------------------------------------------------------------------------------------------------------


def test_a_plan_buys_what_is_worth_its_price(plan: bs.PilotPlan) -> None:
    assert plan.buys
    assert plan.value.net > 0
    assert plan.value.gain <= plan.perfect
    assert plan.runs["cost"].sum() == pytest.approx(plan.value.cost)
    assert plan.value.cost <= 0.02 * BUDGET
    assert (plan.runs["copies"] <= 4).all()
    assert plan.value.uncertainty_left < 1
    assert len(plan.offers) == 9
    np.testing.assert_allclose(plan.offers["cost"], 6 * plan.offers["params"] * plan.offers["tokens"])
    assert (plan.offers["gain"] <= plan.perfect + 1e-12).all()
    assert (plan.offers["gain"] >= 0).all()
    assert "Buy" in plan.verdict and "nats" in plan.verdict and "if the laws are right" in plan.verdict
    assert len(plan.chosen) == plan.runs["copies"].sum()
    assert plan.to_dict()["value"]["net"] == pytest.approx(plan.value.gain - plan.value.price)


def test_the_big_run_is_that_of_a_plan(few: Ensemble, plan: bs.PilotPlan) -> None:
    assert plan.big["params"].tolist() == [bs.allocate(few, BUDGET).params]


def test_the_best_of_several_sets_is_judged_by_outcomes_that_did_not_choose_it(
    few: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[int, set[tuple[int, ...]]] = {}

    def noted(signals: Predictive, chosen: Sequence[int], outcomes: int, seed: int) -> Posteriors:
        seen.setdefault(seed, set()).add(tuple(chosen))
        return posteriors(signals, chosen, outcomes, seed)

    monkeypatch.setattr(pilot, "posteriors", noted)
    found = bs.pilot(few, OFFERS, 0.02 * BUDGET, budget=BUDGET, seed=5)
    assert found.buys and seen[6] == {found.chosen} and len(seen[5]) > 3
    seen.clear()
    bs.pilot(few, OFFERS, 1e21, forecast_at={"params": 4e10, "tokens": 8e11}, seed=5)
    assert set(seen) == {5}, "one set alone is the best of none"


def test_by_the_loss_pilots_are_worth_what_they_are_by_a_sure_improvement(loose: Ensemble, sure: bs.PilotPlan) -> None:
    loss = bs.pilot(loose, OFFERS, 0.02 * BUDGET, budget=BUDGET, objective="expected_loss")
    assert loss.perfect > 0
    assert loss.now == pytest.approx(sure.now - 50.0)
    np.testing.assert_allclose(loss.offers["gain"], sure.offers["gain"], atol=1e-9)
    assert loss.chosen == sure.chosen
    np.testing.assert_allclose(loss.half_width, loss.log_losses.std(axis=0), rtol=0.1)  # of a normal


def test_pilots_cost_what_the_big_run_loses_by_them(loose: Ensemble, sure: bs.PilotPlan) -> None:
    assert sure.buys
    whole, left = (bs.allocate(loose, x, incumbent=50.0).value for x in (BUDGET, BUDGET - sure.value.cost))
    assert sure.value.price == pytest.approx(whole - left, rel=0.05)


def test_a_gain_within_its_error_of_the_price_buys_nothing(loose: Ensemble) -> None:
    ask: dict[str, Any] = {"candidates": OFFERS.tail(1), "pilot_budget": 1e22, "budget": BUDGET, "copies": 1}
    free = bs.pilot(loose, price=0.0, **ask).value
    assert free.gain > 3 * free.gain_se
    for errors, buys in ((0.5, False), (2.0, True)):
        assert bs.pilot(loose, price=(free.gain - errors * free.gain_se) / free.cost, **ask).buys is buys


def test_candidates_are_priced_as_the_big_run_is(loose: Ensemble) -> None:
    at, cost = {"params": 4e10, "tokens": 8e11}, bs.costs.gpu_hours(1e15, 0.4)
    offers = bs.pilot(loose, OFFERS.head(2), 1.0, forecast_at=at, cost=cost, copies=1).offers
    np.testing.assert_allclose(offers["cost"], 6 * offers["params"] * offers["tokens"] / (1e15 * 0.4 * 3600))


def test_what_cannot_change_the_choice_is_not_bought(few: Ensemble) -> None:
    """Where N is fixed there is nothing to choose; where time is dear nothing is worth it."""
    fixed = bs.pilot(few, OFFERS, 1e21, budget=BUDGET, constraints=bs.Constraints(params=(1e10, 1e10)))
    assert not fixed.buys and fixed.perfect == 0
    assert fixed.verdict.startswith("Buy nothing") and ", if the laws are right." in fixed.verdict
    assert (fixed.offers["gain"] == 0).all()
    dear = bs.pilot(few, OFFERS, 1e21, budget=BUDGET, price=1.0)
    assert not dear.buys and dear.perfect > 0


def test_more_pilots_tell_more(few: Ensemble) -> None:
    at = {"params": 4e10, "tokens": 8e11}
    left = [bs.pilot(few, OFFERS, budget, forecast_at=at).value.uncertainty_left for budget in (1e19, 1e21)]
    assert left[1] < left[0] < 1
    free = bs.pilot(few, OFFERS, 1e21, budget=BUDGET, price=0.0)
    assert free.value.price == 0
    assert free.value.gain <= free.perfect


def test_bought_runs_narrow_the_forecast_as_foretold(few: Ensemble, few_runs: bs.Runs) -> None:
    """One run, bought, its loss as the beliefs expect it: the spread of the next plan is that of this one's promise."""
    at = {"params": 4e10, "tokens": 8e11}
    offer = pd.DataFrame({"params": [2e9], "tokens": [1e11]})
    plan = bs.pilot(few, offer, 1e22, forecast_at=at, copies=1)
    expected = float(np.exp(np.median(few.log_mean(few.points(params=2e9, tokens=1e11)))))
    row = {"params": 2e9, "tokens": 1e11, "loss": expected}
    more = pd.concat([few_runs.table[list(row)], pd.DataFrame([row])], ignore_index=True)
    refit = fit_exact("chinchilla", bs.Runs.from_frame(more), seed=0, sampler=bs.Sampler(like_rows=16))
    after = bs.pilot(refit, offer, 1e22, forecast_at=at, copies=1, unconverged=True)
    assert after.half_width[0] / plan.half_width[0] == pytest.approx(plan.value.uncertainty_left, rel=0.4)
    assert after.value.uncertainty_left > plan.value.uncertainty_left


def test_pilots_in_other_inputs_need_a_price() -> None:
    runs = bs.Runs.from_frame(pd.DataFrame({"flops": np.geomspace(1e18, 1e20, 8), "loss": np.linspace(3.2, 2.6, 8)}))
    fit = bs.Ensemble.of(fit_exact("power_law", runs, sampler="laplace", seed=0), unconverged=True)
    offers = pd.DataFrame({"flops": [1e20, 1e21], "cost": [1.0, 10.0]})
    plan = bs.pilot(fit, offers, 20.0, forecast_at={"flops": 1e23}, copies=1)
    assert set(plan.chosen) == {0, 1}
    with pytest.raises(bs.errors.PlanError, match="give their cost too"):
        bs.pilot(fit, offers[["flops"]], 20.0, forecast_at={"flops": 1e23})


def test_same_seed_same_pilots(few: Ensemble, plan: bs.PilotPlan) -> None:
    assert bs.pilot(few, OFFERS, 0.02 * BUDGET, budget=BUDGET).to_dict() == plan.to_dict()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"budget": None}, "say what the pilots are for"),
        ({"forecast_at": {"params": 1e9, "tokens": 1e10}}, "say what the pilots are for"),
        ({"budget": None, "forecast_at": {"params": [], "tokens": []}}, "params of a run: got no numbers"),
        ({"pilot_budget": -1.0}, "the pilot budget is -1"),
        ({"pilot_budget": 2e23}, "less than the budget of 1e.23"),
        ({"pilot_budget": 1e10}, "pays for none of the candidates"),
        ({"copies": 0}, "copies is 0"),
        ({"price": -1.0}, "the price is -1"),
        ({"candidates": {}}, "no candidates"),
        ({"candidates": {"params": (1e8, 1e9)}}, "tokens is missing"),
        ({"candidates": {"params": (1e9, 1e8), "tokens": 1e9}}, "expected a number or a range"),
        ({"candidates": pd.DataFrame({"params": [], "tokens": []})}, "no candidates"),
        ({"candidates": pd.DataFrame({"params": [1e8], "tokens": [1e9], "cost": [-1.0]})}, "costs of candidates"),
        ({"objective": bs.objectives.cvar(0.05)}, "not an expected value"),
        ({"candidates": pd.DataFrame({"params": [1e8], "tokens": [1e9], "cost": ["x"]})}, "costs of candidates"),
        ({"budget": -1.0}, "expected a positive number|less than the budget"),
    ],
)
def test_bad_questions_are_explained(few: Ensemble, change: dict[str, Any], says: str) -> None:
    asked: dict[str, Any] = {"candidates": OFFERS, "pilot_budget": 1e21, "budget": BUDGET, **change}
    with pytest.raises((bs.errors.PlanError, bs.errors.ForecastError), match=says):
        bs.pilot(few, asked.pop("candidates"), asked.pop("pilot_budget"), **asked)


@pytest.mark.parametrize("params", ["abc", -1e9, math.nan])
def test_candidates_that_are_no_runs_are_named(few: Ensemble, params: Any) -> None:
    offers = pd.DataFrame({"params": [1e8, params], "tokens": [1e9, 1e9]})
    with pytest.raises(bs.errors.DataError, match="the candidates, row 2, column params"):
        bs.pilot(few, offers, 1e21, budget=BUDGET)


def test_candidates_are_spelled_like_fitted_runs(few: Ensemble, plan: bs.PilotPlan) -> None:
    offers = OFFERS.rename(columns={"params": "N", "tokens": "D"})
    pd.testing.assert_frame_equal(bs.pilot(few, offers, 0.02 * BUDGET, budget=BUDGET).runs, plan.runs)


def test_pilots_that_leave_few_draws_any_weight_warn_of_nothing() -> None:
    law = bs.load_law("chinchilla").at("besiroglu2024")
    laws = believed("chinchilla", law.constants.values, 400, spread=0.01)
    offers = pd.DataFrame(itertools.product((1e8, 1e9, 1e10), (1e9, 1e10, 1e11)), columns=["params", "tokens"])
    plan = bs.pilot(laws, offers, 1.44e22, forecast_at={"params": 4e10, "tokens": 8e11})
    assert plan.offers["gain"].notna().all()
