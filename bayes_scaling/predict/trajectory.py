"""Trajectories: the whole loss curve of a planned run, or of one under way, as joint draws.

A trajectory is one forecast of many rows of one run. Each draw is a whole curve: the parameters of a law, its
discrepancy along the run, and the departure of this run's curve from the law are the same function at all its rows. So
questions about a curve as a whole have answers: a band that holds all of it, the step at which it reaches a loss.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from bayes_scaling.base.arguments import Seed, validated
from bayes_scaling.base.json_text import json_text, nulled
from bayes_scaling.base.messages import checked_loss, equal_tails, listed, shown
from bayes_scaling.data.columns import derive_missing
from bayes_scaling.errors import ForecastError
from bayes_scaling.inference.result import Fit
from bayes_scaling.model.schedule import STEP_RATE
from bayes_scaling.predict.along import reached
from bayes_scaling.predict.beside import beside
from bayes_scaling.predict.continuation import continued
from bayes_scaling.predict.ensemble import Source, shares_of
from bayes_scaling.predict.forecast import CURVE, Forecast, forecast
from bayes_scaling.predict.frontier import Requirement
from bayes_scaling.predict.quantities import QuantityDraws
from bayes_scaling.predict.so_far import along_curves, curve_so_far

ROWS = 64  # of a curve that is given by its end
EARLIEST = 0.1  # share of a run from which its curve is forecast, at the latest
LENGTHS = ("steps", "tokens")  # in which the end of a run may be given
PLANNED_RUN = "planned run"
BAND = 0.9  # probability of intervals where none is asked for
KINDS: Mapping[str, str] = {
    "mean": "what the law expects of such runs, of one under way with its own deviation so far",
    CURVE: "this run's own curve",
    "new_run": "single evaluations of this run",
}
"""What a band of a trajectory can describe."""


@dataclasses.dataclass(frozen=True, eq=False)
class Trajectory:
    """Joint draws of the loss curve of one run.

    Attributes
    ----------
    forecast : of rows along the run, in order; for a run under way from its current row on
    along : column that orders the rows, ``steps`` or ``tokens``
    run : its id where it is under way; empty for a planned run
    so_far : the fitted rows of a run under way; no rows for a planned one
    beside : quantities of the laws along the run, at the median losses of its curve, each computed when it is asked
        for; empty where the laws have none
    """

    forecast: Forecast
    along: str
    run: str
    so_far: pd.DataFrame
    beside: Mapping[str, QuantityDraws]

    EXPECTED: ClassVar[str] = "a Trajectory, as from trajectory(fit, ...)"

    @property
    def points(self) -> pd.DataFrame:
        """One row per place along the run: the laws' inputs in raw units."""
        return self.forecast.points

    @property
    def positions(self) -> np.ndarray:
        """Steps, or tokens, of each row, ``(n_row,)``."""
        return self.points[self.along].to_numpy(float)

    @property
    def contains(self) -> dict[str, str]:
        """What the bands of each kind contain."""
        said = self.forecast.contains
        single = f"one evaluation along the {said[CURVE][:-1]}, the scatter of single rows)"
        return {"mean": said["mean"], CURVE: said[CURVE], "new_run": single}

    @property
    def name(self) -> str:
        """The run, in words: its id, or what is constant along it."""
        if self.run:
            return f"run {self.run}"
        constant = [str(name) for name in self.points if self.points[name].nunique() == 1]
        return f"a run of {listed(f'{name} {_number(self.points[name].iloc[0])}' for name in constant)}"

    @validated
    def draws(self, of: str = "curve") -> np.ndarray:
        """Return draws of whole curves, ``(n_draw, n_row)``: the ``mean``, the ``curve`` of this run, or ``new_run``.

        ``mean`` is what the law expects, ``curve`` adds the departure of this run from it, and ``new_run`` the scatter
        of single evaluations.
        """
        if of not in KINDS:
            raise ForecastError(f"a trajectory is of {', '.join(KINDS)}, not of {shown(of)}")
        values: np.ndarray = getattr(self.forecast, of)
        return values

    @validated
    def median(self, of: str = "curve") -> np.ndarray:
        """Return the median loss at each row, ``(n_row,)``."""
        return np.asarray(np.median(self.draws(of), axis=0))

    @validated
    def interval(self, probability: float = 0.9, of: str = "curve") -> np.ndarray:
        """Return the pointwise band, ``(n_row, 2)``: at each row alone it holds the loss with this probability."""
        return np.asarray(np.quantile(self.draws(of), equal_tails(probability), axis=0).T)

    @validated
    def simultaneous(self, probability: float = 0.9, of: str = "curve") -> np.ndarray:
        """Return the simultaneous band, ``(n_row, 2)``: it holds a curve at all rows with this probability.

        It is the pointwise band, stretched around the median in log loss by one factor until that share of the draws
        lies inside at every row. Of ``new_run`` it is wider the more rows there are, since each has its own scatter.
        """
        logs, inner = np.log(self.draws(of)), np.log(self.interval(probability, of))
        middle = np.median(logs, axis=0)
        below, above = (np.maximum(np.abs(inner[:, side] - middle), np.finfo(float).tiny) for side in (0, 1))
        away = logs - middle
        factor = np.quantile(np.max(np.where(away < 0, -away / below, away / above), axis=1), probability)
        return np.exp(np.stack([middle - factor * below, middle + factor * above], axis=1))

    @validated
    def required(self, loss: float, of: str = "") -> Requirement:
        """Return where this run's own curve first reaches a loss, one answer per draw.

        Between rows the curve is a power of the position. A run under way that has measured such a loss has reached it.

        Parameters
        ----------
        loss : target, in the unit of the losses
        of : ``steps`` or ``tokens``; by default what orders the rows

        Returns
        -------
        Requirement
            ``draws`` are infinite where the curve does not reach the loss within the run; ``reachable`` is the
            probability that it does. A curve that begins below the loss reaches it at its first row.

        Raises
        ------
        ForecastError
            When the loss is not positive, or the rows do not say how many of ``of`` they are.
        """
        of = of or self.along
        checked_loss(loss, self.forecast.loss_unit)
        known = derive_missing({str(name): self.points[name].to_numpy(float) for name in self.points})[0]
        if of not in LENGTHS or of not in known:
            raise ForecastError(
                f"a loss is reached at {listed([n for n in LENGTHS if n in known])}, not at {shown(of)}"
            )
        place = np.log(np.asarray(known[of], float))
        lowest = np.minimum.accumulate(np.log(self.draws()), axis=1)
        found = np.exp(reached(lowest, place, np.log(loss)))
        if len(self.so_far) and (before := self.so_far["loss"].to_numpy(float) <= loss).any():
            rows = {str(name): self.so_far[name].to_numpy() for name in self.so_far if name != "run"}
            found[:] = np.asarray(derive_missing(rows)[0][of], float)[before][0]
        end = _number(self.positions[-1])
        return Requirement(float(loss), of, found, f"this run's curve, which ends at {end} {self.along}")

    @validated
    def beside_frame(self, probability: float = 0.9) -> pd.DataFrame:
        """Return the quantities of the laws along the run, one row per quantity and place.

        Returns
        -------
        pandas.DataFrame
            ``quantity``, ``unit``, ``meaning``, the position, ``loss`` (median of the curve there), ``median``,
            ``low``, ``high`` and ``defined``, the probability that the law gives an answer. Intervals are those of the
            law's parameters at that loss.
        """
        losses = self.median()
        parts = []
        for name, found in self.beside.items():
            low, high = found.interval(probability).T
            content = {"quantity": name, "unit": found.unit, "meaning": found.meaning, self.along: self.positions}
            found_columns = {
                "loss": losses,
                "median": found.median(),
                "low": low,
                "high": high,
                "defined": found.defined,
            }
            parts.append(pd.DataFrame({**content, **found_columns}))
        names = ["quantity", "unit", "meaning", self.along, "loss", "median", "low", "high", "defined"]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=names)

    @validated
    def to_frame(self, probabilities: Sequence[float] = (0.5, 0.9)) -> pd.DataFrame:
        """Return one row per place: inputs, median of the curve, pointwise and simultaneous bands.

        Parameters
        ----------
        probabilities : probabilities that the bands contain, as fractions
        """
        frame = self.points.copy()
        for of in KINDS:
            frame[f"{of}_median"] = self.median(of)
            for probability in probabilities:
                for band, ends in (("", self.interval), ("whole_", self.simultaneous)):
                    low, high = ends(probability, of).T
                    frame[f"{of}_{band}{probability:g}_low"], frame[f"{of}_{band}{probability:g}_high"] = low, high
        return frame

    @validated
    def to_json(self, probabilities: Sequence[float] = (0.5, 0.9), targets: Sequence[float] = ()) -> str:
        """Return `to_frame` as JSON, with what the bands contain, targets, and quantities at the end of the run.

        Parameters
        ----------
        probabilities : probabilities that the bands contain, as fractions
        targets : losses; where each is reached, and with which probability
        """
        widest = max(probabilities, default=BAND)
        last = self.beside_frame(widest)
        last = last[last[self.along] == self.positions[-1]]
        content = {
            "law": self.forecast.label,
            "run": self.run or None,
            "name": self.name,
            "along": self.along,
            "loss_unit": self.forecast.loss_unit,
            "bands": self.contains,
            "interval": "equal-tailed credible interval at each row",
            "whole": "band that holds whole curves, at all these rows, with its probability",
            "targets": [self.reached(loss, widest) for loss in targets],
            "beside": nulled(last.to_dict(orient="records")),
            "cautions": list(self.forecast.cautions),
            "rows": self.to_frame(probabilities).to_dict(orient="records"),
        }
        return json_text(content, indent=2)

    @validated
    def reached(self, loss: float, probability: float = 0.9) -> dict[str, Any]:
        """Say where a loss is reached as plain values: ``probability_reached``; steps and tokens, None if never.

        Parameters
        ----------
        loss : target, in the unit of the losses
        probability : probability that the intervals contain, a fraction
        """
        content: dict[str, Any] = {"loss": loss, "probability": probability}
        known = derive_missing({str(name): self.points[name].to_numpy(float) for name in self.points})[0]
        for of in (name for name in LENGTHS if name in known):
            needed = self.required(loss, of)
            low, high = needed.interval(probability)
            named = {"median": needed.quantile(0.5), "low": low, "high": high}
            content[of] = {name: value if np.isfinite(value) else None for name, value in named.items()}
            content["probability_reached"] = needed.reachable
        return content

    def __repr__(self) -> str:
        rows, last = len(self.points), _number(self.positions[-1])
        return f"<Trajectory of {self.name}: {rows} rows to {self.along} {last}, {len(self.draws())} draws>"


