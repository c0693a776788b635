"""Import runs from the files of an experiment tracker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_scaling.base.files import WRITTEN_ENDINGS, write_table
from bayes_scaling.base.messages import counted, printing, shown
from bayes_scaling.base.names import TRACKERS, listed_as_choice
from bayes_scaling.cli._outputs import Output, check_outputs
from bayes_scaling.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def import_runs(
    source: Annotated[str, typer.Argument(help=f"Tracker: {listed_as_choice(TRACKERS)}.", show_default=False)],
    path: Annotated[
        Path,
        typer.Argument(
            help="A wandb folder, run file or export; an mlruns folder or SQLite file; a folder of event files.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="File to write the runs to (.csv, .parquet or .jsonl).", show_default=False)
    ],
    columns: Annotated[
        str,
        typer.Option(
            "--map",
            help="Key of the tracker for each column: params=n_params,loss=val/loss; _step is its own step. Without "
            "it: list the keys.",
        ),
    ] = "",
    last: Annotated[bool, typer.Option("--last", help="Keep only the last row of each run.")] = False,
    group: Annotated[str, typer.Option(help="Other keys to keep as columns, comma-separated.")] = "",
) -> None:
    """Import runs from local files of Weights & Biases, MLflow or TensorBoard.

    Example: bayes-scaling import mlflow ./mlruns --map params=n_params,tokens=tokens,loss=val_loss --out runs.parquet
    """
    if source not in TRACKERS:
        raise DataError(f"the tracker is {source!r}; expected {listed_as_choice(TRACKERS)}")
    # A tracker's folder of exports holds tables, which are read; of the others' folders no table is.
    tables = path.iterdir() if source == "wandb" and path.is_dir() else ()
    check_outputs([Output("--out", out, WRITTEN_ENDINGS)], {"what is imported": path, "a file of the folder": tables})
    from bayes_scaling.data import importers

    read = getattr(importers, f"import_{source}")
    mapping = _mapping(columns)
    groups = [key.strip() for key in group.split(",") if key.strip()]
    runs = read(path, mapping, last=last, groups=groups)
    # Derived columns stay out of the file: whoever reads it derives them again, and says so.
    imported = [name for name in runs.table if name in {"run", *mapping, *groups}]
    write_table(runs.table[imported], out)
    odd = [*runs.warnings, *(_formulas(runs.table[imported], out) if out.suffix.lower() == ".csv" else ())]
    for line in (*runs.notes, *(f"warning: {one}" for one in odd)):
        typer.echo(printing(line))
    typer.echo(f"{runs.counted} written to {out}")


def _formulas(table: pd.DataFrame, out: Path) -> list[str]:
    """Say which names a spreadsheet would take for formulas; the file holds names exactly, to be joined by them."""
    from bayes_scaling.data.validation import number

    cells = dict.fromkeys(cell for name in table for cell in (name, *table[name]) if isinstance(cell, str))
    found = [cell for cell in cells if cell.lstrip()[:1] in tuple("=+-@") and number(cell) is None]
    if not found:
        return []
    names = f"{counted(len(found), 'name begins', 'names begin')} as a formula does ({shown(found[0], 40)})"
    return [f"{names}: a spreadsheet that opens {out.name} would compute it; have it read as text there"]


def _mapping(text: str) -> dict[str, str]:
    pairs = [item.partition("=") for item in text.split(",") if item.strip()]
    found = {name.strip(): key.strip() for name, _, key in pairs}
    if "" in (*found, *found.values()) or len(found) < len(pairs):
        raise DataError(f"cannot read --map {text!r}; expected params=n_params,loss=val/loss, each column once")
    return found
