"""Matrices are multiplied by one thread while we compute, and by as many as before afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import threadpoolctl

import bayes_scaling as bs
from bayes_scaling.model.discrepancy import _rest_factor


def threads() -> set[int]:
    return {one["num_threads"] for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"}


def test_forecasts_and_pilots_use_one_thread(wandering_fit: bs.Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, set[int]] = {}

    def watched(name: str) -> Any:
        real = getattr(np.linalg, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            seen.setdefault(name, set()).update(threads())
            return real(*args, **kwargs)

        return call

    for name in ("eigh", "svd"):
        monkeypatch.setattr(np.linalg, name, watched(name))
    _rest_factor.cache_clear()
    before = threads()
    if before == {1}:
        pytest.skip("this machine has one thread for matrices")
    bs.forecast(wandering_fit, params=1e10, tokens=2e11)
    pilots = {"params": [1e9, 2e9], "tokens": [2e10, 2e10]}
    bs.DecisionProblem(wandering_fit).pilot(pilots, 1e21, budget=1e22)
    assert threads() == before
    assert seen == {"eigh": {1}, "svd": {1}}
