"""The warning that runs end below the curves of longer runs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs


def curves(gain: float, batches: tuple[float, ...] = (1e5,), lengths: tuple[float, ...] = (1e3, 3e3, 1e5)) -> bs.Runs:
    """Return curves of two sizes that all follow one law; towards its end each falls by a share more."""
    rows = []
    for params in (1e7, 2e7):
        for batch in batches:
            for length in lengths:
                steps = np.geomspace(length / 100, length, 12)
                loss = (2 + 1e3 / params**0.5 + 10 * steps**-0.3) * (1 - gain * (steps / length) ** 2)
                run = f"{params:g} {batch:g} {length:g}"
                rows.append(
                    pd.DataFrame({"run": run, "params": params, "steps": steps, "batch_tokens": batch, "loss": loss})
                )
    return bs.Runs.from_frame(pd.concat(rows).sample(frac=1, random_state=0))


def test_runs_that_end_below_longer_ones_are_said() -> None:
    lengths = (1e3, 2e3, 3e3, 1e5)
    (said,) = curves(0.06, lengths=lengths).warnings
    assert said.startswith("6 runs end 6.")
    assert (
        "of the same params and batch_tokens is at the same steps" in said
        and "the last rows alone" in said
        and "learning_rate" in said
    )
    for silent in (curves(0.0, lengths=lengths), curves(0.01, lengths=lengths), curves(0.06, lengths=lengths).ends()):
        assert silent.warnings == ()


@pytest.mark.parametrize(
    ("batches", "lengths"),
    [
        ((1e5,), (1e3, 3e3, 1e5)),  # four ends are too few
        ((1e5, 2e5, 3e5), (1e5,)),  # nothing is longer
        ((1e5, 2e5), (5e4, 7e4, 1e5)),  # nothing is twice as long
    ],
)
def test_too_little_to_compare_with_is_not_said(batches: tuple[float, ...], lengths: tuple[float, ...]) -> None:
    assert curves(0.06, batches, lengths).warnings == ()


def test_other_batches_are_not_compared() -> None:
    table = curves(0.06, (1e5,), (1e3, 2e3, 3e3, 1e5)).table
    long = table["steps"].groupby(table["run"]).transform("max") == 1e5
    table.loc[long, "batch_tokens"] = 2e5
    assert bs.Runs.from_frame(table).warnings == ()
