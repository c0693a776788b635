"""The report's section on learning rate and batch: there when the study asks, and refused where no law can answer."""

from __future__ import annotations

from typing import Any

import pytest

import bayes_scaling as bs
from tests.predict.test_tuning import fitted

STUDY: dict[str, Any] = {
    "title": "A tuned run",
    "data": {"file": "sweep.csv"},
    "laws": {"names": ["tuning"], "alongside": [], "discrepancy": "none"},
    "budget": {"amount": 1e21},
    "tuning": {"within": 0.02},
}


@pytest.mark.slow
def test_the_section_says_what_to_set_and_what_else_would_waste() -> None:
    report = bs.make_report(bs.Study.of(STUDY), fitted().runs, draft=True, progress=False)
    tuning = report.content["tuning"]
    run = report.content["recommendation"]["run"]
    assert tuning["params"] == run["params"] and tuning["within"] == 0.02
    assert run["peak_learning_rate"] == pytest.approx(tuning["rate"], rel=0.1)
    for text in (report.html, report.markdown):
        assert "Learning rate and batch" in text and "steplaw2025" in text
        assert "with a peak learning rate of" in text


def test_a_study_without_a_law_of_rates_is_refused_before_anything_is_fitted() -> None:
    study = bs.Study.of({**STUDY, "laws": {"names": ["nesting"]}})
    with pytest.raises(bs.errors.StudyError, match="no law of the study reads one: add 'tuning' to laws.names"):
        bs.make_report(study, fitted().runs, draft=True, progress=False)


def test_shares_out_of_range_are_refused() -> None:
    with pytest.raises(bs.errors.StudyError, match=r"tuning\.within is 2"):
        bs.Study.of({**STUDY, "tuning": {"within": 2}})
