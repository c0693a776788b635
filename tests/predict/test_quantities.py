"""What a fitted law says besides the loss."""

from __future__ import annotations

import numpy as np
import pytest

import bayes_scaling as bs


def test_quantity_of_a_fit_follows_its_draws(chinchilla_fit: bs.Fit) -> None:
    law = chinchilla_fit.law
    assert {"params_opt", "tokens_opt"} <= {row.name for row in law.quantities}
    budgets = [1e21, 5.76e23]
    found = bs.quantity(chinchilla_fit, "params_opt", flops=budgets)
    assert found.draws.shape == (4000, 2) and list(found.points["flops"]) == budgets
    for i, flops in enumerate(budgets):
        numeric = bs.compute_optimal(chinchilla_fit, flops).params
        np.testing.assert_allclose(found.draws[:, i], numeric, rtol=1e-6)
    low, high = found.interval(0.9).T
    assert np.all(low < found.median()) and np.all(found.median() < high)
    assert list(found.to_frame()["defined"]) == [1.0, 1.0]


def test_quantity_at_published_constants() -> None:
    curve = bs.load_law("chinchilla").at("besiroglu2024")
    np.testing.assert_allclose(curve.quantity("params_opt", flops=5.76e23), 7.225e10, rtol=5e-4)


def test_draws_without_an_answer_are_counted(chinchilla_fit: bs.Fit) -> None:
    floor = float(np.median(chinchilla_fit.draws["E"]))
    found = bs.quantity(chinchilla_fit, "flops_opt", loss=[floor, 2.5])
    assert 0.3 < found.defined[0] < 0.7 and found.defined[1] == 1.0
    assert np.isfinite(found.median()).all()


def test_bad_questions_are_refused(chinchilla_fit: bs.Fit) -> None:
    with pytest.raises(bs.errors.LawError, match="law chinchilla has no quantity 'critical_batch'; it has: "):
        bs.quantity(chinchilla_fit, "critical_batch", loss=2.5)
    with pytest.raises(bs.errors.LawError, match="params_opt of law chinchilla takes flops; got none"):
        bs.quantity(chinchilla_fit, "params_opt")
    with pytest.raises(bs.errors.DataError, match="the inputs, row 2, column flops: -1 is negative"):
        bs.quantity(chinchilla_fit, "params_opt", flops=[1e21, -1])
    with pytest.raises(
        bs.errors.ForecastError, match=r"flops has shape \(3, 1\); expected numbers, a list, or one value for"
    ):
        bs.quantity(chinchilla_fit, "params_opt", flops=np.ones((3, 1)))