@validated
def trajectory(
    source: Source,
    *,
    run: str = "",
    given: Mapping[str, Any] | None = None,
    seed: Seed = 0,
    unconverged: bool = False,
    **inputs: Any,
) -> Trajectory:
    """Forecast the whole loss curve of a planned run, or the rest of one that is under way.

    Parameters
    ----------
    source : fit of a law of training curves; or a comparison or an ensemble of such laws, which are mixed by weight
    run : of a run under way, its id in the fitted table; what is constant in its rows so far is filled in
    given : further inputs of the law's quantities beside the curve: ``{"gap": 0.02}``
    seed : of the noise, of the discrepancy and of departures of curves
    unconverged : accept fits that did not converge
    inputs : what the law reads of a run, ``params=519e3, batch_tokens=8192``, and how long it is: ``steps=2000``, or
        ``tokens`` of a table without steps. A number is the end of the run, whose rows are then placed evenly along the
        logarithm; a list gives the rows, and then other inputs may be lists of equal length, like ``learning_rate``,
        which otherwise goes as along the longest fitted run

    Returns
    -------
    Trajectory
        With as many draws as `forecast` has.

    Raises
    ------
    ForecastError
        When the law reads nothing that grows along a run, an input is missing or unknown, rows are not in order, or the
        run under way is beyond its end already.
    ConvergenceError
        When the fit did not converge.
    """
    fits = [share.fit for share in shares_of(source, seed, unconverged).values()]
    for fit in fits:
        if not along_curves(fit):
            raise ForecastError(
                f"a trajectory needs laws that read steps or tokens along a run, like kaplan_trajectory; "
                f"{fit.law.label} reads {listed(fit.law.inputs)}"
            )
    along = _along_of(inputs)
    so_far = curve_so_far(fits[0], run)[0] if run else fits[0].runs.table.iloc[:0]
    rows = _rows(fits[0], along, inputs, so_far)
    others = {name: value for name, value in inputs.items() if name != along}
    if not _is_list(inputs[along]) and (lists := [name for name, value in others.items() if _is_list(value)]):
        raise ForecastError(f"{lists[0]} is a list, so give {along} as a list of equal length too, one for each row")
    if run:
        until = None if _is_list(inputs[along]) else float(rows[-1])
        found = continued(source, run, {along: rows, **others}, until=until, seed=seed, unconverged=unconverged)
    else:
        labels = set(fits[0].runs.table["run"].astype(str)) if "run" in fits[0].runs else set()
        name = PLANNED_RUN + "'" * sum(one.startswith(PLANNED_RUN) for one in labels)
        planned: dict[str, Any] = {**others, along: rows, "run": name}
        schedules = [fit.yardstick.schedule for fit in fits if fit.yardstick.schedule is not None]
        usual = schedules[0] if schedules and STEP_RATE not in others else None
        if usual is not None:
            planned[STEP_RATE] = usual.along(rows)
        found = forecast(source, seed=seed, unconverged=unconverged, **planned)
        if usual is not None:
            found = dataclasses.replace(found, cautions=(*found.cautions, usual.said))
    if cautions := _of_no_curves(fits[0]):
        found = dataclasses.replace(found, cautions=(*found.cautions, *cautions))
    further = {name: _numbers(name, value) for name, value in (given or {}).items()}
    return Trajectory(found, along, run, so_far, beside(source, found, further, unconverged))


