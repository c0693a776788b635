"""Commands that spend a budget."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_scaling.cli._options import (
    AsJson,
    At,
    Columns,
    Convention,
    LawOfSource,
    LossUnit,
    Seed,
    Source,
    TableOrFit,
    Unconverged,
    groups_in,
    numbers,
    print_json,
)
from bayes_scaling.cli._panels import MORE, RUN
from bayes_scaling.cli._plan_options import (
    CostName,
    CostQuantile,
    Currency,
    Incumbent,
    Limits,
    ObjectiveName,
    PeakFlops,
    PricePerGpuHour,
    ServingPrice,
    ServingTokens,
    ServingUtilisation,
    Target,
    Utilisation,
    candidates_of,
    compared,
    constraints_of,
    cost_from,
    fixed,
)
from bayes_scaling.errors import PlanError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bayes_scaling.decide.decision import DecisionProblem


def allocate(
    source: Source,
    budget: Annotated[float, typer.Option(help="Budget, in the unit of --cost.", show_default=False)],
    cost: CostName = "flops",
    peak_flops: PeakFlops = None,
    utilisation: Utilisation = "",
    price_per_gpu_hour: PricePerGpuHour = "",
    currency: Currency = None,
    serving_tokens: ServingTokens = "",
    serving_utilisation: ServingUtilisation = "",
    serving_price: ServingPrice = "",
    cost_quantile: CostQuantile = None,
    objective: ObjectiveName = "expected_improvement",
    incumbent: Incumbent = None,
    target: Target = None,
    limit: Limits = None,
    candidates: Annotated[
        str, typer.Option(help="Parameter counts to choose from, comma-separated.", rich_help_panel=RUN)
    ] = "",
    shapes: Annotated[
        str, typer.Option(help="Shapes to choose from, LAYERSxWIDTH: 32x4096,40x5120.", rich_help_panel=RUN)
    ] = "",
    vocabulary: Annotated[
        int, typer.Option(help="Vocabulary of --shapes, to count the output head.", rich_help_panel=RUN)
    ] = 0,
    context: Annotated[
        int, typer.Option(help="Context length of --shapes, to count attention.", rich_help_panel=RUN)
    ] = 0,
    compare_with: Annotated[
        list[str] | None,
        typer.Option(
            help="Run to compare with, NAME=PARAMS:TOKENS: Gopher=280e9:300e9. Repeatable.", rich_help_panel=RUN
        ),
    ] = None,
    at: At = None,
    budgets: Annotated[str, typer.Option(help="Other budgets to compare, comma-separated.", rich_help_panel=MORE)] = "",
    probabilities: Annotated[
        str,
        typer.Option(
            help="Find the smallest budget that reaches --target with each of these probabilities.",
            rich_help_panel=MORE,
        ),
    ] = "",
    runs: Annotated[
        int, typer.Option(help="Split the budget over this many runs; the best one counts.", rich_help_panel=MORE)
    ] = 1,
    ladder: Annotated[
        float | None,
        typer.Option(help="Fraction of the budget for a ladder of small runs first.", rich_help_panel=MORE),
    ] = None,
    reserve: Annotated[
        float | None,
        typer.Option(help="Fraction of the budget to hold back, with --ladder; 0.05 by default.", rich_help_panel=MORE),
    ] = None,
    law: LawOfSource = "",
    columns: Columns = "",
    loss_unit: LossUnit = "nats/token",
    params_convention: Convention = "unstated",
    seed: Seed = 0,
    unconverged: Unconverged = False,
    as_json: AsJson = False,
) -> None:
    """Choose the best run for a budget, with its uncertainty and the cost of choosing wrongly.

    Example: bayes-scaling allocate fit.nc --budget 5.76e23 --target 1.95
    """
    from bayes_scaling.cli.printing.layout import show
    from bayes_scaling.decide.decision import DecisionProblem
    from bayes_scaling.predict.ensemble import draws_of

    counted = cost_from(
        cost,
        peak_flops=peak_flops,
        utilisation=utilisation,
        price_per_gpu_hour=price_per_gpu_hour,
        currency=currency,
        serving_tokens=serving_tokens,
        serving_utilisation=serving_utilisation,
        serving_price=serving_price,
        quantile=cost_quantile,
    )
    constraints = constraints_of(limit)
    models = candidates_of(candidates, shapes, vocabulary, context)
    others = dict(compared(item) for item in compare_with or [])
    if probabilities and target is None:
        raise PlanError("--probabilities needs a loss to reach; add --target LOSS")
    for name, asked in (("--probabilities", bool(probabilities)), ("--runs", runs != 1)):
        if asked and models is not None:
            listed = "--candidates" if candidates else "--shapes"
            raise PlanError(f"{name} does not choose among {listed}, only among any sizes: ask without {listed}")
    if reserve is not None and ladder is None:
        raise PlanError("--reserve needs a ladder; add --ladder FRACTION")
    fitted = TableOrFit(source, law, columns, loss_unit, params_convention, seed).fitted()
    given, group = fixed(at, groups_in(fitted))
    problem = DecisionProblem(
        draws_of(fitted, seed, group=group, unconverged=unconverged),
        cost=counted,
        objective=objective,
        constraints=constraints,
        incumbent=incumbent,
        target=target,
        given=given,
        seed=seed,
    )
    answers = _Answers(problem, budget, models)
    answers.plan(others)
    answers.more(budgets, probabilities, runs, ladder, reserve)
    if as_json:
        print_json(answers.content)
    else:
        show(*answers.tables)


@dataclasses.dataclass
class _Answers:
    """What was asked of a decision problem, as JSON and as tables.

    Attributes
    ----------
    problem, budget, models : what is to be decided
    content, tables : the answers so far
    """

    problem: DecisionProblem
    budget: float
    models: Any
    content: dict[str, Any] = dataclasses.field(default_factory=dict)
    tables: list[RenderableType] = dataclasses.field(default_factory=list)

    @property
    def unit(self) -> str:
        return self.problem.checked.spending.unit

    def plan(self, others: dict[str, tuple[float, float]]) -> None:
        from bayes_scaling.cli.printing.plans import plan_table

        plan = self.problem.allocate(self.budget, candidates=self.models, compare_with=others)
        self._add("plan", plan.to_dict(), plan_table(plan))

    def more(self, budgets: str, probabilities: str, runs: int, share: float | None, reserve: float | None) -> None:
        if budgets:
            self.curve(numbers(budgets, "--budgets"))
        if probabilities:
            self.smallest(numbers(probabilities, "--probabilities"))
        if runs != 1:
            self.portfolio(runs)
        if share is not None:
            self.ladder(share, reserve)

    def curve(self, budgets: list[float]) -> None:
        from bayes_scaling.cli.printing.plans import curve_table

        curve = self.problem.curve(budgets, self.models)
        self._add("budgets", curve.to_dict(orient="records"), curve_table(curve, self.unit))

    def smallest(self, probabilities: list[float]) -> None:
        from bayes_scaling.cli.printing.plans import smallest_table

        smallest = self.problem.smallest_budget(probabilities)
        rows = [
            {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
            for row in smallest.to_dict(orient="records")
        ]
        self._add("smallest_budgets", rows, smallest_table(smallest, self.problem.checked.goal.target, self.unit))

    def portfolio(self, runs: int) -> None:
        from bayes_scaling.cli.printing.plans import portfolio_table

        split = self.problem.portfolio(self.budget, runs)
        self._add("runs", split.to_dict(), portfolio_table(split))

    def ladder(self, share: float, reserve: float | None) -> None:
        from bayes_scaling.cli.printing.plans import ladder_table

        kept: dict[str, Any] = {} if reserve is None else {"reserve": reserve}
        rungs = self.problem.ladder(self.budget, share=share, candidates=self.models, **kept)
        self._add("ladder", rungs.to_dict(), ladder_table(rungs))

    def _add(self, name: str, content: Any, table: RenderableType) -> None:
        self.content[name] = content
        self.tables.append(table)
