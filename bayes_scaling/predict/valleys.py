"""Laws with a valley in learning rate and batch size: where its bottom is, of all draws at once.

Arrays have the shape ``(n_draw, n_point)``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling.base.messages import listed
from bayes_scaling.base.programs import compiled
from bayes_scaling.base.scope import scope
from bayes_scaling.data.columns import Points, derive_missing
from bayes_scaling.data.tuning import BATCH, RATE
from bayes_scaling.errors import ForecastError
from bayes_scaling.laws.law import Law
from bayes_scaling.model.program import Formula
from bayes_scaling.predict.cautions import known_columns
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.members import Member

BEST_RATE, BEST_BATCH = "best_rate", "best_batch"  # quantities of a law with a valley
BLOCK = 96  # runs of each draw that are evaluated together


def with_valley(ensemble: Ensemble) -> Ensemble:
    """Keep the laws that say which learning rate and which batch size are best.

    Raises
    ------
    ForecastError
        When there is none.
    """
    members = {name: m for name, m in ensemble.members.items() if has_valley(m.fit.law)}
    if not members:
        raise no_valley(m.fit.law for m in ensemble.members.values())
    return dataclasses.replace(ensemble, members=members)


def no_valley(laws: Iterable[Law]) -> ForecastError:
    """Return the error that none of several laws has a best learning rate."""
    said = "; ".join({f"{law.label} reads {listed(law.inputs)}": None for law in laws})
    return ForecastError(
        f"no law here has a best learning rate ({said}): fit 'tuning' to a table with the columns params, tokens, "
        f"{BATCH} and {RATE}"
    )


def has_valley(law: Law) -> bool:
    """Say whether a law reads a learning rate and says which one is best."""
    return RATE in law.inputs and {BEST_RATE, BEST_BATCH} <= {one.name for one in law.quantities}


@dataclasses.dataclass(frozen=True)
class RateRule:
    """A learning rate as a power law of params, tokens and batch, with which a plan trains every run.

    Attributes
    ----------
    constant : log of the rate at one parameter, one token and a batch of one token
    exponents : (3,) of params, tokens and batch_tokens
    """

    constant: Any
    exponents: Any

    @classmethod
    def of(cls, ensemble: Ensemble) -> RateRule:
        """Average the log of the best rate over draws; exact where each draw's is a power law."""
        known = known_columns(ensemble.runs)
        middle = np.array([np.log(known[name]).mean() for name in ("params", "tokens", BATCH)])
        places = np.vstack([middle, middle + np.eye(3)])
        params, tokens, batch = np.exp(places.T)[:, None]
        members = with_valley(ensemble).members.values()
        log_rate = np.log(np.concatenate([best_rate(m, params, tokens, batch) for m in members])).mean(axis=0)
        exponents = log_rate[1:] - log_rate[0]
        return cls(float(log_rate[0] - exponents @ middle), exponents)

    def at(self, columns: Points, xp: Any = np) -> Any:
        """Return the rate of runs, ``(n_run,)``."""
        logs = [xp.log(columns[name]) for name in ("params", "tokens", BATCH)]
        return xp.exp(self.constant + sum(self.exponents[i] * log for i, log in enumerate(logs)))


jax.tree_util.register_dataclass(RateRule, data_fields=["constant", "exponents"], meta_fields=[])


def _asked(member: Member, name: str, known: Mapping[str, Any], every: int = 1) -> np.ndarray:
    """Return a quantity of the law, with those inputs that it takes."""
    law = member.fit.law
    theta = {one: member.theta[one][::every, None] for one in law.parameter_names}
    needs = next(one.needs for one in law.quantities if one.name == name)
    return law.quantity(name, theta, **{key: value for key, value in known.items() if key in needs})


def best_batch(member: Member, params: Any, tokens: Any) -> np.ndarray:
    """Return the batch size of the valley's bottom, in tokens per step."""
    return _asked(member, BEST_BATCH, {"params": params, "tokens": tokens})


def best_rate(member: Member, params: Any, tokens: Any, batch: Any, every: int = 1) -> np.ndarray:
    """Return the peak learning rate of the valley's bottom at a batch size."""
    return _asked(member, BEST_RATE, {"params": params, "tokens": tokens, BATCH: batch}, every)


def best_batch_and_rate(
    member: Member, params: float, tokens: np.ndarray, batch: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return best batch and best rate at it; a batch has at least one token and at most those of the run."""
    best = np.full(tokens.shape, batch) if batch is not None else best_batch(member, params, tokens)
    best = np.clip(np.broadcast_to(best, tokens.shape), 1.0, tokens)
    return best, np.broadcast_to(best_rate(member, params, tokens, best), tokens.shape)


def runs_of(params: float, tokens: Any, batch: Any, rate: Any) -> Points:
    """Return the columns of runs, in the shape of all arguments together."""
    shape = np.broadcast_shapes(np.shape(tokens), np.shape(batch), np.shape(rate))
    given = {"params": params, "tokens": tokens, BATCH: batch, RATE: rate}
    return derive_missing({name: np.broadcast_to(value, shape) for name, value in given.items()})[0]


def log_law(member: Member, points: Points, every: int = 1) -> np.ndarray:
    """Return the log of the law, ``(n_draw, n_point)``."""
    law, count = member.fit.law, len(range(0, len(member), every))
    names = [name for name in law.inputs if name in points]
    columns = {name: np.atleast_2d(points[name]) for name in names}
    width = next(iter(columns.values())).shape[1]
    found = []
    with scope():
        theta = {name: member.device[name][: len(member) : every] for name in law.parameter_names}
        for start in range(0, width, BLOCK):
            part = {name: x[:, start : start + BLOCK] for name, x in columns.items()}
            whole = {name: np.pad(x, ((0, 0), (0, BLOCK - x.shape[1])), mode="edge") for name, x in part.items()}
            given = {name: jnp.asarray(np.broadcast_to(x, (count, BLOCK))) for name, x in whole.items()}
            found.append(np.asarray(_log_law_of(member.fit.model.formula)(theta, given)))
    return np.concatenate(found, axis=1)[:, :width]


@compiled
def _log_law_of(formula: Formula) -> Any:
    """Compile the log of the law for draws that each have runs of their own."""
    return jax.jit(jax.vmap(formula.log))
