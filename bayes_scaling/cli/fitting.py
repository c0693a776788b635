"""Commands that fit and show fits."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from bayes_scaling.base.names import (
    ALONG,
    DEVICES,
    DISCREPANCIES,
    NOISES,
    PICTURES,
    POOLING,
    ROWS_CHOICES,
    SAMPLERS,
    SCALE_CHOICES,
    STARTS,
    SamplerName,
    explained,
)
from bayes_scaling.cli._options import (
    NOT_CONVERGED,
    AsJson,
    At,
    Columns,
    Convention,
    FitFile,
    Flops,
    LawOfFit,
    LawsToFit,
    LossUnit,
    Params,
    PointsTable,
    RunsFile,
    Seed,
    Tokens,
    Unconverged,
    asked_table,
    fits_in,
    inputs_of,
    law_names,
    named,
    number,
    planned_forecast,
    pooled,
    print_json,
    read_runs,
    saved_fit,
    warn_of,
)
from bayes_scaling.cli._outputs import Output, check_outputs
from bayes_scaling.cli._workers import DaskAddress, Workers, executor_of, refuse_without_fits
from bayes_scaling.errors import DataError, ForecastError, LawError

if TYPE_CHECKING:
    from bayes_scaling.data.runs import Runs
    from bayes_scaling.laws.law import Law


def fit(
    runs: RunsFile,
    law: LawsToFit = "",
    out: Annotated[Path | None, typer.Option(help="File to save the fit in, of one law or of several (.nc).")] = None,
    columns: Columns = "",
    noise: Annotated[str, typer.Option(help=f"How runs scatter around the law: {explained(NOISES)}.")] = "auto",
    noise_scale: Annotated[str, typer.Option(help=f"Scale of the noise: {explained(SCALE_CHOICES)}.")] = "auto",
    noise_rows: Annotated[
        str, typer.Option(help=f"How rows depend on each other: {explained(ROWS_CHOICES)}.")
    ] = "auto",
    noise_start: Annotated[
        str, typer.Option(help=f"How training curves leave the law at their start: {explained(STARTS)}.")
    ] = "learned",
    discrepancy: Annotated[
        str, typer.Option(help=f"Error of the law itself: {explained(DISCREPANCIES)}.")
    ] = "brownian",
    discrepancy_along: Annotated[str, typer.Option(help=f"What that error runs along: {explained(ALONG)}.")] = "auto",
    pool: Annotated[
        list[str] | None,
        typer.Option(
            help="Let a parameter of one law differ between groups: alpha=partial:dataset or E=separate:family. "
            f"Modes: {explained(POOLING)}. Repeatable."
        ),
    ] = None,
    after_warmup: Annotated[
        float | None, typer.Option(help="Leave out this first fraction of each training curve: 0.1.")
    ] = None,
    ends: Annotated[bool, typer.Option("--ends", help="Fit only the last row of each run.")] = False,
    priors: Annotated[Path | None, typer.Option(help="TOML file with a [priors] table, of one law.")] = None,
    below: Annotated[str, typer.Option(help="Fit only rows up to a limit: flops=1e21.")] = "",
    sampler: Annotated[str, typer.Option(help=f"How to sample: {explained(SAMPLERS)}.")] = "auto",
    chains: Annotated[int, typer.Option(help="Number of chains.")] = 4,
    draws: Annotated[int, typer.Option(help="Draws per chain after warm-up.")] = 1000,
    device: Annotated[str, typer.Option(help=f"Where to compute: {explained(DEVICES)}.")] = "auto",
    refits: Annotated[
        Path | None, typer.Option(help="Of several laws, folder to keep refits in; an interrupted fit resumes from it.")
    ] = None,
    workers: Workers = None,
    dask: DaskAddress = "",
    seed: Seed = 0,
    loss_unit: LossUnit = "nats/token",
    params_convention: Convention = "unstated",
    as_json: AsJson = False,
) -> None:
    """Fit the laws that suit a table, weighed by how they would have forecast its largest runs; or one law.

    Exits with code 3 if the sampler of a single law did not converge.

    Example: bayes-scaling fit runs.csv --out fit.nc --seed 0
    """
    names = law_names(law)
    if len(names) == 1 and refits:
        raise DataError("--refits keeps fits to parts of the table, which one law does not need; leave it out")
    check_outputs(
        [Output("--out", out, (".nc",)), Output("--refits", refits, refits=len(names) != 1)],
        {"the table of runs": runs, "the file of priors": priors},
    )
    if len(names) != 1 and (priors or pool):
        option = "--priors" if priors else "--pool"
        raise LawError(f"{option} is about the parameters of one law; name it, as in --law chinchilla")
    if len(names) == 1:
        refuse_without_fits(workers, dask, "one law is one fit")
    from bayes_scaling.evaluate.defaults import NoiseAsked, default_laws
    from bayes_scaling.evaluate.fitting import fit as fit_laws
    from bayes_scaling.evaluate.fitting import members
    from bayes_scaling.inference.sampler import Sampler
    from bayes_scaling.laws.catalogue import load_law
    from bayes_scaling.laws.priors import read_priors
    from bayes_scaling.model.discrepancy import Discrepancy
    from bayes_scaling.model.pooling import Pool

    table = read_runs(runs, columns, loss_unit, params_convention)
    if below:
        column, _, value = below.partition("=")
        if not (column and value):
            raise DataError(f"cannot read --below {below!r}; expected flops=1e21")
        table = table.where(table.column(column) <= number(value, "--below"))
    if after_warmup is not None:
        table = table.after_warmup(after_warmup)
    if ends:
        table = table.ends()
    off = Discrepancy(discrepancy, along=discrepancy_along)
    sampled = Sampler(cast(SamplerName, sampler), chains, draws, device)
    scatter = NoiseAsked(*cast(Any, (noise, noise_scale, noise_rows, noise_start)))
    if len(names) == 1:
        chosen = load_law(names[0], priors=read_priors(priors) if priors else None)
        of_one = dataclasses.replace(scatter, scale="constant") if scatter.scale == "auto" else scatter
        how = {"noise": of_one.of(chosen, table), "discrepancy": off, "sampler": sampled, "seed": seed}
        _fit_one(chosen, table, {name: Pool(by, mode) for name, mode, by in map(pooled, pool or [])}, how, out, as_json)
    else:
        with executor_of(workers, dask) as executor:
            candidates = members(names or default_laws(table), scatter, off, sampled, table)
            result = fit_laws(candidates, table, folder=refits, executor=executor, seed=seed)
        _show_several(result, table, out, as_json)


def _show_several(result: Any, table: Runs, out: Path | None, as_json: bool) -> None:
    """Save several laws that were fitted together, and print their weights."""
    from rich.text import Text

    from bayes_scaling.cli.printing.ensembles import ensemble_content, ensemble_summary
    from bayes_scaling.cli.printing.layout import show

    if out is not None:
        result.save(out)
    if as_json:
        warn_of(table)
        print_json({**ensemble_content(result), "saved": None if out is None else str(out)})
    else:
        odd = [Text(f"warning: {warning}") for warning in table.warnings]
        show(*odd, ensemble_summary(result), *([Text(f"saved to {out}")] if out else []))


def _fit_one(chosen: Law, table: Runs, pooling: Any, how: dict[str, Any], out: Path | None, as_json: bool) -> None:
    """Fit one law, save it and print its posterior."""
    from bayes_scaling.cli.printing.fits import fit_content, fit_summary
    from bayes_scaling.cli.printing.layout import show
    from bayes_scaling.evaluate.checks import identifiability
    from bayes_scaling.evaluate.fitting import fit as fit_laws

    result = fit_laws(chosen, table, pooling=pooling, **how)
    if out is not None:
        result.save(out)
    unlearned = identifiability(chosen, table)
    if as_json:
        warn_of(table)
        saved = {"saved": None if out is None else str(out)}
        print_json({**fit_content(result), "identifiability": list(unlearned), **saved})
    else:
        from rich.text import Text

        odd = [Text(f"warning: {warning}") for warning in (*table.warnings, *unlearned)]
        show(*odd, fit_summary(result), *([Text(f"saved to {out}")] if out else []))
    if not result.converged:
        raise typer.Exit(NOT_CONVERGED)


def plot(
    fit_file: FitFile,
    law: LawOfFit = "",
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("plots"),
    params: Params = "",
    tokens: Tokens = "",
    flops: Flops = "",
    at: At = None,
    table: PointsTable = None,
    target: Annotated[float | None, typer.Option(help="Loss to mark in the forecast.")] = None,
    file_format: Annotated[str, typer.Option("--format", help="Picture format: png, svg or pdf.")] = "png",
    unconverged: Unconverged = False,
) -> None:
    """Draw a fit: curves with bands, the forecast, what each law says, priors and posteriors, residuals, traces.

    Example: bayes-scaling plot fit.nc --out plots/ --params 70e9 --tokens 1.4e12
    """
    from bayes_scaling.plot.gallery import refuse_unknown_format, save_pictures

    refuse_unknown_format(file_format)
    holds = tuple(f"{name}.{file_format}" for name in PICTURES)
    check_outputs([Output("--out", out, holds=holds)], {"the fit": fit_file, "--table": table})
    ahead = None if table is None else asked_table(table, "--table")
    loaded = saved_fit(fit_file, law)
    for fitted in fits_in(loaded):
        fitted.require_convergence(unconverged)
    planned = None
    given = {**inputs_of({"params": params, "tokens": tokens, "flops": flops}), **named(at)}
    if target is not None and not (given or table):
        raise ForecastError("--target needs a forecast to mark; add --params and --tokens, or --table FILE")
    if given or table:
        planned = planned_forecast(loaded, given, ahead, 0, unconverged)
    for path in save_pictures(loaded, out, planned, target=target, file_format=file_format):
        typer.echo(path)
