"""Commands on tables of runs: check one, simulate one."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from bayes_scaling.base.names import FAMILIES, listed_as_choice
from bayes_scaling.cli._options import (
    AsJson,
    Columns,
    Convention,
    LossUnit,
    RunsFile,
    Seed,
    inputs_of,
    named,
    print_json,
    read_runs,
    write_csv,
)
from bayes_scaling.cli._outputs import Output, check_outputs
from bayes_scaling.errors import DataError, LawError


def check(
    runs: RunsFile,
    columns: Columns = "",
    law: Annotated[
        str, typer.Option(help="Law to check the table against: NAME, NAME:OPTION=VALUE or a law file.")
    ] = "chinchilla",
    loss_unit: LossUnit = "nats/token",
    params_convention: Convention = "unstated",
    as_json: AsJson = False,
) -> None:
    """Check a table of runs, and which parameters of a law it can identify.

    Example: bayes-scaling check runs.csv --columns params=N,tokens=D
    """
    from bayes_scaling.cli.printing.layout import show
    from bayes_scaling.cli.printing.runs import ranges_content, runs_summary
    from bayes_scaling.data.tuning import tuning_of
    from bayes_scaling.evaluate.checks import identifiability
    from bayes_scaling.evaluate.defaults import default_laws
    from bayes_scaling.evaluate.unread import unread_columns
    from bayes_scaling.laws.catalogue import load_law

    table = read_runs(runs, columns, loss_unit, params_convention)
    chosen = load_law(law)
    missing = [name for name in chosen.inputs if name not in table]
    problems = [f"the table has no {name}, which {chosen.label} reads" for name in missing] or identifiability(
        chosen, table
    )
    read_by = [chosen]
    if missing:  # then the laws that a forecast would take say what is read, where there are any
        with contextlib.suppress(DataError):
            read_by = [load_law(name) for name in default_laws(table)]
    unread = unread_columns(read_by, table)
    tuning = tuning_of(table.table)
    if as_json:
        print_json(
            {
                "source": table.source,
                "rows": len(table),
                "columns": list(map(str, table.table.columns)),
                "loss_unit": table.loss_unit,
                "params_convention": table.params_convention,
                "ranges": ranges_content(table),
                "notes": table.notes,
                "warnings": [*table.warnings, *unread],
                "law": chosen.label,
                "identifiability": list(problems),
                "tuning": None if tuning is None else dataclasses.asdict(tuning),
            }
        )
        return
    from rich.text import Text

    show(
        runs_summary(table),
        *(Text(f"warning: {said}") for said in unread),
        *(
            Text(f"{chosen.label}: {problem}")
            for problem in problems or ["every parameter can be learned in principle"]
        ),
        *([] if tuning is None or tuning.words in table.warnings else [Text(f"tuning: {tuning.words}")]),
    )


def simulate(
    law: Annotated[str, typer.Argument(help="Law: NAME, NAME:OPTION=VALUE or a law file.", show_default=False)],
    out: Annotated[Path, typer.Option(help="File to write the runs to (.csv).", show_default=False)],
    constants: Annotated[
        str, typer.Option(help="Published constants, such as besiroglu2024; by default a draw from the prior.")
    ] = "",
    params: Annotated[str, typer.Option(help="Parameter counts of the grid, comma-separated.")] = "1e8,3e8,1e9,3e9",
    tokens: Annotated[str, typer.Option(help="Training tokens of the grid, comma-separated.")] = "2e9,6e9,2e10,6e10",
    flops: Annotated[
        str, typer.Option(help="Training FLOPs of the grid, for laws that read flops.")
    ] = "1e18,1e19,1e20,1e21",
    at: Annotated[
        list[str] | None,
        typer.Option(
            help="Grid values of any other input: experts=1,8,64. Repeatable. A run with fewer tokens than "
            "unique_tokens has only its tokens."
        ),
    ] = None,
    sigma: Annotated[float, typer.Option(help="Scale of the noise of log loss: 0.005 is half a percent.")] = 0.005,
    noise: Annotated[
        str, typer.Option(help=f"Shape of the noise: {listed_as_choice(FAMILIES)} (with nu = 5).")
    ] = "normal",
    seed: Seed = 0,
) -> None:
    """Simulate runs on a grid, to test a plan before paying for it.

    Example: bayes-scaling simulate chinchilla --constants besiroglu2024 --out simulated.csv
    """
    check_outputs([Output("--out", out, (".csv",))], {})
    from bayes_scaling.laws.catalogue import load_law
    from bayes_scaling.model import simulate as _simulate
    from bayes_scaling.model.noise import Noise

    chosen = load_law(law)
    if chosen.features is not None:
        raise LawError(f"{chosen.label} reads whole runs, not a grid; call bayes_scaling.simulate from Python")
    offered = {**inputs_of({"params": params, "tokens": tokens, "flops": flops}), **named(at)}
    for name in set(offered) & set(chosen.inputs):
        if any(isinstance(value, str) or not 0 < value < float("inf") for value in offered[name]):
            raise DataError(f"the grid of {name} is {offered[name]}, expected positive numbers such as 1e8,1e9")
    design = _simulate.grid(
        **{name: offered[name] if name in offered else _spread(chosen.column(name)) for name in chosen.inputs}
    )
    if {"unique_tokens", "tokens"} <= set(design):  # a run sees no more distinct tokens than it processes
        design["unique_tokens"] = design[["unique_tokens", "tokens"]].min(axis=1)
    if not sigma > 0:
        raise DataError(f"--sigma is {sigma:g}, expected a positive number such as 0.005 for half a percent")
    theta: dict[str, float] = dict(chosen.at(constants).constants.values) if constants else {}
    theta |= {"sigma": sigma} | ({"nu": 5.0} if noise == "student_t" else {})
    runs = _simulate.simulate(chosen, design, theta, noise=Noise(noise), seed=seed)
    write_csv(runs.table, out)
    typer.echo(f"{runs.counted} written to {out}; {runs.notes[-1]}")


def _spread(column: Any) -> list[float]:
    """Return three values across the usual span of an input."""
    return [column.low, column.middle, column.high]
