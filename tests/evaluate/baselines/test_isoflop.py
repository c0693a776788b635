"""IsoFLOP parabolas: known answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.evaluate.baselines.isoflop import isoflop_parabola
from tests.support import design

CHINCHILLA = bs.load_law("chinchilla")
TRUTH = dict(CHINCHILLA.at("besiroglu2024").constants.values)


def noiseless(table: pd.DataFrame) -> bs.Runs:
    return bs.simulate(CHINCHILLA, table, TRUTH | {"sigma": 1e-7, "nu": 30.0})


def isoflop_design(budgets: np.ndarray, sizes: int = 9, span: float = 3.0) -> pd.DataFrame:
    """Sizes around the optimum of each budget, from a ``span``-th of it to ``span`` times it."""
    best = CHINCHILLA.quantity("params_opt", TRUTH, flops=budgets)[:, None]
    params = best * np.geomspace(1 / span, span, sizes)
    return pd.DataFrame({"params": params.ravel(), "tokens": (budgets[:, None] / (6 * params)).ravel()})


def test_parabolas_find_the_known_optimum() -> None:
    budgets = np.geomspace(1e19, 1e21, 5)
    fit = isoflop_parabola(noiseless(isoflop_design(budgets)))
    assert fit.flops == pytest.approx(budgets, rel=1e-6)
    assert fit.params_opt == pytest.approx(CHINCHILLA.quantity("params_opt", TRUTH, flops=budgets), rel=0.05)
    assert fit.loss_opt == pytest.approx(CHINCHILLA.quantity("loss_opt", TRUTH, flops=budgets), rel=0.005)
    assert fit.exponent == pytest.approx(TRUTH["beta"] / (TRUTH["alpha"] + TRUTH["beta"]), rel=0.02)
    asked = np.array([3e20, 1e22])
    assert fit.params_at(asked) == pytest.approx(CHINCHILLA.quantity("params_opt", TRUTH, flops=asked), rel=0.05)
    assert 6 * fit.params_at(asked) * fit.tokens_at(asked) == pytest.approx(asked)


def test_slices_without_a_minimum_do_not_count() -> None:
    one, other, third = (isoflop_design(np.array([flops])) for flops in (1e19, 1e20, 1e21))
    falling = third[third["params"] < third["params"].median()]
    fit = isoflop_parabola(noiseless(pd.concat([one, other, falling])))
    assert fit.flops == pytest.approx([1e19, 1e20], rel=1e-6)
    with pytest.raises(bs.errors.DataError, match="2 IsoFLOP slices .* 1 of them with a minimum"):
        isoflop_parabola(noiseless(pd.concat([one, falling])))


def test_a_table_without_slices_is_refused() -> None:
    with pytest.raises(bs.errors.DataError, match="0 IsoFLOP slices"):
        isoflop_parabola(noiseless(design()))
    with pytest.raises(bs.errors.DataError, match="0 IsoFLOP slices"):
        isoflop_parabola(noiseless(design(2000)))  # dense, not sliced
    with pytest.raises(bs.errors.DataError, match="has no column 'flops'"):
        isoflop_parabola(bs.Runs.from_frame(pd.DataFrame({"params": [1e8, 1e9], "loss": [3.0, 2.5]})))
