"""Forecasts: the loss of runs that were not trained, with bands that say what they contain."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from bayes_scaling.base.arguments import Seed, validated
from bayes_scaling.base.json_text import json_text
from bayes_scaling.base.messages import checked_loss, checked_probability, equal_tails, listed
from bayes_scaling.base.streams import GOING_ON, stream
from bayes_scaling.data.consistency import odd_rows
from bayes_scaling.data.naming import named_as_runs
from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import ForecastError
from bayes_scaling.inference.at_rows import few_of, with_few_draws
from bayes_scaling.inference.draws import by_row
from bayes_scaling.inference.result import Fit
from bayes_scaling.laws.columns import INPUTS
from bayes_scaling.model.observations import SIZE_MEASURES
from bayes_scaling.model.schedule import STEP_RATE
from bayes_scaling.predict.cautions import (
    by_priors_alone,
    by_the_prior,
    far_beyond,
    known_columns,
    off_balance,
    out_of_range,
    unread,
)
from bayes_scaling.predict.deviations import SoFar, of_new_runs, of_runs_that_go_on
from bayes_scaling.predict.ensemble import Ensemble, Source, drawn_by_weight, label_of, shares_of
from bayes_scaling.predict.finished import FINISHED_RUNS, to_the_end
from bayes_scaling.predict.members import law_and_scale
from bayes_scaling.predict.paths import paths_at
from bayes_scaling.predict.planned import PLANNED, columns_known, planned
from bayes_scaling.predict.predictive import Predictive, Residuals
from bayes_scaling.predict.so_far import RunsSoFar, numbered, runs_that_go_on

if TYPE_CHECKING:
    import xarray as xr

NEW_DEVIATION = "its departure from the law"  # of the curve of a new run, as it stands in what a band contains

KINDS: Mapping[str, str] = {"fitted": "fitted curve", "mean": "mean curve", "new_run": "one new run"}
"""What a band can describe: the fitted law, the expected loss, the loss of one run."""
CURVE = "curve"  # of one run, without the scatter of its single rows: of a trajectory, not of a point

MOST_POINTS = 50_000  # of a forecast: its draws take 2.5 GiB

DISAGREEMENT = "disagreement between laws"
OWN_ERROR, OWN_ERRORS = "the law's own error", "the laws' own error"


def contents(known: Sequence[str], error: Sequence[str] = (), own: Sequence[str] = ()) -> dict[str, str]:
    """Say what the bands of each kind contain, and those of the curve of one run.

    Parameters
    ----------
    known : sources of uncertainty of the fitted curve
    error : sources added by the law's error beyond the fitted runs
    own : what is added to both by the run's distance from the law, where ``error`` does not say it already
    """
    return {
        CURVE: f"curve of this run ({listed((*known, *error, *own))})",
        "fitted": f"{KINDS['fitted']} ({listed(known)})",
        "mean": f"{KINDS['mean']} ({listed((*known, *error))})",
        "new_run": f"{KINDS['new_run']} ({listed((*known, *error, 'run noise'))})",
    }


@dataclasses.dataclass(frozen=True, eq=False)
class Forecast:
    """Posterior predictive draws at future runs.

    Attributes
    ----------
    points : one row per future run, the law's inputs in raw units
    fitted : (n_draw, n_point) loss on the law's curve, corrected by the part of the law's error that the runs show
    mean : (n_draw, n_point) expected loss, including the law's error beyond the runs
    new_run : (n_draw, n_point) loss of one new run, including noise
    curve : (n_draw, n_point) loss on the own curve of each run: its departure from the law, which its rows share, but
        not the scatter of single rows
    predictive : the distribution of log loss of one new run
    loss_unit, label : unit of the losses, name of the law
    contains : what each kind of band contains, in words
    extrapolation : (n_point,) size of each point over that of the largest fitted run (FLOPs where known)
    members : for a forecast by several laws, the weight and the forecast of each law
    cautions : in sentences, where a run lies far outside the fitted ones, and which unit may be meant
    continues : runs of the fitted table that rows of this forecast go on with, each from its own curve so far
    """

    points: pd.DataFrame
    fitted: np.ndarray
    mean: np.ndarray
    new_run: np.ndarray
    curve: np.ndarray
    predictive: Predictive
    loss_unit: str
    label: str
    contains: Mapping[str, str]
    extrapolation: np.ndarray
    members: Mapping[str, tuple[float, Forecast]] = dataclasses.field(default_factory=dict)
    cautions: tuple[str, ...] = ()
    continues: tuple[str, ...] = ()

    EXPECTED: ClassVar[str] = "a Forecast, as from forecast(fit, ...)"

    @validated
    def draws(self, of: str = "new_run") -> np.ndarray:
        """Return the draws of the ``fitted`` curve, the ``mean`` curve or one ``new_run``, ``(n_draw, n_point)``."""
        if of not in KINDS:
            raise ForecastError(f"a forecast is of {', '.join(KINDS)}, not of {of!r}")
        values: np.ndarray = getattr(self, of)
        return values

    @validated
    def quantile(self, probability: float | Sequence[float], of: str = "new_run") -> np.ndarray:
        """Return quantiles of the loss, ``(n_probability, n_point)`` (or ``(n_point,)`` for one probability)."""
        wanted = np.vectorize(checked_probability, otypes=[float])(probability)
        return np.asarray(np.quantile(self.draws(of), wanted, axis=0))

    @validated
    def median(self, of: str = "new_run") -> np.ndarray:
        """Return the median loss, ``(n_point,)``."""
        return np.asarray(np.median(self.draws(of), axis=0))

    @validated
    def interval(self, probability: float = 0.9, of: str = "new_run") -> np.ndarray:
        """Return the equal-tailed credible interval of the loss, ``(n_point, 2)``.

        Parameters
        ----------
        probability : probability that the interval contains, a fraction
        of : ``new_run`` (everything), ``mean`` (no run noise) or ``fitted`` (parameters, disagreement between
            laws, and the laws' error as far as the runs show it)
        """
        return np.asarray(np.quantile(self.draws(of), equal_tails(probability), axis=0).T)

    def uncertainty(self) -> pd.DataFrame:
        """Split the uncertainty of one new run into its sources.

        Returns
        -------
        pandas.DataFrame
            One row per point: ``parameters`` (of the law, and of its error as far as the runs show it), ``law_form``
            (disagreement between several laws; 0 for one law), ``discrepancy`` (a law's error beyond the runs),
            ``run_noise`` and ``total``. Each is a half-width of the central 68 % of log loss; the squares of the parts
            add up to the square of the total.
        """
        within = [weight * _half(member.fitted) ** 2 for weight, member in self.members.values()]
        halves = [np.sqrt(np.sum(within, axis=0)) if within else _half(self.fitted)]
        halves += [_half(self.draws(of)) for of in KINDS]
        grown = np.maximum.accumulate([np.zeros_like(halves[0]), *halves])
        parts = np.sqrt(np.diff(np.square(grown), axis=0))
        names = ("parameters", "law_form", "discrepancy", "run_noise")
        return pd.DataFrame(dict(zip(names, parts, strict=True), total=grown[-1]))

    @validated
    def probability_below(self, loss: float, of: str = "new_run") -> np.ndarray:
        """Return ``P(loss <= target)`` at each point, ``(n_point,)``."""
        checked_loss(loss, self.loss_unit)
        return np.asarray(np.mean(self.draws(of) <= loss, axis=0))

    @validated
    def to_frame(self, probabilities: Sequence[float] = (0.5, 0.9), target: float | None = None) -> pd.DataFrame:
        """Return one row per point: inputs, median, both kinds of bands, probability of the target.

        Parameters
        ----------
        probabilities : probabilities that the bands contain, as fractions
        target : adds a column ``P(loss <= target)``
        """
        frame = self.points.copy()
        frame["extrapolation"] = self.extrapolation
        for of in KINDS:
            frame[f"{of}_median"] = self.median(of)
            for probability in probabilities:
                low, high = self.interval(probability, of).T
                frame[f"{of}_{probability:g}_low"], frame[f"{of}_{probability:g}_high"] = low, high
        if target is not None:
            frame["probability_below_target"] = self.probability_below(target)
        return frame

    @validated
    def to_json(self, probabilities: Sequence[float] = (0.5, 0.9), target: float | None = None) -> str:
        """Return `to_frame` as JSON with a header that says what the bands contain."""
        content = {
            "law": self.label,
            "loss_unit": self.loss_unit,
            "bands": {of: self.contains[of] for of in KINDS},
            "interval": "equal-tailed credible interval",
            "target": target,
            "cautions": list(self.cautions),
            "continues": list(self.continues),
            "points": self.to_frame(probabilities, target).to_dict(orient="records"),
        }
        return json_text(content, indent=2)

    def to_dataset(self) -> xr.Dataset:
        """Return the draws as an xarray data set with dimensions ``sample`` and ``point``."""
        import xarray as xr

        inputs = {str(name): ("point", self.points[name].to_numpy()) for name in self.points}
        return xr.Dataset(
            {
                of: (("sample", "point"), self.draws(of), {"unit": self.loss_unit, "contains": self.contains[of]})
                for of in KINDS
            },
            coords=inputs,
        )

    def __repr__(self) -> str:
        return f"<Forecast of {self.label} at {len(self.points)} points, {len(self.mean)} draws>"


def _half(losses: np.ndarray) -> np.ndarray:
    """Return the half-width of the central 68 % of log loss at each point, ``(n_point,)``."""
    return np.asarray(np.diff(np.quantile(np.log(losses), [0.16, 0.84], axis=0), axis=0)[0] / 2)


@validated
def forecast(
    source: Source,
    points: pd.DataFrame | Runs | None = None,
    *,
    seed: Seed = 0,
    unconverged: bool = False,
    **inputs: Any,
) -> Forecast:
    """Forecast the loss of runs that were not trained.

    Parameters
    ----------
    source : a fit, or a comparison or an ensemble, whose laws are mixed by weight
    points : table with the law's inputs in raw units. Where the fitted table holds training curves, rows with the
        ``run`` of a fitted curve, beyond its last row, are forecast from that curve, as by `continued`; others are new
        runs, each row without a ``run`` one of its own. Or give inputs by name:
    inputs : numbers or lists of equal length, ``params=[7e9, 70e9], tokens=1.4e12``; and the group of each run if the
        fit is pooled, ``dataset="c4"`` (a name that is not in the fitted table is a new group, drawn from the
        population)
    seed : of the noise of new runs
    unconverged : accept fits that did not converge

    Returns
    -------
    Forecast
        Draws of the mean curve and of one new run at every point. With several laws there are as many draws as in the
        largest fit, divided by weight, and ``members`` holds the forecast of each law; draws that were taken from an
        ensemble are those of its forecast, in their order. Of more than 10 million draws by points, draws are left out
        evenly, down to 100 of each chain.

    Raises
    ------
    ConvergenceError
        When the fit did not converge.
    ForecastError
        When an input of the law is missing or unknown, or there are more than 50,000 points.
    DataError
        When an input is what a table of runs refuses: not a positive number, or FLOPs far from 6 N D.
    """
    if isinstance(source, Ensemble):
        inputs = {**(source.group if points is None else {}), **inputs}
    fits = [source] if isinstance(source, Fit) else list(source.fits.values())
    return by_all_laws(
        source,
        seed,
        unconverged,
        lambda fit, draws: _forecast_by(fit, points, _read_by(fit, fits, inputs), seed, draws),
    )


def by_all_laws(
    source: Source, seed: int, unconverged: bool, ask: Callable[[Fit, np.ndarray | None], Forecast]
) -> Forecast:
    """Ask each law of a source for a forecast, and mix what they say.

    Parameters
    ----------
    ask : returns the forecast by one fit, of some of its draws by index, or of all
    """
    shares = shares_of(source, seed, unconverged)
    if isinstance(source, Fit):
        return ask(source, None)
    # `members` of a forecast hold all draws of each law, unless some were taken from the ensemble.
    draws = source.draws if isinstance(source, Ensemble) and source.taken else {}
    of_laws = {name: ask(share.fit, draws.get(name)) for name, share in shares.items()}
    return mixed(of_laws, {name: share.weight for name, share in shares.items()}, draws, seed)


def _read_by(asked: Fit, fits: Sequence[Fit], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out inputs of future runs that another law has a column for, and the one that is asked has not."""
    others = {column for fit in fits for column in fit.law.columns} - {*INPUTS, *asked.law.columns}
    return {given: value for given, value in inputs.items() if given not in others}


def _forecast_by(
    fit: Fit,
    points: pd.DataFrame | Runs | None,
    inputs: Mapping[str, Any],
    seed: int,
    draws: np.ndarray | None,
) -> Forecast:
    """Forecast with one fit, or with some of its draws."""
    frame = planned(fit, points, inputs)
    if not isinstance(points, Runs):  # whose rows are in memory already, as those that are held out
        refuse_many(frame)
    found = at_rows_ahead(fit, frame, runs_that_go_on(fit, frame), seed, draws)
    names: Container[str] = inputs
    if points is not None:
        table = points.table if isinstance(points, Runs) else points
        names = named_as_runs(table, columns_known(fit.law, fit.groups.columns), PLANNED)[0]
    given = {name: frame[name].to_numpy(float) for name in INPUTS if name in names and name in frame}
    said = unread((*fit.law.inputs, *fit.groups.columns), fit.runs, given)
    groups = by_priors_alone(fit.groups, fit.pooling, frame)
    return dataclasses.replace(found, cautions=(*said, *groups, *found.cautions))


def refuse_many(frame: pd.DataFrame) -> None:
    """Refuse future rows whose draws would not fit into memory."""
    if len(frame) > MOST_POINTS:
        raise ForecastError(
            f"{len(frame):,} points were asked for, and a forecast holds the draws of at most {MOST_POINTS:,} at once: "
            "give fewer, or ask for one part after the other"
        )


def at_rows_ahead(
    fit: Fit,
    frame: pd.DataFrame,
    known: RunsSoFar,
    seed: int,
    draws: np.ndarray | None = None,
) -> Forecast:
    """Forecast rows of runs that are new, and of runs that go on.

    Parameters
    ----------
    frame : future rows as of `planned`
    known : fitted rows of the runs that go on, named as in the column ``run`` of ``frame``
    seed : of the noise, of the discrepancy and of deviations of curves
    draws : (n_draw,) which draws of the fit are asked, by index; by default all
    """
    if known.runs and STEP_RATE in fit.law.inputs and STEP_RATE not in frame:
        raise ForecastError(f"run {known.runs[0]!r} goes on: give the learning rate of its rows ahead, {STEP_RATE}")
    common = [name for name in frame if name in known.rows]
    both = pd.concat([known.rows[common], frame[common]], ignore_index=True) if known.runs else frame
    now, whole = len(both) - len(frame), fit
    if draws is None:
        fit = with_few_draws(fit, len(both))
    chosen = slice(None) if draws is None else few_of(draws, len(both))
    named = {"run", *fit.groups.columns}
    table = {str(name): both[name].to_numpy(float) for name in both if name not in named}
    if "run" in both:
        table["run"] = numbered(both["run"])
    theta, cell = fit.in_groups(both, PLANNED, seed)
    theta = {name: values[chosen] for name, values in theta.items()}
    log_law, scale = law_and_scale(fit, theta, table, cell)
    learned, unresolved = (np.broadcast_to(part, log_law.shape) for part in paths_at(fit, table, seed, chosen))
    at_rows = by_row(theta, cell[now:])
    own = of_new_runs(fit.noise, at_rows, {name: values[now:] for name, values in table.items()}, seed)
    fitted, fresh, drawn = (log_law + learned)[:, now:], unresolved[:, now:], np.zeros((1, 1))
    shown: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    if known.runs:
        run, position = table["run"], both[known.along].to_numpy(float)
        residual = np.log(known.rows["loss"].to_numpy(float)) - (log_law + learned)[:, :now]
        so_far = SoFar(run[:now], position[:now], residual, scale[:, :now], by_row(theta, cell[:now]))
        on = np.flatnonzero(np.isin(run[now:], run[:now]))
        ahead = now + on
        rng = stream(seed, GOING_ON)
        going = of_runs_that_go_on(fit.noise, so_far, run[ahead], position[ahead], by_row(theta, cell[ahead]), rng)
        going, shown, unseen = to_the_end(fit, known, going, position[ahead], seed, chosen)
        own, drawn = own.replaced(on, going), np.zeros(fitted.shape)
        drawn[:, on] = going.drawn
        # Beyond the last knot the path starts from the current row of the run.
        fresh = np.array(fresh)
        fresh[:, on] -= unresolved[:, [so_far.end(one) for one in run[ahead]]]
    log_mean = fitted + fresh
    residuals = Residuals.of(fit.noise.scatter_family, at_rows, len(log_mean), seed)
    together = Predictive.of(log_mean + own.drawn, scale[:, now:], residuals)
    error = (OWN_ERROR,) if fit.discrepancy_grid.size else ()
    deviation = own_deviation(known.runs) if fit.noise.correlated else ()
    departure = (NEW_DEVIATION,) if fit.noise.correlated and not known.runs else ()
    return Forecast(
        points=frame[[name for name in (*fit.groups.columns, *INPUTS, *fit.law.columns) if name in frame]],
        fitted=np.exp(fitted),
        mean=np.exp(log_mean + drawn),
        new_run=together.losses(seed),
        curve=np.exp(together.location),
        predictive=Predictive.of(log_mean + own.centre, scale[:, now:], residuals, own.scale),
        loss_unit=fit.runs.loss_unit,
        label=fit.law.label,
        contains=contents(("parameters",), (*error, *deviation, *shown), departure),
        extrapolation=_extrapolation(fit, frame),
        cautions=(*known.cautions, *unseen, *_cautions(fit, frame), *by_the_prior(whole, theta, log_mean)),
        continues=tuple(known.runs),
    )


def own_deviation(runs: Sequence[str]) -> tuple[str, ...]:
    """Name the deviation of runs that go on, as it stands in what a band contains; nothing where all are new."""
    if len(runs) > 1:
        return (f"the own deviations of {len(runs)} runs that go on",)
    return tuple(f"run {run}'s own deviation" for run in runs)


def mixed(
    members: Mapping[str, Forecast], weights: Mapping[str, float], taken: Mapping[str, np.ndarray], seed: int
) -> Forecast:
    """Mix the draws of several forecasts of the same points by weight.

    Parameters
    ----------
    taken : which draws of each fit its forecast is of, where they were taken from an ensemble; of them all are kept
    """
    counts = {name: len(member.mean) for name, member in members.items()}
    whole = counts == {name: len(draws) for name, draws in taken.items()}
    chosen = {name: np.arange(n) for name, n in counts.items()} if whole else drawn_by_weight(weights, counts, seed)

    def drawn(of: str) -> np.ndarray:
        return np.concatenate([getattr(member, of)[chosen[name]] for name, member in members.items()])

    some = next(iter(members.values()))
    known = ("parameters", DISAGREEMENT) if len(members) > 1 else ("parameters",)
    said = [member.contains["mean"] for member in members.values()]
    error = (OWN_ERRORS,) if any("own error" in words for words in said) else ()
    deviating = [member.continues for member in members.values() if "own deviation" in member.contains["mean"]]
    own = own_deviation(list(dict.fromkeys(itertools.chain.from_iterable(deviating))))
    shown = (FINISHED_RUNS,) if any(FINISHED_RUNS in words for words in said) else ()
    departs = any(NEW_DEVIATION in member.contains[CURVE] for member in members.values())
    return Forecast(
        points=some.points,
        fitted=drawn("fitted"),
        mean=drawn("mean"),
        new_run=drawn("new_run"),
        curve=drawn(CURVE),
        predictive=Predictive.mixture([member.predictive.take(chosen[name]) for name, member in members.items()]),
        loss_unit=some.loss_unit,
        label=label_of(weights),
        contains=contents(known, (*error, *own, *shown), (NEW_DEVIATION,) if departs else ()),
        extrapolation=some.extrapolation,
        members={name: (weights[name], member) for name, member in members.items()},
        cautions=tuple(dict.fromkeys(line for member in members.values() for line in member.cautions)),
        continues=tuple(dict.fromkeys(run for member in members.values() for run in member.continues)),
    )


def _cautions(fit: Fit, frame: pd.DataFrame) -> tuple[str, ...]:
    """Say where planned runs lie far outside the fitted ones."""
    law, runs = (
        fit.law,
        {str(name): frame[name].to_numpy(float) for name in frame if name in (*INPUTS, *fit.law.columns)},
    )
    inputs = {name: fit.runs.column(name) for name in law.inputs if name not in law.may_be_zero}
    tables, batched = [known_columns(fit.runs)], bool({"batch_tokens", "steps"} & set(law.inputs))
    return (
        *([usual.said] if (usual := fit.yardstick.schedule) is not None and STEP_RATE not in frame else []),
        *out_of_range(inputs, runs),
        *off_balance(tables, runs, batched),
        *far_beyond(tables, runs),
        *odd_rows(frame),
    )


def _extrapolation(fit: Fit, frame: pd.DataFrame) -> np.ndarray:
    """Return the size of each point over that of the largest fitted run."""
    for name in (*SIZE_MEASURES, *fit.law.inputs):
        if name in frame and name in fit.runs:
            return np.asarray(frame[name].to_numpy(float) / fit.runs.column(name).max())
    return np.full(len(frame), np.nan)
