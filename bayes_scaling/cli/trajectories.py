"""The command that forecasts the whole loss curve of a run."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
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
    asked_table,
    named,
    number,
    numbers,
    print_json,
    refuse_no_question,
    write_csv,
)
from bayes_scaling.cli._outputs import Output, check_outputs
from bayes_scaling.cli._workers import DaskAddress, Workers
from bayes_scaling.errors import BayesScalingWarning, DataError, ForecastError

if TYPE_CHECKING:
    import pandas as pd

    from bayes_scaling.data.runs import Runs

PICTURE = (".png", ".svg", ".pdf")


def trajectory(
    source: Source,
    law: LawOfSource = "",
    params: Annotated[str, typer.Option(help="Parameter count of the planned run.")] = "",
    batch_tokens: Annotated[str, typer.Option(help="Its batch size, in tokens per step.")] = "",
    steps: Annotated[
        str, typer.Option(help="Steps at which it ends; or several, comma-separated, at which to forecast it.")
    ] = "",
    tokens: Annotated[str, typer.Option(help="Instead of --steps, its tokens, for a table without steps.")] = "",
    at: At = None,
    run: Annotated[
        str, typer.Option(help="Instead of a planned run, the id of one that is under way, with rows in the table.")
    ] = "",
    target_loss: Annotated[
        str, typer.Option(help="Losses to reach, comma-separated; prints steps, tokens and probability.")
    ] = "",
    prob: Annotated[str, typer.Option(help="Probabilities of the bands, comma-separated fractions.")] = "0.5,0.9",
    measured: Annotated[
        Path | None, typer.Option(help="Table of rows of this run, drawn on top: steps (or tokens) and loss.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="File for a picture (.png, .svg or .pdf).")] = None,
    rows: Annotated[Path | None, typer.Option(help="File for the bands at every row (.csv).")] = None,
    columns: Columns = "",
    loss_unit: LossUnit = "nats/token",
    params_convention: Convention = "unstated",
    workers: Workers = None,
    dask: DaskAddress = "",
    seed: Seed = 0,
    unconverged: Unconverged = False,
    as_json: AsJson = False,
) -> None:
    """Forecast the whole loss curve of a planned run, or the rest of one that is under way, with credible bands.

    Example: bayes-scaling trajectory curves.csv --params 519e3 --batch-tokens 8192 --steps 2000 --target-loss 1.4
    """
    check_outputs(
        [Output("--plot", plot, PICTURE), Output("--rows", rows, (".csv",))],
        {"the table of runs": source, "--measured": measured},
    )
    from bayes_scaling.base.messages import checked_loss, checked_probability
    from bayes_scaling.cli.printing.layout import show
    from bayes_scaling.cli.printing.trajectories import trajectory_tables
    from bayes_scaling.predict.so_far import rows_so_far
    from bayes_scaling.predict.trajectory import trajectory as follow

    probabilities = [checked_probability(number(p, "--prob"), "--prob") for p in prob.split(",")]
    targets = [checked_loss(loss) for loss in numbers(target_loss, "--target-loss")] if target_loss else []
    if measured is not None and plot is None:
        raise ForecastError("--measured is drawn on top of a picture; add --plot FILE.png")
    options = {"--params": params, "--batch-tokens": batch_tokens, "--steps": steps, "--tokens": tokens}
    given: dict[str, Any] = {
        option.removeprefix("--").replace("-", "_"): _one_or_several(text, option)
        for option, text in options.items()
        if text
    }
    given |= {name: value if isinstance(value, str) else _alone(value) for name, value in named(at).items()}
    if not {"steps", "tokens"} & set(given):
        raise ForecastError("say how long the run is: --steps S, or --tokens D for a table without steps")
    seen = None if measured is None else _measured(measured, "steps" if "steps" in given else "tokens", columns)

    def refuse(table: Runs) -> None:
        if run:
            rows_so_far(table.table, run)
        else:
            refuse_no_question(given, None, law, table)

    asked = TableOrFit(source, law, columns, loss_unit, params_convention, seed, asks=seen is not None)
    loaded = asked.fitted(refuse, workers, dask)
    found = follow(loaded, run=run, seed=seed, unconverged=unconverged, **given)
    content = json.loads(found.to_json(probabilities, targets))
    if rows is not None:
        write_csv(found.to_frame(probabilities), rows)
    if plot is not None:
        from bayes_scaling.plot.style import saved
        from bayes_scaling.plot.trajectories import plot_trajectory

        saved(plot_trajectory(loaded, found, seen, target=targets[0] if targets else None), plot)
    if as_json:
        print_json(content)
    else:
        show(*trajectory_tables(found, probabilities, targets))


def _one_or_several(text: str, option: str) -> float | list[float]:
    return _alone(numbers(text, option))


def _alone(values: list[float]) -> float | list[float]:
    """Return the only value of a list, or the list."""
    return values[0] if len(values) == 1 else values


def _measured(path: Path, along: str, columns: str) -> pd.DataFrame:
    """Read the rows that were measured of a run: positive numbers of the column that orders them, and the loss."""
    from bayes_scaling.data.naming import named_as_runs
    from bayes_scaling.data.validation import Origin, numeric, with_loss

    table = asked_table(path, "--measured", columns)
    try:
        found, spelled = named_as_runs(table, (along, "loss"), path.name)
        if missing := [name for name in (along, "loss") if name not in found]:
            raise DataError(f"{path.name} has no column {missing[0]}; expected {along} and loss")
        if found.empty:
            raise DataError(f"{path.name} has no rows; leave it out until there are some")
        found, origin, left_out = with_loss(found, Origin(path.name, spelled))
        for line in left_out:
            warnings.warn(f"{path.name}: {line}", BayesScalingWarning, stacklevel=2)
        return numeric(found, [along, "loss"], origin, frozenset())
    except DataError as error:
        raise DataError(f"cannot read --measured: {error}") from None
