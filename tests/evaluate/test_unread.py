"""A column that no law reads and that explains the scatter is named; chance, sizes and what laws read are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_scaling as bs
from bayes_scaling.errors import BayesScalingWarning
from bayes_scaling.evaluate.unread import unread_columns
from tests.support import run

LAW = bs.load_law("chinchilla")


def table(level: float, rows: int = 36, seed: int = 0) -> pd.DataFrame:
    """Runs on three data sets, which differ in their level; sizes and data sets are independent."""
    rng = np.random.default_rng(seed)
    params, tokens = np.exp(rng.uniform(17, 22, rows)), np.exp(rng.uniform(21, 26, rows))
    data = np.arange(rows) % 3
    loss = 1.7 + 400 / params**0.34 + 400 / tokens**0.28
    noise = np.exp(level * (data - 1) + 0.01 * rng.standard_normal(rows))
    return pd.DataFrame(
        {"params": params, "tokens": tokens, "loss": loss * noise, "data set": np.array([*"abc"])[data]}
    )


def by_turns() -> pd.DataFrame:
    """Runs of four ranges of sizes, every other one with a higher loss, and a column that names the ranges."""
    part = ((np.log(table(0.0)["params"]) - 17) // 1.25).astype(int)
    return table(0.0).assign(
        loss=lambda t: t["loss"] * np.exp(0.3 * (part % 2)), **{"data set": part.map("abcd".__getitem__)}
    )


def runs(level: float, **columns: object) -> bs.Runs:
    return bs.Runs.from_frame(table(level).assign(**columns))


def test_the_column_that_explains_the_scatter_is_named_with_what_to_do() -> None:
    (said,) = unread_columns([LAW], runs(0.1))
    assert said.startswith("column 'data set', which chinchilla does not read, explains")
    assert "of how losses scatter around a curve in params, tokens" in said
    assert said.endswith("(--law chinchilla --pool 'L_0=partial:data set')")
    missing = runs(0.1, seed=[1, None, *range(34)])
    assert unread_columns([LAW, LAW], missing)[0].startswith("column 'data set', which none of the laws reads")


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (runs(0.0), "it explains nothing"),
        (runs(0.1, **{"data set": "a"}), "it has one value"),
        (runs(0.1, **{"data set": np.arange(36)}), "every run has its own"),
        (bs.Runs.from_frame(table(0.1, rows=10)), "there are few runs"),
        (bs.Runs.from_frame(table(0.1).assign(**{"data set": lambda t: t["params"] > 1e9})), "it stands for the size"),
        (bs.Runs.from_frame(by_turns()), "it names ranges of sizes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nothing_is_said_where(found: bs.Runs, why: str) -> None:
    assert unread_columns([LAW], found) == ()


def test_nothing_is_said_while_a_column_that_looks_like_a_size_is_unread() -> None:
    named = table(0.1).rename(columns={"tokens": "tokens (B)"})
    assert unread_columns([bs.load_law("power_law:input=params")], bs.Runs.from_frame(named)) == ()


def test_what_parameters_vary_over_is_read() -> None:
    assert unread_columns([LAW], runs(0.1), ["data set"]) == ()


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.integers(2, 6))
def test_labels_by_chance_are_seldom_named(seed: int, count: int) -> None:
    labels = np.random.default_rng(seed).integers(count, size=36)
    assert unread_columns([LAW], runs(0.0, label=labels)) == ()


def test_fit_and_the_commands_say_it(tmp_path: object) -> None:
    with pytest.warns(BayesScalingWarning, match="column 'data set', which"):
        bs.fit("chinchilla", runs(0.1), sampler="laplace", seed=0)
    file = f"{tmp_path}/runs.csv"
    table(0.1).to_csv(file, index=False)
    code, out, _ = run("check", file)
    assert code == 0 and "data set" in out and "explains" in out
    table(0.1).assign(flops=lambda t: 6 * t["params"] * t["tokens"])[["flops", "loss", "data set"]].to_csv(
        file, index=False
    )
    code, out, _ = run("check", file)
    assert code == 0 and "which none of the laws reads" in out and "curve in flops" in out
