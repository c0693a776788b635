"""What grows from run to run: compute at a fixed ratio of tokens to parameters, or one input of a law."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from bayes_scaling.base.messages import listed, shown
from bayes_scaling.data.columns import Points
from bayes_scaling.data.runs import Runs
from bayes_scaling.data.units import FLOPS_PER_PARAM_TOKEN
from bayes_scaling.errors import REMEDY, ForecastError, Remedy
from bayes_scaling.laws.law import Law


@dataclasses.dataclass(frozen=True)
class Along:
    """What grows from run to run, and what stays as it is.

    Attributes
    ----------
    of : ``flops`` (6 N D, at a fixed ratio), or an input of the law
    tokens_per_param : the ratio, for ``flops`` of a law in params and tokens; None elsewhere
    given : the other inputs
    """

    of: str
    tokens_per_param: float | None
    given: Mapping[str, float]

    @classmethod
    def through(cls, law: Law, runs: Runs, given: Mapping[str, float], tokens_per_param: float | None) -> Along:
        """Return how runs of a table grow: in compute where a law reads params and tokens, else in its free input.

        Parameters
        ----------
        given : inputs of the law that are fixed
        tokens_per_param : the ratio; by default the median of the table

        Raises
        ------
        ForecastError
            When a law has several inputs that could grow, or none.
        """
        stray = [name for name in given if name not in law.inputs]
        if stray:
            raise ForecastError(f"{shown(stray[0])} is no input of law {law.label}; it reads {listed(law.inputs)}")
        free = [name for name in law.inputs if name not in given]
        if set(free) == {"params", "tokens"}:
            usual = float(np.median(runs.column("tokens") / runs.column("params")))
            ratio = usual if tokens_per_param is None else tokens_per_param
            if not (math.isfinite(ratio) and ratio > 0):
                raise ForecastError(f"tokens_per_param is {ratio:g}, expected a positive number")
            return cls("flops", float(ratio), dict(given))
        if tokens_per_param is not None:
            raise ForecastError(
                f"tokens_per_param is for a law in params and tokens; {law.label} reads {listed(law.inputs)}"
            )
        if len(free) != 1:
            raise ForecastError(
                f"law {law.label} reads {listed(law.inputs)}: fix all but one of them, or all but params and tokens, "
                f"with {REMEDY}; {listed(free) or 'none'} {'are' if len(free) > 1 else 'is'} free",
                Remedy("given", free[-1] if free else law.inputs[-1]),
            )
        return cls(free[0], None, dict(given))

    @property
    def unit(self) -> str:
        """Unit of the size."""
        return "FLOPs" if self.of == "flops" else self.of

    @property
    def words(self) -> str:
        """What is compared, in words."""
        if self.tokens_per_param is None:
            return self.unit
        return f"FLOPs at {self.tokens_per_param:.3g} tokens per parameter"

    def inputs(self, sizes: np.ndarray) -> Points:
        """Return the inputs of runs of some sizes."""
        fixed = {name: np.full(len(sizes), value) for name, value in self.given.items()}
        if self.tokens_per_param is None:
            return {**fixed, self.of: sizes}
        params = np.sqrt(sizes / (FLOPS_PER_PARAM_TOKEN * self.tokens_per_param))
        return {**fixed, "params": params, "tokens": self.tokens_per_param * params}

    def sizes(self, runs: Runs) -> np.ndarray:
        """Return the size of each run of a table, ``(n_row,)``."""
        if self.tokens_per_param is None:
            return runs.column(self.of)
        return np.asarray(FLOPS_PER_PARAM_TOKEN * runs.column("params") * runs.column("tokens"))


def at_each(curves: np.ndarray, places: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Interpolate curves, ``(n_draw, n_place)``, at places of each draw, ``(n_draw,)`` or ``(n_draw, n)``."""
    after = np.clip(np.searchsorted(places, wanted), 1, len(places) - 1)
    share = (wanted - places[after - 1]) / (places[after] - places[after - 1])
    rows = np.arange(len(curves)).reshape(-1, *[1] * (np.ndim(wanted) - 1))
    return np.asarray((1 - share) * curves[rows, after - 1] + share * curves[rows, after])


def reached(curves: np.ndarray, places: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return where curves first are as low as a target each, ``(n_draw,)``; infinite where they never are.

    Parameters
    ----------
    curves : (n_draw, n_place)
    targets : (n_draw,), or one for all
    """
    below = curves <= np.reshape(targets, (-1, 1))
    after = np.argmax(below, axis=1)
    before = np.maximum(after - 1, 0)
    draw = np.arange(len(curves))
    high, low = curves[draw, before], curves[draw, after]
    share = np.where(high > low, (high - targets) / np.where(high > low, high - low, 1.0), 1.0)
    place = places[before] + np.clip(share, 0.0, 1.0) * (places[after] - places[before])
    return np.where(below.any(axis=1), place, math.inf)
