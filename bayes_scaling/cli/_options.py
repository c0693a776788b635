"""What several commands share: their options, how options are read, how answers are written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bayes_scaling.base.files import write_text
from bayes_scaling.base.json_text import json_text
from bayes_scaling.base.names import CONVENTIONS, listed_as_choice
from bayes_scaling.errors import DataError, ForecastError, LawError

NOT_CONVERGED = 3

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Columns = Annotated[str, typer.Option(help="Names of columns in the file: params=N,tokens=D,loss=val_loss.")]
LossUnit = Annotated[str, typer.Option(help="Unit of the loss, shown in labels.")]
Convention = Annotated[str, typer.Option(help=f"What params counts: {listed_as_choice(CONVENTIONS)}.")]
Law = Annotated[str, typer.Option(help="Law to fit: NAME, NAME:OPTION=VALUE or a law file.")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Random seed; the same seed gives the same numbers.")]
Unconverged = Annotated[bool, typer.Option("--unconverged", help="Use a fit even if it did not converge.")]
RunsFile = Annotated[Path, typer.Argument(help="Table of runs (.csv, .parquet or .jsonl).", show_default=False)]
FitFile = Annotated[Path, typer.Argument(help="Fit saved by 'bayes-scaling fit --out' (.nc).", show_default=False)]
LawOfFit = Annotated[
    str, typer.Option("--law", help="Law file that the fit was made with: a saved fit runs no code of its own.")
]
Params = Annotated[str, typer.Option(help="Parameter counts of the runs to forecast, comma-separated.")]
Tokens = Annotated[str, typer.Option(help="Training tokens of the runs to forecast, comma-separated.")]
Flops = Annotated[str, typer.Option(help="Training FLOPs of the runs to forecast, for laws that read flops.")]
At = Annotated[
    list[str] | None,
    typer.Option(help="Any other input, or the group of a pooled fit: --at steps=1e5,2e5 --at dataset=c4. Repeatable."),
]
Laws = Annotated[str, typer.Option(help="Laws to compare, comma-separated: NAME, NAME:OPTION=VALUE or a law file.")]
Points = Annotated[
    Path | None, typer.Option("--table", help="Table of the runs to forecast, with the law's inputs as columns.")
]


def read_runs(path: Path, columns: str, loss_unit: str, params_convention: str) -> Any:
    from bayes_scaling.data.runs import Runs

    pairs = [item.partition("=") for item in columns.split(",") if item]
    if any(not name or not theirs for name, _, theirs in pairs):
        raise DataError(f"cannot read --columns {columns!r}; expected params=N,tokens=D")
    mapping = {name.strip(): theirs.strip() for name, _, theirs in pairs}
    return Runs.read(path, columns=mapping, loss_unit=loss_unit, params_convention=params_convention)


def saved_fit(path: Path, law: str) -> Any:
    """Read a saved fit; a law file runs only where the command line names it."""
    from bayes_scaling.inference.loading import load_fit
    from bayes_scaling.laws.catalogue import load_law

    return load_fit(path, load_law(law) if law else None)


def law_names(text: str) -> list[str]:
    """Split names at commas, but for commas between the options of one law: ``power_law:input=tokens,form=pure``."""
    names: list[str] = []
    for piece in (piece.strip() for piece in text.split(",")):
        if names and "=" in piece and ":" not in piece:
            names[-1] += f",{piece}"
        elif piece:
            names.append(piece)
    return names


def planned_forecast(loaded: Any, given: dict[str, Any], table: Path | None, seed: int, unconverged: bool) -> Any:
    from bayes_scaling.data.reading import read_table
    from bayes_scaling.predict import forecast as _forecast

    if table is not None:
        return _forecast.forecast(loaded, read_table(table), seed=seed, unconverged=unconverged, **given)
    if not given:
        options = {"params": "--params N", "tokens": "--tokens D", "flops": "--flops C"}
        needed = " and ".join(options.get(name, f"--at {name}=VALUE") for name in loaded.law.inputs)
        raise ForecastError(f"say which runs to forecast: {needed}, or --table FILE")
    return _forecast.forecast(loaded, seed=seed, unconverged=unconverged, **given)


def inputs_of(options: dict[str, str]) -> dict[str, list[float]]:
    """Read options that name an input each; empty ones are left out."""
    return {name: numbers(text, f"--{name}") for name, text in options.items() if text}


def named(at: list[str] | None) -> dict[str, Any]:
    """Read ``--at name=values``: numbers, or the name of a group."""
    found: dict[str, Any] = {}
    for item in at or []:
        name, equals, text = item.partition("=")
        if not (name and equals and text):
            raise ForecastError(f"cannot read --at {item!r}; expected name=value or name=value,value")
        try:
            found[name.strip()] = [float(value) for value in text.split(",")]
        except ValueError:
            found[name.strip()] = text.strip()
    return found


def pooled(text: str) -> tuple[str, str, str]:
    """Read ``alpha=partial:dataset`` as parameter, mode and column."""
    name, _, rest = text.partition("=")
    mode, _, by = rest.partition(":")
    if not (name and mode and by):
        raise LawError(f"cannot read --pool {text!r}; expected alpha=partial:dataset or alpha=separate:dataset")
    return name.strip(), mode.strip(), by.strip()


def words(text: str) -> list[str]:
    """Read words with commas between them."""
    return [word.strip() for word in text.split(",") if word.strip()]


def numbers(text: str, option: str) -> list[float]:
    return [number(item, option) for item in text.split(",")]


def number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ForecastError(f"{option}: {text!r} is not a number; write 70e9 or 7e10, several with commas") from None


def write_csv(table: Any, path: Path) -> Path:
    return write_text(table.to_csv(index=False), path)


def write_json(content: Any, path: Path) -> Path:
    return write_text(json_text(content, indent=2), path)


def print_json(content: Any) -> None:
    typer.echo(json_text(content, indent=2))
