"""Plans with a law that reads the learning rate: size, tokens, batch and rate together."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import bayes_scaling as bs
from tests.predict.test_tuning import fitted

DEADLINE = bs.Constraints(deadline_hours=20, step_seconds=1.0)
BUDGET = 1e21


@functools.cache
def ensemble() -> bs.Ensemble:
    return bs.Ensemble.of(fitted().thinned(100), unconverged=True)


def test_a_plan_trains_at_the_best_rate_of_its_size_and_batch() -> None:
    plan = bs.allocate(ensemble(), BUDGET)
    assert plan.batch_tokens is not None and plan.peak_learning_rate is not None
    found = bs.optimal_hyperparameters(ensemble(), params=plan.params, tokens=plan.tokens)
    assert plan.peak_learning_rate == pytest.approx(found.rate, rel=0.1)
    assert found.wasted(plan.peak_learning_rate, plan.batch_tokens).mean() < found.wasted(found.rate).mean() + 0.005
    assert "with a peak learning rate of" in plan.verdict
    rates = plan.to_frame()["peak_learning_rate"]
    assert np.unique(rates).size > 3  # each size has its own


def test_a_plan_and_the_choice_of_hyperparameters_agree_on_the_best_ones() -> None:
    plan = bs.allocate(ensemble(), BUDGET, seed=3)
    size: dict[str, Any] = {"params": plan.params, "tokens": plan.tokens, "seed": 3}
    free = bs.optimal_hyperparameters(ensemble(), **size)
    at_batch = bs.optimal_hyperparameters(ensemble(), **size, batch_tokens=plan.batch_tokens)
    assert plan.interval(0.9, "best_batch_tokens") == free.interval("batch_tokens")
    low, high = plan.interval(0.9, "best_rate")
    assert (low, high) == at_batch.interval("rate")
    alone = np.log(plan.best_rate) - at_batch.leftover.rate  # type: ignore[arg-type]
    assert np.log(high / low) > np.subtract(*np.quantile(alone, [0.95, 0.05]))  # wider than the law's own
    assert plan.to_dict()["best_rate_90"] == [low, high] and f"(best: {low:.3g} to {high:.3g}" in plan.verdict


def test_a_plan_without_a_learning_rate_says_nothing_of_the_best_one(chinchilla_fit: bs.Fit) -> None:
    plan = bs.allocate(chinchilla_fit, 1e22)
    assert plan.best_rate is None and "best_rate_90" not in plan.to_dict()
    with pytest.raises(bs.errors.PlanError, match="of is 'best_rate'"):
        plan.interval(0.9, "best_rate")


@pytest.mark.slow
def test_a_deadline_asks_for_a_larger_batch_and_with_it_for_another_rate() -> None:
    free, hurried = bs.allocate(ensemble(), BUDGET), bs.allocate(ensemble(), BUDGET, constraints=DEADLINE)
    assert free.steps is not None and free.steps > 72_000 >= hurried.steps * (1 - 1e-9)  # type: ignore[operator]
    assert hurried.batch_tokens > free.batch_tokens  # type: ignore[operator]
    assert hurried.choice.expected_loss > free.choice.expected_loss
    at_batch = {"params": hurried.params, "tokens": hurried.tokens, "batch_tokens": hurried.batch_tokens}
    best = bs.optimal_hyperparameters(ensemble(), **at_batch)  # type: ignore[arg-type]
    assert hurried.peak_learning_rate == pytest.approx(best.rate, rel=0.1)


@pytest.mark.slow
def test_a_rate_that_is_given_is_kept() -> None:
    plan = bs.allocate(ensemble(), BUDGET, given={"peak_learning_rate": 5e-4})
    assert plan.peak_learning_rate == 5e-4
    assert plan.choice.expected_loss > bs.allocate(ensemble(), BUDGET).choice.expected_loss
