"""Recipes: fits of several of them, what is said of the choice, and what is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.decide import recipes
from bayes_scaling.decide.recipes import _payoffs, _side_by_side
from bayes_scaling.evaluate import arms
from bayes_scaling.evaluate.arms import Arms, arms_laws, one_scale, paired, recipes_of, with_absolute_floor
from bayes_scaling.inference.diagnostics import Diagnostics
from bayes_scaling.laws.parameters import ReferencePoint, resolve
from bayes_scaling.predict.along import Along
from tests.support import believed, refusal

TRUTH = {"E": 1.7, "A": 400.0, "B": 400.0, "alpha": 0.33, "beta": 0.3}


def two(better: float = 1.04, seed: int = 0, seeds: bool = True) -> bs.Runs:
    """Return runs of two recipes on one grid with the same seeds; terms of ``b`` are smaller by a factor."""
    rng, parts = np.random.default_rng(seed), []
    grid = bs.grid(params=[2e7, 1e8, 5e8], tokens=[1e9, 4e9, 1.6e10])
    common = 0.005 * rng.standard_normal(len(grid))
    for name, factor in (("a", 1.0), ("b", better)):
        one = {**TRUTH, "A": TRUTH["A"] / factor, "B": TRUTH["B"] / factor}
        loss = bs.load_law("chinchilla").evaluate(one, params=grid["params"], tokens=grid["tokens"])
        parts.append(
            grid.assign(recipe=name, seed=0, loss=loss * np.exp(common + 1e-3 * rng.standard_normal(len(grid))))
        )
    table = pd.concat(parts, ignore_index=True)
    return bs.Runs.from_frame(table if seeds else table.drop(columns="seed"))


@pytest.fixture(scope="module")
def found() -> bs.RecipeComparison:
    how: dict[str, Any] = {"sampler": "laplace", "unconverged": True, "progress": False}
    return bs.compare_recipes(two(), budget=1e22, target=2.2, pilot_budget=0.0, law="chinchilla", **how)


def test_both_readings_are_shown_beside_the_usual_ranking(found: bs.RecipeComparison) -> None:
    frame = found.to_frame()
    assert list(frame["irreducible"]) == ["shared", "own"] and set(frame["recipe"]) == {"b"}
    assert found.recipes == ("a", "b") and found.pairs == 9
    assert (frame["one_scale"] < 1).all(), "b is better at the largest common scale"
    assert {"multiplier_to_target", "target_defined"} <= set(frame)
    assert found.decision == "promote" and found.verdict.startswith("Promote b; at 1e+22 FLOPs b is worth")
    assert "With an irreducible loss of each recipe's own the probability is" in found.verdict
    content = found.to_dict()
    assert content["decision"] == "promote" and content["pilots"] is None and len(content["recipes"]) == 2
    turned = dataclasses.replace(found, baseline="b").to_frame()
    np.testing.assert_allclose(turned["one_scale"] * frame["one_scale"], 1.0)
    back = found.speedup("a", over="b")
    np.testing.assert_allclose(back.median * found.speedup("b").median, 1.0, rtol=0.1)
    assert found.ahead("a", over="b") == pytest.approx(1 - found.ahead("b"))


def test_the_floor_is_one_loss_for_all_where_it_is_shared(found: bs.RecipeComparison) -> None:
    shared, own = (found.readings[name].fits["chinchilla"].draws for name in ("shared", "own"))
    assert "E" in shared and {"E[a]", "E[b]"} <= own.keys()
    law = with_absolute_floor(bs.load_law("chinchilla"))
    assert [row.name for row in law.parameters][:2] == ["E", "L_0"]
    pure = bs.load_law("power_law", form="pure")
    assert with_absolute_floor(pure) is pure


def test_beyond_its_largest_run_a_recipe_leaves_the_law_by_its_scatter_and_its_lead(found: bs.RecipeComparison) -> None:
    both = found.readings["shared"].arms
    (member,) = both["b"].members.values()
    largest = {"params": 5e8, "tokens": 1.6e10}
    a, b = (arm.log_law(arm.points(**largest))[:, 0] for arm in both.values())
    scale = np.hypot(arms.APART * member.theta["sigma"], arms.LEAD * (a - b) / 2)
    beyond = np.array([-3.0, -0.2, 1.0, 4.0])  # e-folds of size
    left = both["b"].discrepancy(both["b"].points(params=5e8, tokens=1.6e10 * np.exp(beyond)))
    assert not left[:, beyond < 0].any()
    np.testing.assert_allclose((left[:, beyond > 0] / scale[:, None]).std(axis=0), [1.0, 2.0], rtol=0.05)


@pytest.mark.parametrize(("name", "floor"), [("max_form", "L_inf"), ("sparsity", "c"), ("farseer", None)])
def test_the_floor_may_have_any_name(name: str, floor: str | None) -> None:
    law = with_absolute_floor(bs.load_law(name))
    at = ReferencePoint(3.0, dict.fromkeys([*law.inputs], 1.0))
    sites = {row.site: 0.5 for row in law.sampled}
    if floor is None:
        assert law.irreducible is None
    else:
        values = resolve(law.parameters[:2], sites, at)
        assert values == {floor: 1.5, "L_0": 1.5 + 0.5 * 1.5}
        assert with_absolute_floor(bs.load_law(name)).computes == law.computes, "programs are found again"


def test_a_floor_that_follows_the_level_is_said(monkeypatch: pytest.MonkeyPatch, found: bs.RecipeComparison) -> None:
    made = found.readings["own"].fits["chinchilla"]
    monkeypatch.setattr(arms, "fit_law", lambda *_, **__: made)
    law = dataclasses.replace(bs.load_law("chinchilla"), parameters=_with_other_floor())
    with pytest.warns(bs.errors.BayesScalingWarning, match="irreducible loss of chinchilla follows the level of the"):
        arms.fitted_arms([law], two(), "recipe", "shared", unconverged=True)


def _with_other_floor() -> tuple[Any, ...]:
    rows = bs.load_law("chinchilla").parameters
    return tuple(
        dataclasses.replace(row, value=lambda draw, at, L_0: draw * L_0) if row.name == "E" else row for row in rows
    )


def test_several_laws_share_the_draws() -> None:
    how: dict[str, Any] = {"budget": 1e22, "pilot_budget": 1e21, "sampler": "laplace", "unconverged": True}
    laws = ["chinchilla", "kaplan_joint"]
    both = bs.compare_recipes(two(), law=laws, progress=False, **how)
    assert both.to_dict()["laws"] == laws and both.pilots is not None
    alone = [bs.compare_recipes(two(), law=law, progress=False, **how) for law in laws]
    for reading in ("shared", "own"):
        a, b = (both.readings[reading].arms[name] for name in "ab")
        assert list(a.weights.values()) == [0.5, 0.5] and len(a) == len(b) == 4000
        for name in laws:
            np.testing.assert_array_equal(a.members[name].draws, b.members[name].draws)
        odds = [one.ahead("b", irreducible=reading if len(one.readings) > 1 else None) for one in alone]
        assert both.ahead("b", irreducible=reading) == pytest.approx(np.mean(odds), abs=0.03)  # type: ignore[arg-type]
    assert list(alone[1].readings) == ["shared"], "the law has no irreducible loss"
    pure = [both.readings[reading].fits["kaplan_joint"] for reading in ("shared", "own")]
    assert pure[0] is pure[1], "its fit is the same in both readings"


def test_laws_that_do_not_converge_have_no_say(found: bs.RecipeComparison, monkeypatch: pytest.MonkeyPatch) -> None:
    good = found.readings["shared"].fits["chinchilla"]
    bad = dataclasses.replace(good, diagnostics=Diagnostics(4.0, 4000, 4000, 0, 1.0, "E"))
    settled = dataclasses.replace(good, diagnostics=Diagnostics(1.0, 4000, 4000, 0, 1.0))
    made = {"chinchilla": settled, "nesting": bad}
    monkeypatch.setattr(arms, "fit_law", lambda law, *_, **__: made[law.label])
    laws = arms_laws(list(made), two())
    with pytest.warns(
        bs.errors.BayesScalingWarning, match="nesting did not converge .* no say where irreducible is own"
    ):
        kept = arms.fitted_arms(laws, two(), "recipe", "own")
    assert list(kept.fits) == ["chinchilla"]
    made["chinchilla"] = bad
    with pytest.raises(bs.errors.ConvergenceError, match=r"R-hat 4\.000 of E"):
        arms.fitted_arms(laws, two(), "recipe", "own")


def test_laws_of_recipes_read_the_same_inputs() -> None:
    assert [law.label for law in arms_laws(None, two())] == ["chinchilla", "kaplan_joint", "nesting", "farseer"]
    batches = 10.0 ** np.random.default_rng(0).integers(4, 8, len(two()))
    table = two().table.assign(batch_tokens=batches).drop(columns="flops")
    assert [law.label for law in arms_laws(None, bs.Runs.from_frame(table))] == ["chinchilla"]
    with pytest.raises(bs.errors.LawError, match="chinchilla reads params, tokens, and power_law:input=params params;"):
        arms_laws(["chinchilla", "power_law:input=params"], two())
    with pytest.raises(bs.errors.LawError, match="no law to compare recipes by"):
        arms_laws([], two())


def test_runs_alike_are_paired() -> None:
    runs, law = two(), bs.load_law("chinchilla")
    names = recipes_of(runs, "recipe")
    block = paired(runs, names, law)
    assert block is not None and set(pd.Series(block).value_counts()) == {2}
    other = dataclasses.replace(runs, table=runs.table.assign(seed=np.arange(len(runs))))
    assert paired(other, names, law) is None, "no two runs have a seed in common"
    twice = dataclasses.replace(runs, table=pd.concat([runs.table, runs.table]))
    assert paired(twice, names * 2, law) is None, "no telling which runs belong together"
    one_row = runs.table.assign(run=[f"{name} {row}" for row, name in enumerate(names)])
    np.testing.assert_array_equal(paired(bs.Runs.from_frame(one_row), names, law), block)
    curves = bs.Runs.from_frame(runs.table.assign(run=runs.table["recipe"] + runs.table["params"].astype(str)))
    assert paired(curves, names, law) is None, "rows of a training curve share the deviation of their run"


def test_ranking_by_one_scale() -> None:
    runs, law = two(), bs.load_law("chinchilla")
    sizes = 6 * runs.column("params") * runs.column("tokens")
    (row,) = one_scale(runs, "recipe", law, sizes).to_dict(orient="records")
    assert row["recipe"] == "b" and row["over"] == "a" and row["size"] == sizes.max() and row["log_ratio"] < 0
    moved = runs.table.assign(params=runs.table["params"] * np.where(runs.table["recipe"] == "b", 1.1, 1.0))
    near = bs.Runs.from_frame(moved.drop(columns="flops"))
    (row,) = one_scale(near, "recipe", law, sizes).to_dict(orient="records")
    assert row["log_ratio"] < 0, "sizes within a quarter count as one scale"


def test_the_choice_is_worth_the_loss_that_it_saves() -> None:
    """Pilots leave less for the big run; the payoff of each recipe is its expected loss, with the sign turned."""
    arms = {"a": believed("chinchilla", TRUTH), "b": believed("chinchilla", {**TRUTH, "A": 380.0})}
    payoffs = _payoffs(arms, Along("flops", 20.0, {}), "recipe", 1e22, 1e21)
    assert payoffs.worth.shape == (5, 40, 2) and list(payoffs.big["recipe"]) == ["a", "b"]
    assert payoffs.now == pytest.approx(payoffs.worth[0][:, 1].mean()) and payoffs.perfect >= 0
    assert (payoffs.worth_after(1e21) < payoffs.worth[0]).all()
    points = arms["a"].points(params=[1e9], tokens=[2e10])
    joined = _side_by_side([arm.new_run(points) for arm in arms.values()])
    assert joined.location.shape == (40, 2) and (joined.location[:, 1] < joined.location[:, 0]).mean() > 0.5


def test_a_target_that_is_never_reached_is_said(found: bs.RecipeComparison) -> None:
    never = dataclasses.replace(found, target=0.5)
    assert never.verdict.endswith("Neither reaches a loss of 0.5 up to 1e+26 FLOPs.") and "Neither" not in found.verdict
    # Curves are held beyond the largest run, which may be beyond the budget.
    assert dataclasses.replace(never, budget=2e18).verdict.endswith("up to 1e+26 FLOPs.")
    assert repr(never.speedup("b", loss=0.5)) == "<Speedup of b over a at a loss of 0.5: neither gets there>"


def test_a_reading_that_does_not_decide_is_left_out_where_it_does_not_converge(
    found: bs.RecipeComparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fitted(laws: object, runs: object, by: str, reading: str, **how: object) -> Arms:
        if reading == "own":
            raise bs.errors.ConvergenceError("the fit did not converge (R-hat 4.100 of E is above 1.01)")
        return found.readings[reading]

    monkeypatch.setattr(recipes, "fitted_arms", fitted)
    with pytest.warns(bs.errors.BayesScalingWarning, match="recipe's own, which is left out, the fit did not converge"):
        made = bs.compare_recipes(two(), budget=1e22, pilot_budget=0.0, law="chinchilla")
    assert list(made.readings) == ["shared"] and "recipe's own" not in made.verdict
    with pytest.raises(bs.errors.ConvergenceError):
        bs.compare_recipes(two(), budget=1e22, pilot_budget=0.0, irreducible="own")


def test_what_cannot_be_compared_is_refused() -> None:
    runs = two()
    alone = runs.where((runs.table["recipe"] == "a") | (np.arange(len(runs)) == len(runs) - 1))
    assert "recipe 'b' has one run, which says nothing about how it scales" in refusal(
        lambda: bs.compare_recipes(alone, budget=1e22)
    )
    few = alone.table
    twice = bs.Runs.from_frame(pd.concat([few, few.tail(1).assign(seed=99, loss=3.0)], ignore_index=True))
    assert "recipe 'b' has 2 runs of one size" in refusal(lambda: bs.compare_recipes(twice, budget=1e22))
    only = runs.where(runs.table["recipe"] == "a")
    assert "every run has the recipe 'a'" in refusal(lambda: bs.compare_recipes(only, budget=1e22))
    assert "params is a size or a loss, expected a column that names recipes" in refusal(
        lambda: bs.compare_recipes(runs, "params", budget=1e22)
    )
    assert "no column 'arm'" in refusal(lambda: bs.compare_recipes(runs, "arm", budget=1e22))
    for changed, words in (
        ({"budget": 1e9}, "expected more than the smallest run"),
        ({"budget": 1e22, "baseline": "c"}, "the baseline is 'c'; the recipes of the table are a, b"),
        ({"budget": 1e22, "irreducible": "x"}, "irreducible is 'x', expected shared or own"),
        ({"budget": 1e22, "pilot_budget": -1.0}, "the pilot budget is -1 FLOPs, expected 0 or more and less than"),
        ({"budget": 1e22, "target": -1.0}, "the target loss is -1, expected a positive number"),
    ):
        with pytest.raises(bs.errors.PlanError, match=words):
            bs.compare_recipes(runs, **changed)  # type: ignore[arg-type]


@pytest.mark.slow
def test_speedups_hold_the_truth() -> None:
    """90 % intervals of the multiplier at ten times the largest run hold about 90 % of the truth, by the true law."""
    hits, factors = [], np.exp(0.05 * np.random.default_rng(3).standard_normal(5))
    for seed, factor in enumerate(factors):
        made = bs.compare_recipes(
            two(float(factor), seed, seeds=False), law="chinchilla", budget=5e20, pilot_budget=0.0,
            sampler=bs.Sampler(draws=250), unconverged=True, progress=False, tokens_per_param=20.0,
        )  # fmt: skip
        law, grid = bs.load_law("chinchilla"), np.geomspace(1e19, 1e23, 20_001)
        inputs = Along("flops", 20.0, {}).inputs(grid)
        a = law.evaluate(TRUTH, **inputs)
        b = law.evaluate({**TRUTH, "A": TRUTH["A"] / factor, "B": TRUTH["B"] / factor}, **inputs)
        place = int(np.abs(np.log(grid / 5e20)).argmin())
        true = grid[int(np.abs(a - b[place]).argmin())] / 5e20
        for reading in ("shared", "own"):
            low, high = made.speedup("b", irreducible=reading).interval()  # type: ignore[arg-type]
            hits.append(low <= true <= high)
    assert np.mean(hits) >= 0.75


def test_a_recipe_is_as_good_as_itself(found: bs.RecipeComparison) -> None:
    assert found.ahead("a", over="a") == 0.5


def test_a_verdict_is_one_line_whatever_recipes_are_called(found: bs.RecipeComparison) -> None:
    names = {"a": "a", "b": "b\nc"}
    curves = {
        reading: dataclasses.replace(one, arms={names[name]: arm for name, arm in one.arms.items()})
        for reading, one in found.curves.items()
    }
    readings = {
        reading: dataclasses.replace(one, arms={names[name]: arm for name, arm in one.arms.items()})
        for reading, one in found.readings.items()
    }
    said = dataclasses.replace(found, curves=curves, readings=readings).verdict
    assert said.startswith("Promote 'b\\nc'; at 1e+22 FLOPs 'b\\nc' is worth") and "\n" not in said


def test_a_warning_points_at_the_caller(found: bs.RecipeComparison, monkeypatch: pytest.MonkeyPatch) -> None:
    good = found.readings["shared"].fits["chinchilla"]
    settled = dataclasses.replace(good, diagnostics=Diagnostics(1.0, 4000, 4000, 0, 1.0))
    bad = dataclasses.replace(good, diagnostics=Diagnostics(4.0, 4000, 4000, 0, 1.0, "E"))
    made = {"chinchilla": settled, "nesting": bad}
    monkeypatch.setattr(arms, "fit_law", lambda law, *_, **__: made[law.label])
    with pytest.warns(bs.errors.BayesScalingWarning, match="nesting did not converge") as said:
        bs.compare_recipes(two(), budget=1e22, pilot_budget=0.0, law=list(made))
    assert {warning.filename for warning in said if "nesting" in str(warning.message)} == {__file__}
