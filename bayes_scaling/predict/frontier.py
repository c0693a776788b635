"""Inverse problems: the best split of a compute budget, and the inputs needed to reach a loss.

Each posterior draw is one possible law, and the problem is solved for every draw, so the answer is a distribution.
Compute is 6 N D.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from bayes_scaling.base.arguments import Seed, validated
from bayes_scaling.base.messages import checked_loss, checked_probability, equal_tails
from bayes_scaling.base.programs import compiled
from bayes_scaling.base.scope import scope
from bayes_scaling.data.units import FLOPS_PER_PARAM_TOKEN
from bayes_scaling.data.validation import Origin, numeric
from bayes_scaling.errors import ForecastError
from bayes_scaling.inference.result import Fit
from bayes_scaling.laws.arithmetic import Array
from bayes_scaling.model.discrepancy import log_product
from bayes_scaling.model.program import Formula
from bayes_scaling.predict.cautions import known_columns, out_of_range, trusted_ratios
from bayes_scaling.predict.ensemble import Share, Source, group_of, shares_of
from bayes_scaling.predict.members import padded
from bayes_scaling.predict.paths import E_FOLDS_BEYOND, Paths, fitted_places, sum_of
from bayes_scaling.predict.solvers import first_met, minimise

LARGEST = 1e40  # of any input; a loss not reached below it counts as out of reach
SMALLER = 5.0  # e-folds below the smallest fitted place from which paths are followed
STEPS = 200  # number of places along them


@dataclasses.dataclass(frozen=True, eq=False)
class Optimum:
    """Compute-optimal split of a budget, one per posterior draw.

    Attributes
    ----------
    flops : the budget
    params, tokens : (n_draw,) the split with the lowest mean loss
    loss : (n_draw,) that loss, including the law's discrepancy
    """

    flops: float
    params: np.ndarray
    tokens: np.ndarray
    loss: np.ndarray

    def interval(self, of: str = "params", probability: float = 0.9) -> np.ndarray:
        """Return the equal-tailed interval of ``params``, ``tokens`` or ``loss``, ``(2,)``."""
        if of not in ("params", "tokens", "loss"):
            raise ForecastError(f"an optimum has params, tokens and loss, not {of!r}")
        return np.asarray(np.quantile(getattr(self, of), equal_tails(probability)))


@dataclasses.dataclass(frozen=True, eq=False)
class Requirement:
    """How much of one input the mean curve needs to reach a loss, one answer per posterior draw.

    Attributes
    ----------
    target : the loss that is wanted; of a chain the score
    of : ``flops``, ``params``, ``tokens``, ...
    draws : (n_draw,) in raw units; infinite where the law never reaches the target
    along : what happens to the other inputs
    cautions : in sentences, where the median lies far outside the fitted runs
    """

    target: float
    of: str
    draws: np.ndarray
    along: str
    cautions: tuple[str, ...] = ()

    @property
    def reachable(self) -> float:
        """Posterior probability that the target can be reached at all."""
        return float(np.mean(np.isfinite(self.draws)))

    def quantile(self, probability: float) -> float:
        """Return a quantile of the required input; infinite when too many draws never reach the target."""
        return float(np.quantile(self.draws, checked_probability(probability), method="inverted_cdf"))

    def interval(self, probability: float = 0.9) -> tuple[float, float]:
        """Return the equal-tailed interval; an end is infinite when that much of the posterior is out of reach."""
        low, high = equal_tails(probability)
        return self.quantile(low), self.quantile(high)

    def to_dict(self) -> dict[str, Any]:
        """Return target, median, 90 % interval and probability as plain values, for JSON; None where it is infinite."""
        ends = [value if np.isfinite(value) else None for value in (*self.interval(0.9), self.quantile(0.5))]
        kept = {"target": self.target, "of": self.of, "along": self.along, "reachable": self.reachable}
        kept["cautions"] = list(self.cautions)
        return {**kept, "low": ends[0], "high": ends[1], "median": ends[2]}


@validated
def compute_optimal(
    fit: Source,
    flops: float,
    *,
    group: Mapping[str, str] | None = None,
    unconverged: bool = False,
    seed: Seed = 0,
) -> Optimum:
    """Split a compute budget over parameters and tokens, for every posterior draw.

    The best split is sought up to 100 times beyond the tokens per parameter of the fitted runs: no law is to be trusted
    in a corner that no run is near.

    Parameters
    ----------
    fit : of a law that takes params and tokens; or several such laws, mixed by weight: an ensemble or a comparison
    flops : budget in FLOPs, C = 6 N D
    group : the group of a pooled fit, ``{"dataset": "c4"}``
    unconverged : accept fits that did not converge
    seed : of the discrepancy at this size; the split does not depend on it

    Returns
    -------
    Optimum
        One split for every draw, with its mean loss in the unit of the fitted losses.

    Raises
    ------
    ConvergenceError
        When a fit did not converge.
    ForecastError
        When a law takes other inputs, or the budget is no finite number or too few FLOPs for any run.
    """
    shares = shares_of(fit, seed, unconverged).values()
    group = group_of(fit, group)
    parts = [(_split(share.fit, flops, group, seed), share.draws) for share in shares]
    draws = {
        name: np.concatenate([getattr(part, name)[chosen] for part, chosen in parts])
        for name in ("params", "tokens", "loss")
    }
    return Optimum(float(flops), **draws)


def _split(fit: Fit, flops: float, group: Mapping[str, str] | None, seed: int) -> Optimum:
    """Split a budget for every draw of one fit."""
    if set(fit.law.inputs) != {"params", "tokens"}:
        raise ForecastError(
            f"a compute-optimal split needs a law in params and tokens; {fit.law.label} takes {fit.law.inputs}"
        )
    if not (np.isfinite(flops) and flops > FLOPS_PER_PARAM_TOKEN):
        why = "too few for one parameter and one token" if flops > 0 else "expected a positive number"
        raise ForecastError(f"the budget is {flops:g} FLOPs, {why if flops < np.inf else 'expected a finite number'}")
    with scope():
        log_params, log_loss = (
            np.asarray(x) for x in _optimum(fit.model.formula)(_draws(fit, group), np.log(flops), _log_ratios(fit))
        )
    params = np.exp(log_params)
    # Every split of a budget has the same size, so the discrepancy moves the loss and leaves the split alone. A path
    # along params moves the loss of the split that the law calls best.
    size = np.full(len(params), np.log(flops / FLOPS_PER_PARAM_TOKEN))
    places = [log_params if axis.inputs == ("params",) else size for axis in fit.discrepancy.axes(fit.law)]
    shift = _of_draws(fit, places, seed)
    return Optimum(float(flops), params, flops / (FLOPS_PER_PARAM_TOKEN * params), np.exp(log_loss + shift))


@validated
def required(
    fit: Source,
    loss: float,
    *,
    of: str = "",
    tokens_per_param: float | None = None,
    group: Mapping[str, str] | None = None,
    unconverged: bool = False,
    seed: Seed = 0,
    **fixed: float,
) -> Requirement:
    """Return how much compute, or how much of another input, the mean curve needs to reach a loss.

    The mean curve is the law with its discrepancy. The start of training curves, where a fit has learned it, is over by
    then; `trajectory` has it.

    Parameters
    ----------
    fit : posterior; or several, mixed by weight: an ensemble or a comparison
    loss : target, in the unit of the fitted losses
    of : the input to solve for; ``flops`` by default for laws in params and tokens, else the law's only input
    tokens_per_param : with ``of="flops"``, a fixed ratio instead of the compute-optimal split
    group : the group of a pooled fit, ``{"dataset": "c4"}``
    fixed : values of the other inputs when ``of`` is an input of the law: ``of="tokens", params=7e9``
    unconverged : accept fits that did not converge
    seed : of the discrepancy along the way; the answer is the first size that reaches the loss

    Returns
    -------
    Requirement
        One answer for every draw, in raw units; infinite where the law never reaches the loss.

    Raises
    ------
    ConvergenceError
        When a fit did not converge.
    ForecastError
        When the loss or a fixed input makes no sense, the law does not take ``of``, or other inputs must be fixed.
    """
    shares = [*shares_of(fit, seed, unconverged).values()]
    group = group_of(fit, group)
    parts = [_needed(share, loss, of, tokens_per_param, group, seed, fixed) for share in shares]
    first = parts[0]
    odd = next((part.of for part in parts if part.of != first.of), "")
    if odd:
        raise ForecastError(f"the laws take other inputs, so say which one is wanted: of={first.of!r} or of={odd!r}")
    draws = np.concatenate([part.draws for part in parts])
    found = Requirement(first.target, first.of, draws, first.along)
    return dataclasses.replace(found, cautions=_cautions(found, [share.fit for share in shares]))


def _cautions(found: Requirement, fits: Sequence[Fit]) -> tuple[str, ...]:
    """Say where a loss takes far more, or far less, than any fitted run has; nothing where it is out of reach."""
    known = [sizes[found.of] for sizes in (known_columns(fit.runs) for fit in fits) if found.of in sizes]
    middle = found.quantile(0.5)
    if not known or not np.isfinite(middle):
        return ()
    return tuple(out_of_range({found.of: np.concatenate(known)}, {found.of: np.array([middle])}, given=False))


def _needed(
    share: Share,
    loss: float,
    of: str,
    tokens_per_param: float | None,
    group: Mapping[str, str] | None,
    seed: int,
    fixed: Mapping[str, float],
) -> Requirement:
    """Return what each draw of one law needs to reach a loss; arguments as of `required`."""
    fit, law = share.fit, share.fit.law
    checked_loss(loss, fit.runs.loss_unit)
    of = of or ("flops" if set(law.inputs) == {"params", "tokens"} else law.inputs[0])
    given: dict[str, Any] = {}
    if of in law.inputs:
        others = [name for name in law.inputs if name != of]
        if set(fixed) != set(others):
            needed = ", ".join(others) or "none"
            raise ForecastError(
                f"{of} to reach a loss needs these other inputs fixed: {needed}; got {', '.join(fixed) or 'none'}"
            )
        counted = numeric(pd.DataFrame([dict(fixed)]), list(fixed), Origin("the inputs", {}), law.may_be_zero)
        given = {name: float(counted[name].iloc[0]) for name in fixed}
        along = ", ".join(f"{name} = {value:g}" for name, value in fixed.items()) or "the only input"
        kind = of
    elif of == "flops" and set(law.inputs) == {"params", "tokens"}:
        if fixed:
            raise ForecastError("with of='flops' give tokens_per_param or nothing; to fix params use of='tokens'")
        kind, along, given = "optimal", "the compute-optimal split", {"log_ratios": _log_ratios(fit)}
        if tokens_per_param is not None:
            if not 0 < tokens_per_param < np.inf:
                raise ForecastError(f"tokens_per_param is {tokens_per_param:g}, expected a positive, finite number")
            kind, along, given = "ratio", f"{tokens_per_param:g} tokens per parameter", {"ratio": tokens_per_param}
    else:
        raise ForecastError(f"law {law.label} takes {', '.join(law.inputs)}; it cannot say how many {of} a loss needs")
    values = np.exp(_first_reached(share, group, kind, given, np.log(loss), seed))
    return Requirement(float(loss), of, np.where(values >= LARGEST * 0.999, np.inf, values), along)


def _first_reached(
    share: Share,
    group: Mapping[str, str] | None,
    kind: str,
    given: Mapping[str, Any],
    target: float,
    seed: int,
) -> np.ndarray:
    """Return the log of the input at which the mean curve first reaches a loss, ``(n_draw,)``.

    Parameters
    ----------
    kind, given : as in `_along`
    target : log loss
    """
    fit, count = share.fit, len(share.draws)
    with scope():
        draws = {name: padded(values[share.draws]) for name, values in _draws(fit, group).items()}
        fixed = {name: jnp.asarray(value) for name, value in given.items()}
        root, curve = _along(fit.model.formula, kind)

        def of_law(targets: np.ndarray) -> np.ndarray:
            return np.asarray(root(draws, padded(targets), fixed))[:count]

        if not fit.discrepancy_grid.size:
            return of_law(np.full(count, target))
        moving, log_inputs, places = None, np.zeros(0), []
        for path, (axis, fitted) in enumerate(zip(fit.discrepancy.axes(fit.law), fitted_places(fit).T, strict=True)):
            if (rest := _rest(axis.inputs, kind, given)) is not None:
                sizes = np.linspace(fitted.min() - SMALLER, fitted.max() + E_FOLDS_BEYOND, STEPS)
                moving, log_inputs = path, sizes - rest
                if kind in fit.law.may_be_zero:
                    sizes = log_product(fit.law, (kind,), {kind: np.exp(log_inputs)})
                places.append(sizes)
            else:
                known = all(name in given for name in axis.inputs)
                alone = {name: np.array([given[name]]) for name in axis.inputs if known}
                places.append(log_product(fit.law, axis.inputs, alone) if known else np.array([fitted.max()]))
        paths = Paths.drawn(fit, places, seed).take(share.draws).along
        shift = sum_of(path.total for path in paths)  # those that stay have one place
        if moving is None:
            return of_law(target - shift[:, 0])
        gap = np.asarray(curve(draws, jnp.asarray(log_inputs), fixed))[:count] + shift - target
        below = gap <= 0
        first = below.argmax(axis=1)
        before, rows = np.maximum(first - 1, 0), np.arange(count)
        drop = np.where(first > 0, gap[rows, before] - gap[rows, first], 1.0)
        part = np.where(first > 0, gap[rows, before] / drop, 0.0)
        reached = log_inputs[before] + part * (log_inputs[first] - log_inputs[before])
        # Outside of the grid the path is constant: that far out its course is arbitrary anyway.
        earlier = below[:, 0]
        outside = of_law(target - np.where(earlier, shift[:, 0], shift[:, -1]))
        outside = np.where(earlier, np.minimum(outside, log_inputs[0]), np.maximum(outside, log_inputs[-1]))
        return np.asarray(np.where(below.any(axis=1) & ~earlier, reached, outside))


def _of_draws(fit: Fit, places: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """Draw the discrepancy at places of each path, one per draw, ``(n_draw,)`` each: (n_draw,)."""
    paths = Paths.drawn(fit, [np.linspace(one.min(), one.max(), STEPS if np.ptp(one) else 1) for one in places], seed)
    at = (
        [np.interp(one, path.places, course) for one, course in zip(where, path.total, strict=True)]
        for path, where in zip(paths.along, places, strict=True)
    )
    return sum_of(map(np.asarray, at))


def _rest(inputs: Sequence[str], kind: str, given: Mapping[str, float]) -> float | None:
    """Return log place minus log of the input, along inputs of a path; None if the path does not depend on the input.

    Where neither is given, as at the best split, a path along one of them stays where the largest fitted run is.
    """
    if kind in ("optimal", "ratio"):
        return -np.log(FLOPS_PER_PARAM_TOKEN) if {"params", "tokens"} == {*inputs} else None
    return float(sum(np.log(given[name]) for name in inputs if name != kind)) if kind in inputs else None


def _log_ratios(fit: Fit) -> np.ndarray:
    """Return the range of log D / N in which the best split is sought, ``(2,)``."""
    with np.errstate(divide="ignore"):
        return np.log(trusted_ratios([fit.runs]))


def _draws(fit: Fit, group: Mapping[str, str] | None) -> dict[str, np.ndarray]:
    """Return the draws of the parameters of the law, ``(n_draw,)`` each."""
    theta = fit.theta(group)
    return {name: theta[name] for name in fit.law.parameter_names}


# --- solvers for one draw, vectorised over draws -----------------------------------------------------------------


def best_split(
    log_law: Callable[[Array, Array], Array], log_flops: Any, log_ratios: Any = (-np.inf, np.inf)
) -> tuple[Array, Array]:
    """Minimise over log N at fixed compute: (log N, log loss); ``log_ratios`` is the range of log D / N."""
    total = log_flops - np.log(FLOPS_PER_PARAM_TOKEN)
    high = jnp.minimum(total, (total - log_ratios[0]) / 2)
    low = jnp.minimum(jnp.maximum(0.0, (total - log_ratios[1]) / 2), high)
    return minimise(lambda log_params: log_law(log_params, total - log_params), low, high)


def _log_law_of(formula: Formula, theta: Mapping[str, Any]) -> Callable[[Array, Array], Array]:
    def log_law(log_params: Array, log_tokens: Array) -> Array:
        columns = {"params": jnp.exp(log_params)[None], "tokens": jnp.exp(log_tokens)[None]}
        return formula.log(theta, columns)[0]

    return log_law


@compiled
def _optimum(formula: Formula) -> Any:
    def one(theta: Mapping[str, Any], log_flops: Any, log_ratios: Any) -> tuple[Array, Array]:
        return best_split(_log_law_of(formula, theta), log_flops, log_ratios)

    return jax.jit(jax.vmap(one, (0, None, None)))


@compiled
def _along(formula: Formula, kind: str) -> tuple[Any, Any]:
    """Return compiled functions of draws: the log input at which the law reaches a target, and its log loss along it.

    Parameters
    ----------
    kind : ``optimal`` (log FLOPs at the best split within ``log_ratios``), ``ratio`` (at a ratio of tokens to
        parameters), or an input of the law, the others fixed
    """

    def log_loss(theta: Mapping[str, Any], log_x: Array, given: Mapping[str, Any]) -> Array:
        log_law = _log_law_of(formula, theta)
        if kind == "optimal":
            return best_split(log_law, log_x, given["log_ratios"])[1]
        if kind == "ratio":
            log_ratio = jnp.log(given["ratio"])
            log_params = (log_x - np.log(FLOPS_PER_PARAM_TOKEN) - log_ratio) / 2
            return log_law(log_params, log_params + log_ratio)
        columns = {name: value[None] for name, value in {**given, kind: jnp.exp(log_x)}.items()}
        return formula.log(theta, columns)[0]

    def root(theta: Mapping[str, Any], target: Array, given: Mapping[str, Any]) -> Array:
        return first_met(lambda log_x: log_loss(theta, log_x, given), target, np.log(LARGEST))

    along = jax.vmap(jax.vmap(log_loss, (None, 0, None)), (0, None, None))
    return jax.jit(jax.vmap(root, (0, 0, None))), jax.jit(along)
