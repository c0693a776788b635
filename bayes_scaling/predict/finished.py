"""What finished runs say of the rest of one under way: where their curves went, that their law did not expect.

A learning rate that falls to the end of every run bends all curves at the same share of their length, and larger models
often more. A law that reads steps alone does not know it: given the rows up to some share of a run, it expects too high
an end, of every run. So each finished run is cut at the share at which the run under way is now, and continued from
there with each draw of the fit. Its error at a later share is

    e_j = a + b ln(N_j / N) + its own deviation,

of a run of N_j parameters, where the run under way has N: `a` is what this run will show too. Both have normal priors
in units of the deviations that the fit expects at that place, so that runs that go as expected move nothing, and few
runs move little and widen the band. Where errors scatter by more than the fit expects, so does the run ahead.

The parameters of the law have seen the whole curves of finished runs, so errors are understated a little, and with them
what is taken over.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import pandas as pd

from bayes_scaling.base.messages import plain
from bayes_scaling.base.streams import FINISHED, stream
from bayes_scaling.inference.draws import by_row
from bayes_scaling.inference.result import Fit
from bayes_scaling.model.noise import Noise
from bayes_scaling.model.schedule import STEP_RATE
from bayes_scaling.predict.cautions import OUTSIDE
from bayes_scaling.predict.deviations import Deviations, SoFar, columns, innovations, of_ends
from bayes_scaling.predict.members import law_and_scale
from bayes_scaling.predict.paths import paths_at
from bayes_scaling.predict.planned import PLANNED
from bayes_scaling.predict.so_far import RunsSoFar, numbered

COMMON = 2.0  # prior standard deviation of what runs have in common, over that of their deviations
PER_E_FOLD = 1.0  # the same, of how that changes with each e-fold of params
RUNS_BELIEVED = 4.0  # runs that the scatter of deviations of the fit counts for
MOST_RUNS = 16  # finished runs that are looked at, the nearest in size and length
LEAST_ROWS = 2  # of a finished run up to the share, that show its own deviation
SAME = 1e-9  # relative difference up to which places are the same
FINISHED_RUNS = "what finished runs show of its end"


@dataclasses.dataclass(frozen=True, eq=False)
class Finished:
    """Finished runs, seen by the draws of a fit.

    Attributes
    ----------
    rows : of all of them, as of runs that go on, each run's in order to its end
    apart : (n_run,) e-folds of params between each run and the one under way, 0 where sizes are not known
    """

    rows: SoFar
    apart: np.ndarray


class ToTheEnd(NamedTuple):
    """What finished runs make of the deviations of a run that is under way.

    Attributes
    ----------
    deviations : at its rows ahead
    contains : what they contain besides, in words; nothing where no finished run shows anything
    cautions : in sentences
    """

    deviations: Deviations
    contains: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()


def to_the_end(
    fit: Fit, known: RunsSoFar, going: Deviations, position: np.ndarray, seed: int, draws: np.ndarray | slice
) -> ToTheEnd:
    """Add what finished runs of the table show of the rest of the run that goes on, where its law does not know it.

    Parameters
    ----------
    known : its rows so far, and where it is to end
    going : its deviations at rows ahead
    position : (n_row,) of those rows, along the run
    draws : of the fit, that are asked
    """
    until = known.until
    if until is None or STEP_RATE in fit.law.inputs or not fit.noise.correlated:
        return ToTheEnd(going)
    share = float(known.rows[known.along].iloc[-1]) / until
    after, finished = going, _seen_by(fit, known, until, seed, draws)
    if finished is not None:
        after = taken_over(fit.noise, going, finished, share, position / until, stream(seed, FINISHED))
    if after is going:
        return ToTheEnd(going, cautions=(_unseen(known.runs[0], share),))
    return ToTheEnd(after, (FINISHED_RUNS,), _longer(fit, known, until))


def _seen_by(fit: Fit, known: RunsSoFar, until: float, seed: int, draws: np.ndarray | slice) -> Finished | None:
    """Return the finished runs that are nearest to the run under way, seen by draws of a fit; None without any."""
    (run,) = known.runs
    rows = finished_like(fit.runs.table, run, known.along, until, fit.noise)
    if rows.empty:
        return None
    theta, cell = fit.in_groups(rows, PLANNED, seed)
    theta = {name: values[draws] for name, values in theta.items()}
    read = rows.drop(columns=["run", *(name for name in fit.groups.columns if name in rows)]).select_dtypes("number")
    table = {str(name): read[name].to_numpy(float) for name in read} | {"run": numbered(rows["run"])}
    log_law, scale = law_and_scale(fit, theta, table, cell)
    learned = np.broadcast_to(paths_at(fit, table, seed, draws)[0], log_law.shape)
    residual = np.log(rows["loss"].to_numpy(float)) - (log_law + learned)
    seen = SoFar(table["run"], rows[known.along].to_numpy(float), residual, scale, by_row(theta, cell))
    if "params" not in rows:
        return Finished(seen, np.zeros(seen.run.max() + 1))
    return Finished(seen, apart_of(rows.groupby("run", sort=False)["params"].first().to_numpy(float), known.rows))


def _unseen(run: str, share: float) -> str:
    """Say that no finished run shows what becomes of one under way."""
    return (
        f"no other run has rows before and after {share:.2g} of its length, where run {plain(run)} is: what a learning "
        "rate that falls to the end will do to it is not in its band"
    )


def _longer(fit: Fit, known: RunsSoFar, until: float) -> tuple[str, ...]:
    """Say where a run is to be far longer than all finished ones, which then show little of its end."""
    table, (run,) = fit.runs.table, known.runs
    times = until / float(table.loc[table["run"].astype(str) != run, known.along].max())
    if times <= OUTSIDE:
        return ()
    return (
        f"run {plain(run)} is to be {times:.2g} times as long as the longest other run: how those ended says little of "
        "its end, and bands of such runs have missed",
    )


def finished_like(table: pd.DataFrame, run: str, along: str, end: float, noise: Noise) -> pd.DataFrame:
    """Return the rows of the finished runs that are nearest to a run under way, in order; none where rows stand alone.

    Parameters
    ----------
    run : the one under way
    along : column that orders the rows of runs
    end : where the run under way is to end
    """
    if not noise.correlated or "run" not in table:
        return table.iloc[:0]
    ids = table["run"].astype(str)
    others = table[(ids != run) & table["run"].notna()].sort_values(along, kind="stable")
    runs = others.groupby("run", sort=False)
    away = np.abs(np.log(runs[along].last() / end)) * SAME  # of runs of one size, those of this length
    if "params" in table:
        away = away + np.abs(apart_of(runs["params"].first().to_numpy(float), table[ids == run]))
    kept = away[runs.size() > LEAST_ROWS].nsmallest(MOST_RUNS, keep="first").index
    return others[others["run"].isin(kept)]


def apart_of(params: np.ndarray, run: pd.DataFrame) -> np.ndarray:
    """Return the e-folds of params between others and a run under way, given its rows so far."""
    return np.asarray(np.log(params / float(run["params"].iloc[0])))


def taken_over(
    noise: Noise, going: Deviations, finished: Finished, share: float, later: np.ndarray, rng: np.random.Generator
) -> Deviations:
    """Add to the deviations of a run at rows ahead what finished runs showed at the same shares of their length.

    Parameters
    ----------
    noise : of the fit
    going : of the run under way at rows ahead, given its rows so far
    share : of its planned length, at which it is now
    later : (n_row,) the same of each row ahead; beyond 1 what is shown of the end holds on
    """
    rows = np.flatnonzero(later > share * (1 + SAME))
    errors = _errors(noise, finished, share, np.minimum(later[rows], 1.0)) if len(rows) else None
    if errors is None:
        return going
    shift, unknown, wider = _in_common(*errors)
    centre, scale, drawn = (np.array(part) for part in (going.centre, going.scale, going.drawn))
    fresh = np.sqrt(unknown) * rng.standard_normal((len(centre), 1))  # of the whole curve: one for a draw
    own = np.sqrt(wider) * (drawn[:, rows] - centre[:, rows])
    centre[:, rows] += shift
    scale[:, rows] = np.sqrt(wider * scale[:, rows] ** 2 + unknown)
    drawn[:, rows] = centre[:, rows] + own + fresh
    return Deviations(centre, scale, drawn)


def _errors(
    noise: Noise, finished: Finished, share: float, later: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """Cut finished runs at a share of their length, and return how wrong their continuations are at later shares.

    Returns
    -------
    errors of log loss, the variances of deviations and of the scatter of rows that the fit expects of them,
    (n_run, n_draw, n_row) each, and e-folds of params from the run under way, (n_run,); None where no run is long
    enough before and after
    """
    seen, parts, apart = finished.rows, [], []
    for run in range(len(finished.apart)):
        rows = np.flatnonzero(seen.run == run)
        shares = seen.position[rows] / seen.position[rows[-1]]
        known = int(np.searchsorted(shares, share * (1 + SAME), side="right"))
        if not LEAST_ROWS <= known < len(rows):
            continue
        before, ahead = seen.take(rows[:known]), seen.take(rows[known:])
        centre, spread = of_ends(noise, before, [run])
        slow, length = (columns(ahead.theta[name]) for name in ("sigma_curve", "length"))
        keep, fresh = innovations(slow, length, np.log(ahead.position / before.position[-1]))
        error = ahead.residual - keep * centre[0][:, None]
        expected = keep**2 * spread[0][:, None] + fresh
        # At the share itself nothing is wrong yet; between rows errors go straight along the logarithm.
        at = np.log(np.append(share, shares[known:]))
        between = np.stack([np.interp(np.log(later), at, one) for one in np.eye(len(at))])[1:]
        parts.append([values @ between for values in (error, expected, ahead.scale**2)])
        apart.append(finished.apart[run])
    if not parts:
        return None
    error, expected, scatter = (np.stack(values) for values in zip(*parts, strict=True))
    return error, expected, scatter, np.array(apart)


def _in_common(
    error: np.ndarray, expected: np.ndarray, scatter: np.ndarray, apart: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Regress errors of finished runs on their size, and return what a run of the size of the one under way shows.

    Returns
    -------
    expectation and variance of its error, and how many times the variance of its deviation is that of the fit, at
    least 1, ``(n_draw, n_row)`` each
    """
    x, usual = apart[:, None, None], np.maximum(expected.mean(axis=0), np.finfo(float).tiny)
    weight = 1 / (expected + scatter)
    level, slope = weight.sum(axis=0) + 1 / (COMMON**2 * usual), (weight * x**2).sum(axis=0)
    slope, both = slope + 1 / (PER_E_FOLD**2 * usual), (weight * x).sum(axis=0)
    seen, tilted = (weight * error).sum(axis=0), (weight * x * error).sum(axis=0)
    determinant = level * slope - both**2
    a, b = (slope * seen - both * tilted) / determinant, (level * tilted - both * seen) / determinant
    left = (weight * (error - a - b * x) ** 2).sum(axis=0)
    wider = np.maximum((RUNS_BELIEVED + left) / (RUNS_BELIEVED + len(error)), 1.0)
    return a, wider * slope / determinant, wider
