"""Candidates: models of given sizes or shapes, and how long the budget can train each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from bayes_scaling.base.messages import shown
from bayes_scaling.data.columns import Points
from bayes_scaling.data.units import Shape
from bayes_scaling.decide.plan import shape_words
from bayes_scaling.decide.problem import CheckedDecision
from bayes_scaling.decide.search import Score
from bayes_scaling.decide.space import Space, log_batch, run_columns
from bayes_scaling.decide.surfaces import SERVED_FLOPS
from bayes_scaling.errors import PlanError
from bayes_scaling.predict.ensemble import Ensemble

BATCHES = 64  # batches that are tried for each candidate


@dataclasses.dataclass(frozen=True, eq=False)
class Candidates:
    """Models that budget and constraints allow.

    Attributes
    ----------
    params : (n,) N as the fitted runs count it
    sizes : (n,) half the forward FLOPs per token: N, or more where shapes say what attention and head take
    shapes : of each; None where only sizes are known
    """

    params: np.ndarray
    sizes: np.ndarray
    shapes: tuple[Shape | None, ...]

    @classmethod
    def of(cls, given: Sequence[float | Shape] | Shape, problem: CheckedDecision, space: Space) -> Candidates:
        """Read candidates and keep those that are allowed.

        Raises
        ------
        PlanError
            When they are neither parameter counts nor shapes, or none is allowed.
        """
        shapes = _single_shapes(given)
        if shapes:
            counts = {member.fit.runs.params_convention for member in problem.ensemble.members.values()}
            total = counts == {"total"}
            params = np.array([float(s.params_total if total else s.params) for s in shapes])
            every = cls(params, np.array([_forward(shape) for shape in shapes]) / SERVED_FLOPS, shapes)
        else:
            every = cls._of_sizes(given)
        tokens = space.surface.tokens(every.sizes)
        allowed = [
            bool(D >= 1) and space.constraints.allows(float(N), float(D))
            for N, D in zip(every.params, tokens, strict=True)
        ]
        if not any(allowed):
            low, high = space.within
            raise PlanError(
                f"no candidate from {every.params.min():.4g} to {every.params.max():.4g} parameters is allowed at "
                f"{space.surface.flops:.4g} FLOPs; budget and constraints leave {low:.4g} to {high:.4g}"
            )
        kept = np.flatnonzero(allowed)
        return cls(every.params[kept], every.sizes[kept], tuple(every.shapes[i] for i in kept))

    @classmethod
    def _of_sizes(cls, given: object) -> Candidates:
        try:
            sizes = np.unique(np.asarray(given, float))
        except (TypeError, ValueError):
            sizes = np.empty(0)
        if not sizes.size or not (np.isfinite(sizes).all() and sizes[0] >= 1):
            raise PlanError(
                f"candidates are {shown(given)}, expected a list of parameter counts in raw units, such as "
                "[7e9, 70e9], or a list of shapes"
            )
        return cls(sizes, sizes, (None,) * len(sizes))

    def runs(self, space: Space, which: np.ndarray, share: np.ndarray) -> Points:
        """Return runs of candidates that spend the budget, ``(n_run,)``, with batches as shares of their range."""
        tokens = np.asarray(space.surface.tokens(self.sizes[which]))
        batch = np.exp(log_batch(np.log(tokens), share, space.constraints.log_batch)) if space.batched else None
        return run_columns(self.params[which], tokens, batch, space.given)

    def best(self, score: Score, space: Space) -> tuple[int, float]:
        """Return the best candidate, and its batch as a share of the range.

        Parameters
        ----------
        score : from places (candidate, share) to what is maximised
        """
        shares = np.linspace(0.0, 1.0, BATCHES) if space.choice_of_batch else np.zeros(1)
        places = np.array([(i, share) for i in range(len(self.params)) for share in shares])
        best = places[int(np.argmax(score(places)))]
        return int(best[0]), float(best[1])


def chosen_run(
    problem: CheckedDecision, ensemble: Ensemble, space: Space, exist: Candidates | None, free: np.ndarray | None
) -> tuple[Points, float, Shape | None]:
    """Return the best run, half its forward FLOPs per token, and its shape.

    Parameters
    ----------
    exist : the models that exist; any size by default
    free : the best place where any size exists, if known
    """
    if exist is None:
        place = problem.best_place(ensemble, space) if free is None else free
        runs = space.runs(place[None])
        return runs, float(runs["params"][0]), None

    def runs_at(places: np.ndarray) -> Points:
        return exist.runs(space, places[:, 0].astype(int), places[:, 1])

    best, share = exist.best(problem.score(ensemble, runs_at), space)
    return runs_at(np.array([[best, share]])), float(exist.sizes[best]), exist.shapes[best]


def _single_shapes(given: Sequence[float | Shape] | Shape) -> tuple[Shape, ...]:
    """Return single shapes, also of shapes that hold arrays; none where sizes are given."""
    families = (given,) if isinstance(given, Shape) else tuple(s for s in given if isinstance(s, Shape))
    if families and not isinstance(given, Shape) and len(families) < len(given):
        raise PlanError("candidates mix shapes and parameter counts; give one or the other")
    out = []
    for family in families:
        names = [field.name for field in dataclasses.fields(family)]
        columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(getattr(family, name))) for name in names))
        out += [
            Shape(**{name: value.item() for name, value in zip(names, row, strict=True)})
            for row in zip(*columns, strict=True)
        ]
    return tuple(out)


def _forward(shape: Shape) -> float:
    """Return forward FLOPs per token, with attention and head where the shape says what they take."""
    flops = shape.flops_non_embedding
    if shape.context:
        flops += shape.flops_by_part["mask"]
    if shape.vocabulary:
        flops += shape.flops_by_part["head"]
    return float(flops)


def note_of(shape: Shape | None) -> str:
    """Say what a candidate is."""
    return "recommended" if shape is None else f"recommended: {shape_words(shape)}"
