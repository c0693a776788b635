"""What several commands share: their options, how options are read, how answers are written."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_scaling.base.files import csv_text, write_text
from bayes_scaling.base.json_text import json_text
from bayes_scaling.base.names import CONVENTIONS, listed_as_choice
from bayes_scaling.cli._panels import TABLE
from bayes_scaling.cli._workers import executor_of, refuse_without_fits
from bayes_scaling.errors import BayesScalingWarning, DataError, ForecastError, LawError

if TYPE_CHECKING:
    import pandas as pd

    from bayes_scaling.data.runs import Runs
    from bayes_scaling.inference.result import Fit
    from bayes_scaling.predict.ensemble import Ensemble

NOT_CONVERGED = 3
AS_A_TABLE_IS_READ = {"columns": "", "loss_unit": "nats/token", "params_convention": "unstated"}
"""Options that say how a table is read, and what they are by default."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Columns = Annotated[
    str, typer.Option(help="Names of columns in the file: params=N,tokens=D,loss=val_loss.", rich_help_panel=TABLE)
]
LossUnit = Annotated[str, typer.Option(help="Unit of the loss, shown in labels.", rich_help_panel=TABLE)]
Convention = Annotated[
    str, typer.Option(help=f"What params counts: {listed_as_choice(CONVENTIONS)}.", rich_help_panel=TABLE)
]
LawsToFit = Annotated[
    str,
    typer.Option(
        "--law",
        help="Law to fit, or several, comma-separated: NAME, NAME:OPTION=VALUE or a law file. By default those that "
        "suit the columns, together.",
        show_default=False,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        min=0,
        max=2**32 - 1,
        help="Random seed; the same seed gives the same numbers. A saved fit keeps its posterior draws.",
    ),
]
Unconverged = Annotated[bool, typer.Option("--unconverged", help="Use a fit even if it did not converge.")]
RunsFile = Annotated[
    Path, typer.Argument(help="Table of runs (.csv, .tsv, .json, .jsonl or .parquet).", show_default=False)
]
FitFile = Annotated[Path, typer.Argument(help="What 'bayes-scaling fit --out' saved (.nc).", show_default=False)]
LawOfFit = Annotated[
    str,
    typer.Option(
        "--law",
        help="Law file that the fit was made with: a saved fit runs no code of its own. Of several laws that were "
        "saved together, the name of one to use it alone.",
    ),
]
Source = Annotated[
    Path, typer.Argument(help="Table of runs to fit first, or what 'fit --out' saved (.nc).", show_default=False)
]
LawOfSource = Annotated[
    str,
    typer.Option(
        "--law",
        help="Laws to fit to the table, comma-separated, by default those that suit its columns: NAME, "
        "NAME:OPTION=VALUE or a law file. Of what was saved, one law to use it alone, or the law file that it was made "
        "with.",
        show_default=False,
        rich_help_panel=TABLE,
    ),
]
Params = Annotated[str, typer.Option(help="Parameter counts of the runs to forecast, comma-separated.")]
Tokens = Annotated[str, typer.Option(help="Training tokens of the runs to forecast, comma-separated.")]
Flops = Annotated[str, typer.Option(help="Training FLOPs of the runs to forecast, for laws that read flops.")]
At = Annotated[
    list[str] | None,
    typer.Option(help="Any other input, or the group of a pooled fit: --at steps=1e5,2e5 --at dataset=c4. Repeatable."),
]
TO_COMPARE = "Laws to compare, comma-separated: NAME, NAME:OPTION=VALUE or a law file."
Laws = Annotated[str, typer.Option("--law", help=TO_COMPARE)]
PointsTable = Annotated[
    Path | None, typer.Option("--table", help="Table of the runs to forecast, with the law's inputs as columns.")
]


def read_runs(path: Path, columns: str, loss_unit: str, params_convention: str) -> Any:
    from bayes_scaling.data.runs import Runs

    return Runs.read(path, columns=mapping_of(columns), loss_unit=loss_unit, params_convention=params_convention)


