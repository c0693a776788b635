"""Default laws: which columns say something, and what is fitted to them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.evaluate.defaults import DEFAULTS, default_laws
from tests.support import design

ND = ("chinchilla", "kaplan_joint", "nesting", "farseer")


def table(**columns: object) -> bs.Runs:
    rows = design(24).assign(loss=3.0 - np.arange(24) / 24)
    return bs.Runs.from_frame(rows.assign(**columns))


def test_every_default_law_is_in_the_catalogue() -> None:
    for row in DEFAULTS:
        for name in row.laws:
            assert set(bs.load_law(name).inputs) <= {*row.columns, *row.there, "steps"}


@pytest.mark.parametrize(
    ("columns", "laws"),
    [
        ({}, ND),
        ({"params": 1e9}, ("power_law:input=tokens", "delayed_power_law:input=tokens")),
        ({"tokens": 1e10}, ("power_law:input=params", "delayed_power_law:input=params")),
        ({"batch_tokens": 1e6}, ND),
        ({"unique_tokens": 1e15}, ND),
        ({"unique_tokens": 1e9}, ("repeated_data", "repeated_data:exponents=free")),
        ({"batch_tokens": np.tile([1e5, 1e6], 12)}, ("chinchilla", "three_term", "kaplan_trajectory:form=irreducible")),
    ],
)
def test_the_columns_that_vary_choose_the_laws(columns: dict[str, object], laws: tuple[str, ...]) -> None:
    assert default_laws(table(**columns)) == laws


def test_batches_that_only_follow_size_say_nothing_of_their_own() -> None:
    rows = design(24)
    assert default_laws(table(batch_tokens=1e3 * rows["params"].to_numpy() ** 0.3)) == ND


def test_one_input_is_enough() -> None:
    runs = bs.Runs.from_frame(pd.DataFrame({"flops": np.geomspace(1e18, 1e21, 9), "loss": np.linspace(3.0, 2.0, 9)}))
    assert default_laws(runs) == ("power_law:input=flops", "delayed_power_law:input=flops")


def test_a_table_without_default_laws_is_refused() -> None:
    runs = bs.Runs.from_frame(pd.DataFrame({"temperature": [1.0, 2.0], "loss": [3.0, 2.0]}))
    with pytest.raises(bs.errors.DataError, match="there are no default laws for .*; name a law that reads what does"):
        bs.fit(runs)
