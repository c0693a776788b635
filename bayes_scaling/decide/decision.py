"""The decision problem: what to spend a budget on, as one object that answers every question about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import pandas as pd

from bayes_scaling.base.arguments import Seed, check_fields, validated
from bayes_scaling.base.warned import warn_caller
from bayes_scaling.data.units import Shape
from bayes_scaling.decide.allocation import FLAT, best_run
from bayes_scaling.decide.budgets import budget_curve, smallest_budget
from bayes_scaling.decide.cautions import of_budgets
from bayes_scaling.decide.constraints import Constraints
from bayes_scaling.decide.costs import Cost
from bayes_scaling.decide.ladder import Ladder, best_ladder
from bayes_scaling.decide.objectives import Objective
from bayes_scaling.decide.pilot import COPIES, choose_pilots
from bayes_scaling.decide.pilot_plan import PilotPlan
from bayes_scaling.decide.plan import Plan
from bayes_scaling.decide.portfolio import Portfolio, best_portfolio
from bayes_scaling.decide.problem import CheckedDecision, ProblemOptions
from bayes_scaling.predict.ensemble import Ensemble, Source, draws_of

type Models = Sequence[float | Shape] | Shape
"""Models that really exist: parameter counts or shapes."""


@dataclasses.dataclass(frozen=True, eq=False)
class DecisionProblem:
    """What is known, what counts, and what limits there are; its methods answer questions about budgets.

    The same seed gives the same answers. ``dataclasses.replace(problem, target=1.9)`` changes one part.

    Parameters
    ----------
    source : a fit, a comparison (its laws by weight), or an `Ensemble`, which also takes a group of a pooled fit and
        fits that did not converge
    cost : how the budget is spent: a cost of `bayes_scaling.costs`, or its name where that needs no numbers
    objective : what to optimise: an objective of `bayes_scaling.objectives`, or its name and numbers, such as
        ``"cvar:0.05"``
    constraints : what a plan must keep to; nothing by default
    incumbent : loss to improve on; the best one in the table by default
    target : loss that is wanted, for its probability
    given : inputs of the law that are fixed, such as ``{"weight_bits": 8}``; ``unique_tokens`` are those that are
        available: D beyond them means further epochs
    seed : as of `Ensemble.of`, also where an ensemble is given: of discrepancy paths and noise, and of which draws of a
        comparison are used; and of an uncertain cost

    Raises
    ------
    PlanError
        When a loss, a cost or an objective makes no sense.
    ConvergenceError
        When a fit did not converge.
    """

    source: Source
    _: dataclasses.KW_ONLY
    cost: Cost | str = "flops"
    objective: Objective | str = "expected_improvement"
    constraints: Constraints | None = None
    incumbent: float | None = None
    target: float | None = None
    given: Mapping[str, float] | None = None
    seed: Seed = 0
    checked: CheckedDecision = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_fields(self)
        checked = CheckedDecision.of(
            self.source,
            cost=self.cost,
            objective=self.objective,
            constraints=self.constraints,
            incumbent=self.incumbent,
            target=self.target,
            given=self.given,
            seed=self.seed,
        )
        object.__setattr__(self, "checked", checked)

    def __getstate__(self) -> dict[str, Any]:
        # What was asked, from which another process works out the rest again: objectives are functions.
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.init}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)
        self.__post_init__()

    @property
    def ensemble(self) -> Ensemble:
        """Draws of the loss of any run, on which all answers rest."""
        return self.checked.ensemble

    @validated
    def allocate(
        self,
        budget: float,
        *,
        candidates: Models | None = None,
        compare_with: Mapping[str, tuple[float, float]] | None = None,
        flat: float = FLAT,
    ) -> Plan:
        """Choose the run that a budget should buy.

        Parameters
        ----------
        budget : in the unit of the cost
        candidates : models that really exist; any size by default. A shape costs its own FLOPs per token, with
            attention over its context and the output head where it gives them; its N is counted as in the fitted runs
            (without embeddings, unless these say total)
        compare_with : other runs by name, as (params, tokens), such as ``{"Gopher": (280e9, 300e9)}``
        flat : share of the loss: sizes that lose no more on average than the best one count as equally good

        Returns
        -------
        Plan
            The recommended run, with the best run of every draw and what a choice may lose.

        Raises
        ------
        PlanError
            When budget, constraints or candidates leave no plan, or the law needs inputs that are not there.

        Notes
        -----
        Runs to compare with seldom cost exactly the budget. Each is compared with the best split of its own cost, so
        its regret is that of the split, and not of having spent more or less.
        """
        return best_run(self.checked, budget, candidates, compare_with, flat)

    @validated
    def curve(self, budgets: Sequence[float], candidates: Models | None = None) -> pd.DataFrame:
        """Say what each of several budgets would buy, and what one more unit is worth.

        Parameters
        ----------
        budgets : in the unit of the cost
        candidates : models that really exist, as of `allocate`; any size by default

        Returns
        -------
        pandas.DataFrame
            One row per budget: ``budget``, ``params``, ``tokens`` (and ``batch_tokens``, where a law reads it),
            ``value`` and ``value_se`` of the objective, ``expected_loss`` of one new run, and the slopes
            ``value_per_unit`` and ``loss_per_unit`` (change for one more unit of budget at the best size and batch,
            measured over a tenth of an e-fold).

        Raises
        ------
        PlanError
            When no budget is given, or one leaves no plan.
        """
        bought = budget_curve(self.checked, budgets, candidates)
        self._warn_of(bought)
        return bought

    @validated
    def smallest_budget(self, probabilities: Sequence[float] = (0.5, 0.8, 0.9)) -> pd.DataFrame:
        """Say how much budget makes the target as probable as wanted, at the size that makes it most probable.

        Parameters
        ----------
        probabilities : fractions

        Returns
        -------
        pandas.DataFrame
            One row per probability: ``probability``, ``budget`` (infinite where out of reach), ``params``, ``tokens``,
            ``reached`` (the probability there, or the highest that was found) and ``why``, the reason where it is
            infinite.

        Raises
        ------
        PlanError
            When there is no target, or a probability is no fraction.

        Notes
        -----
        Budgets are searched up to runs 30 e-folds larger than the largest fitted one.
        """
        found = smallest_budget(self.checked, probabilities)
        self._warn_of(found[found["why"] == ""])
        return found

    def _warn_of(self, bought: pd.DataFrame) -> None:
        for said in of_budgets(self.checked, bought):
            warn_caller(said)

    @validated
    def portfolio(self, budget: float, runs: int = 2) -> Portfolio:
        """Split a budget over several runs, of which the best one counts.

        The default objective is then the expected improvement of the best of them over the incumbent. Sizes and shares
        of the budget are improved coordinate by coordinate, from several starts.

        Parameters
        ----------
        budget : for all runs together, in the unit of the cost
        runs : how many, 2 to 8

        Raises
        ------
        PlanError
            Also when the cost contains serving: only one of several runs would be served.
        """
        return best_portfolio(self.checked, budget, runs)

    @validated
    def ladder(
        self,
        budget: float,
        *,
        share: float = 0.05,
        rungs: int = 4,
        ratio: float = 3.0,
        reserve: float = 0.05,
        candidates: Models | None = None,
    ) -> Ladder:
        """Split a budget into a ladder of smaller runs, a final run, and a reserve.

        Each smaller run has the lowest expected loss at its cost. The problem's cost, constraints and fixed inputs hold
        for it too, but it is not served.

        Parameters
        ----------
        budget : in the unit of the cost
        share : of the budget, for all smaller runs together
        rungs : how many smaller runs, 1 to 32
        ratio : cost of each smaller run over that of the one before, at least 1
        reserve : share of the budget that is kept; 0 for none
        candidates : for the final run, as of `allocate`

        Raises
        ------
        PlanError
            When the shares leave nothing for the final run, or no run fits a rung.
        """
        return best_ladder(self.checked, budget, share, rungs, ratio, reserve, candidates)

    @validated
    def pilot(
        self,
        candidates: pd.DataFrame | Mapping[str, Any],
        pilot_budget: float,
        *,
        budget: float | None = None,
        forecast_at: Mapping[str, Any] | None = None,
        price: float | None = None,
        copies: int = COPIES,
    ) -> PilotPlan:
        """Choose small runs to buy before a big one.

        Parameters
        ----------
        candidates : runs on offer, a row each, with the law's inputs in raw units and, if it is not 6 N D, their
            ``cost`` in the unit of the budget; or a range of each input,
            ``{"params": (1e7, 1e9), "tokens": (1e8, 1e10)}``
        pilot_budget : the most that pilots may cost
        budget : of the big run: the decision is which N to train with it
        forecast_at : instead of ``budget``, the run whose forecast the pilots should narrow, ``{"params": 7e10, ...}``
        price : worth of one unit of cost in the unit of the objective, where pilots are not paid out of the budget; 0
            for pilots that cost only time
        copies : how often one candidate may be run

        Returns
        -------
        PilotPlan
            Runs to buy, what they are expected to bring, and the same for every candidate alone.

        Raises
        ------
        PlanError
            When there is nothing to decide, or the pilot budget pays for no candidate.
        ForecastError
            When an input of a candidate or of the run to forecast is missing or impossible.

        Notes
        -----
        Sets are searched with a normal approximation and appraised by weighting 2,000 draws by 256 drawn outcomes.
        Where a set is so informative that few draws keep any weight, a regression over draws replaces the weights, and
        ``method`` says so. After the pilots, fit again with them and ask again.
        """
        return choose_pilots(self.checked, candidates, pilot_budget, budget, forecast_at, price, copies)


@validated
def allocate(
    source: Source,
    budget: float,
    *,
    candidates: Models | None = None,
    compare_with: Mapping[str, tuple[float, float]] | None = None,
    flat: float = FLAT,
    **options: Unpack[ProblemOptions],
) -> Plan:
    """Choose the run that a budget should buy: the short way to `DecisionProblem.allocate`.

    Parameters
    ----------
    source : a fit, a comparison (its laws by weight), or an `Ensemble`
    budget, candidates, compare_with, flat : as of `DecisionProblem.allocate`
    options : `ProblemOptions`: cost, objective, constraints, incumbent, target, given, group, unconverged, seed

    Returns
    -------
    Plan
        As of `DecisionProblem.allocate`.

    Raises
    ------
    ConvergenceError, FitError
        As of `Ensemble.of`.
    PlanError
        As of `DecisionProblem.allocate`.
    """
    return problem_of(source, options).allocate(budget, candidates=candidates, compare_with=compare_with, flat=flat)


@validated
def pilot(
    source: Source,
    candidates: pd.DataFrame | Mapping[str, Any],
    pilot_budget: float,
    *,
    budget: float | None = None,
    forecast_at: Mapping[str, Any] | None = None,
    price: float | None = None,
    copies: int = COPIES,
    **options: Unpack[ProblemOptions],
) -> PilotPlan:
    """Choose small runs to buy before a big one: the short way to `DecisionProblem.pilot`.

    Parameters
    ----------
    source : a fit, a comparison (its laws by weight), or an `Ensemble`
    candidates, pilot_budget, budget, forecast_at, price, copies : as of `DecisionProblem.pilot`
    options : `ProblemOptions`: cost, objective, constraints, incumbent, target, given, group, unconverged, seed

    Returns
    -------
    PilotPlan
        As of `DecisionProblem.pilot`.

    Raises
    ------
    ConvergenceError, FitError
        As of `Ensemble.of`.
    PlanError, ForecastError
        As of `DecisionProblem.pilot`.
    """
    problem = problem_of(source, options)
    return problem.pilot(candidates, pilot_budget, budget=budget, forecast_at=forecast_at, price=price, copies=copies)


def problem_of(source: Source, options: ProblemOptions) -> DecisionProblem:
    """Return the decision problem of a source and options of it."""
    group, unconverged = options.get("group"), options.get("unconverged", False)
    source = draws_of(source, options.get("seed", 0), group=group, unconverged=unconverged)
    rest: Any = {name: value for name, value in options.items() if name not in ("group", "unconverged")}
    return DecisionProblem(source, **rest)
