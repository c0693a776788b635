"""The command that chooses learning rate and batch size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bayes_scaling.cli._options import (
    AsJson,
    At,
    Columns,
    Convention,
    LossUnit,
    Seed,
    Source,
    TableOrFit,
    Unconverged,
    groups_in,
    law_names,
    named,
    print_json,
)
from bayes_scaling.errors import ForecastError

if TYPE_CHECKING:
    from bayes_scaling.data.runs import Runs

LAW = "tuning"  # the one law of the catalogue that reads a learning rate of finished runs


def tune(
    source: Source,
    params: Annotated[float, typer.Option(help="Parameters of the planned run.", show_default=False)],
    tokens: Annotated[float, typer.Option(help="Training tokens of the planned run.", show_default=False)],
    batch_tokens: Annotated[
        float | None, typer.Option(help="Tokens per step, where they are given and only the rate is chosen.")
    ] = None,
    within: Annotated[
        float, typer.Option(help="Share of the compute that may be wasted inside the region that is printed.")
    ] = 0.01,
    at: At = None,
    law: Annotated[
        str,
        typer.Option(
            help="Law to fit to the table, 'tuning' by default; of what was saved, one law to use it alone, or the law "
            "file that it was made with.",
            show_default=False,
        ),
    ] = "",
    columns: Columns = "",
    loss_unit: LossUnit = "nats/token",
    params_convention: Convention = "unstated",
    seed: Seed = 0,
    unconverged: Unconverged = False,
    as_json: AsJson = False,
) -> None:
    """Choose the learning rate and the batch size of a planned run, and say what other choices waste.

    Example: bayes-scaling tune runs.csv --params 7e9 --tokens 1.4e11
    """
    from bayes_scaling.cli.printing.layout import show
    from bayes_scaling.cli.printing.tuning import tuning_tables
    from bayes_scaling.predict.tuning import optimal_hyperparameters, refuse_untunable

    refuse_untunable(params, tokens, batch_tokens, within)
    wanted = law or ("" if source.suffix.lower() == ".nc" else LAW)
    table = TableOrFit(source, wanted, columns, loss_unit, params_convention, seed)
    loaded = table.fitted(lambda runs: _refuse(runs, wanted, batch_tokens))
    given, groups = named(at), groups_in(loaded)
    stray = [name for name in given if name not in groups]
    if stray:
        raise ForecastError(f"--at {stray[0]} is no group of this fit; size and tokens go into --params and --tokens")
    found = optimal_hyperparameters(
        loaded,
        params=params,
        tokens=tokens,
        batch_tokens=batch_tokens,
        within=within,
        group={name: str(value) for name, value in given.items()} or None,
        unconverged=unconverged,
        seed=seed,
    )
    if as_json:
        print_json(found.to_dict())
    else:
        show(tuning_tables(found))


def _refuse(runs: Runs, law: str, batch_tokens: float | None) -> None:
    """Refuse a table and laws that say nothing of the best rate, before anything is fitted."""
    from bayes_scaling.data.tuning import BATCH, RATE
    from bayes_scaling.laws.catalogue import load_law
    from bayes_scaling.predict.tuning import refuse_one_setting
    from bayes_scaling.predict.valleys import has_valley, no_valley

    laws = [load_law(name) for name in law_names(law)]
    if not any(map(has_valley, laws)):
        raise no_valley(laws)
    if RATE in runs and BATCH in runs:
        refuse_one_setting(runs, batch_tokens)
