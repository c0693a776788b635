"""Stacking: the weights of several laws, and the forecast that they make together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bayes_scaling.errors import FitError
from bayes_scaling.inference.result import Fit
from bayes_scaling.model.noise import Scatter
from bayes_scaling.predict.forecast import Forecast, contents, forecast

LEAST_WEIGHT = 1e-3  # below which a candidate is not asked


def stacked(
    fits: Mapping[str, Fit],
    weights: Mapping[str, float],
    points: Any = None,
    *,
    seed: int = 0,
    unconverged: bool = False,
    **inputs: Any,
) -> Forecast:
    """Forecast with several laws at once: a mixture of their draws.

    Parameters
    ----------
    fits, weights : by candidate; weights sum to one
    points, inputs, seed, unconverged : as of `forecast`

    Returns
    -------
    Forecast
        As many draws as the largest fit has, divided among candidates by weight; its ``members`` are the candidates'
        own forecasts, and its spread says how much of it is disagreement between laws.
    """
    if not set(weights) <= set(fits) or not math.isclose(sum(weights.values()), 1.0, abs_tol=1e-6):
        raise FitError(
            f"weights of {', '.join(weights)} sum to {sum(weights.values()):g}; expected 1, over fits that are there"
        )
    asked = weighted(weights)
    members = {name: forecast(fits[name], points, seed=seed, unconverged=unconverged, **inputs) for name in asked}
    count = max(len(member.mean) for member in members.values())
    rng = np.random.default_rng([seed, 6])
    whole = dict(zip(asked, shares(np.array(list(asked.values())), count), strict=True))
    chosen = {
        name: rng.choice(len(member.mean), whole[name], replace=whole[name] > len(member.mean))
        for name, member in members.items()
    }

    def mixed(take: Callable[[Forecast], np.ndarray]) -> np.ndarray:
        return np.concatenate([take(member)[chosen[name]] for name, member in members.items()])

    some = next(iter(members.values()))
    known = ("parameters", "law form") if len(members) > 1 else ("parameters",)
    path = any(fits[name].departure.size for name in members)
    return Forecast(
        points=some.points,
        fitted=mixed(lambda f: f.fitted),
        mean=mixed(lambda f: f.mean),
        new_run=mixed(lambda f: f.new_run),
        scatter=Scatter(
            mixed(lambda f: f.scatter.location), mixed(lambda f: f.scatter.width), mixed(lambda f: f.scatter.nu)
        ),
        loss_unit=some.loss_unit,
        label="stack of " + ", ".join(f"{name} {weight:.0%}" for name, weight in asked.items()),
        contains=contents(known, ("the laws' own error",) if path else ()),
        extrapolation=some.extrapolation,
        members={name: (asked[name], member) for name, member in members.items()},
    )


def weighted(weights: Mapping[str, float]) -> dict[str, float]:
    """Return the candidates that are asked at all: one without weight may have failed."""
    return {name: weight for name, weight in weights.items() if weight >= LEAST_WEIGHT}


def shares(weights: np.ndarray, count: int) -> np.ndarray:
    """Divide a number of draws by weight, the largest remainders rounded up; at least one each."""
    exact = weights / weights.sum() * count
    whole: np.ndarray = np.maximum(np.floor(exact).astype(int), 1)
    for index in np.argsort(whole - exact)[: max(count - int(whole.sum()), 0)]:
        whole[index] += 1
    return whole
