"""Default laws: which columns say something, and what is fitted to them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.evaluate.defaults import DEFAULTS, REPEATED, NoiseAsked, default_laws
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
        ({"unique_tokens": 1e9}, REPEATED),
        ({"params": 1e9, "tokens": 1e10, "unique_tokens": np.geomspace(1e8, 1e10, 24)}, REPEATED),
        ({"tokens": 1e10, "unique_tokens": 1e9}, ("power_law:input=params", "delayed_power_law:input=params")),
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


def test_tokens_and_flops_are_a_table_of_two_inputs() -> None:
    rows = design(24)
    flops = 6 * rows["params"] * rows["tokens"]
    runs = bs.Runs.from_frame(rows[["tokens"]].assign(flops=flops, loss=np.linspace(3.0, 2.0, 24)))
    np.testing.assert_allclose(runs.column("params"), rows["params"], rtol=1e-12)
    assert default_laws(runs) == ND and "params derived as flops / (6 tokens)" in runs.notes
    curves = runs.table[["tokens", "flops", "loss"]].assign(run=np.repeat(["a", "b"], 12))
    assert "params" not in bs.Runs.from_frame(curves), "FLOPs of a curve may be counted otherwise, and its size is one"


def curves_of_sizes() -> pd.DataFrame:
    steps = np.tile(np.geomspace(100, 1e4, 8), 3)
    rows = pd.DataFrame({"run": np.repeat(["a", "b", "c"], 8), "steps": steps, "loss": 2 + steps**-0.3})
    return rows.assign(params=np.repeat([1e6, 1e7, 1e8], 8))


def test_curves_over_steps_read_them() -> None:
    rows = curves_of_sizes()
    assert default_laws(bs.Runs.from_frame(rows)) == ("kaplan_steps",)
    rows = rows.drop(columns="params")
    assert default_laws(bs.Runs.from_frame(rows)) == ("power_law:input=steps", "delayed_power_law:input=steps")


def test_a_table_without_default_laws_is_refused() -> None:
    runs = bs.Runs.from_frame(pd.DataFrame({"temperature": [1.0, 2.0], "loss": [3.0, 2.0]}))
    with pytest.raises(
        bs.errors.DataError, match="there are no default laws for .*; name a law that reads what varies, "
    ):
        bs.fit(runs)
    alike = bs.Runs.from_frame(pd.DataFrame({"compute in flop": [1e18, 2e18], "loss": [3.0, 2.0]}))
    with pytest.raises(bs.errors.DataError, match="map params, tokens or flops; no column was read as flops, though"):
        default_laws(alike)


def test_small_runs_may_scatter_more_and_rows_of_curves_do_not() -> None:
    law = bs.load_law("kaplan_steps")
    ends = bs.Runs.from_frame(curves_of_sizes().drop_duplicates("run", keep="last"))
    assert NoiseAsked().of(law, ends).scale == "growing"
    noise = NoiseAsked().of(law, bs.Runs.from_frame(curves_of_sizes()))
    assert (noise.rows, noise.scale) == ("correlated", "constant")


def test_a_rate_that_changes_along_one_run_of_three_is_no_schedule() -> None:
    rows = curves_of_sizes().assign(tokens=lambda t: 1e5 * t["steps"])
    changing = 1e-3 / np.arange(1, 25)
    for share, law in ((["a"], "chinchilla"), (["a", "b"], "nesting_schedule")):
        rate = np.where(rows["run"].isin(share), changing, 1e-3)
        assert default_laws(bs.Runs.from_frame(rows.assign(learning_rate=rate)))[0] == law
