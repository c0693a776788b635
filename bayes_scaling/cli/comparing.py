"""Commands that compare laws."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayes_scaling.base.names import ALONGSIDE, COMPARED, USUALLY_ALONGSIDE, explained
from bayes_scaling.cli._options import (
    TO_COMPARE,
    AsJson,
    Columns,
    Convention,
    Laws,
    LossUnit,
    RunsFile,
    Seed,
    law_names,
    numbers,
    print_json,
    read_runs,
    warn_of,
    words,
    write_json,
)
from bayes_scaling.cli._outputs import Output, check_outputs
from bayes_scaling.cli._workers import DaskAddress, Workers, executor_of
from bayes_scaling.errors import DataError


def compare(
    runs: RunsFile,
    laws: Laws = "chinchilla,kaplan_joint,nesting",
    cut: Annotated[
        str,
        typer.Option(
            help="Hold out runs above each cut: flops=1e20,1e21. By default 1/3, 1/10 and 1/30 of the largest run."
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for pictures, JSON and refits; an interrupted comparison resumes from it."),
    ] = None,
    alongside: Annotated[
        str, typer.Option(help=f"What each law is compared with, comma-separated: {explained(ALONGSIDE)}.")
    ] = ",".join(USUALLY_ALONGSIDE),
    columns: Columns = "",
    workers: Workers = None,
    dask: DaskAddress = "",
    seed: Seed = 0,
    loss_unit: LossUnit = "nats/token",
    params_convention: Convention = "unstated",
    as_json: AsJson = False,
) -> None:
    """Compare laws by how well they forecast held-out large runs.

    Example: bayes-scaling compare runs.csv --law chinchilla,kaplan_joint --cut flops=1e20,1e21 --out cmp/
    """
    holds = ("comparison.json", *(f"{name}.png" for name in COMPARED))
    check_outputs([Output("--out", out, holds=holds, refits=True)], {"the table of runs": runs})
    from bayes_scaling.cli.printing.comparisons import comparison_table
    from bayes_scaling.cli.printing.layout import show
    from bayes_scaling.evaluate import comparing as _comparing
    from bayes_scaling.evaluate.candidates import Cut
    from bayes_scaling.plot.comparisons import save_comparison_pictures

    table = read_runs(runs, columns, loss_unit, params_convention)
    warn_of(table)
    column, _, values = cut.partition("=")
    if cut and not (column and values):
        raise DataError(f"cannot read --cut {cut!r}; expected flops=1e20,1e21")
    cuts = [Cut(column.strip(), value) for value in numbers(values, "--cut")] if cut else None
    beside = words(alongside)
    with executor_of(workers, dask) as executor:
        result = _comparing.compare(
            law_names(laws), table, cuts=cuts, alongside=beside, folder=out, executor=executor, seed=seed
        )
    written = []
    if out is not None:
        written = [write_json(result.to_dict(), out / "comparison.json"), *save_comparison_pictures(result, out)]
    if as_json:
        print_json(result.to_dict())
    else:
        show(comparison_table(result))
        for path in written:
            typer.echo(path)


def backtest(
    folder: Annotated[
        Path, typer.Argument(help="Folder of tables (.csv, .tsv, .parquet or .jsonl).", show_default=False)
    ],
    laws: Annotated[
        str,
        typer.Option(
            "--law", help=f"{TO_COMPARE} By default those that suit the columns of each table, as in a forecast."
        ),
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="Folder for JSON and refits; an interrupted backtest resumes from it.")
    ] = None,
    workers: Workers = None,
    dask: DaskAddress = "",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Forecast the held-out largest runs of every table in a folder, and count how often bands contain their loss.

    All laws together, as a forecast has them, stand beside each law alone and point fits.

    Example: bayes-scaling backtest tables/ --out backtest/
    """
    import dataclasses

    from bayes_scaling.cli.printing.comparisons import backtest_table
    from bayes_scaling.cli.printing.layout import show
    from bayes_scaling.evaluate import backtesting as _backtest

    tables, unread = _backtest.read_tables(folder)
    read = [folder / name for name in (*tables, *unread)]
    check_outputs([Output("--out", out, holds=("backtest.json",), refits=True)], {"a file of the folder": read})
    for name, table in tables.items():
        warn_of(table, name)
    with executor_of(workers, dask) as executor:
        result = _backtest.backtest(tables, law_names(laws) or None, folder=out, executor=executor, seed=seed)
    result = dataclasses.replace(result, failures={**unread, **result.failures})
    if out is not None:
        write_json(result.to_dict(), out / "backtest.json")
    if as_json:
        print_json(result.to_dict())
    else:
        show(backtest_table(result))
