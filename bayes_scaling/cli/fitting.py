"""Commands that fit and show fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, cast

import typer

from bayes_scaling.cli._options import (
    NOT_CONVERGED,
    AsJson,
    At,
    Columns,
    Convention,
    FitFile,
    Flops,
    LossUnit,
    Params,
    Points,
    RunsFile,
    Seed,
    Tokens,
    Unconverged,
    inputs_of,
    named,
    number,
    planned_forecast,
    pooled,
    print_json,
    read_runs,
)
from bayes_scaling.errors import DataError, ForecastError


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
    sampler: Annotated[str, typer.Option(help="auto, nuts or laplace.")] = "auto",
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
    from bayes_scaling.cli.show import fit_summary, show
    from bayes_scaling.evaluate.checks import identifiability
    from bayes_scaling.inference import fit as _fit
    from bayes_scaling.inference.sampler import Sampler, SamplerName
    from bayes_scaling.laws.catalogue import load_law
    from bayes_scaling.laws.priors import read_priors
    from bayes_scaling.model.choices import default_noise
    from bayes_scaling.model.discrepancy import Discrepancy
    from bayes_scaling.model.noise import Noise
    from bayes_scaling.model.pooling import Pool

    table = read_runs(runs, columns, loss_unit, params_convention)
    if below:
        column, _, value = below.partition("=")
        table = table.where(table.column(column) <= number(value, "--below"))
    if after_warmup is not None:
        table = table.after_warmup(after_warmup)
    if ends:
        table = table.ends()
    chosen = load_law(law, priors=read_priors(priors) if priors else None)
    usual = default_noise(table)
    noise_rows = usual.rows if noise_rows == "auto" else noise_rows
    noise = ("normal" if noise_rows == "correlated" else "student_t") if noise == "auto" else noise
    pooling = {name: Pool(by, mode) for name, mode, by in map(pooled, pool or [])}
    if out is not None and out.is_dir():
        raise DataError(f"{out} is a folder; give --out the name of a file, like {out / 'fit.nc'}")
    result = _fit.fit(
        chosen,
        table,
        noise=Noise(noise, noise_scale, noise_rows),
        discrepancy=Discrepancy(discrepancy),
        pooling=pooling,
        sampler=Sampler(cast(SamplerName, sampler), chains, draws, device),
        seed=seed,
    )
    if out is not None:
        result.save(out)
    if as_json:
        print_json(
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
    from bayes_scaling.inference.loading import load_fit
    from bayes_scaling.plot.gallery import save_pictures

    loaded = load_fit(fit_file)
    loaded.require_convergence(unconverged)
    planned = None
    given = {**inputs_of({"params": params, "tokens": tokens, "flops": flops}), **named(at)}
    if target is not None and not (given or table):
        raise ForecastError("--target marks a forecast: say of which runs with --params and --tokens, or --table FILE")
    if given or table:
        planned = planned_forecast(loaded, given, table, 0, unconverged)
    for path in save_pictures(loaded, out, planned, target=target, file_format=file_format):
        typer.echo(path)