def mapping_of(columns: str) -> dict[str, str]:
    """Read ``params=N,tokens=D``; ``flops=`` gives flops no column."""
    pairs = [item.partition("=") for item in columns.split(",") if item]
    if any(not name or not sign for name, sign, _ in pairs):
        raise DataError(f"cannot read --columns {columns!r}; expected params=N,tokens=D")
    return {name.strip(): theirs.strip() for name, _, theirs in pairs}


def asked_table(path: Path, option: str, columns: str = "") -> pd.DataFrame:
    """Read the table of planned or measured runs that an option names.

    Parameters
    ----------
    columns : as ``--columns`` says for the table of runs; those that are in this one too have these names here
    """
    from bayes_scaling.data.naming import read_asked

    mapping = mapping_of(columns)
    try:
        return read_asked(path, mapping)
    except DataError as error:
        raise DataError(f"cannot read {option}: {error}") from None


def warn_of(runs: Runs, source: str = "") -> None:
    """Say what looks wrong in a table that is answered from, on standard error."""
    for warning in runs.warnings:
        warnings.warn(f"{source}: {warning}" if source else warning, BayesScalingWarning, stacklevel=2)


def saved_fit(path: Path, law: str) -> Fit | Ensemble:
    """Read a saved fit, or several saved together; a law file runs only where the command line names it.

    Parameters
    ----------
    law : law files that it was made with; of several laws, the name of one to use it alone
    """
    from bayes_scaling.inference.loading import load_fit
    from bayes_scaling.laws.catalogue import is_path, load_law, split_label
    from bayes_scaling.predict.ensemble import Ensemble
    from bayes_scaling.predict.saving import holds_ensemble

    if not holds_ensemble(path):
        return load_fit(path, load_law(law) if law else None)
    names = law_names(law)
    files = [name for name in names if is_path(split_label(name)[0])]
    found = Ensemble.load(path, [load_law(name) for name in files])
    alone = [law] if law in found.members else [name for name in names if name not in files]
    if len(alone) > 1:
        raise LawError(
            f"--law names {len(alone)} of the saved laws; give one, to use it alone, or none for all of them"
        )
    return found.only(alone[0]).leading if alone else found


@dataclasses.dataclass(frozen=True)
class TableOrFit:
    """What a command answers from: a table of runs that it fits, or what 'fit --out' saved (.nc).

    Attributes
    ----------
    path : the file
    law, columns, loss_unit, params_convention, seed : as the options say
    asks : whether a table of planned runs is given too, whose columns may have the names of ``columns``
    """

    path: Path
    law: str
    columns: str
    loss_unit: str
    params_convention: str
    seed: int
    asks: bool = False

    def fitted(
        self, refuse: Callable[[Runs], None] | None = None, workers: int | None = None, dask: str = ""
    ) -> Fit | Ensemble:
        """Return what was saved, or fit the table.

        Parameters
        ----------
        refuse : refuses a table before it is fitted
        """
        if self.path.suffix.lower() == ".nc":
            refuse_without_fits(workers, dask, f"{self.path.name} has its fits already")
            self._refuse_of_tables()
            return saved_fit(self.path, self.law)
        runs = read_runs(self.path, self.columns, self.loss_unit, self.params_convention)
        if refuse is not None:
            refuse(runs)
        warn_of(runs)
        if len(law_names(self.law)) == 1:
            refuse_without_fits(workers, dask, "one law is one fit")
        with executor_of(workers, dask) as executor:
            return fit_named(self.law, runs, seed=self.seed, **({} if executor is None else {"executor": executor}))

    def _refuse_of_tables(self) -> None:
        """Refuse options that say how a table is read, where none is."""
        for name, usual in AS_A_TABLE_IS_READ.items():
            if getattr(self, name) != usual and not (name == "columns" and self.asks):
                raise DataError(
                    f"--{name.replace('_', '-')} says how a table is read, and {self.path.name} holds one that was "
                    "read already; leave it out"
                )


