"""Costs: FLOPs, hours, money, and serving after training."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpyro.distributions as dist
import pytest

import bayes_scaling as bs
from bayes_scaling.decide.costs import Cost, flops, gpu_hours, lifetime, money
from bayes_scaling.decide.decision import allocate
from bayes_scaling.errors import BayesScalingError
from bayes_scaling.predict.ensemble import Ensemble

PEAK = 989e12


@pytest.fixture(scope="module")
def beliefs(chinchilla_fit: bs.Fit) -> Ensemble:
    return Ensemble.of(chinchilla_fit, seed=0)


@pytest.mark.parametrize(
    ("cost", "budget"),
    [
        (flops(), 1e22),
        (gpu_hours(PEAK, 0.4), 1e5),
        (gpu_hours(PEAK, np.linspace(0.2, 0.5, 101)), 1e5),
        (gpu_hours(PEAK, dist.Beta(40.0, 60.0), quantile=0.9), 1e5),
        (money(PEAK, 0.4, 2.5), 2e5),
        (money(PEAK, dist.Beta(40.0, 60.0), dist.LogNormal(1.0, 0.2), currency="EUR"), 2e5),
        (lifetime(1e11), 1e22),
        (lifetime(dist.LogNormal(26.0, 1.0), quantile=0.8), 1e22),
    ],
)
def test_budgets_add_up(beliefs: Ensemble, cost: Cost, budget: float) -> None:
    found = allocate(beliefs.take(range(50)), budget, cost=cost)
    assert found.cost == pytest.approx(budget, rel=1e-9)
    assert np.mean(found.costs <= budget * (1 + 1e-9)) >= cost.quantile
    low, high = found.interval(0.9, "cost")
    assert low <= budget * (1 + 1e-9) and budget <= high * (1 + 1e-9)
    for rule in found.alternatives.values():
        assert rule.cost == pytest.approx(budget, rel=1e-9)
    assert found.unit == cost.unit


def test_hours_and_money_are_flops_at_a_price(beliefs: Ensemble) -> None:
    some = beliefs.take(range(50))
    by_flops = allocate(some, 1e22)
    hours = 1e22 / (PEAK * 0.4 * 3600)
    by_hours = allocate(some, hours, cost=gpu_hours(PEAK, 0.4))
    by_money = allocate(some, hours * 3, cost=money(PEAK, 0.4, 3.0))
    assert by_hours.params == pytest.approx(by_flops.params, rel=1e-6)
    assert by_money.params == pytest.approx(by_flops.params, rel=1e-6)
    careful = allocate(some, hours, cost=gpu_hours(PEAK, dist.Beta(40.0, 60.0), quantile=0.95))
    assert careful.tokens * careful.params < by_hours.tokens * by_hours.params


def test_demand_makes_models_smaller(beliefs: Ensemble) -> None:
    some = beliefs.take(range(0, 4000, 40))
    plans = [allocate(some, 1e23, cost=lifetime(demand)) for demand in (0.0, 1e11, 1e12, 1e13)]
    assert np.all(np.diff([found.params for found in plans]) < 0)
    assert plans[0].params == pytest.approx(allocate(some, 1e23).params, rel=1e-9)
    for found in plans:
        assert (found.regret >= 0).all()
        for rule in found.alternatives.values():
            assert (rule.regret >= 0).all() and np.isfinite(rule.wasted).all()


def test_lifetime_optimum_is_sardanas(beliefs: Ensemble) -> None:
    """At the optimum of each draw the served tokens are those that inference_tokens would justify."""
    found = allocate(beliefs.take(range(20)), 1e23, cost=lifetime(2e12))
    theta = {name: values[:20] for name, values in next(iter(beliefs.members.values())).theta.items()}
    served = bs.units.inference_tokens(found.optimum_params, found.optimum_tokens, theta)
    np.testing.assert_allclose(served, 2e12, rtol=1e-5)


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: gpu_hours(PEAK, 40), "utilisation is 40, .*; write 0.4 for 40 percent"),
        (lambda: gpu_hours(PEAK, [0.4, 40]), "write 0.4 for 40 percent"),
        (lambda: gpu_hours(PEAK, 0.0), "utilisation is 0, expected a fraction"),
        (lambda: gpu_hours(PEAK, "much"), "expected a number or an array of numbers or a numpyro Distribution"),
        (lambda: gpu_hours(PEAK, dist.Normal(40.0, 5.0)).spending(), "utilisation is .* percent"),
        (lambda: gpu_hours(PEAK, dist.Normal(0.4, 0.1).expand([2])).spending(), "a distribution over arrays"),
        (lambda: gpu_hours(0.0, 0.4), "peak_flops is 0"),
        (lambda: gpu_hours(PEAK, 0.4, quantile=90), "write 0.9 for 90 percent"),
        (lambda: money(PEAK, 0.4, -2), "price is -2, expected a positive"),
        (lambda: money(PEAK, [0.4, 0.5], [1.0, 2.0, 3.0]).spending(), "numbers of draws differ"),
        (lambda: lifetime(-1e9), "serving_tokens is -1e"),
        (lambda: lifetime(math.nan), "serving_tokens is nan"),
        (lambda: lifetime(math.inf), "serving_tokens is inf, expected a finite number, 0 or more"),
    ],
)
def test_bad_costs_are_explained(ask: Any, says: str) -> None:
    with pytest.raises(BayesScalingError, match=says) as caught:
        ask()
    assert "\n" not in str(caught.value)


def test_a_plan_says_how_often_its_cost_is_above_the_budget(beliefs: Ensemble) -> None:
    some, prices = beliefs.take(range(50)), dist.LogNormal(1.0, 0.2)
    for quantile, share in ((0.5, 0.5), (0.9, 0.1)):
        plan = allocate(some, 2e5, cost=money(PEAK, 0.4, prices, quantile=quantile))
        assert plan.over_budget == pytest.approx(share, abs=0.02)
        assert "of draws it costs more than the budget" in plan.verdict
    sure = allocate(some, 1e22, cost=flops())
    assert sure.over_budget == 0 and "more than the budget" not in sure.verdict
