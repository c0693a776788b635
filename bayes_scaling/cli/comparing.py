"""Commands that compare laws and look back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayes_scaling.cli._options import (
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
    write_json,
)


def compare(
    runs: RunsFile,
    laws: Laws = "chinchilla,kaplan_joint,nesting",
    cut: Annotated[
        str, typer.Option(help="Hold out the runs above: flops=1e20,1e21. By default a 3rd, 10th, 30th of the largest.")
    ] = "",
    out: Annotated[Path | None, typer.Option(help="Folder for pictures, JSON, and refits to resume from.")] = None,
    columns: Columns = "",
    seed: Seed = 0,
    loss_unit: LossUnit = "nats/token",
    params_convention: Convention = "unstated",
    as_json: AsJson = False,
) -> None:
    """Compare laws by how they would have forecast the largest runs, with classical point fits beside them.

    Example: bayes-scaling compare runs.csv --laws chinchilla,kaplan_joint --cut flops=1e20,1e21 --out cmp/
    """
    from bayes_scaling.cli.show import comparison_table, show
    from bayes_scaling.evaluate import comparing as _comparing
    from bayes_scaling.evaluate.candidates import Cut
    from bayes_scaling.plot.comparisons import save_comparison_pictures

    table = read_runs(runs, columns, loss_unit, params_convention)
    column, _, values = cut.partition("=")
    cuts = [Cut(column.strip(), value) for value in numbers(values, "--cut")] if cut else None
    result = _comparing.compare(law_names(laws), table, cuts=cuts, folder=out, seed=seed)
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
    folder: Annotated[Path, typer.Argument(help="Folder of tables: .csv, .parquet, .jsonl.", show_default=False)],
    laws: Laws = "chinchilla,kaplan_joint,nesting",
    out: Annotated[Path | None, typer.Option(help="Folder for the JSON, and for refits to resume from.")] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Compare laws on every table of a folder and count how often the bands held.

    Example: bayes-scaling backtest tables/ --laws chinchilla,kaplan_joint --out backtest/
    """
    import dataclasses

    from bayes_scaling.cli.show import backtest_table, show
    from bayes_scaling.evaluate import backtesting as _backtest

    tables, unread = _backtest.read_tables(folder)
    result = _backtest.backtest(tables, law_names(laws), folder=out, seed=seed)
    result = dataclasses.replace(result, failures={**unread, **result.failures})
    if out is not None:
        write_json(result.to_dict(), out / "backtest.json")
    if as_json:
        print_json(result.to_dict())
    else:
        show(backtest_table(result))
