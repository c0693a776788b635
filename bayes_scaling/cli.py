"""The command line: reads options, calls the rooms, prints. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bayes_scaling._errors import BayesScalingError, DataError, ForecastError, LawError

NOT_CONVERGED = 3

app = typer.Typer(
    help="Credible forecasts before a big training run: scaling laws as Bayesian generative models.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
laws_app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
app.add_typer(laws_app, name="laws")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Columns = Annotated[str, typer.Option(help="Canonical name to the file's: params=N,tokens=D,loss=val_loss.")]
LossUnit = Annotated[str, typer.Option(help="Unit of the loss, for labels.")]
Convention = Annotated[str, typer.Option(help="What params counts: total, non_embedding or unstated.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same draws.")]
Unconverged = Annotated[bool, typer.Option("--unconverged", help="Go on with a fit that did not converge.")]
RunsFile = Annotated[Path, typer.Argument(help="Runs: .csv, .parquet, .jsonl.", show_default=False)]
FitFile = Annotated[Path, typer.Argument(help="A fit written by 'bayes-scaling fit'.", show_default=False)]
Params = Annotated[str, typer.Option(help="Parameters of the future runs, comma-separated.")]
Tokens = Annotated[str, typer.Option(help="Training tokens of the future runs.")]
Flops = Annotated[str, typer.Option(help="Training FLOPs of the future runs (laws in flops).")]
At = Annotated[
    list[str] | None,
    typer.Option(help="Other inputs, or the group of a pooled fit: --at steps=1e5,2e5 --at dataset=c4."),
]
Laws = Annotated[str, typer.Option(help="Laws to compare: names, name:option=value, or law files, comma-separated.")]
Points = Annotated[Path | None, typer.Option("--table", help="Table of future runs with the law's inputs.")]


@laws_app.callback()
def laws(
    context: typer.Context,
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table of the README.")] = False,
) -> None:
    """List the laws by what they take as input.

    Example: bayes-scaling laws
    """
    if context.invoked_subcommand is not None:
        return
    from bayes_scaling._catalogue import catalogue
    from bayes_scaling._show import law_list, law_table, show

    found = catalogue()
    if as_json:
        _print_json(
            [
                {
                    "law": entry.law.name,
                    "inputs": entry.law.inputs,
                    "formula": entry.law.formula,
                    "title": entry.law.title,
                    "options": {key: {"default": default, "choices": c} for key, default, c in entry.options},
                }
                for entry in found
            ]
        )
    elif markdown:
        typer.echo(law_table(found))
    else:
        show(law_list(found))


@laws_app.command("show")
def laws_show(
    name: Annotated[str, typer.Argument(help="Name, name:option=value, or a law file.")], as_json: AsJson = False
) -> None:
    """Show formula, parameters with priors and units, published constants, where it holds and fails.

    Example: bayes-scaling laws show chinchilla
    """
    from bayes_scaling._catalogue import load_law
    from bayes_scaling._noise import Noise
    from bayes_scaling._priors import describe_prior
    from bayes_scaling._show import law_card, show

    law = load_law(name)
    if not as_json:
        show(law_card(law, Noise().parameters))
        return
    _print_json(
        {
            "law": law.label,
            "title": law.title,
            "formula": law.formula,
            "inputs": law.inputs,
            "parameters": [
                {
                    "name": row.name,
                    "unit": row.unit,
                    "meaning": row.meaning,
                    "prior": describe_prior(row.prior),
                    "prior_of": row.quantity or row.name,
                    "source": row.source,
                }
                for row in law.sampled
            ],
            "derived": [
                {"name": row.name, "unit": row.unit, "meaning": row.meaning}
                for row in law.parameters
                if row not in law.sampled
            ],
            "published": [
                {
                    "name": c.name,
                    "values": dict(c.values),
                    "standard_error": dict(c.standard_error),
                    "source": c.source,
                    "note": c.note,
                    "verified": c.verified,
                }
                for c in law.published
            ],
            "quantities": [
                {"name": q.name, "unit": q.unit, "meaning": q.meaning, "source": q.source} for q in law.quantities
            ],
            "weakly_identified": law.weakly_identified,
            "holds": law.holds,
            "fails": law.fails,
            "references": law.references,
        }
    )


@app.command()
def check(
    runs: RunsFile,
    columns: Columns = "",
    law: Annotated[str, typer.Option(help="Law to check the table against.")] = "chinchilla",
    loss_unit: LossUnit = "nats/token",
    params_convention: Convention = "unstated",
    as_json: AsJson = False,
) -> None:
    """Check a table of runs and say what it can and cannot teach about a law.

    Example: bayes-scaling check runs.csv --columns params=N,tokens=D
    """
    from bayes_scaling._catalogue import load_law
    from bayes_scaling._check import identifiability
    from bayes_scaling._show import runs_summary, show

    table = _read_runs(runs, columns, loss_unit, params_convention)
    chosen = load_law(law)
    missing = [name for name in chosen.inputs if name not in table]
    problems = [f"the table has no {name}, which {chosen.label} reads" for name in missing] or identifiability(
        chosen, table
    )
    if as_json:
        _print_json(
            {
                "rows": len(table),
                "columns": list(map(str, table.table.columns)),
                "notes": table.notes,
                "warnings": table.warnings,
                "law": chosen.label,
                "identifiability": list(problems),
            }
        )
        return
    from rich.text import Text

    show(
        runs_summary(table),
        *(
            Text(f"{chosen.label}: {problem}")
            for problem in problems or ["every parameter can be learned in principle"]
        ),
    )


@app.command()
def fit(
    runs: RunsFile,
    law: Annotated[str, typer.Option(help="Name, name:option=value, or a law file.")] = "chinchilla",
    out: Annotated[Path | None, typer.Option(help="Where to save the fit (.nc).")] = None,
    columns: Columns = "",
    noise: Annotated[str, typer.Option(help="student_t, normal, or auto: normal for training curves.")] = "auto",
    noise_scale: Annotated[
        str, typer.Option(help="constant, known (reads loss_se) or growing (towards small runs).")
    ] = "constant",
    noise_rows: Annotated[
        str, typer.Option(help="independent, correlated (rows of one run), or auto: correlated for training curves.")
    ] = "auto",
    discrepancy: Annotated[
        str, typer.Option(help="How the truth may leave the law: brownian, or none (the law is right).")
    ] = "brownian",
    pool: Annotated[
        list[str] | None,
        typer.Option(help="Let a parameter vary: alpha=partial:dataset or E=separate:family. Repeatable."),
    ] = None,
    after_warmup: Annotated[
        float | None, typer.Option(help="Leave out this first fraction of every training curve, like 0.1.")
    ] = None,
    ends: Annotated[bool, typer.Option("--ends", help="Fit only the last row of every run.")] = False,
    priors: Annotated[Path | None, typer.Option(help="TOML file with a table [priors].")] = None,
    below: Annotated[str, typer.Option(help="Fit only the rows at or below: flops=1e21.")] = "",
    method: Annotated[str, typer.Option(help="auto, nuts or laplace.")] = "auto",
    chains: Annotated[int, typer.Option(help="NUTS chains.")] = 4,
    draws: Annotated[int, typer.Option(help="Kept draws per chain.")] = 1000,
    device: Annotated[str, typer.Option(help="auto, cpu or gpu.")] = "auto",
    seed: Seed = 0,
    loss_unit: LossUnit = "nats/token",
    params_convention: Convention = "unstated",
    as_json: AsJson = False,
) -> None:
    """Sample the posterior of a law given runs. Exit code 3 when the sampler did not converge.

    Example: bayes-scaling fit runs.csv --law chinchilla --out fit.nc --seed 0
    """
    from bayes_scaling import _fit
    from bayes_scaling._catalogue import load_law
    from bayes_scaling._check import identifiability
    from bayes_scaling._discrepancy import Discrepancy
    from bayes_scaling._noise import Noise
    from bayes_scaling._pooling import Pool
    from bayes_scaling._priors import read_priors
    from bayes_scaling._show import fit_summary, show

    table = _read_runs(runs, columns, loss_unit, params_convention)
    if below:
        column, _, value = below.partition("=")
        table = table.where(table.column(column) <= _number(value, "--below"))
    if after_warmup is not None:
        table = table.after_warmup(after_warmup)
    if ends:
        table = table.ends()
    chosen = load_law(law, priors=read_priors(priors) if priors else None)
    usual = _fit.default_noise(table)
    noise_rows = usual.rows if noise_rows == "auto" else noise_rows
    noise = ("normal" if noise_rows == "correlated" else "student_t") if noise == "auto" else noise
    pooling = {name: Pool(by, mode) for name, mode, by in map(_pooled, pool or [])}
    if out is not None and out.is_dir():
        raise DataError(f"{out} is a folder; give --out the name of a file, like {out / 'fit.nc'}")
    result = _fit.fit(
        chosen,
        table,
        noise=Noise(noise, noise_scale, noise_rows),
        discrepancy=Discrepancy(discrepancy),
        pooling=pooling,
        method=method,
        chains=chains,
        draws=draws,
        seed=seed,
        device=device,
    )
    if out is not None:
        result.save(out)
    if as_json:
        _print_json(
            {
                "law": chosen.label,
                "converged": result.converged,
                "problems": result.problems,
                "saved": None if out is None else str(out),
                "posterior": json.loads(result.summary(0.9).to_json(orient="index")),
                "manifest": dict(result.manifest),
            }
        )
    else:
        from rich.text import Text

        odd = [Text(f"warning: {warning}") for warning in (*table.warnings, *identifiability(chosen, table))]
        show(*odd, fit_summary(result), *([Text(f"saved to {out}")] if out else []))
    if not result.converged:
        raise typer.Exit(NOT_CONVERGED)


@app.command()
def forecast(
    fit_file: FitFile,
    params: Params = "",
    tokens: Tokens = "",
    flops: Flops = "",
    at: At = None,
    table: Points = None,
    target: Annotated[float | None, typer.Option(help="Loss to reach: prints its odds and what it takes.")] = None,
    prob: Annotated[str, typer.Option(help="Contents of the bands, as fractions.")] = "0.5,0.9",
    seed: Seed = 0,
    unconverged: Unconverged = False,
    as_json: AsJson = False,
) -> None:
    """Forecast the loss of runs that were not trained, with credible bands.

    Example: bayes-scaling forecast fit.nc --params 70e9 --tokens 1.4e12 --target 1.95 --prob 0.5,0.9
    """
    from bayes_scaling import _frontier
    from bayes_scaling._show import forecast_table, requirement_line, show
    from bayes_scaling._store import load_fit
    from bayes_scaling._validation import checked_probability

    probabilities = [checked_probability(_number(p, "--prob"), "--prob") for p in prob.split(",")]
    loaded = load_fit(fit_file)
    given = {**_inputs({"params": params, "tokens": tokens, "flops": flops}), **_named(at)}
    result = _planned_forecast(loaded, given, table, seed, unconverged)
    requirement = None
    if (
        target is not None
        and not loaded.pooling
        and (set(loaded.law.inputs) == {"params", "tokens"} or len(loaded.law.inputs) == 1)
    ):
        requirement = _frontier.required(loaded, target, unconverged=unconverged)
    widest = max(probabilities)
    if as_json:
        content = json.loads(result.to_json(probabilities, target))
        if requirement is not None:
            low, high = requirement.interval(widest)
            content["required"] = {
                "of": requirement.of,
                "along": requirement.along,
                "probability_reachable": requirement.reachable,
                "probability": widest,
                **{
                    k: v if v < float("inf") else None
                    for k, v in (("median", requirement.quantile(0.5)), ("low", low), ("high", high))
                },
            }
        _print_json(content)
        return
    parts = [forecast_table(result, probabilities, target)]
    if requirement is not None:
        parts.append(requirement_line(requirement, widest, result.loss_unit))
    show(*parts)


@app.command()
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
    from bayes_scaling import _compare
    from bayes_scaling._comparison_pictures import save_comparison_pictures
    from bayes_scaling._show import comparison_table, show

    table = _read_runs(runs, columns, loss_unit, params_convention)
    column, _, values = cut.partition("=")
    cuts = [_compare.Cut(column.strip(), value) for value in _numbers(values, "--cut")] if cut else None
    result = _compare.compare(_law_names(laws), table, cuts=cuts, folder=out, seed=seed)
    written = []
    if out is not None:
        written = [_write_json(result.to_dict(), out / "comparison.json"), *save_comparison_pictures(result, out)]
    if as_json:
        _print_json(result.to_dict())
    else:
        show(comparison_table(result))
        for path in written:
            typer.echo(path)


@app.command()
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

    from bayes_scaling import _backtest
    from bayes_scaling._show import backtest_table, show

    tables, unread = _backtest.read_tables(folder)
    result = _backtest.backtest(tables, _law_names(laws), folder=out, seed=seed)
    result = dataclasses.replace(result, failures={**unread, **result.failures})
    if out is not None:
        _write_json(result.to_dict(), out / "backtest.json")
    if as_json:
        _print_json(result.to_dict())
    else:
        show(backtest_table(result))


@app.command()
def quantity(
    fit_file: FitFile,
    name: Annotated[str, typer.Argument(help="A quantity of the law; 'laws show LAW' lists them.", show_default=False)],
    at: At = None,
    prob: Annotated[float, typer.Option(help="Content of the interval, a fraction.")] = 0.9,
    unconverged: Unconverged = False,
    as_json: AsJson = False,
) -> None:
    """Answer a question of the law with its uncertainty: critical batch size, frontier, data requirement, ...

    Example: bayes-scaling quantity fit.nc critical_batch --at loss=3.0,2.5
    """
    from bayes_scaling import _quantities
    from bayes_scaling._show import quantity_table, show
    from bayes_scaling._store import load_fit

    loaded = load_fit(fit_file)
    given = _named(at)
    group = {column: str(given.pop(column)) for column in loaded.groups.columns if column in given}
    found = _quantities.quantity(loaded, name, group=group, unconverged=unconverged, **given)
    if as_json:
        points = json.loads(found.to_frame(prob).to_json(orient="records"))
        _print_json({"quantity": name, "unit": found.unit, "meaning": found.meaning, "prob": prob, "points": points})
    else:
        show(quantity_table(found, prob))


@app.command()
def plot(
    fit_file: FitFile,
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("plots"),
    params: Params = "",
    tokens: Tokens = "",
    flops: Flops = "",
    at: At = None,
    table: Points = None,
    target: Annotated[float | None, typer.Option(help="Loss to mark.")] = None,
    file_format: Annotated[str, typer.Option("--format", help="png, svg or pdf.")] = "png",
    unconverged: Unconverged = False,
) -> None:
    """Draw fit and bands, forecast fan, prior to posterior, residuals, traces, exponents.

    Example: bayes-scaling plot fit.nc --out plots/ --params 70e9 --tokens 1.4e12
    """
    from bayes_scaling._pictures import save_pictures
    from bayes_scaling._store import load_fit

    loaded = load_fit(fit_file)
    loaded.require_convergence(unconverged)
    planned = None
    given = {**_inputs({"params": params, "tokens": tokens, "flops": flops}), **_named(at)}
    if target is not None and not (given or table):
        raise ForecastError("--target marks a forecast: say of which runs with --params and --tokens, or --table FILE")
    if given or table:
        planned = _planned_forecast(loaded, given, table, 0, unconverged)
    for path in save_pictures(loaded, out, planned, target=target, file_format=file_format):
        typer.echo(path)


@app.command()
def simulate(
    law: Annotated[str, typer.Argument(help="Name, name:option=value, or a law file.")],
    out: Annotated[Path, typer.Option(help="Where to write the runs (.csv).")],
    constants: Annotated[
        str, typer.Option(help="Published set, like besiroglu2024; by default a draw from the prior.")
    ] = "",
    params: Annotated[str, typer.Option(help="Values of the grid.")] = "1e8,3e8,1e9,3e9",
    tokens: Annotated[str, typer.Option(help="Values of the grid.")] = "2e9,6e9,2e10,6e10",
    flops: Annotated[str, typer.Option(help="Values of the grid, for laws in flops.")] = "1e18,1e19,1e20,1e21",
    at: Annotated[
        list[str] | None, typer.Option(help="Values of the grid for any other input: experts=1,8,64. Repeatable.")
    ] = None,
    sigma: Annotated[float, typer.Option(help="Scatter of log loss.")] = 0.005,
    noise: Annotated[str, typer.Option(help="student_t (nu = 5) or normal.")] = "normal",
    seed: Seed = 0,
) -> None:
    """Simulate a grid of runs, to try a plan before paying for it.

    Example: bayes-scaling simulate chinchilla --constants besiroglu2024 --out simulated.csv
    """
    from bayes_scaling import _simulate
    from bayes_scaling._catalogue import load_law
    from bayes_scaling._noise import Noise

    chosen = load_law(law)
    if chosen.features is not None:
        raise LawError(f"{chosen.label} reads whole runs, not a grid; use bayes_scaling.simulate from Python")
    offered = {**_inputs({"params": params, "tokens": tokens, "flops": flops}), **_named(at)}
    design = _simulate.grid(
        **{name: offered[name] if name in offered else _spread(chosen.column(name)) for name in chosen.inputs}
    )
    if not sigma > 0:
        raise DataError(f"--sigma is {sigma:g}, expected a positive number such as 0.005 for half a percent")
    theta: dict[str, float] = dict(chosen.at(constants).constants.values) if constants else {}
    theta |= {"sigma": sigma} | ({"nu": 5.0} if noise == "student_t" else {})
    runs = _simulate.simulate(chosen, design, theta, noise=Noise(noise), seed=seed)
    _write_csv(runs.table, out)
    typer.echo(f"{len(runs)} runs written to {out}; {runs.notes[-1]}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the fit and the pictures.")] = Path("bayes-scaling-demo"),
    seed: Seed = 0,
) -> None:
    """Do the main job on the bundled measured runs: fit small ones, forecast the largest, compare.

    Example: bayes-scaling demo
    """
    from bayes_scaling import _demo
    from bayes_scaling._show import demo_story, show

    show(demo_story(_demo.demo(out, seed)))


# --- reading options --------------------------------------------------------------------------------------------


def _read_runs(path: Path, columns: str, loss_unit: str, params_convention: str) -> Any:
    from bayes_scaling._runs import Runs

    pairs = [item.partition("=") for item in columns.split(",") if item]
    if any(not name or not theirs for name, _, theirs in pairs):
        raise DataError(f"cannot read --columns {columns!r}; expected params=N,tokens=D")
    mapping = {name.strip(): theirs.strip() for name, _, theirs in pairs}
    return Runs.read(path, columns=mapping, loss_unit=loss_unit, params_convention=params_convention)


def _law_names(text: str) -> list[str]:
    """Split names at commas, but for commas between the options of one law: ``power_law:input=tokens,form=pure``."""
    names: list[str] = []
    for piece in (piece.strip() for piece in text.split(",")):
        if names and "=" in piece and ":" not in piece:
            names[-1] += f",{piece}"
        elif piece:
            names.append(piece)
    return names


def _planned_forecast(loaded: Any, given: dict[str, Any], table: Path | None, seed: int, unconverged: bool) -> Any:
    from bayes_scaling import _forecast
    from bayes_scaling._reading import read_table

    if table is not None:
        return _forecast.forecast(loaded, read_table(table), seed=seed, unconverged=unconverged, **given)
    if not given:
        options = {"params": "--params N", "tokens": "--tokens D", "flops": "--flops C"}
        needed = " and ".join(options.get(name, f"--at {name}=VALUE") for name in loaded.law.inputs)
        raise ForecastError(f"say which runs to forecast: {needed}, or --table FILE")
    return _forecast.forecast(loaded, seed=seed, unconverged=unconverged, **given)


def _inputs(options: dict[str, str]) -> dict[str, list[float]]:
    """Read options that name an input each; empty ones are left out."""
    return {name: _numbers(text, f"--{name}") for name, text in options.items() if text}


def _named(at: list[str] | None) -> dict[str, Any]:
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


def _spread(column: Any) -> list[float]:
    """Return three values across the usual span of an input."""
    return [column.low, column.middle, column.high]


def _pooled(text: str) -> tuple[str, str, str]:
    """Read ``alpha=partial:dataset`` as parameter, mode and column."""
    name, _, rest = text.partition("=")
    mode, _, by = rest.partition(":")
    if not (name and mode and by):
        raise LawError(f"cannot read --pool {text!r}; expected alpha=partial:dataset or alpha=separate:dataset")
    return name.strip(), mode.strip(), by.strip()


def _numbers(text: str, option: str) -> list[float]:
    return [_number(item, option) for item in text.split(",")]


def _number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ForecastError(f"{option}: {text!r} is not a number; write 70e9 or 7e10, several with commas") from None


def _write_csv(table: Any, path: Path) -> Path:
    return _write(table.to_csv(index=False), path)


def _write_json(content: Any, path: Path) -> Path:
    return _write(json.dumps(content, indent=2, ensure_ascii=False), path)


def _write(text: str, path: Path) -> Path:
    """Write a file whole: a temporary file beside it, then a rename."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error
    return path


def _print_json(content: Any) -> None:
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))


def main() -> None:
    """Run the command line; every error made on purpose becomes one line and exit code 2."""
    try:
        app()
    except BayesScalingError as error:
        typer.echo(f"error: {_as_options(str(error))}", err=True)
        sys.exit(2)


def _as_options(message: str) -> str:
    """Say in a message written for Python how the command line spells it."""
    return re.sub(r"columns=\{'(\w+)': \.\.\.\}", r"--columns \1=NAME", message)


if __name__ == "__main__":
    main()
