"""Critical batch sizes of five model sizes, from a public table of steps to a target loss."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from tests.support import fit_exact, public_table

REFIT = {"85M": 2191, "151M": 3240, "302M": 5433, "604M": 7907, "1.2B": 11131}  # sequences of 512 tokens, least squares


def table() -> pd.DataFrame:
    frame = pd.read_csv(public_table("critical_batch_zhang2024.csv"))
    return pd.DataFrame(
        {
            "size": frame["model_size_label"],
            "params": frame["params_nominal"].astype(float),
            "batch_tokens": frame["batch_size_tokens"].astype(float),
            "loss": frame["steps_to_target_used_in_fit"].astype(float),
        }
    )


@pytest.mark.parametrize("size", REFIT)
def test_critical_batch_of_each_size(size: str) -> None:
    one = table().query("size == @size")
    fit = fit_exact("critical_batch", bs.Runs.from_frame(one, loss_unit="steps"), seed=0)
    assert fit.converged, fit
    sequences = fit.flat()["B_crit"] / 512
    low, high = np.quantile(sequences, [0.025, 0.975])
    assert low < REFIT[size] < high
    assert high / low < 4, "nine batches tell the critical one to a factor"


@pytest.mark.slow
def test_sizes_pooled_and_as_a_power_law() -> None:
    runs = bs.Runs.from_frame(table(), loss_unit="steps")
    pooling = {"S_0": bs.separate("size"), "S_min": bs.partial("size")}
    pooled = fit_exact("critical_batch", runs, pooling=pooling, seed=0)
    assert pooled.converged, pooled
    medians = [float(np.median(pooled.draws[f"B_crit[{size}]"])) / 512 for size in REFIT]
    assert np.all(np.diff(medians) > 0)
    np.testing.assert_allclose(medians, list(REFIT.values()), rtol=0.35)
    # Four sizes forecast the fifth: its critical batch lies in the interval of the power law in between.
    four = runs.where(runs.table["size"] != "1.2B")
    fit = fit_exact("critical_batch:form=by_size", four, seed=0)
    assert fit.converged, fit
    low, high = bs.quantity(fit, "critical_batch", params=1.2e9).interval(0.95)[0] / 512
    assert low < REFIT["1.2B"] < high
