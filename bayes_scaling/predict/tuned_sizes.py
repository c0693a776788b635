"""How far the best rate and batch of a size lie from the law's, as the fitted sizes show.

A law of tuning says that the best rate and batch are power laws. They are not exactly: those of a size, read off its
own runs (`bayes_scaling.data.tuning.bottoms`), leave the law's by more than their standard errors. The leftover has a
scale for each, in logs, learned from all sizes that can be read off. For a planned run its variance is multiplied by

    1 + h + e

1 for the run's own size; h, its leverage on a line in log N and log D through the fitted sizes, for what their
deviations do to the exponents; e, by how many e-folds N and D lie outside of the fitted ones, because the deviations of
sizes that are close to each other are alike.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from bayes_scaling.base.streams import LEFTOVER, stream
from bayes_scaling.data.runs import Runs
from bayes_scaling.data.tuning import BATCH, RATE, Bottom, bottoms, nominal
from bayes_scaling.predict.cautions import known_columns
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.members import Member
from bayes_scaling.predict.valleys import best_batch, best_batch_and_rate, best_rate

USUAL = 0.1  # half-normal scale of the prior of both scales: 10 % of rate or batch
SCALES = np.geomspace(0.003, 1.0, 80)


@dataclasses.dataclass(frozen=True, eq=False)
class Leftover:
    """Deviations of a planned run's best rate and batch from the law's, in logs.

    Attributes
    ----------
    rate : (n_draw,) of the best rate at a batch
    batch : (n_draw,) of the best batch
    scales : medians of the scales of rate and batch, of one fitted size
    sizes : number of sizes whose best rate could be read off; 0 where only the prior speaks
    """

    rate: np.ndarray
    batch: np.ndarray
    scales: tuple[float, float]
    sizes: int

    @classmethod
    def of(cls, ensemble: Ensemble, params: float, tokens: float, seed: int) -> Leftover:
        """Draw them for every draw of an ensemble of laws with a valley."""
        table = settings_of(ensemble.runs, ensemble.group)
        measured = bottoms(table)
        sizes = np.log(np.unique(np.column_stack([table["params"], nominal(table["tokens"].to_numpy(float))]), axis=0))
        wider = np.sqrt(_growth(sizes, np.log([params, tokens])))
        rng = stream(seed, LEFTOVER)
        scales = {name: _scales(member, measured) for name, member in ensemble.members.items()}
        parts = []
        for name, member in ensemble.members.items():
            draws = [rng.choice(SCALES, size=len(member), p=weight) for weight in scales[name]]
            parts.append(np.array(draws) * wider * rng.standard_normal((2, len(member))))
        rate, batch = np.concatenate(parts, axis=1)
        leading = max(ensemble.members, key=lambda name: ensemble.members[name].weight)
        middle = [float(SCALES[np.searchsorted(np.cumsum(weight), 0.5)]) for weight in scales[leading]]
        return cls(rate, batch, (middle[0], middle[1]), len(measured))

    @property
    def of_rate(self) -> Leftover:
        """The same without those of the batch, which is given."""
        return dataclasses.replace(self, batch=np.zeros(len(self.batch)))

    @property
    def words(self) -> str:
        """What the fitted sizes say of it, in a sentence."""
        if not self.sizes:
            return (
                "No fitted size has runs enough to read off its best rate: how far one lies from the law's is from "
                "the prior, about 10 %"
            )
        rate, batch = (f"{math.expm1(scale):.0%}" for scale in self.scales)
        return (
            f"Read off the runs of {self.sizes} fitted sizes, the best rate lies about {rate} and the best batch about "
            f"{batch} off the law's, beyond their standard errors"
        )

    def split(self, ensemble: Ensemble) -> list[tuple[Member, np.ndarray, np.ndarray]]:
        """Return each law of the ensemble with the deviations of its draws, of rate and of batch."""
        members = list(ensemble.members.values())
        ends = np.cumsum([len(member) for member in members])[:-1]
        return list(zip(members, np.split(self.rate, ends), np.split(self.batch, ends), strict=True))


def best_settings(
    ensemble: Ensemble, leftover: Leftover, params: float, tokens: float, batch_tokens: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best rate and the best batch of a run, ``(n_draw,)`` each, deviations from the law's included.

    Parameters
    ----------
    batch_tokens : the batch, where it is given and each draw's best rate at it is wanted
    """
    found = []
    for member, rate_off, batch_off in leftover.split(ensemble):
        batch, _ = best_batch_and_rate(member, params, np.full((len(member), 1), tokens), batch_tokens)
        batch = np.clip(batch * np.exp(batch_off[:, None]), 1.0, tokens)
        found.append(np.hstack([best_rate(member, params, tokens, batch) * np.exp(rate_off[:, None]), batch]))
    rates, batches = np.concatenate(found).T
    return rates, batches


def settings_of(runs: Runs, group: Mapping[str, str]) -> pd.DataFrame:
    """Return size, rate, batch and loss of the fitted runs of a group."""
    known = known_columns(runs)
    table = pd.DataFrame({name: known[name] for name in ("params", "tokens", BATCH)})
    table = table.assign(loss=runs.loss, **{RATE: runs.column(RATE)})
    inside = np.ones(len(runs), bool)
    for column, label in group.items():
        inside &= runs.table[column].astype(str).to_numpy() == label
    return table[inside]


def _growth(sizes: np.ndarray, at: np.ndarray) -> float:
    """Return by how much a deviation's variance is larger at a size than at a fitted one.

    Parameters
    ----------
    sizes : (n_size, 2) logs of N and D
    at : (2,) of the planned run
    """
    design = np.column_stack([np.ones(len(sizes)), sizes - sizes.mean(axis=0)])
    there = np.append(1.0, at - sizes.mean(axis=0))
    leverage = there @ np.linalg.pinv(design.T @ design) @ there
    outside = np.maximum(at - sizes.max(axis=0), 0) + np.maximum(sizes.min(axis=0) - at, 0)
    return float(1 + leverage + outside.sum())


def _scales(member: Member, measured: list[Bottom]) -> tuple[np.ndarray, np.ndarray]:
    """Return the posterior of the scale of deviations of rate, and of batch, on ``SCALES``."""
    if not measured:
        nothing = np.empty(0)
        return _posterior(nothing, nothing), _posterior(nothing, nothing)
    params, tokens = (np.array([getattr(one, name) for one in measured])[None] for name in ("params", "tokens"))
    best, errors = (np.array([getattr(one, name) for one in measured]) for name in ("best", "errors"))
    rate = np.log(best_rate(member, params, tokens, np.exp(best[:, 1])[None])).mean(axis=0)
    batch = np.log(np.broadcast_to(best_batch(member, params, tokens), (len(member), len(best)))).mean(axis=0)
    varied = np.isfinite(errors[:, 1])
    return (
        _posterior(best[:, 0] - rate, errors[:, 0]),
        _posterior((best[:, 1] - batch)[varied], errors[varied, 1]),
    )


def _posterior(deviations: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return probabilities of ``SCALES``, given deviations from the law with their standard errors."""
    variance = SCALES[:, None] ** 2 + errors**2
    log_density = -0.5 * (deviations**2 / variance + np.log(variance)).sum(axis=1)
    log_density += np.log(SCALES) - 0.5 * (SCALES / USUAL) ** 2  # steps of SCALES are steps of its logarithm
    density = np.exp(log_density - log_density.max())
    return np.asarray(density / density.sum())
