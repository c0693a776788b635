"""Import runs from the files of an experiment tracker."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bayes_scaling.base.files import TABLES, write_table
from bayes_scaling.errors import DataError


class Source(StrEnum):
    """Trackers whose files can be read."""

    wandb = "wandb"
    mlflow = "mlflow"
    tensorboard = "tensorboard"


def import_runs(
    source: Annotated[Source, typer.Argument(help="Whose files they are.", show_default=False)],
    path: Annotated[
        Path,
        typer.Argument(
            help="wandb folder, run file or export; mlruns folder or SQLite file; folder of event files.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Where to write the runs (.csv, .parquet, .jsonl).")],
    columns: Annotated[
        str,
        typer.Option(
            "--map",
            help="Column to metric, parameter or config key: params=n_params,loss=val/loss. _step is the tracker's own "
            "step. Without it: say what keys there are.",
        ),
    ] = "",
    last: Annotated[bool, typer.Option("--last", help="Keep the last row of each run, not whole curves.")] = False,
    group: Annotated[str, typer.Option(help="Other keys to keep as columns, comma-separated.")] = "",
) -> None:
    """Import runs from local files of Weights & Biases, MLflow or TensorBoard.

    Example: bayes-scaling import mlflow ./mlruns --map params=n_params,tokens=tokens,loss=val_loss --out runs.parquet
    """
    if out.suffix.lower() not in TABLES:
        raise DataError(f"cannot write {out}: expected one of {', '.join(TABLES)}")
    import bayes_scaling as bs

    read = {
        Source.wandb: bs.importers.import_wandb,
        Source.mlflow: bs.importers.import_mlflow,
        Source.tensorboard: bs.importers.import_tensorboard,
    }
    mapping = _mapping(columns)
    groups = [key.strip() for key in group.split(",") if key.strip()]
    runs = read[source](path, mapping, last=last, groups=groups)
    # Derived columns stay out of the file: whoever reads it derives them again, and says so.
    imported = [name for name in runs.table if name in {"run", *mapping, *groups}]
    write_table(runs.table[imported], out)
    for line in (*runs.notes, *(f"warning: {one}" for one in runs.warnings)):
        typer.echo(line)
    typer.echo(f"{runs.counted} written to {out}")


def _mapping(text: str) -> dict[str, str]:
    pairs = [item.partition("=") for item in text.split(",") if item.strip()]
    found = {name.strip(): key.strip() for name, _, key in pairs}
    if "" in (*found, *found.values()) or len(found) < len(pairs):
        raise DataError(f"cannot read --map {text!r}; expected params=n_params,loss=val/loss, each column once")
    return found