def _along_of(inputs: Mapping[str, Any]) -> str:
    """Return the input that grows along the run."""
    wanted = [name for name in LENGTHS if name in inputs]
    if not wanted:
        raise ForecastError("say how long the run is: steps=2000, or tokens=1e9 of a table without steps")
    many = [name for name in wanted if _is_list(inputs[name])]
    if len(wanted) > 1 and len(many) != len(wanted):
        raise ForecastError("give the length of the run in steps or in tokens, not in both")
    return wanted[0]


def _rows(fit: Fit, along: str, inputs: Mapping[str, Any], so_far: pd.DataFrame) -> np.ndarray:
    """Return the positions of the rows of a run, in order; those of a planned run are after whole steps."""
    given = inputs[along]
    values = np.atleast_1d(_numbers(along, given))
    if values.ndim != 1 or not (len(values) and np.isfinite(values).all() and (values > 0).all()):
        raise ForecastError(f"{along} is {shown(given)}, expected positive numbers")
    if (np.diff(values) <= 0).any():
        raise ForecastError(f"{along} along a run must grow from row to row; got {shown(given)}")
    if _is_list(given):
        return values
    end = float(values[0])
    if len(so_far):
        first = float(so_far[along].iloc[-1]) if along in so_far else 0.0
        if not first > 0:
            raise ForecastError(f"the rows of this run are not counted in {along}; give its end in another unit")
        if end <= first:
            raise ForecastError(
                f"the run is at {along} {_number(first)} already; give an end beyond, not {_number(end)}"
            )
        return np.geomspace(first, end, ROWS)
    known = derive_missing({name: fit.runs.column(name) for name in (*LENGTHS, "batch_tokens") if name in fit.runs})[0]
    step = _step(along, inputs.get("batch_tokens")) if "steps" in known else None
    unit, counted = (1.0, along) if step is None else (step, "steps")
    smallest = float(np.min(known[counted])) if counted in known else end / unit
    places = np.geomspace(min(smallest, EARLIEST * end / unit), end / unit, ROWS)
    return places if step is None else np.unique(np.append(np.minimum(np.ceil(places[:-1]) * unit, end), end))


def _step(along: str, batch: Any) -> float | None:
    """Return the length of one step of a planned run; None where no batch says how many tokens it has."""
    if along == "steps":
        return 1.0
    size = np.nan if batch is None or _is_list(batch) else float(_numbers("batch_tokens", batch))
    return size if np.isfinite(size) and size >= 1 else None  # what is no batch is refused by its cell


def _of_no_curves(fit: Fit) -> tuple[str, ...]:
    """Say where the fitted table has no curves, so that rows of the forecast are ends of runs of that length."""
    table = fit.runs.table
    if "run" in table and table["run"].duplicated().any():
        return ()
    return (
        f"{fit.runs.source} holds ends of runs and no curves: each row is the end of a run of that length, not a place "
        f"along one run",
    )


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, int | float | np.number) else shown(str(value))


def _numbers(name: str, value: Any) -> np.ndarray:
    """Return a number or a list of numbers as an array."""
    try:
        return np.asarray(value, float)
    except (TypeError, ValueError, OverflowError):
        raise ForecastError(f"{name} is {shown(value)}, expected a number or a list of numbers") from None


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | range | pd.Series | pd.Index) or (
        isinstance(value, np.ndarray) and value.ndim > 0
    )
