"""Commands for recipes and for scores, as a user meets them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.recipes import World
from tests.support import run

BIG = ("--params", "1e10", "--tokens", "2e11")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("questions"))


def test_a_score_from_two_saved_fits(world: World) -> None:
    asked = ("chain", world.saved, world.saved_link, *BIG, "--questions", 500, "--unconverged")
    code, out, _ = run(*asked, "--target", 0.5)
    assert code == 0 and "measured scores, 90% intervals" in out and "A score of 0.5 needs" in out
    code, out, _ = run(*asked, "--target", 0.5, "--json")
    content = json.loads(out)
    assert code == 0 and content["tasks"] == ["score"] and content["needed"]["reachable"] == 1
    assert 0 < content["scores"][0]["low"] < content["scores"][0]["high"] < 1
    for wrong, says in (
        (("chain", world.saved, world.saved_link), "say what to forecast"),
        (("chain", world.saved, world.saved, *BIG, "--unconverged"), "a link reads source_loss alone"),
        ((*asked, "--target", 50), "divide a percentage by 100"),
        ((*asked, "--target", 0.2, "--chance", 0.25), "which guessing reaches (chance 0.25)"),
        ((*asked, "--chance", 0.9), "below its chance of 0.9"),
        ((*asked, "--direct", world.saved), "direct was fitted to losses of up to"),
        ((*asked, "--direct", world.saved_link), "direct is a link: downstream reads source_loss"),
        ((*asked, "--direct", world.csv), "runs.csv is a table; expected a fit written by"),
        (("chain", world.csv, world.saved_link, *BIG), "runs.csv is a table; expected a fit written by"),
        (("chain", world.saved_link, world.saved_link, *BIG, "--unconverged"), "loss_fit is a link"),
    ):
        code, _, err = run(*wrong)
        assert code == 2 and says in err, err


def test_a_score_out_of_reach_is_one_sentence(world: World) -> None:
    code, out, _ = run("chain", world.saved, world.saved_link, "--target", 1, "--unconverged")
    assert code == 0 and "A score of 1 " in out and "out of reach" in out


def test_recipes_are_refused_in_one_line(world: World, tmp_path: Path) -> None:
    asked = ("recipes", world.csv_of_recipes, "--budget", 1e22)
    for more, says in (
        (("--by", "arm"), "no column 'arm'"),
        (("--baseline", "c"), "the baseline is 'c'; the recipes of"),
        (("--irreducible", "mine"), "expected shared or own"),
        (("--at", "steps=1e5"), "'steps' is no input of law"),
        (("--tokens-per-param", -1), "expected a positive number"),
        (("--tokens-per-param", 1e30), "at which a run of 1e+22 FLOPs has 4e-05 params"),
        (("--law", "tuning"), "fix all but one of them, or all but params and tokens, with --at "),
    ):
        code, _, err = run(*asked, *more)
        assert code == 2 and says in err, err


def test_inputs_that_are_fixed_stay_fixed_on_the_way_to_a_score(world: World) -> None:
    asked = ("chain", world.saved, world.saved_link, "--target", 0.5, "--unconverged", "--json")
    code, out, _ = run(*asked, "--params", "1e10", "--at", "tokens=2e11")
    needed = json.loads(out)["needed"]
    assert code == 0 and needed["of"] == "params" and needed["reachable"] == 1
    code, out, _ = run(*asked, "--at", "params=1e10", "--at", "tokens=2e11")
    assert code == 0 and json.loads(out)["needed"]["of"] == "flops"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda table: table.drop(columns="loss"), "has no loss column"),
        (lambda table: table.drop(columns="recipe"), "no column 'recipe'"),
        (lambda table: table[table["recipe"] == "a"], "every run has the recipe 'a'; expected two recipes or more"),
        (lambda table: table.iloc[:3], "recipe 'a' has one run, which says nothing about how it scales"),
        (lambda table: table.assign(params="big"), "row 1, column params: 'big' is not a number"),
        (lambda table: table.assign(loss=-2.0), "row 1, column loss: -2 is negative"),
        (lambda table: table.iloc[:0], "has no rows: expected one row per training run"),
    ],
)
def test_a_wrong_table_of_recipes_is_one_sentence(
    world: World, tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], says: str
) -> None:
    change(pd.read_csv(world.csv_of_recipes)).to_csv(tmp_path / "runs.csv", index=False)
    code, _, err = run("recipes", tmp_path / "runs.csv", "--budget", 1e22)
    assert code == 2 and says in err and "\n" not in err.strip()
