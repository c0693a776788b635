"""The best learning rate and batch size of a planned run, with what another choice would waste.

Each posterior draw is one possible law with a valley around its own best rate and batch. What a choice wastes is the
share of the compute that the same model, tuned as well as the law knows, would save at the same loss: it would need
that many fewer tokens.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from bayes_scaling.base.arguments import Seed, validated
from bayes_scaling.base.messages import equal_tails, shown
from bayes_scaling.data.columns import derive_missing
from bayes_scaling.data.runs import Runs
from bayes_scaling.data.tuning import BATCH, PUBLISHED_TUNING, RATE
from bayes_scaling.data.validation import LARGEST
from bayes_scaling.errors import REMEDY, ForecastError, Remedy
from bayes_scaling.predict.cautions import known_columns, off_balance
from bayes_scaling.predict.ensemble import Ensemble, Source, draws_of
from bayes_scaling.predict.members import Member
from bayes_scaling.predict.tuned_sizes import Leftover, best_settings, settings_of
from bayes_scaling.predict.valleys import best_batch, best_batch_and_rate, best_rate, log_law, runs_of, with_valley

SAVED = np.linspace(0.0, 5.0, 96)  # e-folds fewer tokens; what wastes more is counted as the last of them
APART, SIDE, ROUNDS = 1.5, 15, 4  # e-folds around the best of all draws, grid and refinements of the search
SEARCHED = 256  # draws that the search looks at
FACTORS = np.geomspace(1 / 16, 16, 96)  # of rate or batch, along which ends of a region are looked for
TRIED = 288  # settings of fitted runs that the best of several is drawn from

type Axis = Literal["rate", "batch_tokens"]


@dataclasses.dataclass(frozen=True, eq=False)
class Hyperparameters:
    """Learning rate and batch size of a planned run.

    Intervals contain the uncertainty of the law's parameters, disagreement between laws where there are several, and
    how far the best rate and batch of one size lie from the law's (`bayes_scaling.predict.tuned_sizes`).

    Attributes
    ----------
    ensemble : the laws that read a learning rate, with their draws
    params, tokens : N and D of the run
    rates, batches : (n_draw,) best peak learning rate and tokens per step of each draw, together
    leftover : how far these lie from the law's
    rate, batch_tokens : the recommended ones: they waste the least compute on average over draws
    fixed_batch : whether the batch was given
    within : share of compute that makes a region
    cautions : in sentences, where the run is far from the fitted ones
    """

    ensemble: Ensemble
    params: float
    tokens: float
    rates: np.ndarray
    batches: np.ndarray
    leftover: Leftover
    rate: float
    batch_tokens: float
    fixed_batch: bool
    within: float
    cautions: tuple[str, ...]

    @validated
    def interval(self, of: Axis = "rate", probability: float = 0.9) -> tuple[float, float]:
        """Return the equal-tailed interval of the best ``rate``, or of the best ``batch_tokens``."""
        _known_axis(of)
        low, high = np.quantile(self.rates if of == "rate" else self.batches, equal_tails(probability))
        return float(low), float(high)

    @validated
    def wasted(self, rate: float, batch_tokens: float | None = None) -> np.ndarray:
        """Return the share of compute that a choice wastes, of every draw, ``(n_draw,)``.

        Parameters
        ----------
        rate : peak learning rate
        batch_tokens : tokens per step; the recommended number by default
        """
        batch = self.batch_tokens if batch_tokens is None else batch_tokens
        for name, value in (("rate", rate), ("batch_tokens", batch)):
            _positive(name, value)
        return self._wasted(np.array([rate]), np.array([batch]))[:, 0]

    def _wasted(self, rates: np.ndarray, batches: np.ndarray, every: int = 1) -> np.ndarray:
        """Return the share of compute that each choice wastes, ``(n_draw, n_choice)``."""
        parts = []
        for (member, rate, batch), tuned in zip(self.leftover.split(self.ensemble), self._tuned, strict=True):
            # The law's valley lies elsewhere than this run's: it is asked at the place that lies to it as this to ours.
            there = np.clip(batches * np.exp(-batch[::every, None]), 1.0, self.tokens)
            moved = best_rate(member, self.params, self.tokens, there, every) / best_rate(
                member, self.params, self.tokens, batches[None], every
            )
            points = runs_of(self.params, self.tokens, there, rates * np.exp(-rate[::every, None]) * moved)
            log_loss = log_law(member, points, every)
            saved = [np.interp(row, curve, SAVED) for row, curve in zip(log_loss, tuned[::every], strict=True)]
            parts.append(-np.expm1(-np.stack(saved)))
        return np.concatenate(parts)

    @property
    def _members(self) -> list[Member]:
        return list(self.ensemble.members.values())

    @functools.cached_property
    def _tuned(self) -> list[np.ndarray]:
        """Log loss of the tuned run on fewer tokens, by member ``(n_draw, n_saved)``, never falling."""
        found = []
        for member in self._members:
            tokens = np.broadcast_to(self.tokens * np.exp(-SAVED), (len(member), len(SAVED)))
            batch, rate = best_batch_and_rate(member, self.params, tokens, self._fixed)
            found.append(np.maximum.accumulate(log_law(member, runs_of(self.params, tokens, batch, rate)), axis=1))
        return found

    @validated
    def region(self, of: Axis = "rate") -> tuple[float, float]:
        """Return the range of a choice that wastes less than ``within`` of the compute, on average over draws.

        Parameters
        ----------
        of : ``rate``, at the recommended batch; or ``batch_tokens``, each at its own best rate

        Returns
        -------
        (float, float)
            NaN where even the recommended choice wastes more, because too little is known.
        """
        _known_axis(of)
        rates, batches = self._along(of)
        chosen = rates if of == "rate" else batches
        low, high = _below(np.log(chosen), self._wasted(rates, batches).mean(axis=0), self.within)
        return float(np.exp(low)), float(np.exp(high))

    def _along(self, of: Axis) -> tuple[np.ndarray, np.ndarray]:
        """Return rates and batches along one of them."""
        if of == "rate":
            return self.rate * FACTORS, np.full(len(FACTORS), self.batch_tokens)
        batches = np.clip(self.batch_tokens * FACTORS, 1.0, self.tokens)
        return np.exp(np.median(self._log_rates(batches), axis=0)), batches

    def _log_rates(self, batches: np.ndarray) -> np.ndarray:
        """Return the log of each draw's best rate at batches, ``(n_draw, n_batch)``."""
        laws = [best_rate(m, self.params, self.tokens, batches[None]) for m in self._members]
        return np.asarray(np.log(np.concatenate(laws)) + self.leftover.rate[:, None])

    @functools.cached_property
    def tolerance(self) -> np.ndarray:
        """How far a rate may be from a draw's own best, as factors below and above, ``(n_draw, 2)``.

        Were the best rate known, these would waste ``within`` of the compute.
        """
        ends = []
        for member, tuned in zip(self._members, self._tuned, strict=True):
            batch, rate = best_batch_and_rate(member, self.params, np.full((len(member), 1), self.tokens), self._fixed)
            log_loss = log_law(member, runs_of(self.params, self.tokens, batch, rate * FACTORS))
            saved = [np.interp(row, curve, SAVED) for row, curve in zip(log_loss, tuned, strict=True)]
            ends += [_below(np.log(FACTORS), -np.expm1(-row), self.within) for row in saved]
        return np.exp(np.array(ends))

    @property
    def _fixed(self) -> float | None:
        return self.batch_tokens if self.fixed_batch else None

    @validated
    def off_by(self, factor: float = 2.0) -> pd.DataFrame:
        """Say what it costs to miss the best rate by a factor.

        Returns
        -------
        pandas.DataFrame
            One row for a rate below and one above: ``choice``, ``rate``, ``wasted`` (mean over draws of the share of
            compute), ``low`` and ``high`` (90 % of the draws). Each is relative to the recommended rate and batch.
        """
        if not factor > 1:
            raise ForecastError(f"factor is {factor:g}, expected a factor above 1, like 2")
        rates = self.rate * np.array([1 / factor, factor])
        names = [f"rate / {factor:g}", f"rate x {factor:g}"]
        return self._table(names, rates, np.full(2, self.batch_tokens))

    @validated
    def best_of(self, runs: int = 4) -> tuple[float, float, float]:
        """Return what the best of several tuned runs is expected to waste: mean over draws, and 90 % of them.

        Rate and batch of each are drawn from the settings of the group's fitted runs, relative to the best for their
        size.

        Parameters
        ----------
        runs : number of runs, of which the best one counts
        """
        if runs < 1:
            raise ForecastError(f"runs is {runs}, expected a number of runs, at least 1")
        every = max(len(self.ensemble) // SEARCHED, 1)
        wasted = np.sort(self._wasted(*self._settings, every=every), axis=1)
        n = wasted.shape[1]
        above = (np.arange(n, -1, -1) / n) ** runs  # chance that all are as high as the i-th or higher
        best = wasted @ (above[:-1] - above[1:])
        low, high = np.quantile(best, [0.05, 0.95])
        return float(best.mean()), float(low), float(high)

    @functools.cached_property
    def _settings(self) -> tuple[np.ndarray, np.ndarray]:
        """Rates and batches that are as far from the best of this run as those of fitted runs were from theirs."""
        table = settings_of(self.ensemble.runs, self.ensemble.group)
        rows = np.unique(np.linspace(0, len(table) - 1, min(TRIED, len(table))).astype(int))
        N, D, B, rate = (table[name].to_numpy(float)[rows] for name in ("params", "tokens", BATCH, RATE))
        member = max(self._members, key=lambda one: one.weight)
        off_batch = np.median(np.log(B / best_batch(member, N[None], D[None])), axis=0)
        off_rate = np.median(np.log(rate / best_rate(member, N[None], D[None], B[None])), axis=0)
        middle = float(np.exp(np.median(np.log(self.batches))))
        batches = (
            np.full(len(rows), middle) if self.fixed_batch else np.clip(middle * np.exp(off_batch), 1, self.tokens)
        )
        return np.exp(np.median(self._log_rates(batches), axis=0) + off_rate), batches

    def to_frame(self) -> pd.DataFrame:
        """Return the recommendation and published rules beside it.

        A rule that says nothing of the batch gets the recommended one; one that says nothing of the rate gets the best
        rate of its batch.

        Returns
        -------
        pandas.DataFrame
            One row per choice: ``choice``, ``rate``, ``batch_tokens``, ``wasted`` (mean over draws of the share of
            compute), ``low`` and ``high`` (90 % of the draws), ``source``.
        """
        names, rates, batches, sources = ["recommended"], [self.rate], [self.batch_tokens], ["these runs"]
        for rule in PUBLISHED_TUNING.values():
            batch = self.batch_tokens
            if rule.batch_tokens is not None and not self.fixed_batch:
                batch = float(np.clip(rule.batch_tokens(self.params, self.tokens), 1.0, self.tokens))
            own = float(np.exp(np.median(self._log_rates(np.array([batch])))))
            rate = own if rule.rate is None else rule.rate(self.params, self.tokens)
            if rate > 0 and (rule.rate is not None or not self.fixed_batch):
                names, rates, batches = [*names, rule.name], [*rates, rate], [*batches, batch]
                sources.append(rule.source + ("" if rule.verified else "; not read in the paper"))
        return self._table(names, np.array(rates), np.array(batches)).assign(source=sources)

    def _table(self, names: list[str], rates: np.ndarray, batches: np.ndarray) -> pd.DataFrame:
        wasted = self._wasted(rates, batches)
        low, high = np.quantile(wasted, [0.05, 0.95], axis=0)
        columns: dict[str, Any] = {"choice": names, "rate": rates, "batch_tokens": batches}
        return pd.DataFrame({**columns, "wasted": wasted.mean(axis=0), "low": low, "high": high})

    @property
    def verdict(self) -> str:
        """The recommendation in two sentences."""
        low, high = self.interval("rate")
        few, many = self.interval("batch_tokens")
        batch = "as given" if self.fixed_batch else f"best: {few:.3g} to {many:.3g} with probability 90%"
        least, most = self.region("rate")
        expected = self.wasted(self.rate).mean()
        region = (
            f"Rates from {least:.3g} to {most:.3g} waste less than {self.within:.1%} of the compute on average."
            if np.isfinite(least)
            else f"No rate is known to waste less than {self.within:.1%} of the compute: this one, {expected:.1%}."
        )
        return (
            f"Train with a peak learning rate of {self.rate:.3g} (best: {low:.3g} to {high:.3g} with probability 90%) "
            f"in batches of {self.batch_tokens:.3g} tokens ({batch}). {region}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything but draws as plain values, for JSON."""
        ends = {of: self.region(of) for of in ("rate", "batch_tokens")}
        best = {str(k): dict(zip(("mean", "low", "high"), self.best_of(k), strict=True)) for k in (1, 4, 16)}
        return {
            "law": self.ensemble.label,
            "params": self.params,
            "tokens": self.tokens,
            "rate": self.rate,
            "rate_90": list(self.interval("rate")),
            "batch_tokens": self.batch_tokens,
            "batch_tokens_90": list(self.interval("batch_tokens")),
            "fixed_batch": self.fixed_batch,
            "within": self.within,
            "leftover": {
                "sizes": self.leftover.sizes,
                "words": self.leftover.words,
                **dict(zip(("rate", "batch_tokens"), self.leftover.scales, strict=True)),
            },
            **{f"region_{of}": None if np.isnan(low) else [low, high] for of, (low, high) in ends.items()},
            "tolerance": np.median(self.tolerance, axis=0).tolist(),
            "choices": self.to_frame().to_dict(orient="records"),
            "off_by_2": self.off_by(2.0).to_dict(orient="records"),
            "best_of": best,
            "cautions": list(self.cautions),
            "verdict": self.verdict,
        }

    def __repr__(self) -> str:
        return (
            f"<Hyperparameters: rate {self.rate:.3g}, {self.batch_tokens:.3g} tokens a step, for {self.params:.3g} "
            f"params and {self.tokens:.3g} tokens, {self.ensemble.label}>"
        )


@validated
def optimal_hyperparameters(
    fit: Source,
    *,
    params: float,
    tokens: float,
    batch_tokens: float | None = None,
    within: float = 0.01,
    group: Mapping[str, str] | None = None,
    unconverged: bool = False,
    seed: Seed = 0,
) -> Hyperparameters:
    """Choose learning rate and batch size of a planned run.

    Parameters
    ----------
    fit : of a law with a valley in both, such as ``tuning``; of several laws, those that have one are used
    params, tokens : N and D of the run
    batch_tokens : tokens per step, where they are given and only the rate is chosen
    within : share of compute that may be wasted inside the region that is reported
    group : the group of a pooled fit, ``{"optimizer": "adamw"}``
    unconverged : accept fits that did not converge
    seed : as of `Ensemble.of`, and of how far single sizes lie from the law

    Returns
    -------
    Hyperparameters
        The recommended rate and batch, the best ones of every draw, and what other choices waste.

    Raises
    ------
    ConvergenceError, FitError
        As of `Ensemble.of`.
    ForecastError
        When no law reads a learning rate, or a number makes no sense.
    """
    refuse_untunable(params, tokens, batch_tokens, within)
    ensemble = with_valley(draws_of(fit, seed, group=group, unconverged=unconverged))
    refuse_one_setting(ensemble.runs, batch_tokens)
    leftover = Leftover.of(ensemble, params, tokens, seed)
    if batch_tokens is not None:
        leftover = leftover.of_rate
    rates, batches = best_settings(ensemble, leftover, params, tokens, batch_tokens)
    rate = float(np.exp(np.median(np.log(rates))))
    middle = float(np.exp(np.median(np.log(batches)))) if batch_tokens is None else batch_tokens
    fixed = batch_tokens is not None
    first = Hyperparameters(ensemble, params, tokens, rates, batches, leftover, rate, middle, fixed, within, ())
    rate, best = _least_waste(first)
    run, _ = derive_missing({"params": np.array([params]), "tokens": np.array([tokens]), BATCH: np.array([best])})
    fitted = [known_columns(m.fit.runs) for m in ensemble.members.values()]
    return dataclasses.replace(first, rate=rate, batch_tokens=best, cautions=tuple(off_balance(fitted[:1], run)))


def refuse_untunable(params: float, tokens: float, batch_tokens: float | None, within: float) -> None:
    """Refuse numbers that make no sense; arguments as of `optimal_hyperparameters`."""
    for name, value in (("params", params), ("tokens", tokens), ("batch_tokens", batch_tokens)):
        if value is not None:
            _positive(name, value)
            _count(name, value)
    if batch_tokens is not None and batch_tokens > tokens:
        raise ForecastError(f"batch_tokens is {batch_tokens:g}, more than the {tokens:g} tokens of the run")
    if not 0 < within < 1:
        hint = f"; write {within / 100:g} for {within:g} percent" if 1 <= within < 100 else ""
        raise ForecastError(f"within is {within:g}, expected a share of the compute, like 0.01{hint}")


def refuse_one_setting(runs: Runs, batch_tokens: float | None) -> None:
    """Refuse to say which rate or batch is best where all fitted runs have one."""
    if len(np.unique(runs.column(RATE))) < 2:
        raise ForecastError(
            f"all fitted runs have the peak learning rate {runs.column(RATE)[0]:g}, which says nothing of the best one:"
            " expected runs at two rates or more"
        )
    batches = np.unique(known_columns(runs)[BATCH])
    if batch_tokens is None and len(batches) < 2:
        raise ForecastError(
            f"all fitted runs have batches of {batches[0]:g} tokens, which says nothing of the best one: fix it, "
            f"{REMEDY}",
            Remedy("batch_tokens", value="tokens"),
        )


def _known_axis(of: str) -> None:
    if of not in ("rate", "batch_tokens"):
        raise ForecastError(f"the best rate and the best batch_tokens are known, not {shown(of)}")


def _positive(name: str, value: float) -> None:
    if not (np.isfinite(value) and value > 0):
        raise ForecastError(f"{name} is {value:g}, expected a positive number")


def _count(name: str, value: float) -> None:
    if value < 1:
        raise ForecastError(f"{name} is {value:g}, expected a count in raw units, at least 1")
    if value > LARGEST:
        raise ForecastError(f"{name} is {value:g}, more than any run can have")


# --- searches ---------------------------------------------------------------------------------------------------------


def _least_waste(at: Hyperparameters) -> tuple[float, float]:
    """Return rate and batch that waste the least compute on average, by grids that shrink around the best place."""
    every = max(len(at.ensemble) // SEARCHED, 1)
    rate, batch, width = np.log(at.rate), np.log(at.batch_tokens), APART
    offsets = np.linspace(-1.0, 1.0, SIDE)
    for _ in range(ROUNDS):
        rates, batches = np.meshgrid(rate + width * offsets, batch + (0.0 if at.fixed_batch else width) * offsets)
        choices = np.exp(rates.ravel()), np.clip(np.exp(batches.ravel()), 1.0, at.tokens)
        best = int(at._wasted(*choices, every=every).mean(axis=0).argmin())
        rate, batch, width = np.log(choices[0][best]), np.log(choices[1][best]), width / 4
    return float(np.exp(rate)), at.batch_tokens if at.fixed_batch else float(np.exp(batch))


def _below(x: np.ndarray, values: np.ndarray, limit: float) -> tuple[float, float]:
    """Return the ends of the stretch around the least value in which values are below a limit; NaN where there is none.

    Parameters
    ----------
    x, values : (n,) in increasing order of x; between them values are interpolated
    """
    least = int(values.argmin())
    if values[least] >= limit:
        return float("nan"), float("nan")
    over = values >= limit
    before, after = np.flatnonzero(over[:least]), np.flatnonzero(over[least:])
    low, high = x[0], x[-1]
    if len(before):
        i = int(before[-1])
        low = np.interp(limit, [values[i + 1], values[i]], [x[i + 1], x[i]])
    if len(after):
        i = least + int(after[0])
        high = np.interp(limit, [values[i - 1], values[i]], [x[i - 1], x[i]])
    return float(low), float(high)
