"""The picture of a loss curve says what its bands hold, where a loss is reached, and what was measured."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.plot.style import AXES
from tests.support import fit_exact

STEPS = np.geomspace(500, 16_000, 6)
PLANNED = {"params": 1e9, "batch_tokens": 5e5}


@pytest.fixture(scope="module")
def fit() -> bs.Fit:
    table = bs.grid(params=[1e7, 1e8, 3e8], batch_tokens=[1e5, 2e6], steps=STEPS.tolist())
    table["run"] = [f"a_$b$ {n:.0f}, {b:.0f}" for n, b in zip(table["params"], table["batch_tokens"], strict=True)]
    noise = bs.Noise("normal", rows="correlated", start="none")
    truth = {**bs.load_law("kaplan_trajectory").at("kaplan2020").constants.values, "sigma": 0.001, "sigma_curve": 0.01}
    runs = bs.simulate("kaplan_trajectory", table, {**truth, "length": 1.5}, noise=noise, seed=0)
    return fit_exact("kaplan_trajectory", runs, noise=noise, sampler=bs.Sampler("laplace", draws=500), seed=0)


def labels(figure: object) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]  # type: ignore[attr-defined]


def test_a_planned_run_has_its_fan_its_target_and_what_stands_beside_it(fit: bs.Fit) -> None:
    found = bs.trajectory(fit, **PLANNED, steps=20_000)
    measured = pd.DataFrame({"steps": [1000.0, 2000.0], "loss": [3.5, 3.2]})
    figure = bs.plot.trajectory(fit, found, measured, target=float(found.median()[-8]))
    curve, critical, shares = figure.axes
    assert curve.get_xlabel() == AXES["steps"] and curve.get_ylabel() == "loss [nats/token]"
    assert (curve.get_xscale(), curve.get_yscale()) == ("log", "log")
    said = labels(figure)
    for label in (
        "90% at each row alone",
        "50% at each row alone",
        "90% of whole curves at these",
        "median",
        "measured",
    ):
        assert any(one.startswith(label) for one in said), label
    assert any("reached by its end with probability" in one for one in said)
    assert "one evaluation along the curve of this run" in curve.get_title().replace("\n", " ")
    assert "critical batch" in critical.get_title() and "least compute" in shares.get_title()
    line = next(one for one in curve.lines if one.get_label() == "median")
    np.testing.assert_array_equal(line.get_ydata(), found.median())


def test_the_share_of_the_fewest_steps_is_the_same_in_tokens(fit: bs.Fit) -> None:
    by_steps = bs.trajectory(fit, **PLANNED, steps=[2000.0, 20_000.0])
    by_tokens = bs.trajectory(fit, **PLANNED, tokens=[1e9, 1e10])
    assert by_tokens.along == "tokens"
    shares = [bs.plot.trajectory(fit, found).axes[-1].lines[0].get_ydata() for found in (by_steps, by_tokens)]
    assert (np.asarray(shares[0]) > 0.01).all()
    np.testing.assert_allclose(shares[1], shares[0])


def test_a_run_under_way_has_its_rows_and_its_plan(fit: bs.Fit) -> None:
    run = fit.runs.labels[-1]
    plan, found = bs.trajectory(fit, **PLANNED, steps=STEPS), bs.trajectory(fit, run=run, steps=40_000)
    figure = bs.plot.trajectory(fit, found, plan=plan, target=0.5)
    said = labels(figure)
    assert "median, before the run" in said and any(one.startswith("rows so far") for one in said)
    assert "target 0.5 nats/token, reached by its end with probability 0 %" in said
    assert r"\$b\$" in figure.get_suptitle()


def test_laws_without_such_quantities_have_one_panel(chinchilla_fit: bs.Fit) -> None:
    found = bs.trajectory(chinchilla_fit, params=1e9, tokens=1e10)
    figure = bs.plot.trajectory(chinchilla_fit, found)
    assert len(figure.axes) == 1 and figure.axes[0].get_xlabel() == AXES["tokens"]


def test_what_cannot_be_drawn_is_refused(fit: bs.Fit, chinchilla_fit: bs.Fit) -> None:
    found = bs.trajectory(fit, **PLANNED, steps=2000)
    other = bs.trajectory(chinchilla_fit, params=1e9, tokens=1e10)
    with pytest.raises(bs.errors.ForecastError, match="need columns steps and loss; steps is missing"):
        bs.plot.trajectory(fit, found, pd.DataFrame({"loss": [2.0]}))
    with pytest.raises(bs.errors.ForecastError, match="the plan is along tokens, the trajectory along steps"):
        bs.plot.trajectory(fit, found, plan=other)
    with pytest.raises(bs.errors.ForecastError, match="target loss is -1"):
        bs.plot.trajectory(fit, found, target=-1.0)
