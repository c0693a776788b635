"""Commands for questions beyond one loss: which recipe to train big, which score a benchmark will show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bayes_scaling.base.names import IRREDUCIBLE, explained
from bayes_scaling.cli._options import (
    AsJson,
    At,
    Columns,
    Convention,
    FitFile,
    LossUnit,
    Params,
    RunsFile,
    Seed,
    Tokens,
    Unconverged,
    inputs_of,
    law_names,
    named,
    print_json,
    read_runs,
    saved_fit,
    warn_of,
)
from bayes_scaling.errors import DataError, ForecastError


def recipes(
    runs: RunsFile,
    budget: Annotated[
        float, typer.Option(help="Size of the big run: FLOPs, or the unit of the law's one input.", show_default=False)
    ],
    by: Annotated[str, typer.Option(help="Column that names the recipe of each run.")] = "recipe",
    baseline: Annotated[
        str, typer.Option(help="Recipe that the others are measured against; by default the first in the alphabet.")
    ] = "",
    target: Annotated[float | None, typer.Option(help="A loss at which recipes are compared, too.")] = None,
    law: Annotated[
        str,
        typer.Option(
            help="Law to compare by, or several, comma-separated: NAME, NAME:OPTION=VALUE or a law file. By default "
            "those that suit the columns, together.",
            show_default=False,
        ),
    ] = "",
    irreducible: Annotated[
        str, typer.Option(help=f"Irreducible loss that decides (both are shown): {explained(IRREDUCIBLE)}.")
    ] = "shared",
    tokens_per_param: Annotated[
        float | None, typer.Option(help="Ratio along which compute grows; by default the median of the table.")
    ] = None,
    pilot_budget: Annotated[
        float | None, typer.Option(help="Largest cost of pilots, out of the budget; a tenth by default, 0 for none.")
    ] = None,
    at: At = None,
    columns: Columns = "",
    loss_unit: LossUnit = "nats/token",
    params_convention: Convention = "unstated",
    seed: Seed = 0,
    unconverged: Unconverged = False,
    as_json: AsJson = False,
) -> None:
    """Compare recipes: by how much compute one is better, whether that lasts, which one to train big.

    Example: bayes-scaling recipes runs.csv --by optimizer --baseline adamw --budget 1e23
    """
    from bayes_scaling.cli.printing.layout import show
    from bayes_scaling.cli.printing.questions import recipe_table
    from bayes_scaling.decide.recipes import compare_recipes

    if irreducible not in IRREDUCIBLE:
        raise DataError(f"--irreducible is {irreducible!r}; expected {' or '.join(IRREDUCIBLE)}")
    options: dict[str, Any] = {"irreducible": irreducible, "tokens_per_param": tokens_per_param}
    table = read_runs(runs, columns, loss_unit, params_convention)
    warn_of(table)
    found = compare_recipes(
        table,
        by,
        budget=budget,
        baseline=baseline or None,
        target=target,
        law=law_names(law) or None,
        given={name: _one_number(name, value) for name, value in named(at).items()},
        pilot_budget=pilot_budget,
        seed=seed,
        unconverged=unconverged,
        **options,
    )
    if as_json:
        print_json(found.to_dict())
    else:
        show(recipe_table(found))


def chain(
    source: FitFile,
    score_fit: Annotated[
        Path,
        typer.Argument(help="Saved fit (.nc) of the error rate against source_loss, as by the law downstream."),
    ],
    params: Params = "",
    tokens: Tokens = "",
    at: At = None,
    questions: Annotated[
        int | None, typer.Option(help="Number of questions of the benchmark; adds their binomial noise.")
    ] = None,
    chance: Annotated[float, typer.Option(help="Score of guessing: 0.25 for four choices.")] = 0.0,
    target: Annotated[
        float | None, typer.Option(help="A score that is wanted: its probability, and the compute that it needs.")
    ] = None,
    direct: Annotated[
        Path | None, typer.Option(help="Saved fit (.nc) of the error rate against compute, to show beside.")
    ] = None,
    seed: Seed = 0,
    unconverged: Unconverged = False,
    as_json: AsJson = False,
) -> None:
    """Forecast the score of a benchmark: from compute to loss by one fit, from loss to the score by another.

    Example: bayes-scaling chain fit.nc score.nc --params 70e9 --tokens 1.4e12 --questions 1000 --target 0.6
    """
    from bayes_scaling.cli.printing.layout import show
    from bayes_scaling.cli.printing.questions import score_table
    from bayes_scaling.predict.chain import chain as chained

    planned = {**inputs_of({"params": params, "tokens": tokens}), **named(at)}
    if not planned and target is None:
        raise ForecastError("say what to forecast: --params and --tokens of a run, or --target SCORE for what it needs")
    made = chained(
        saved_fit(source, ""),
        saved_fit(score_fit, ""),
        questions=questions,
        chance=chance,
        direct=None if direct is None else saved_fit(direct, ""),
        unconverged=unconverged,
        seed=seed,
    )
    ahead = made.forecast(**planned) if planned else None
    needed = None if target is None else made.required(target, given=_fixed(made.loss.leading.law.inputs, at))
    if as_json:
        print_json(
            {
                "tasks": list(made.tasks),
                "scores": [] if ahead is None else ahead.to_frame(target=target).to_dict(orient="records"),
                "spread": [] if ahead is None else ahead.uncertainty().to_dict(orient="records"),
                "needed": None if needed is None else needed.to_dict(),
            }
        )
    else:
        show(*score_table(ahead, needed, target))


def _fixed(inputs: tuple[str, ...], at: list[str] | None) -> dict[str, float]:
    """Return the inputs of a law that ``--at`` fixes while others grow; none where it fixes all of them."""
    fixed = {
        name: value[0]
        for name, value in named(at).items()
        if name in inputs and isinstance(value, list) and len(value) == 1
    }
    return fixed if set(inputs) - set(fixed) else {}


def _one_number(name: str, value: Any) -> float:
    """Return the single number that an option gives for an input."""
    try:
        (number,) = value if isinstance(value, list) else [value]
        return float(number)
    except (TypeError, ValueError):
        raise DataError(f"--at {name}: expected one number, which is the same for all runs") from None