def fit_named(laws: str, runs: Runs, **options: Any) -> Fit | Ensemble:
    """Fit the laws that an option names: one, several, or by default those that suit the columns."""
    from bayes_scaling.evaluate.fitting import fit

    names = law_names(laws)
    if not names:
        return fit(runs, **options)
    return fit(names, runs, **options) if len(names) > 1 else fit(names[0], runs, **options)


def fits_in(loaded: Fit | Ensemble) -> list[Fit]:
    """Return the fits of which something is made."""
    from bayes_scaling.predict.ensemble import Ensemble

    return list(loaded.fits.values()) if isinstance(loaded, Ensemble) else [loaded]


def groups_in(loaded: Fit | Ensemble) -> tuple[str, ...]:
    """Return the columns that something is pooled over."""
    return tuple(dict.fromkeys(column for fit in fits_in(loaded) for column in fit.groups.columns))


def law_names(text: str) -> list[str]:
    """Split names at commas, but for commas between the options of one law: ``power_law:input=tokens,form=pure``."""
    names: list[str] = []
    for piece in (piece.strip() for piece in text.split(",")):
        if names and "=" in piece and ":" not in piece:
            names[-1] += f",{piece}"
        elif piece:
            names.append(piece)
    return names


def refuse_no_question(given: dict[str, Any], table: pd.DataFrame | None, laws: str, runs: Runs) -> None:
    """Refuse a forecast of nothing, or of runs that lack an input or cannot be, before anything is fitted."""
    from bayes_scaling.data.columns import table_of
    from bayes_scaling.evaluate.defaults import default_laws
    from bayes_scaling.laws.catalogue import load_law
    from bayes_scaling.model.schedule import Schedule
    from bayes_scaling.predict.planned import refuse_missing_inputs, refuse_two_ways, rows_known

    refuse_two_ways(table, given)
    if table is None and not given:
        raise ForecastError("say which runs to forecast, like --params 70e9 --tokens 1.4e12, or --table FILE")
    frame = table_of(given) if table is None else table
    for law in map(load_law, law_names(laws) or default_laws(runs)):
        refuse_missing_inputs(law, rows_known(law, frame), Schedule.usual(law, runs))


def planned_forecast(
    loaded: Fit | Ensemble, given: dict[str, Any], table: pd.DataFrame | None, seed: int, unconverged: bool
) -> Any:
    from bayes_scaling.predict import forecast as _forecast

    if table is not None:
        return _forecast.forecast(loaded, table, seed=seed, unconverged=unconverged, **given)
    if not given:
        options = {"params": "--params N", "tokens": "--tokens D", "flops": "--flops C"}
        inputs = dict.fromkeys(name for fit in fits_in(loaded) for name in fit.law.inputs)
        needed = " and ".join(options.get(name, f"--at {name}=VALUE") for name in inputs)
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


def group_name(value: str | list[float]) -> str:
    """Return the name of a group that `named` read, as tables have it: a whole number without an exponent."""
    if isinstance(value, str):
        return value
    return ",".join(str(int(one)) if one.is_integer() else str(one) for one in value)


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
    items = text.split(",")
    if any(item == "000" for item in items):
        raise ForecastError(
            f"{option}: {text!r} seems to be one number with separators; write 7e9, several with commas like 7e9,70e9"
        )
    return [number(item, option) for item in items]


def number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ForecastError(f"{option}: {text!r} is not a number; write 70e9 or 7e10, several with commas") from None


def write_csv(table: Any, path: Path) -> Path:
    return write_text(csv_text(table), path)


def write_json(content: Any, path: Path) -> Path:
    return write_text(json_text(content, indent=2), path)


def print_json(content: Any) -> None:
    typer.echo(json_text(content, indent=2))
