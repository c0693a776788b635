"""Study files: what they may say, and what reaches the fits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.report.study import Study
from bayes_scaling.report.tables import scaled

GOOD: dict[str, Any] = {"data": {"bundled": "stdlib_sweep"}, "budget": {"amount": 1e15}}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"budget": {}}, "budget.amount is missing"),
        ({"budget": {"amont": 1e15}}, "budget.amount is missing, and amont is unknown: did you mean amount"),
        ({"budget": {"amount": "much"}}, "budget.amount is 'much', expected a number"),
        ({"budget": {"amount": -1}}, "budget.amount is -1"),
        ({"budget": {"amount": 1, "currenzy": "EUR"}}, "budget.currenzy is unknown; expected one of amount, cost"),
        ({"budget": {"amount": 1, "cost": "money"}}, "a budget in money needs budget.peak_flops"),
        ({"budget": {"amount": 1, "utilisation": 0.4}}, "does not take budget.utilisation"),
        ({"budget": {"amount": 1, "cost": "lifetime"}}, "needs budget.serving_tokens"),
        ({"data": {}}, "data needs either file = 'runs.csv' or bundled"),
        ({"goal": {"objective": "probability_of_target"}}, "give goal.target"),
        ({"goal": {"objective": "luck"}}, "the objective is 'luck', expected"),
        ({"constraints": {"parms": [1, 2]}}, "constraints.parms is unknown; expected one of params"),
        ({"trajectory": {"params": 1e9}}, "trajectory needs either steps = 2000 or tokens"),
        ({"trajectory": {"steps": -1}}, "trajectory.steps is -1"),
        ({"trajectory": {"steps": 10, "targets": [0.0]}}, "a target that is not a positive loss"),
        ({"laws": {"noise_start": "some"}}, "laws.noise_start"),
        ({"laws": {"discrepancy_along": "tokens"}}, "laws.discrepancy_along"),
        ({"about": {"weather": "fine"}}, "about.weather"),
        ({"nonsense": 1}, "nonsense is unknown; expected one of title"),
    ],
)
def test_bad_studies_get_one_sentence(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(bs.errors.StudyError, match=re.escape(said)) as error:
        Study.of({**GOOD, **changed}, "study.toml")
    assert str(error.value).startswith(("study.toml: ", "constraints")) and "\n" not in str(error.value)


def test_bad_files_get_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(bs.errors.StudyError, match=r"cannot read study.toml"):
        Study.read(tmp_path / "study.toml")
    for text in ("x = " + "[" * 3000, "[" + ".".join(["a"] * 3000) + "]"):
        (tmp_path / "study.toml").write_text(text)
        with pytest.raises(bs.errors.StudyError, match=r"study.toml (is not TOML|has tables within tables)"):
            Study.read(tmp_path / "study.toml")
    (tmp_path / "study.toml").write_text("title = ")
    with pytest.raises(bs.errors.StudyError, match=r"study.toml is not TOML"):
        Study.read(tmp_path / "study.toml")
    (tmp_path / "study.toml").write_text('[data]\nfile = "gone.csv"\n[budget]\namount = 1.0')
    with pytest.raises(bs.errors.StudyError, match=r"'gone.csv', but there is no such file in the folder of the study"):
        Study.read(tmp_path / "study.toml").runs()


def test_start_of_curves_and_paths_of_the_study_reach_the_fits() -> None:
    curves, laws = bs.datasets.load("stdlib_curves"), {"names": ["three_term"]}
    asked = laws | {"noise_start": "none", "discrepancy_along": "params"}
    one, other = (Study.of({**GOOD, "laws": each}).candidates(curves, draft=True)[0] for each in (laws, asked))
    assert (one.noise.start, one.discrepancy.along) == ("learned", "auto")
    assert (other.noise.start, other.discrepancy.along) == ("none", "params")


def test_priors_of_the_study_reach_the_law() -> None:
    prior = {"distribution": "LogNormal", "loc": -1.0, "scale": 0.1}
    laws = {"names": ["chinchilla"], "priors": {"chinchilla": {"alpha": prior}}}
    study = Study.of({**GOOD, "laws": laws})
    assert study.candidates(study.runs(), draft=False)[0].law.overridden
    other = Study.of({**GOOD, "laws": {**laws, "names": ["kaplan_joint"]}})
    with pytest.raises(bs.errors.StudyError, match="which is not in laws.names"):
        other.candidates(other.runs(), draft=False)


def test_prices_are_scaled_as_numbers_and_as_distributions() -> None:
    assert scaled("price", 2.0, 1.5) == 3.0
    spread = {"distribution": "LogNormal", "loc": 0.0, "scale": 0.5}
    assert np.median(scaled("price", spread, 2.0)) == pytest.approx(2.0, rel=0.05)
