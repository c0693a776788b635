"""Allocation: which model a budget should train, on how many tokens, and how much that choice can be trusted.

A plan is the best point of an objective among the runs that spend the budget, where N (and the batch, with a law that
reads it) fixes the D that is left. Beside it stand the optimum of every draw, what the plan loses against it, and what
rules of thumb would lose.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import scipy.optimize

from bayes_scaling.base.messages import shown
from bayes_scaling.data.columns import Points
from bayes_scaling.data.units import FLOPS_PER_PARAM_TOKEN, PUBLISHED_FRONTIERS, Frontier, Shape
from bayes_scaling.decide.candidates import Candidates, note_of
from bayes_scaling.decide.cautions import cautions
from bayes_scaling.decide.constraints import Constraints
from bayes_scaling.decide.costs import Cost
from bayes_scaling.decide.objectives import Objective
from bayes_scaling.decide.plan import Choice, Plan
from bayes_scaling.decide.provenance import of_members
from bayes_scaling.decide.question import Question, Source
from bayes_scaling.decide.regret import Judge, flat_region
from bayes_scaling.decide.space import Space, joined, log_batch, run_columns
from bayes_scaling.decide.surfaces import Surface
from bayes_scaling.errors import PlanError
from bayes_scaling.predict.ensemble import Ensemble

CLOSE = 0.001  # share of the budget within which a run to compare with counts as spending it


def allocate(
    source: Source,
    budget: float,
    *,
    cost: Cost | None = None,
    objective: Objective | None = None,
    incumbent: float | None = None,
    target: float | None = None,
    constraints: Constraints | None = None,
    given: Mapping[str, float] | None = None,
    candidates: Sequence[float] | Sequence[Shape] | Shape | None = None,
    compare_with: Mapping[str, tuple[float, float]] | None = None,
    flat: float = 0.001,
    group: Mapping[str, str] | None = None,
    unconverged: bool = False,
    seed: int = 0,
) -> Plan:
    """Choose the run that a budget should buy.

    Parameters
    ----------
    source : a fit, a comparison (its laws by weight), or beliefs
    budget : in the unit of the cost
    cost : how the budget is spent; `flops` by default
    objective : what to optimise; `expected_improvement` by default
    incumbent : loss to improve on; the best in the table by default
    target : loss that is wanted, for its probability
    constraints : what the plan must keep to; none by default
    given : inputs of the law that are fixed, such as ``{"weight_bits": 8}``; ``unique_tokens`` are those that are
        available: D beyond them are further epochs
    candidates : what really exists, parameter counts or shapes; any size by default. A shape costs its own FLOPs per
        token, attention over its context and head included where it tells them; its N is counted as in the fitted
        runs (without embeddings, unless these say total)
    compare_with : by name, runs of others as (params, tokens), such as ``{"Gopher": (280e9, 300e9)}``
    flat : a share of the loss: sizes that lose no more on average than the best are as good
    group : which group of a pooled fit, ``{"dataset": "c4"}``
    unconverged : go on with a fit that did not converge
    seed : of beliefs made from a fit or a comparison, and of what is uncertain about the cost

    Returns
    -------
    Plan
        The same seed gives the same plan.

    Raises
    ------
    PlanError
        When budget, constraints or candidates leave no plan, or the law needs inputs that are not there.
    ConvergenceError
        When the fit did not converge.

    Notes
    -----
    Runs to compare with seldom cost the budget to the digit. Each is judged against the best split of what it costs
    itself, so that its regret is that of the split and not of having spent more or less.
    """
    if not 0 < flat < 1:
        hint = f"; write {flat / 100:g} for {flat:g} percent" if 1 <= flat < 100 else ""
        raise PlanError(f"flat is {flat:g}, expected a share of the loss, like 0.001{hint}")
    asked = Question.of(
        source,
        cost=cost,
        objective=objective,
        incumbent=incumbent,
        target=target,
        constraints=constraints,
        given=given,
        group=group,
        unconverged=unconverged,
        seed=seed,
    )
    beliefs, space = asked.beliefs, asked.space(budget)
    others = _checked_runs(compare_with or {})
    exist = None if candidates is None else Candidates.of(candidates, asked, space)
    free = asked.summit(beliefs, space)
    alone = tuple(beliefs.members) if len(beliefs.members) > 1 else ()
    found = [_chosen(asked, beliefs, space, exist, free)]
    found += [_chosen(asked, beliefs.only(name), space, exist, None) for name in alone]
    whole = space.runs(free[None])
    rules = {name: _on_surface(frontier, space.surface) for name, frontier in PUBLISHED_FRONTIERS.items()}
    batch = whole.get("batch_tokens")
    by_rule = space.runs_of(np.array(list(rules.values())), None if batch is None else np.repeat(batch, len(rules)))
    runs = joined([run for run, _, _ in found] + [whole, by_rule])
    sizes = np.concatenate([[size for _, size, _ in found], whole["params"], by_rule["params"]])
    shapes = [shape for _, _, shape in found] + [None] * (1 + len(rules))
    notes = [note_of(shapes[0]), *["this law alone"] * len(alone), "any size"]
    notes += [PUBLISHED_FRONTIERS[name].convention for name in rules]
    judge = Judge.of(asked, space)
    choices, predictive = judge.choices(runs, notes, sizes, shapes)
    picks, rest = choices[1 : 1 + len(alone)], choices[1 + len(alone) :]
    compared = {name: _compared(asked, N, D, budget, whole) for name, (N, D) in others.items()}
    lowest, flat_range = flat_region(beliefs, space, flat)
    optimum = np.exp(judge.optima.log_params)
    optimum_tokens = np.asarray(space.surface.tokens(optimum))
    log_B = log_batch(np.log(optimum_tokens), judge.optima.share, space.constraints.log_batch)
    return Plan(
        label=beliefs.label,
        loss_unit=beliefs.loss_unit,
        budget=space.surface.budget,
        unit=asked.spending.unit,
        cost_label=asked.cost.label,
        objective=asked.objective,
        goal=asked.goal,
        choice=choices[0],
        predictive=predictive.at([0]),
        costs=asked.spending.draws(float(sizes[0]), choices[0].tokens),
        optimum_params=optimum,
        optimum_tokens=optimum_tokens,
        optimum_batch=np.exp(log_B) if space.batched else None,
        unsnapped=rest[0],
        flat=flat_range,
        flat_within=flat * lowest,
        alternatives={**dict(zip(rules, rest[1:], strict=True)), **compared},
        picks=dict(zip(alone, picks, strict=True)),
        weights={name: member.weight for name, member in beliefs.members.items()},
        rests_on=of_members({name: (member.weight, member.fit) for name, member in beliefs.members.items()}),
        cautions=cautions(asked, space, runs),
    )


def _chosen(
    asked: Question, beliefs: Ensemble, space: Space, exist: Candidates | None, free: np.ndarray | None
) -> tuple[Points, float, Shape | None]:
    """Return the best run for some beliefs, half its forward FLOPs per token, and its shape.

    Parameters
    ----------
    free : the best place where any size exists, if it is known
    """
    if exist is None:
        place = asked.summit(beliefs, space) if free is None else free
        runs = space.runs(place[None])
        return runs, float(runs["params"][0]), None

    def runs_at(places: np.ndarray) -> Points:
        return exist.runs(space, places[:, 0].astype(int), places[:, 1])

    best, share = exist.best(asked.score(beliefs, runs_at), space)
    return runs_at(np.array([[best, share]])), float(exist.sizes[best]), exist.shapes[best]


def _checked_runs(given: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Return runs to compare with as numbers."""
    out = {}
    for name, run in given.items():
        try:
            params, tokens = (float(x) for x in run)
        except (TypeError, ValueError):
            params = tokens = math.nan
        if not (1 <= params < math.inf and 1 <= tokens < math.inf):
            raise PlanError(
                f"compare_with has {shown(name)}: {shown(run)}, expected (params, tokens) in raw units, such as "
                "(280e9, 300e9)"
            )
        if name in PUBLISHED_FRONTIERS:
            raise PlanError(f"compare_with has {shown(name)}, which is the name of a published rule; call it otherwise")
        out[name] = (params, tokens)
    return out


