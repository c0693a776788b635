"""Discrepancy: how the truth may leave the law, most of all beyond the largest runs.

No law is exactly right. Its trade-offs between inputs are taken as given; its trend along the size of a run is not.
There the true log loss wanders from the law,

    log loss = log law(x) + tau W(ln size) + noise,    E [W(u) - W(v)]^2 = |u - v|^(2 H),    W(centre of the runs) = 0,

as Brownian motion (H = 1/2) or fractional Brownian motion (Mandelbrot and Van Ness 1968): by tau over one e-fold of
size, and by more over several. Runs say how far the truth lies from the law at their sizes; beyond the largest run the
path goes on from there, and its uncertainty grows with every e-fold. Its scale ``tau`` is learned together with the
law, under a prior that was calibrated on public tables.

A path of kind ``trend`` is smooth. Its slope, not its value, is an Ornstein-Uhlenbeck process, which forgets itself
over one e-fold of size, so that

    E [W(u) - W(v)]^2 = (s - 1 + exp(-s)) e,    s = |u - v|.

Where the truth fell or rose along the largest runs it goes on so for about an e-fold beyond them, then as the law says.
That is what learning curves with stages do, and losses that rise and fall again, which no law here foresees.

One path for every input would fit tables of single runs better and forecast them worse: slopes of paths trade off
against the exponents of the law, and a few odd small runs then decide both. Whole curves say more: there the path runs
along the model, and another one, with a scale of its own, along the batch. The two add up.

A law of shares of the training text has no size. There the path runs along the share of the text that the loss is
measured on, plus 3 %: where that share is small, losses fall faster than such laws say.

The path is held by its values at knots: at every distinct size of a small table, at well spread ones of a large one. A
gradient then costs time linear in rows, and what a path does away from the knots is drawn exactly.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpyro.distributions as dist
import scipy.linalg

from bayes_scaling.base.arguments import check_fields
from bayes_scaling.base.blas import ONE_THREAD
from bayes_scaling.base.messages import shown
from bayes_scaling.base.names import ALONG, DISCREPANCIES, listed_as_choice
from bayes_scaling.errors import LawError
from bayes_scaling.laws.law import Law
from bayes_scaling.laws.parameters import Parameter

LOG_TAU_SD = 1.0  # prior standard deviation of log tau
KNOTS = 24  # more would cost time and resolve what single runs do not show
BATCH_KNOTS = 8  # of a path along the batch
MEMORY = 1.0  # e-folds of size over which the slope of a path of kind trend is forgotten
MOST_PLACES = 512  # places at which paths are drawn exactly
NEARLY = 1e-9  # of the variance, for matrices that would be singular
SIZE_FACTORS = ("params", "layers", "width", "tokens", "characters", "steps", "batch_tokens")
"""Inputs whose product is the size of a run: compute, up to a factor, or a measure that grows with it."""
SHARE = 0.03  # on top of an input that may be zero, where it is the size


class Axis(NamedTuple):
    """What one path runs along.

    Attributes
    ----------
    inputs : of a law, whose product says where a run lies
    scale : name of the parameter that is the scale of the path
    most_knots : number of knots at most
    """

    inputs: tuple[str, ...]
    scale: str = "tau"
    most_knots: int = KNOTS


AXES = {
    "params": (Axis(("params",)),),
    "params and batch": (Axis(("params",)), Axis(("batch_tokens",), "tau_batch", BATCH_KNOTS)),
}
"""By name, what paths run along where it is not the size of a run."""


@dataclasses.dataclass(frozen=True)
class Discrepancy:
    """Error of a law, in log loss, as a random path along the logarithm of the size of runs.

    Attributes
    ----------
    kind : ``brownian`` (default); ``trend``, which goes on for a while the way it went; or ``none``: the law is taken
        to be exactly right
    smoothness : H of a brownian path, how it goes on: 0.5 forgets where it came from, towards 1 it keeps its direction
    scale : prior median of tau. Public tables have a population with median 0.03 and a log-sd of 1.0: language models
        in compute 0.004 to 0.008, image curves 0.07 (``benchmarks/discrepancy_prior.py``); the default lies between.
        Smooth paths make out more: 0.02 to 0.03 on language curves, 0.08 to 0.13 on image curves
    along : what paths run along: the ``size`` of runs (of a law of shares of the training text, the share that
        lowers its loss), their ``params``, or ``params and batch``, a path along each.
        ``auto`` is size, but for curves by a law of whole curves (it reads params, and batch or learning rate): params
        where there are three model sizes or more, and the batch too, if it is read, where there are three of those.
        Along a curve its own slow deviation says how the truth leaves the law, and a path that rows of large models
        early on share with rows of small ones late would take the trend from the law
    """

    kind: str = "brownian"
    smoothness: float = 0.5
    scale: float = 0.02
    along: str = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
        if self.kind not in DISCREPANCIES:
            raise LawError(f"discrepancy is {shown(self.kind)}; expected {listed_as_choice(DISCREPANCIES)}")
        if not 0 < self.smoothness < 1:
            raise LawError(f"smoothness is {self.smoothness:g}, expected a number between 0 and 1")
        if not 0 < self.scale < math.inf:
            raise LawError(f"scale of the discrepancy is {self.scale:g}, expected a positive number such as 0.02")
        if self.along not in ALONG:
            raise LawError(f"along is {shown(self.along)}; expected {listed_as_choice(ALONG)}")

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Rows of the parameters of this discrepancy."""
        if self.kind == "none":
            return ()
        tau = Parameter(
            "tau",
            dist.LogNormal(math.log(self.scale), LOG_TAU_SD),
            unit="log loss over one e-fold",
            meaning="scale of the law's own error: how far the truth wanders from the law over one e-fold of size",
            source="population of public tables",
        )
        if self.along != "params and batch":
            return (tau,)
        meaning = "scale of the law's own error along the batch: how far the truth wanders over one e-fold of it"
        return tau, dataclasses.replace(tau, name="tau_batch", meaning=meaning, source="as of tau")

    def axes(self, law: Law) -> tuple[Axis, ...]:
        """Return what each path runs along, or would if the law had a discrepancy."""
        if self.along in AXES:
            axes = AXES[self.along]
            missing = [name for axis in axes for name in axis.inputs if name not in law.inputs]
            if missing:
                raise LawError(
                    f"the discrepancy runs along {self.along}, and law {law.label} does not read {missing[0]}; "
                    "leave along at 'auto'"
                )
            return axes
        return (Axis(size_inputs(law)),)

    def used_axes(self, law: Law) -> tuple[Axis, ...]:
        """Return what each path runs along: none for a law without a discrepancy, or that has no size."""
        return () if self.kind == "none" else tuple(axis for axis in self.axes(law) if axis.inputs)

    def places(self, law: Law, table: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return where each run lies on each path, ``(n_row, n_path)``: the logarithm of what it runs along."""
        return np.stack([log_product(law, axis.inputs, table) for axis in self.axes(law)], axis=1)

    def as_dict(self) -> dict[str, str | float]:
        """Return kind, smoothness and scale, and what paths run along where that is not the size, for manifests."""
        said = dataclasses.asdict(self)
        return said if self.along in AXES else {name: said[name] for name in ("kind", "smoothness", "scale")}


def size_inputs(law: Law) -> tuple[str, ...]:
    """Return the inputs of a law whose product is the size of a run: compute, or whatever the law has of it.

    Of a law whose inputs all may be zero, such as shares, it is the first in which its loss falls; none where there is
    no such input.
    """
    if "flops" in law.inputs:
        return ("flops",)
    left_out = {*law.may_be_zero, "learning_rate"}
    positive = tuple(name for name in law.inputs if name not in left_out)
    return tuple(name for name in positive if name in SIZE_FACTORS) or positive or law.decreasing_in[:1]


def log_size(law: Law, table: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the logarithm of the size of each run, ``(n_row,)``."""
    return log_product(law, size_inputs(law), table)


def log_product(law: Law, inputs: Sequence[str], table: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the logarithm of a product of inputs of each run, ``(n_row,)``; 3 % are added to one that may be zero."""
    origin = np.zeros(len(next(iter(table.values()))))
    logs = (np.log(table[name] + (SHARE if name in law.may_be_zero else 0.0)) for name in inputs)
    return np.asarray(sum(logs, start=origin))


@dataclasses.dataclass(frozen=True)
class PathGrid:
    """The knots at which one path is held, for one table.

    Attributes
    ----------
    axis : what it runs along
    smoothness : H of a brownian path
    memory : e-folds over which the slope of a smooth path is forgotten; 0 for a brownian one
    centre : place where the path is zero: a logarithm of what it runs along, as all places
    knots : (n_knot,) places
    factor : (n_knot, n_knot) lower Cholesky factor of the covariance of unit-scale values there
    """

    axis: Axis
    smoothness: float
    memory: float
    centre: float
    knots: np.ndarray
    factor: np.ndarray

    @classmethod
    def of(cls, discrepancy: Discrepancy, axis: Axis, places: np.ndarray) -> PathGrid:
        """Place knots at the distinct places of a table's runs, or at well spread ones when there are many."""
        smoothness = discrepancy.smoothness
        memory = MEMORY if discrepancy.kind == "trend" else 0.0
        centre = float(places.mean())
        distinct = np.unique(places)
        distinct = distinct[np.append(True, np.diff(distinct) > NEARLY)]  # equal products of inputs differ by rounding
        knots = _well_spread(distinct, axis.most_knots)
        knots = knots[np.abs(knots - centre) > NEARLY]  # where it is known to be zero
        return cls(axis, smoothness, memory, centre, knots, _factor(knots, centre, smoothness, memory))

    def basis(self, places: np.ndarray) -> np.ndarray:
        """Return what each normal increment adds to unit-scale log loss at places, ``(n_place, axis.most_knots)``.

        Places away from the knots get what the knots say of them; see `unresolved` for what comes on top. Increments
        beyond the number of knots add nothing.
        """
        basis = np.zeros((len(places), self.axis.most_knots))
        if len(self.knots):
            covariance = _covariance(self.knots, places, self.centre, self.smoothness, self.memory)
            basis[:, : len(self.knots)] = scipy.linalg.solve_triangular(self.factor, covariance, lower=True).T
        return basis

    @ONE_THREAD.on()
    def unresolved(self, places: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
        """Draw what a unit-scale path does that its knots do not say, ``(draws, n_place)``; jointly over places.

        More than 512 distinct places are interpolated between as many that lie evenly.
        """
        distinct, where = np.unique(places, return_inverse=True)
        if len(distinct) > MOST_PLACES:
            even = np.linspace(distinct[0], distinct[-1], MOST_PLACES)
            return np.stack([np.interp(places, even, drawn) for drawn in self.unresolved(even, draws, rng)])
        factor = _rest_factor(tuple(self.knots), tuple(distinct), self.centre, self.smoothness, self.memory)
        return np.asarray((rng.standard_normal((draws, len(distinct))) @ factor.T)[:, where.reshape(-1)])


def _factor(knots: np.ndarray, centre: float, smoothness: float, memory: float) -> np.ndarray:
    """Return the lower Cholesky factor of the covariance of a unit-scale path at its knots."""
    covariance = _covariance(knots, knots, centre, smoothness, memory)
    return np.asarray(np.linalg.cholesky(covariance + NEARLY * np.diag(np.diag(covariance))))


@functools.lru_cache(maxsize=32)  # the laws of one table share their knots and the places they are asked about
def _rest_factor(
    knots: tuple[float, ...], places: tuple[float, ...], centre: float, smoothness: float, memory: float
) -> np.ndarray:
    """Return a factor of the covariance, at places, of what the knots of a unit-scale path do not say of it."""
    at, there = np.array(knots), np.array(places)
    rest = _covariance(there, there, centre, smoothness, memory)
    if len(at):
        factor = _factor(at, centre, smoothness, memory)
        learned = scipy.linalg.solve_triangular(factor, _covariance(at, there, centre, smoothness, memory), lower=True)
        rest = rest - learned.T @ learned
    values, vectors = np.linalg.eigh(rest)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


@dataclasses.dataclass(frozen=True)
class DiscrepancyGrid:
    """The paths of a discrepancy as they are held for one table; their increments stand in one row.

    Attributes
    ----------
    paths : along each of `Discrepancy.axes`; none for a law without a discrepancy
    """

    paths: tuple[PathGrid, ...]

    @classmethod
    def of(cls, discrepancy: Discrepancy, law: Law, table: Mapping[str, np.ndarray]) -> DiscrepancyGrid:
        """Place the knots of each path for a table."""
        if not (axes := discrepancy.used_axes(law)):
            return cls(())
        along = zip(axes, discrepancy.places(law, table).T, strict=True)
        return cls(tuple(PathGrid.of(discrepancy, axis, places) for axis, places in along))

    @property
    def size(self) -> int:
        """Number of increments of all paths."""
        return sum(path.axis.most_knots for path in self.paths)

    def increments_of(self, values: np.ndarray) -> list[np.ndarray]:
        """Split what there is of each increment, ``(..., size)``, by path."""
        ends = np.cumsum([path.axis.most_knots for path in self.paths])
        return np.split(values, ends[:-1], axis=-1)

    def basis(self, places: np.ndarray) -> np.ndarray:
        """Return what each increment adds to unit-scale log loss at places, ``(n_place, n_path)``: (n_place, size)."""
        along = zip(self.paths, places.T, strict=True)
        return np.concatenate([path.basis(where) for path, where in along], axis=1)


def _covariance(
    left: np.ndarray, right: np.ndarray, centre: float, smoothness: float, memory: float = 0.0
) -> np.ndarray:
    """Return the covariance of unit-scale values at two sets of places, ``(n_left, n_right)``."""

    def variogram(difference: np.ndarray) -> np.ndarray:
        apart = np.abs(difference)
        if not memory:
            return np.asarray(apart ** (2 * smoothness))
        return np.asarray(_integrated(apart / memory) / _integrated(np.asarray(1 / memory)))

    apart = variogram(left[:, None] - right[None])
    return np.asarray((variogram(left - centre)[:, None] + variogram(right - centre)[None] - apart) / 2)


def _integrated(apart: np.ndarray) -> np.ndarray:
    """Return s - 1 + exp(-s): the variance of an integrated Ornstein-Uhlenbeck process, up to a factor."""
    return np.asarray(apart + np.expm1(-apart))


def _well_spread(places: np.ndarray, most: int) -> np.ndarray:
    """Choose places, sorted, one by one, each the furthest from those before, the two ends first."""
    if len(places) <= most:
        return places
    chosen = [places[0], places[-1]]
    distance = np.minimum(places - places[0], places[-1] - places)
    while len(chosen) < most:
        chosen.append(places[int(distance.argmax())])
        distance = np.minimum(distance, np.abs(places - chosen[-1]))
    return np.sort(np.array(chosen))
