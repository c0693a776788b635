"""The simulator: the design it was given, the law it was given, the noise it was given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bayes_scaling as bs
from tests.support import design


def test_grid_is_every_combination() -> None:
    table = bs.grid(params=[1e8, 1e9], tokens=[1e9, 1e10, 1e11])
    assert len(table) == 6 and table.drop_duplicates().shape == (6, 2)


def test_losses_scatter_around_the_published_curve() -> None:
    curve = bs.load_law("chinchilla").at("besiroglu2024")
    table = design(4000)
    runs = bs.simulate("chinchilla", table, dict(curve.constants.values) | {"sigma": 0.02}, noise=bs.Noise("normal"))
    residual = np.log(runs.loss) - np.log(curve(params=table["params"], tokens=table["tokens"]))
    assert residual.std() == pytest.approx(0.02, rel=0.05) and abs(residual.mean()) < 0.002


def test_losses_scatter_by_their_standard_errors_over_the_loss() -> None:
    curve = bs.load_law("chinchilla").at("besiroglu2024")
    table = design(4000).assign(loss_se=0.06)
    truth = dict(curve.constants.values) | {"sigma": 1e-4}
    runs = bs.simulate("chinchilla", table, truth, noise=bs.Noise("normal", "known"))
    expected = curve(params=table["params"], tokens=table["tokens"])
    assert (np.log(runs.loss / expected) * expected / 0.06).std() == pytest.approx(1.0, rel=0.05)


def test_growing_scatter_is_sigma_at_the_middle_of_the_design() -> None:
    curve = bs.load_law("chinchilla").at("besiroglu2024")
    table = design(4000)
    truth = dict(curve.constants.values) | {"sigma": 0.02, "kappa": 0.3}
    runs = bs.simulate("chinchilla", table, truth, noise=bs.Noise("normal", "growing"))
    residual = np.log(runs.loss / curve(params=table["params"], tokens=table["tokens"]))
    size = np.log(table["params"] * table["tokens"])
    assert (residual * np.exp(0.3 * (size - size.mean()))).std() == pytest.approx(0.02, rel=0.05)


def test_seed_and_truth_are_kept() -> None:
    one, two, three = (bs.simulate("chinchilla", design(), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.loss, two.loss)
    assert not np.array_equal(one.loss, three.loss)
    assert "truth: E=" in one.notes[-1] and one.notes[-1].endswith("seed 1")
    assert one.labels[:2] == ["sim-1", "sim-2"]


def test_what_is_not_given_comes_from_the_prior() -> None:
    runs = bs.simulate("chinchilla", design(), {"E": 1.0, "sigma": 1e-4}, seed=3)
    assert (runs.loss > 1.0).all() and "E=1," in runs.notes[-1]


def test_mistakes_are_explained() -> None:
    with pytest.raises(bs.errors.LawError, match="the design lacks tokens"):
        bs.simulate("chinchilla", design().drop(columns="tokens"))
    with pytest.raises(bs.errors.LawError, match="constants name gamma"):
        bs.simulate("chinchilla", design(), {"gamma": 1.0})
    with pytest.raises(bs.errors.LawError, match="no published constants"):
        bs.simulate("chinchilla", design(), "nobody1999")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("change", "constants", "says"),
    [
        (lambda table: table.iloc[:0], {}, "the design has no rows; expected one row for each run"),
        (lambda table: table.assign(params=-1.0), {}, "the design, row 1, column params: -1 is negative"),
        (lambda table: table, {"E": -5.0}, "constant E is -5, expected a number from 0 on"),
        (lambda table: table, {"sigma": -1.0}, "constant sigma is -1, expected a number from 0 on"),
        (lambda table: table, {"nu": -2.0}, "constant nu is -2, expected a number from 0 on"),
    ],
)
def test_what_is_wrong_with_design_or_constants_is_said(change: Any, constants: dict[str, float], says: str) -> None:
    known = {"E": 1.7, "A": 400.0, "B": 400.0, "alpha": 0.3, "beta": 0.3}
    with pytest.raises(bs.BayesScalingError, match=says):
        bs.simulate("chinchilla", change(design()), {**known, **constants})
