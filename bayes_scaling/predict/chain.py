"""Chains: from compute to loss by one fit, from loss to the score of a benchmark by another.

Draws of the loss go through draws of the link; both are uncertain, and independent of each other. A benchmark of n
questions adds binomial noise. The score of a task never falls below what guessing reaches.

    score = 1 - min(error(loss), 1 - chance),    measured score ~ Binomial(n, score) / n
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from bayes_scaling.base.arguments import Seed, validated
from bayes_scaling.base.messages import equal_tails, listed, shown
from bayes_scaling.base.streams import LINK_SCATTER, PAIRS, QUESTIONS, SPREAD, stream
from bayes_scaling.errors import ForecastError
from bayes_scaling.inference.result import Fit
from bayes_scaling.predict.along import Along, at_each, reached
from bayes_scaling.predict.ensemble import Ensemble, Source, draws_of
from bayes_scaling.predict.forecast import forecast
from bayes_scaling.predict.frontier import Requirement
from bayes_scaling.predict.paths import Paths, fitted_places

LINK = "source_loss"  # the input of a link
PLACES = 128  # losses at which the error of a link is held
CROSSED = 400  # draws of the loss, and of the link, that are crossed to split the spread
SMALLER, LARGER = 1e2, 1e9  # reach of the sizes below and beyond the fitted runs, as factors
NO_ERROR = math.log(1e-9)
FAR = 0.05  # of the lowest loss of a link: as good as a loss of 0 for where it levels off
SIZES = 400  # at which a requirement is searched


@dataclasses.dataclass(frozen=True, eq=False)
class ScoreForecast:
    """Scores of models that were not trained.

    Attributes
    ----------
    points : one row per planned run, its inputs
    tasks : names of the tasks
    losses : (n_draw, n_point) loss of one new run
    expected : (n_draw, n_point, n_task) score that the model would have on endless questions
    measured : (n_draw, n_point, n_task) score on the questions of the benchmark
    direct : (n_draw, n_point, n_task) the same by a law of the score against compute; None without one
    spread : (n_point, 3) standard deviation of the mean measured score that comes from loss, link and questions
    """

    points: pd.DataFrame
    tasks: tuple[str, ...]
    losses: np.ndarray
    expected: np.ndarray
    measured: np.ndarray
    direct: np.ndarray | None
    spread: np.ndarray
    EXPECTED: ClassVar[str] = "a ScoreForecast, as from chain(...).forecast(...)"

    @validated
    def draws(self, task: str | None = None, of: str = "measured") -> np.ndarray:
        """Return the draws of one task, or of the mean over tasks, ``(n_draw, n_point)``.

        Parameters
        ----------
        task : one of ``tasks``; by default the mean over all of them
        of : ``measured``, ``expected`` or ``direct``
        """
        if of not in ("measured", "expected", "direct"):
            raise ForecastError(f"a forecast of scores is of measured, expected, direct, not of {shown(of)}")
        values = getattr(self, of)
        if values is None:
            raise ForecastError(
                "there is no direct forecast: give chain(...) a fit of the error against compute as direct"
            )
        if task is None:
            return np.asarray(values.mean(axis=2))
        if task not in self.tasks:
            raise ForecastError(f"there is no task {shown(task)}; there are {listed(self.tasks)}")
        return np.asarray(values[:, :, self.tasks.index(task)])

    @validated
    def median(self, task: str | None = None, of: str = "measured") -> np.ndarray:
        """Return the median score, ``(n_point,)``; arguments as of `draws`."""
        return np.asarray(np.median(self.draws(task, of), axis=0))

    @validated
    def interval(self, probability: float = 0.9, task: str | None = None, of: str = "measured") -> np.ndarray:
        """Return the equal-tailed credible interval of the score, ``(n_point, 2)``; arguments as of `draws`."""
        return np.asarray(np.quantile(self.draws(task, of), equal_tails(probability), axis=0).T)

    @validated
    def probability_above(self, score: float, task: str | None = None, of: str = "measured") -> np.ndarray:
        """Return the probability of a score at least as high, ``(n_point,)``; arguments as of `draws`."""
        checked_score(score)
        return np.asarray((self.draws(task, of) >= score).mean(axis=0))

    def uncertainty(self) -> pd.DataFrame:
        """Split the spread of the mean measured score into its sources.

        Returns
        -------
        pandas.DataFrame
            One row per point: ``loss``, ``link``, ``questions`` and ``total``, standard deviations whose squares add
            up; and ``loss_share``, ``link_share``, ``questions_share`` of the variance. What loss and link do only
            together is halved between them.
        """
        total = np.sqrt((self.spread**2).sum(axis=1))
        names = ("loss", "link", "questions")
        frame = pd.DataFrame(self.spread, columns=list(names)).assign(total=total)
        with np.errstate(invalid="ignore", divide="ignore"):
            return frame.assign(**{f"{name}_share": (frame[name] / total) ** 2 for name in names})

    @validated
    def to_frame(self, probability: float = 0.9, target: float | None = None) -> pd.DataFrame:
        """Return one row per point and task, and one for the mean over tasks where there are several.

        Parameters
        ----------
        probability : of the intervals
        target : adds the probability of a measured score at least as high, ``P(score >= target)``
        """
        rows = []
        names = [*self.tasks, *([None] if len(self.tasks) > 1 else [])]
        for name in names:
            low, high = self.interval(probability, name).T
            frame = self.points.assign(
                task="mean" if name is None else name,
                loss=np.median(self.losses, axis=0),
                score=self.median(name),
                low=low,
                high=high,
            )
            if self.direct is not None:
                low, high = self.interval(probability, name, "direct").T
                frame = frame.assign(direct=self.median(name, "direct"), direct_low=low, direct_high=high)
            if target is not None:
                frame["probability_above_target"] = self.probability_above(target, name)
            rows.append(frame)
        return pd.concat(rows, ignore_index=True)

    def __repr__(self) -> str:
        return f"<ScoreForecast of {listed(self.tasks)} at {len(self.points)} points, {len(self.expected)} draws>"


@dataclasses.dataclass(frozen=True, eq=False)
class Chain:
    """A law of loss and a link from loss to scores, as one forecast; made by `chain`.

    Attributes
    ----------
    loss : draws of the loss of any run
    links : by task, draws of the error for any loss
    questions : by task, number of questions; None for no binomial noise
    chance : by task, the score of guessing
    direct : by task, draws of the error of any run; empty without a direct fit
    seed : of noise and of how draws are paired
    """

    loss: Ensemble
    links: Mapping[str, Ensemble]
    questions: Mapping[str, int | None]
    chance: Mapping[str, float]
    direct: Mapping[str, Ensemble]
    seed: int

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return tuple(self.links)

    @validated
    def forecast(self, points: pd.DataFrame | None = None, **inputs: Any) -> ScoreForecast:
        """Forecast the scores of runs that were not trained.

        Parameters
        ----------
        points, inputs : planned runs, as of `bayes_scaling.forecast`: ``params=[7e9, 70e9], tokens=1.4e12``
        """
        ahead = forecast(self.loss, points, seed=self.seed, **inputs)
        log_losses = np.log(ahead.new_run)
        rng = stream(self.seed, QUESTIONS)
        error = {name: self._errors(name, log_losses, self._paired(name, len(log_losses))) for name in self.links}
        expected = np.stack([1 - values for values in error.values()], axis=2)
        measured = np.stack([self._counted(name, expected[:, :, i], rng) for i, name in enumerate(self.links)], axis=2)
        direct = None
        if self.direct:
            runs = [forecast(one, points, seed=self.seed, **inputs).new_run for one in self.direct.values()]
            scores = [1 - np.minimum(v, 1 - self.chance[n]) for n, v in zip(self.direct, runs, strict=True)]
            fewest = min(map(len, scores))
            scores = [self._counted(n, v[:fewest], rng) for n, v in zip(self.direct, scores, strict=True)]
            direct = np.stack(scores, axis=2)
        return ScoreForecast(
            points=ahead.points,
            tasks=self.tasks,
            losses=ahead.new_run,
            expected=expected,
            measured=measured,
            direct=direct,
            spread=self._spread(log_losses, expected),
        )

    @validated
    def required(
        self,
        score: float,
        *,
        task: str | None = None,
        tokens_per_param: float | None = None,
        given: Mapping[str, float] | None = None,
    ) -> Requirement:
        """Return how much compute, or how much of the law's free input, the expected score needs to reach a target.

        Parameters
        ----------
        score : target, a fraction
        task : one of the tasks; by default the mean over all of them
        tokens_per_param : ratio along which compute grows; by default the median of the fitted runs
        given : the other inputs of the law

        Returns
        -------
        Requirement
            Its draws are infinite where the link levels off below the target, or the loss never falls so far.
        """
        checked_score(score)
        names = self._named(task)
        guessed = float(np.mean([self.chance[name] for name in names]))
        if score <= guessed:
            raise ForecastError(
                f"the score is {score:g}, which guessing reaches (chance {guessed:g}); expected a higher one"
            )
        runs = self.loss.runs
        along = Along.through(self.loss.leading.law, runs, given or {}, tokens_per_param)
        known = along.sizes(runs)
        sizes = np.geomspace(known.min() / SMALLER, known.max() * LARGER, SIZES)
        log_losses = self.loss.log_mean(self.loss.points(**along.inputs(sizes)))
        errors = [self._errors(n, log_losses, self._paired(n, len(log_losses)), scatter=False) for n in names]
        missed = np.minimum.accumulate(np.mean(errors, axis=0), axis=1)
        place = reached(missed, np.log(sizes), np.asarray(1 - score))
        return Requirement(float(score), along.of, np.exp(place), along.words)

    @validated
    def ceiling(self, task: str | None = None) -> np.ndarray:
        """Return the score at a loss far below all that were seen, ``(n_draw,)``: where the link levels off."""
        names = self._named(task)
        values = []
        for name in names:
            link = self.links[name]
            lowest = float(fitted_places(link.leading).min()) + math.log(FAR)
            count = len(link)
            values.append(self._errors(name, np.full((count, 1), lowest), np.arange(count), scatter=False)[:, 0])
        fewest = min(map(len, values))
        return np.asarray(1 - np.mean([one[:fewest] for one in values], axis=0))

    def _named(self, task: str | None) -> tuple[str, ...]:
        if task is None:
            return self.tasks
        if task not in self.links:
            raise ForecastError(f"there is no task {shown(task)}; there are {listed(self.tasks)}")
        return (task,)

    def _paired(self, name: str, count: int) -> np.ndarray:
        """Return a draw of a link for each draw of the loss; the same one for every task of one fit."""
        rng = stream(self.seed, PAIRS)
        size = len(self.links[name])
        return np.resize(rng.permutation(size), count)

    def _errors(self, name: str, log_losses: np.ndarray, chosen: np.ndarray, scatter: bool = True) -> np.ndarray:
        """Return the error of a task at losses, ``(n_draw, n_point)``, by chosen draws of its link.

        Parameters
        ----------
        scatter : add what single models deviate from the link by
        """
        link = self.links[name]
        floor, ceiling = float(log_losses.min()), float(log_losses.max())
        places = np.linspace(floor, max(ceiling, floor + 1e-6), PLACES)
        parts = [_log_error(member, places, self.seed) for member in link.members.values()]
        curves = np.concatenate([one for one, _ in parts])[chosen]
        found = at_each(curves, places, log_losses)
        if scatter:
            scale = np.concatenate([two for _, two in parts])[chosen]
            rng = stream(self.seed, LINK_SCATTER, list(self.links).index(name))
            found = found + at_each(scale, places, log_losses) * rng.standard_normal(found.shape)
        return np.asarray(np.clip(np.exp(found), 0.0, 1 - self.chance[name]))

    def _counted(self, name: str, scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the measured score of a benchmark, given what the model would score on endless questions."""
        count = self.questions[name]
        return scores if count is None else rng.binomial(count, np.clip(scores, 0.0, 1.0)) / count

    def _spread(self, log_losses: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """Return the standard deviation that comes from loss, link and questions at each point, ``(n_point, 3)``."""
        rng = stream(self.seed, SPREAD)
        losses = log_losses[rng.choice(len(log_losses), min(CROSSED, len(log_losses)), replace=False)]
        out = np.zeros((log_losses.shape[1], 3))
        fewest = min(map(len, self.links.values()))
        some = rng.choice(fewest, min(CROSSED, fewest), replace=False)
        for point in range(len(out)):
            rows = np.broadcast_to(losses[:, point], (len(some), len(losses)))
            crossed = np.mean([1 - self._errors(name, rows, some, scatter=False) for name in self.links], axis=0)
            by_loss, by_link = crossed.mean(axis=0).var(), crossed.mean(axis=1).var()
            both = max(crossed.var() - by_loss - by_link, 0.0) / 2
            scores = expected[:, point].mean(axis=1)
            beyond = max(scores.var() - crossed.var(), 0.0)  # the scatter of single models around the link
            counted = 0.0
            for i, name in enumerate(self.links):
                if (count := self.questions[name]) is not None:
                    p = expected[:, point, i]
                    counted += float((p * (1 - p)).mean()) / count / len(self.links) ** 2
            out[point] = np.sqrt([by_loss + both, by_link + both + beyond, counted])
        return out

    def __repr__(self) -> str:
        return f"<Chain: {self.loss.label}, then {listed(self.tasks)}>"


def _log_error(member: Any, places: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the log error of a link at log losses, and the scale of its scatter, ``(n_draw, n_place)`` each."""
    law, scale = member.law_and_scale({LINK: np.exp(places)})
    if member.fit.discrepancy_grid.size:
        law = law + Paths.drawn(member.fit, [places], seed).at(places[:, None])[member.draws]
    law = np.nan_to_num(np.maximum(law, NO_ERROR), nan=NO_ERROR)  # a link may say that a low loss has less than none
    return law, np.broadcast_to(np.hypot(scale, member.deviation), law.shape)


def checked_score(score: float) -> float:
    """Return a score, or refuse one that is no fraction."""
    if not 0 <= score <= 1:
        percent = "; divide a percentage by 100" if 1 < score <= 100 else ""
        raise ForecastError(f"the score is {score:g}, expected a fraction between 0 and 1{percent}")
    return score


@validated
def chain(
    loss_fit: Source,
    score_fit: Source | Mapping[str, Source],
    *,
    questions: int | Mapping[str, int] | None = None,
    chance: float | Mapping[str, float] = 0.0,
    direct: Source | None = None,
    unconverged: bool = False,
    seed: Seed = 0,
) -> Chain:
    """Chain a fit of the loss and a fit of the error against the loss: forecasts, probabilities and budgets of a score.

    Parameters
    ----------
    loss_fit : of the loss against params, tokens or compute: what `fit` returns
    score_fit : of the error rate against ``source_loss``, such as the law ``downstream`` on `score_runs`. One fit that
        is pooled over one column gives a task for each of its groups; or several fits by task
    questions : number of questions of the benchmark, or of each task: adds their binomial noise. None for none
    chance : score of guessing, or of each task: .25 for four choices
    direct : a fit of the error rate against compute, shown beside the chain; of several tasks, pooled over a column
        that names the same ones
    unconverged : accept fits that did not converge
    seed : of noise and of how draws are paired

    Returns
    -------
    Chain
        With ``forecast``, ``required`` and ``ceiling``.

    Raises
    ------
    ForecastError
        When a link does not read ``source_loss``, its losses are no error rates, or a task is unknown.
    ConvergenceError
        When a fit did not converge.
    """
    loss = draws_of(loss_fit, seed, unconverged=unconverged)
    links = (
        {str(name): draws_of(one, seed, unconverged=unconverged) for name, one in score_fit.items()}
        if isinstance(score_fit, Mapping)
        else _by_task(score_fit, seed, unconverged)
    )
    if not links:
        raise ForecastError("score_fit has no task; expected a fit of the error against the loss, or several by name")
    for name, link in links.items():
        _refuse_no_link(name, link)
    _refuse_link("loss_fit", loss, "the loss against params, tokens or compute")
    across = {} if direct is None else _by_task(direct, seed, unconverged)
    for one in across.values():
        _refuse_link("direct", one, "the error rate against params, tokens or compute")
        _refuse_no_error_rates("direct", one)
    if len(across) == len(links) == 1:
        across = dict(zip(links, across.values(), strict=True))
    if across and set(across) != set(links):
        raise ForecastError(f"direct has the tasks {listed(across)}, expected those of score_fit: {listed(links)}")
    guessed = _of_tasks("chance", chance, links, lambda p: 0 <= p < 1, "a fraction below 1, like 0.25")
    for name, link in links.items():
        best = 1 - float(link.runs.loss.min())
        if best < guessed[name]:
            raise ForecastError(
                f"the highest score that {name} was fitted to is {best:.3g}, below its chance of {guessed[name]:g}; "
                "expected models that do better than guessing, or a smaller chance"
            )
    return Chain(
        loss=loss,
        links=links,
        questions=_of_tasks("questions", questions, links, lambda n: isinstance(n, int) and n >= 1, "1 or more"),
        chance=guessed,
        direct={name: across[name] for name in links} if across else {},
        seed=seed,
    )


def _by_task(source: Source, seed: int, unconverged: bool) -> dict[str, Ensemble]:
    """Return the draws of each group of a pooled fit, or of a fit that has none."""
    if not isinstance(source, Fit) or not source.groups.columns:
        return {"score": draws_of(source, seed, unconverged=unconverged)}
    if len(source.groups.columns) > 1:
        raise ForecastError(
            f"score_fit is pooled over {listed(source.groups.columns)}; expected one column, which names the tasks"
        )
    ((column, labels),) = zip(source.groups.columns, source.groups.labels, strict=True)
    return {name: draws_of(source, seed, group={column: name}, unconverged=unconverged) for name in labels}


def _refuse_no_link(name: str, link: Ensemble) -> None:
    """Refuse a fit that is no link from loss to error."""
    for member in link.members.values():
        law = member.fit.law
        if tuple(law.inputs) != (LINK,):
            raise ForecastError(
                f"the law {law.label} of {name} reads {listed(law.inputs)}; a link reads {LINK} alone, as 'downstream'"
            )
    if len(np.unique(link.runs.column(LINK))) < 2:
        raise ForecastError(
            f"all models that {name} was fitted to have one loss, which says nothing of how the error follows it: a "
            "link needs models of different losses"
        )
    _refuse_no_error_rates(name, link)


def _refuse_link(name: str, given: Ensemble, expected: str) -> None:
    """Refuse a link where a fit of runs is needed."""
    for member in given.members.values():
        if LINK in member.fit.law.inputs:
            raise ForecastError(f"{name} is a link: {member.fit.law.label} reads {LINK}; expected a fit of {expected}")


def _refuse_no_error_rates(name: str, given: Ensemble) -> None:
    """Refuse a fit of losses where one of error rates is needed."""
    highest = float(given.runs.loss.max())
    if highest > 1:
        raise ForecastError(
            f"{name} was fitted to losses of up to {highest:.3g}; expected error rates, 1 - score: make the table with "
            "score_runs(frame)"
        )


def _of_tasks(what: str, given: Any, links: Mapping[str, Any], right: Any, words: str) -> dict[str, Any]:
    """Return a number for each task, or refuse one that makes no sense."""
    if isinstance(given, Mapping):
        odd = [name for name in (*given, *links) if name not in links or name not in given]
        if odd:
            raise ForecastError(f"{what} is for {listed(given)}; expected one for each task: {listed(links)}")
        values = {name: given[name] for name in links}
    else:
        values = dict.fromkeys(links, given)
    for name, value in values.items():
        if value is not None and not right(value):
            raise ForecastError(f"{what} of {name} is {shown(value)}, expected {words}")
    return values
