"""Weights of laws: shared by what is alike, bounded by how few witnesses there are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.evaluate.weights import WITNESSES, law_weights

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


def test_a_law_shares_its_weight_and_a_hundred_runs_are_a_few_witnesses() -> None:
    laws = {"a": "a", "a alone": "a", "b": "b"}
    weights = law_weights(scores(**{"a": 2.0, "a alone": 2.0, "b": 1.0}), laws, CUTS)
    assert sum(weights.values()) == pytest.approx(1.0) and weights["a"] == weights["a alone"]
    assert 2 * weights["a"] / weights["b"] == pytest.approx(np.exp(WITNESSES))


def test_a_member_that_is_far_off_costs_its_law_no_more_than_its_share() -> None:
    laws = {"a": "a", "a alone": "a", "b": "b"}
    weights = law_weights(scores(**{"a": 2.0, "a alone": -np.inf, "b": 2.0}), laws, CUTS)
    assert 2 * weights["a"] / weights["b"] == pytest.approx(0.5**WITNESSES)


def test_without_cuts_laws_weigh_the_same() -> None:
    weights = law_weights(pd.DataFrame(), {"a": "a", "a alone": "a", "b": "b"}, ())
    assert weights == {"a": 0.25, "a alone": 0.25, "b": 0.5}
    with pytest.raises(bs.errors.DataError, match="at least one law"):
        law_weights(pd.DataFrame(), {}, ())
