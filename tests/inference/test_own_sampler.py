"""A sampling method from outside: the recipe of CONTRIBUTING, run as it is printed there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bayes_scaling as bs

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"


def recipe() -> str:
    """Return the code under 'Add a sampler'."""
    section = CONTRIBUTING.read_text(encoding="utf-8").partition("## Add a sampler")[2]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_recipe_is_short() -> None:
    assert len(recipe().splitlines()) <= 30


@pytest.fixture(scope="module")
def walked(chinchilla_runs: bs.Runs) -> bs.Fit:
    names: dict[str, Any] = {"runs": chinchilla_runs}
    exec(recipe(), names)
    fit: bs.Fit = names["fit"]
    return fit


def test_the_recipe_finds_the_posterior(walked: bs.Fit, chinchilla_fit: bs.Fit) -> None:
    assert walked.converged, walked.problems
    assert walked.sampler_used == "random walk" and walked.manifest["sampler"] == "random_walk"
    for name, values in chinchilla_fit.flat().items():
        apart = abs(np.median(walked.flat()[name]) - np.median(values))
        assert apart < 0.15 * values.std(), name


def test_a_fit_by_a_method_of_ones_own_is_saved_and_loaded(walked: bs.Fit, tmp_path: Path) -> None:
    walked.save(tmp_path / "fit.nc")
    again = bs.load_fit(tmp_path / "fit.nc")
    assert again.manifest == walked.manifest and again.sampler_used == "random walk"
    np.testing.assert_array_equal(again.unconstrained, walked.unconstrained)
    np.testing.assert_array_equal(again.draws["alpha"], walked.draws["alpha"])


def test_draws_of_another_shape_are_refused(chinchilla_runs: bs.Runs) -> None:
    def too_few(problem: Any) -> Any:
        return problem.sampled(np.zeros((4, 10, len(problem.coordinates))), "too few")

    with pytest.raises(bs.errors.FitError, match=r"too few returned draws of shape \(4, 10, 7\); expected"):
        bs.fit("chinchilla", chinchilla_runs, discrepancy="none", sampler=bs.Sampler(too_few))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sampler": "magic"}, "sampler is 'magic'; expected one of auto, nuts, batched, tempered, laplace"),
        ({"sampler": None}, "sampler is None; expected 'auto', 'nuts', 'batched', 'tempered', 'laplace' or a Sampler"),
        ({"noise": None}, "noise is None; expected 'auto', 'student_t', 'normal' or a Noise"),
        ({"noise": "gauss"}, "noise is 'gauss'; expected"),
        ({"discrepancy": None}, "discrepancy is None; expected 'brownian', 'trend', 'none' or a Discrepancy"),
    ],
)
def test_what_an_option_does_not_take_is_said(chinchilla_runs: bs.Runs, options: dict[str, Any], says: str) -> None:
    with pytest.raises(bs.errors.BayesScalingError, match=says):
        bs.fit("chinchilla", chinchilla_runs, **options)


def test_too_few_draws_are_refused() -> None:
    with pytest.raises(bs.errors.FitError, match="1 chains of 1000 draws are too few"):
        bs.Sampler(chains=1)
