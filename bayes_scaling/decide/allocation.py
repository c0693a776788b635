"""Allocation: which model a budget should train, on how many tokens, and how far that choice can be trusted.

A plan is the best run by an objective among those that spend the budget; N (and the batch, where a law reads it) fixes
D. The plan also holds the optimum of every draw, its own regret, and the regret of published rules.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import scipy.optimize

from bayes_scaling.base.messages import shown
from bayes_scaling.data.columns import Points
from bayes_scaling.data.units import FLOPS_PER_PARAM_TOKEN, PUBLISHED_FRONTIERS, Frontier, Shape
from bayes_scaling.decide.candidates import Candidates, chosen_run, note_of
from bayes_scaling.decide.cautions import cautions, refuse_tiny
from bayes_scaling.decide.optima import share_of_batch
from bayes_scaling.decide.plan import Choice, Plan
from bayes_scaling.decide.problem import CheckedDecision
from bayes_scaling.decide.provenance import of_members
from bayes_scaling.decide.ranking import unranked_sizes
from bayes_scaling.decide.regret import RegretOfRuns, flat_region
from bayes_scaling.decide.space import joined, log_batch, run_columns
from bayes_scaling.decide.surfaces import Surface
from bayes_scaling.errors import PlanError
from bayes_scaling.predict.tuned_sizes import Leftover, best_settings
from bayes_scaling.predict.valleys import has_valley, with_valley

CLOSE = 0.001  # relative difference up to which a run counts as spending the budget
FLAT = 0.001  # share of the loss within which sizes count as equally good


def best_run(
    problem: CheckedDecision,
    budget: float,
    candidates: Sequence[float | Shape] | Shape | None = None,
    compare_with: Mapping[str, tuple[float, float]] | None = None,
    flat: float = FLAT,
) -> Plan:
    """Choose the run that a budget should buy; arguments as of `DecisionProblem.allocate`."""
    if not 0 < flat < 1:
        hint = f"; write {flat / 100:g} for {flat:g} percent" if 1 <= flat < 100 else ""
        raise PlanError(f"flat is {flat:g}, expected a share of the loss, like 0.001{hint}")
    ensemble, space = problem.ensemble, problem.space(budget)
    others = _checked_runs(problem, compare_with or {})
    exist = None if candidates is None else Candidates.of(candidates, problem, space)
    free = problem.best_place(ensemble, space)
    alone = tuple(ensemble.members) if len(ensemble.members) > 1 else ()
    found = [chosen_run(problem, ensemble, space, exist, free)]
    refuse_tiny(problem, budget, found[0][0])
    found += [chosen_run(problem, ensemble.only(name), space, exist, None) for name in alone]
    whole = space.runs(free[None])
    rules = {name: _on_surface(frontier, space.surface) for name, frontier in PUBLISHED_FRONTIERS.items()}
    batch = whole.get("batch_tokens")
    by_rule = space.runs_of(np.array(list(rules.values())), None if batch is None else np.repeat(batch, len(rules)))
    runs = joined([run for run, _, _ in found] + [whole, by_rule])
    sizes = np.concatenate([[size for _, size, _ in found], whole["params"], by_rule["params"]])
    shapes = [shape for _, _, shape in found] + [None] * (1 + len(rules))
    notes = [note_of(shapes[0]), *["this law alone"] * len(alone), "any size"]
    notes += [PUBLISHED_FRONTIERS[name].convention for name in rules]
    regret = RegretOfRuns.of(problem, space)
    choices, predictive = regret.choices(runs, notes, sizes, shapes)
    picks, rest = choices[1 : 1 + len(alone)], choices[1 + len(alone) :]
    compared = {name: _compared(problem, N, D, budget, whole) for name, (N, D) in others.items()}
    lowest, flat_range = flat_region(ensemble, space, flat)
    optimum = np.exp(regret.optima.log_params)
    optimum_tokens = np.asarray(space.surface.tokens(optimum))
    log_B = log_batch(np.log(optimum_tokens), share_of_batch(ensemble, regret.optima), space.constraints.log_batch)
    best_rate, best_batch = _tuned_draws(problem, choices[0])
    return Plan(
        label=ensemble.label,
        loss_unit=ensemble.loss_unit,
        budget=space.surface.budget,
        unit=problem.spending.unit,
        cost_label=problem.cost.label,
        objective=problem.objective,
        goal=problem.goal,
        given={name: float(value) for name, value in problem.given.items()},
        group=ensemble.group,
        choice=choices[0],
        predictive=predictive.at([0]),
        costs=problem.spending.draws(float(sizes[0]), choices[0].tokens),
        optimum_params=optimum,
        optimum_tokens=optimum_tokens,
        optimum_batch=np.exp(log_B) if space.batched else None,
        best_rate=best_rate,
        best_batch=best_batch,
        unsnapped=rest[0],
        flat=flat_range,
        flat_within=flat * lowest,
        alternatives={**dict(zip(rules, rest[1:], strict=True)), **compared},
        picks=dict(zip(alone, picks, strict=True)),
        weights={name: member.weight for name, member in ensemble.members.items()},
        rests_on=of_members({name: (member.weight, member.fit) for name, member in ensemble.members.items()}),
        cautions=cautions(problem, space, runs),
        unranked=unranked_sizes(problem, space, optimum, runs),
    )


def _tuned_draws(problem: CheckedDecision, choice: Choice) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the draws of a run's best rate at its batch, and of the best batch of its size; None without such a law.

    They contain how far the best rate and batch of one size lie from the law's, as of `optimal_hyperparameters`. The
    expected loss of a plan does not: it takes the valley to lie where the law has it. What missing the best rate costs
    is ``optimal_hyperparameters(...).wasted(rate, batch_tokens)``.
    """
    if not any(has_valley(member.fit.law) for member in problem.ensemble.members.values()):
        return None, None
    ensemble = with_valley(problem.ensemble)
    leftover = Leftover.of(ensemble, choice.params, choice.tokens, problem.seed)
    of_batch = best_settings(ensemble, leftover, choice.params, choice.tokens, None)[1]
    at_batch = best_settings(ensemble, leftover.of_rate, choice.params, choice.tokens, choice.batch_tokens)[0]
    return at_batch, of_batch


def _checked_runs(problem: CheckedDecision, given: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Return runs to compare with as numbers; refuse those that cannot be compared, before anything takes long."""
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
            raise PlanError(f"compare_with has {shown(name)}, the name of a published rule; choose another")
        out[name] = (params, tokens)
    for name, (params, tokens) in out.items():
        try:
            problem.space(problem.spending.cost(params, tokens))  # what the run itself costs
        except PlanError as error:
            raise PlanError(f"the run {shown(name)} to compare with: {error.args[0]}", *error.remedies) from None
    return out


def _compared(problem: CheckedDecision, params: float, tokens: float, budget: float, plan: Points) -> Choice:
    """Compare a run with the best split of what it costs itself, in batches like those of the plan."""
    paid = problem.spending.cost(params, tokens)
    space = problem.space(paid)
    batch = plan.get("batch_tokens")
    run = space.runs_of(np.array([params]), batch)
    note = "spends the budget"
    if abs(paid / budget - 1) > CLOSE:
        note = f"costs {paid / budget:.3g} times the budget; compared with the best split of its own cost"
    # The exact D, free of rounding.
    exact = run_columns(run["params"], np.array([tokens]), run.get("batch_tokens"), space.given)
    return RegretOfRuns.of(problem, space).choices(exact, [note])[0][0]


def _on_surface(frontier: Frontier, surface: Surface) -> float:
    """Return the N of a published rule at the training FLOPs that this N leaves."""

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
