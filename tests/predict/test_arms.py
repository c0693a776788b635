"""Curves of recipes: multipliers, crossings and odds, read off draws whose answers are known."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.predict.along import Along, at_each, reached
from bayes_scaling.predict.arms import ArmCurves
from tests.support import believed, off_by

HALF = {"E": 1.7, "A": 300.0, "B": 400.0, "alpha": 0.3, "beta": 0.3}


def curves(budget: float = 1e23, **other: float) -> ArmCurves:
    """Return curves of two recipes around known constants, the second with others."""
    arms = {"a": believed("chinchilla", HALF, spread=0.0), "b": believed("chinchilla", {**HALF, **other}, spread=0.0)}
    return ArmCurves.of(arms, Along("flops", 20.0, {}), 1e19, budget)


def test_a_multiplier_is_the_ratio_of_computes_for_one_loss() -> None:
    """With equal exponents both terms fall as C^-0.15: coefficients over k are worth k^(1 / 0.15) of compute."""
    k = 1.05
    better = curves(A=300 / k, B=400 / k)
    expected = k ** (1 / 0.15)
    for found in (better.speedup("b", "a", at=1e22), better.speedup("b", "a", loss=2.2)):
        assert found.median == pytest.approx(expected, rel=2e-3) and found.ahead == 1 and found.defined == 1
    back = better.speedup("a", "b", at=1e22)
    assert back.median == pytest.approx(1 / expected, rel=2e-3) and back.ahead == 0
    assert better.ahead("b", "a", 1e22) == 1 and better.best(1e22) == {"a": 0.0, "b": 1.0}
    np.testing.assert_allclose(better.speedup("a", "a", at=1e22).log_draws, 0.0, atol=1e-9)


def test_a_multiplier_has_a_sign_and_may_be_infinite() -> None:
    lower = curves(E=1.5)
    never = lower.speedup("b", "a", loss=1.65)
    assert never.median == math.inf and never.interval() == (math.inf, math.inf), "a never gets there"
    assert lower.speedup("a", "b", loss=1.65).median == 0.0
    nowhere = lower.speedup("a", "b", loss=1.2)
    assert nowhere.defined == 0 and math.isnan(nowhere.median) and math.isnan(nowhere.ahead), "neither does"


def test_what_a_recipe_is_off_its_law_counts() -> None:
    """With an error of one percent of its own, ``b`` is as good as ``a`` is at a multiple of its size."""
    both = curves(A=290.0)
    there = dataclasses.replace(both, arms={**both.arms, "b": off_by(both.arms["b"], 0.01)})
    multiplier = there.speedup("b", "a", at=1e22).median
    assert multiplier < 1 < both.speedup("b", "a", at=1e22).median
    np.testing.assert_allclose(there.at("a", 1e22 * multiplier), there.at("b", 1e22), rtol=1e-4)


def test_where_curves_cross() -> None:
    """A shallower curve that starts lower is overtaken where both are equal."""
    x = np.geomspace(1e19, 1e23, 4001)
    n = np.sqrt(x / 120)

    def loss(alpha: float, A: float) -> np.ndarray:
        return 1.7 + A * n**-alpha + 400 * (20 * n) ** -0.3

    steeper = 300 * (1e9) ** 0.05
    true = x[np.abs(loss(0.35, steeper) - loss(0.3, 300)).argmin()]
    found = curves(alpha=0.35, A=steeper).crossing("b", "a", 1e19, 1e23)
    assert found.probability == 1 and found.arm_leads.all()
    assert found.median == pytest.approx(true, rel=0.05)
    beyond = curves(alpha=0.35, A=steeper).crossing("b", "a", 1e21, 1e23)
    assert beyond.probability == 0 and math.isnan(beyond.median) and beyond.arm_leads.all()


def test_what_grows() -> None:
    law = bs.load_law("chinchilla")
    runs = bs.Runs.from_frame(pd.DataFrame({"params": [1e8, 1e9], "tokens": [1e9, 4e10], "loss": [3.0, 2.5]}))
    usual = Along.through(law, runs, {}, None)
    assert usual.of == "flops" and usual.tokens_per_param == 25 and usual.words == "FLOPs at 25 tokens per parameter"
    point = usual.inputs(np.array([6 * 1e9 * 25e9]))
    assert point["params"][0] == pytest.approx(1e9) and point["tokens"][0] == pytest.approx(25e9)
    np.testing.assert_allclose(usual.sizes(runs), [6e17, 2.4e20])
    fixed = Along.through(law, runs, {"tokens": 1e10}, None)
    assert fixed.of == "params" and fixed.inputs(np.array([3.0]))["tokens"][0] == 1e10
    for given, ratio, words in (
        ({"steps": 1.0}, None, "'steps' is no input of law chinchilla"),
        ({"params": 1e9, "tokens": 1e10}, None, "fix all but one of them"),
        ({"tokens": 1e9}, 20.0, "tokens_per_param is for a law in params and tokens"),
        ({}, -1.0, "tokens_per_param is -1, expected a positive number"),
    ):
        with pytest.raises(bs.errors.ForecastError, match=words):
            Along.through(law, runs, given, ratio)


def test_reading_off_curves() -> None:
    places, falling = np.array([0.0, 1.0, 2.0]), np.array([[3.0, 2.0, 1.0], [3.0, 2.9, 2.8]])
    np.testing.assert_allclose(at_each(falling, places, np.array([0.5, 2.0])), [2.5, 2.8])
    np.testing.assert_allclose(reached(falling, places, np.array([1.5, 1.5])), [1.5, np.inf])
    np.testing.assert_allclose(reached(falling, places, np.array([5.0, 3.0])), [0.0, 0.0])


def test_questions_without_an_answer_are_refused() -> None:
    both = curves(A=290.0)
    for call, words in (
        (lambda: both.speedup("b", "a"), "give one of the two"),
        (lambda: both.speedup("b", "a", at=1e22, loss=2.0), "give one of the two"),
        (lambda: both.speedup("c", "a", at=1e22), "there is no recipe 'c'; there are a, b"),
        (lambda: both.speedup("b", "a", loss=-2.0), "target loss is -2"),
        (lambda: both.ahead("b", "a", 1e40), "out of reach"),
        (lambda: both.crossing("b", "a", 1e22, 1e21), "the smaller first"),
    ):
        with pytest.raises(bs.errors.ForecastError, match=words):
            call()
