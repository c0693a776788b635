"""Weights of laws: shared by what is alike, bounded by how few witnesses there are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.evaluate.weights import FURTHEST, WITNESSES, counts_of, law_weights

CUTS = (bs.Cut("flops", 1e20), bs.Cut("flops", 3e20))


def scores(**by_member: float) -> pd.DataFrame:
    """One log score for each member, the same for twelve runs above either cut."""
    rows = [
        {"candidate": name, "cut": cut.label, "row": row, "run": f"r{row}", "log_score": value}
        for name, value in by_member.items()
        for cut in CUTS
        for row in range(12)
    ]
    return pd.DataFrame(rows)


def test_a_hundred_runs_are_a_few_witnesses() -> None:
    laws = {"a": "a", "a alone": "a", "b": "b", "b alone": "b"}
    behind = law_weights(scores(**{"a": 2.0, "a alone": 1.9, "b": 1.5, "b alone": 2.0}), laws, CUTS)
    assert sum(behind.values()) == pytest.approx(1.0) and behind["a"] == pytest.approx(behind["b alone"])
    assert behind["a alone"] / behind["a"] == pytest.approx(np.exp(-0.1 * WITNESSES))
    assert behind["b"] / behind["a"] == pytest.approx(np.exp(-0.5 * WITNESSES))
    fewer = law_weights(scores(**{"a": 2.0, "b": 1.5}), {"a": "a", "b": "b"}, CUTS, witnesses=1.0)
    assert fewer["b"] / fewer["a"] == pytest.approx(np.exp(-0.5))


def test_a_member_that_is_far_off_keeps_a_little_weight() -> None:
    laws = {"a": "a", "a alone": "a", "b": "b"}
    weights = law_weights(scores(**{"a": 2.0, "a alone": -np.inf, "b": 2.0}), laws, CUTS)
    assert weights["a alone"] / weights["a"] == pytest.approx(np.exp(-FURTHEST * WITNESSES))
    assert weights["a"] / weights["b"] == pytest.approx(0.5)  # laws are alike, whatever the number of their members


def test_rows_of_a_run_count_once_and_cuts_count_alike() -> None:
    many = scores(a=2.0, b=1.5)
    curve = many[many["run"] == "r0"].assign(log_score=lambda rows: rows["log_score"] - (rows["candidate"] == "a"))
    curve = pd.concat([curve.assign(row=100 + i) for i in range(50)])
    more = pd.concat([many, curve[curve["cut"] == CUTS[0].label]])
    one_run = law_weights(more, {"a": "a", "b": "b"}, CUTS)
    moved = 1 / 12 * 50 / 51 / 2  # of one run in twelve, at one cut of two
    assert one_run["b"] / one_run["a"] == pytest.approx(np.exp(-(0.5 - moved) * WITNESSES), rel=1e-6)


def test_a_cut_counts_by_the_share_that_it_keeps_whatever_its_column() -> None:
    runs = bs.Runs.from_frame(pd.DataFrame({"params": [1e8, 1e9, 2e9], "flops": [1e19, 1e20, 4e20], "loss": [3, 2, 1]}))
    cuts = (bs.Cut("params", 1e9), bs.Cut("flops", 1e20))
    index = pd.MultiIndex.from_tuples(
        [(cut.label, row, run) for cut in cuts for row, run in ((2, "3"),)], names=["cut", "row", "run"]
    )
    assert counts_of(index, cuts, runs) == pytest.approx([2 / 3, 1 / 3])


def test_without_cuts_laws_weigh_the_same() -> None:
    weights = law_weights(pd.DataFrame(), {"a": "a", "a alone": "a", "b": "b"}, ())
    assert weights == {"a": 0.25, "a alone": 0.25, "b": 0.5}
    with pytest.raises(bs.errors.DataError, match="at least one law"):
        law_weights(pd.DataFrame(), {}, ())
