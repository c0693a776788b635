"""Commands for recipes and for scores, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

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
    assert code == 0 and "measured scores, 90 % intervals" in out and "A score of 0.5 needs" in out
    code, out, _ = run(*asked, "--target", 0.5, "--json")
    content = json.loads(out)
    assert code == 0 and content["tasks"] == ["score"] and content["needed"]["reachable"] == 1
    assert 0 < content["scores"][0]["low"] < content["scores"][0]["high"] < 1
    for wrong, says in (
        (("chain", world.saved, world.saved_link), "say what to forecast"),
        (("chain", world.saved, world.saved, *BIG, "--unconverged"), "a link reads source_loss alone"),
        ((*asked, "--target", 50), "divide a percentage by 100"),
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
    ):
        code, _, err = run(*asked, *more)
        assert code == 2 and says in err, err
