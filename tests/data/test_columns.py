"""Derived columns: the same wherever they are derived, whatever the order in which columns come."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bayes_scaling as bs
from bayes_scaling.data.columns import RULES, derive_missing

SIZES = ("params", "tokens", "flops", "steps", "batch_tokens")
amounts = st.floats(1e3, 1e13)
complete = st.fixed_dictionaries({"params": amounts, "steps": st.floats(1e2, 1e7), "batch_tokens": st.floats(1e3, 1e8)})
"""Runs of which everything else follows."""
some_columns = st.sets(st.sampled_from(SIZES)).map(sorted)


def whole(run: dict[str, float]) -> dict[str, float]:
    """Return a run with all its sizes, which agree with each other."""
    tokens = run["steps"] * run["batch_tokens"]
    return {**run, "tokens": tokens, "flops": 6 * run["params"] * tokens}


@given(run=complete, kept=some_columns)
def test_what_is_given_is_never_replaced(run: dict[str, float], kept: list[str]) -> None:
    given_columns = {name: whole(run)[name] * 1.01 for name in kept}
    found, said = derive_missing(given_columns)
    assert {name: found[name] for name in kept} == given_columns
    assert len(said) == len(found) - len(kept)


@given(run=complete, kept=some_columns, data=st.data())
def test_the_order_of_columns_does_not_matter(run: dict[str, float], kept: list[str], data: st.DataObject) -> None:
    there = {name: whole(run)[name] for name in kept}
    shuffled = {name: there[name] for name in data.draw(st.permutations(kept))}
    assert derive_missing(shuffled) == derive_missing(there)


@given(run=complete, kept=some_columns)
def test_derived_columns_agree_with_the_run(run: dict[str, float], kept: list[str]) -> None:
    found, _ = derive_missing({name: whole(run)[name] for name in kept})
    for name, value in found.items():
        assert value == pytest.approx(whole(run)[name], rel=1e-12)


@given(run=complete, kept=some_columns)
def test_once_is_enough(run: dict[str, float], kept: list[str]) -> None:
    found, _ = derive_missing({name: whole(run)[name] for name in kept})
    assert derive_missing(found) == (found, ())
    for rule in RULES:
        assert rule.name in found or not set(rule.needs) <= set(found)


def test_numbers_and_arrays_are_derived_alike() -> None:
    one, _ = derive_missing({"params": 1e9, "tokens": 2e10, "batch_tokens": 1e6})
    many, said = derive_missing(
        {"params": np.array([1e9]), "tokens": np.array([2e10]), "batch_tokens": np.array([1e6])}
    )
    assert {name: float(values[0]) for name, values in many.items()} == one
    assert said == ("steps derived as tokens / batch_tokens", "flops derived as 6 params x tokens")


@pytest.mark.parametrize("columns", list(itertools.permutations(["params", "tokens", "loss"])))
def test_a_table_is_the_same_in_any_order_of_columns(columns: tuple[str, ...]) -> None:
    frame = pd.DataFrame({"params": [1e8, 1e9], "tokens": [2e9, 2e10], "loss": [3.0, 2.5]})
    runs = bs.Runs.from_frame(frame[list(columns)])
    assert list(runs.table) == ["params", "tokens", "flops", "loss"]
    assert runs.notes == ("flops derived as 6 params x tokens",)


@pytest.fixture(scope="module")
def steps_fit() -> bs.Fit:
    """A law that reads steps, fitted to a table that has them."""
    table = bs.grid(params=np.logspace(7, 9, 5), steps=np.logspace(3, 5, 5))
    runs = bs.simulate("kaplan_steps", table, "kaplan2020", seed=0)
    return bs.fit("kaplan_steps", runs, sampler="laplace", discrepancy="none", progress=False)


@pytest.mark.parametrize(
    "inputs",
    [
        {"params": 1e9, "tokens": 2e10, "batch_tokens": 5e5},
        {"params": 1e9, "steps": 4e4, "batch_tokens": 5e5},
        {"params": 1e9, "flops": 1.2e20, "batch_tokens": 5e5},
    ],
)
def test_a_forecast_and_a_plan_take_the_same_inputs(steps_fit: bs.Fit, inputs: dict[str, float]) -> None:
    ahead = bs.forecast(steps_fit, seed=0, unconverged=True, **inputs)
    same = bs.forecast(steps_fit, seed=0, unconverged=True, params=1e9, steps=4e4)
    assert ahead.median() == pytest.approx(same.median())
    plans = bs.Ensemble.of(steps_fit, unconverged=True)
    planned, known = plans.points(**inputs), plans.points(params=1e9, steps=4e4)
    assert plans.log_mean(planned) == pytest.approx(plans.log_mean(known))
