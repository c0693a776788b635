"""Plans with a law that reads the learning rate: size, tokens, batch and rate together."""

from __future__ import annotations

import functools

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