def _compared(asked: Question, params: float, tokens: float, budget: float, plan: Points) -> Choice:
    """Judge somebody's run against the best split of what it costs itself, in batches like those of the plan."""
    paid = asked.spending.cost(params, tokens)
    space = asked.space(paid)
    batch = plan.get("batch_tokens")
    run = space.runs_of(np.array([params]), batch)
    note = "spends the budget"
    if abs(paid / budget - 1) > CLOSE:
        note = f"costs {paid / budget:.3g} times the budget; judged against the best split of its own cost"
    # D itself, and not what rounding makes of it.
    exact = run_columns(run["params"], np.array([tokens]), run.get("batch_tokens"), space.given)
    return Judge.of(asked, space).choices(exact, [note])[0][0]


def _on_surface(frontier: Frontier, surface: Surface) -> float:
    """Return the N that a published rule would train with the training FLOPs that this N leaves."""

    def size(training: float) -> float:
        if frontier.params is not None:
            return float(frontier.params(training))
        return training / (FLOPS_PER_PARAM_TOKEN * float(frontier.tokens(training)))

    def gap(log_params: float) -> float:
        params = math.exp(log_params)
        training = FLOPS_PER_PARAM_TOKEN * params * max(float(surface.tokens(params)), 1e-9)
        return math.log(size(training)) - log_params

    top = math.log(surface.most_params)
    if gap(0.0) <= 0:
        return 1.0
    return surface.most_params if gap(top) >= 0 else math.exp(float(scipy.optimize.brentq(gap, 0.0, top, xtol=1e-13)))
