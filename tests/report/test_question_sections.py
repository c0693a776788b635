"""The report's sections on recipes and on scores: there when the study asks, with the data's words escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.plot.numbers import over
from bayes_scaling.report.render import Report

BAD = "<b>rpj|"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recipes, of which one is better by a factor of compute, and scores of small models."""
    place = tmp_path_factory.mktemp("study")
    constants = bs.load_law("chinchilla").at("besiroglu2024").constants.values
    parts = []
    for seed, (recipe, factor) in enumerate({"c4": 1.0, BAD: 0.6}.items()):
        table = bs.grid(params=[1e8, 3e8, 1e9, 3e9], tokens=[2e9, 1e10, 5e10])
        ours = {**constants, "A": constants["A"] * factor ** constants["alpha"], "sigma": 0.005}
        runs = bs.simulate("chinchilla", table, ours, noise=bs.Noise("normal"), seed=seed)
        parts.append(runs.table.assign(recipe=recipe, run=[f"{seed}-{i}" for i in range(len(table))]))
    pd.concat(parts).to_csv(place / "runs.csv", index=False)
    loss = np.linspace(2.2, 3.4, 12)
    score = 1 - 0.75 * np.minimum(np.exp(0.9 * (loss - 3.4)), 1.0)
    pd.DataFrame({"loss": loss, "score": np.round(score * 500) / 500}).to_csv(place / "scores.csv", index=False)
    return place


def study(place: Path, **tables: Any) -> bs.Study:
    path = place / "study.toml"
    text = ['[data]\nfile = "runs.csv"', '[laws]\nnames = ["chinchilla"]\nalongside = []', "[budget]\namount = 1e22"]
    for name, content in tables.items():
        lines = [f"{key} = {value!r}".replace("'", '"') for key, value in content.items()]
        text.append("\n".join([f"[{name}]", *lines]))
    path.write_text("\n".join(text))
    return bs.Study.read(path)


def test_both_sections_answer_for_the_recommended_run(place: Path) -> None:
    asked = study(place, recipes={"baseline": "c4"}, scores={"file": "scores.csv", "questions": 500, "target": 0.7})
    report = bs.make_report(asked, draft=True, progress=False)
    recipes, scores = report.content["recipes"], report.content["scores"]
    assert {row["irreducible"] for row in recipes["recipes"]} == {"shared", "own"}
    assert all(row["multiplier"] > 1 for row in recipes["recipes"]) and recipes["best"] == BAD
    assert 0 < scores["low"] < scores["score"] < scores["high"] <= 1
    assert scores["spread"]["total"] ** 2 == pytest.approx(
        sum(scores["spread"][name] ** 2 for name in ("loss", "link", "questions"))
    )
    assert 0 <= scores["probability_reaches_target"] <= 1
    for row in recipes["recipes"]:
        assert over(row["one_scale"]) in report.markdown
    for text in (report.html, report.markdown):
        assert "Which recipe?" in text and "Which score?" in text and BAD not in text
    for best, said in (("c4", "keep c4"), ("pile", "promote pile")):
        bought = Report({**report.content, "recipes": {**recipes, "decision": "buy", "best": best}})
        assert f"Without them: {said}." in bought.markdown and f"Without them: {said}." in bought.html


def test_a_report_without_them_has_none(report: Report) -> None:
    assert report.content["recipes"] is None and report.content["scores"] is None
    assert "Which recipe?" not in report.html and "Which score?" not in report.markdown


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"recipes": {"by": "colour"}}, "colour"),
        ({"recipes": {"baseline": "pile"}}, "pile"),
        ({"recipes": {"law": "mine.py"}}, "recipes names 'mine.py', a law file; recipes are compared by laws of the"),
        ({"recipes": {"law": ["chinchilla", "nothing"]}}, "recipes no law is called 'nothing'"),
        ({"scores": {"file": "none.csv"}}, "no such file"),
        ({"scores": {"file": "scores.csv", "score": "loss"}}, "score"),
    ],
)
def test_what_cannot_be_answered_is_refused(place: Path, tables: dict[str, Any], said: str) -> None:
    with pytest.raises(bs.BayesScalingError, match=said) as refused:
        bs.make_report(study(place, **tables), draft=True, progress=False)
    assert "\n" not in str(refused.value)
