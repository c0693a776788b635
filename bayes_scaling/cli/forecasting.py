"""Commands that forecast from a fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_scaling.base.names import PICTURES
from bayes_scaling.cli._options import (
    AsJson,
    At,
    Columns,
    Convention,
    FitFile,
    Flops,
    LawOfFit,
    LawOfSource,
    LossUnit,
    Params,
    PointsTable,
    Seed,
    Source,
    TableOrFit,
    Tokens,
    Unconverged,
    asked_table,
    fits_in,
    group_name,
    groups_in,
    inputs_of,
    named,
    number,
    planned_forecast,
    print_json,
    refuse_no_question,
    saved_fit,
)
from bayes_scaling.cli._outputs import Output, check_outputs
from bayes_scaling.cli._workers import DaskAddress, Workers, executor_of
from bayes_scaling.errors import DataError

if TYPE_CHECKING:
    from bayes_scaling.inference.result import Fit
    from bayes_scaling.predict.ensemble import Ensemble
    from bayes_scaling.predict.frontier import Requirement


def forecast(
    source: Source,
    law: LawOfSource = "",
    params: Params = "",
    tokens: Tokens = "",
    flops: Flops = "",
    at: At = None,
    table: PointsTable = None,
    target: Annotated[
        float | None, typer.Option(help="Loss to reach; prints its probability and the compute it takes.")
    ] = None,
    prob: Annotated[str, typer.Option(help="Probabilities of the bands, comma-separated fractions.")] = "0.5,0.9",
    out: Annotated[Path | None, typer.Option(help="With a table, file to save the fitted laws in (.nc).")] = None,
    columns: Columns = "",
    loss_unit: LossUnit = "nats/token",
    params_convention: Convention = "unstated",
    workers: Workers = None,
    dask: DaskAddress = "",
    seed: Seed = 0,
    unconverged: Unconverged = False,
    as_json: AsJson = False,
) -> None:
    """Forecast the loss of planned runs, with credible bands: fit the laws that suit a table, or use what was saved.

    Example: bayes-scaling forecast runs.csv --params 70e9 --tokens 1.4e12 --target 1.95 --prob 0.5,0.9
    """
    check_outputs([Output("--out", out, (".nc",))], {"the table of runs": source, "--table": table})
    from bayes_scaling.base.messages import checked_loss, checked_probability
    from bayes_scaling.cli.printing.ensembles import each_law, each_law_table, ensemble_content
    from bayes_scaling.cli.printing.forecasts import forecast_table, requirement_content, requirement_line
    from bayes_scaling.cli.printing.layout import show
    from bayes_scaling.predict.ensemble import Ensemble

    probabilities = [checked_probability(number(p, "--prob"), "--prob") for p in prob.split(",")]
    widest = max(probabilities)
    if target is not None:
        checked_loss(target, what="--target: target loss")
    given = {**inputs_of({"params": params, "tokens": tokens, "flops": flops}), **named(at)}
    if out is not None and source.suffix.lower() == ".nc":
        raise DataError("--out saves laws that are fitted now, and these are saved already; leave it out")
    ahead = None if table is None else asked_table(table, "--table", columns)
    asked = TableOrFit(source, law, columns, loss_unit, params_convention, seed, asks=ahead is not None)
    loaded = asked.fitted(lambda runs: refuse_no_question(given, ahead, law, runs), workers, dask)
    if out is not None:
        loaded.save(out)
    result = planned_forecast(loaded, given, ahead, seed, unconverged)
    requirement = None if target is None else _requirement(loaded, target, seed, unconverged)
    together = loaded if isinstance(loaded, Ensemble) and len(loaded.members) > 1 else None
    if as_json:
        content = json.loads(result.to_json(probabilities, target))
        if requirement is not None:
            content["required"] = requirement_content(requirement, widest)
        if together is not None:
            content["ensemble"] = {**ensemble_content(together), "at_largest": each_law(result, together, widest)}
        print_json(content)
        return
    parts = [forecast_table(result, probabilities, target)]
    if requirement is not None:
        parts.append(requirement_line(requirement, widest, result.loss_unit))
    if together is not None:
        parts.append(each_law_table(result, together, widest))
    show(*parts)


def _requirement(loaded: Fit | Ensemble, target: float, seed: int, unconverged: bool) -> Requirement | None:
    """Return what a loss takes, where the laws have one answer: a split of compute, or their only input."""
    from bayes_scaling.predict.frontier import required

    inputs = {fit.law.inputs for fit in fits_in(loaded)}
    simple = all(set(one) == {"params", "tokens"} for one in inputs) or (len(inputs) == 1 and len(min(inputs)) == 1)
    return required(loaded, target, seed=seed, unconverged=unconverged) if simple and not groups_in(loaded) else None


def quantity(
    fit_file: FitFile,
    name: Annotated[
        str, typer.Argument(help="Quantity of the law; 'bayes-scaling laws show LAW' lists them.", show_default=False)
    ],
    law: LawOfFit = "",
    at: At = None,
    prob: Annotated[float, typer.Option(help="Probability of the interval, a fraction.")] = 0.9,
    unconverged: Unconverged = False,
    as_json: AsJson = False,
) -> None:
    """Compute a quantity of a law with its uncertainty, such as the critical batch size or the optimal size.

    Example: bayes-scaling quantity fit.nc critical_batch --at loss=3.0,2.5
    """
    from bayes_scaling.cli.printing.forecasts import quantity_table
    from bayes_scaling.cli.printing.layout import show
    from bayes_scaling.predict import quantities as _quantities

    loaded = saved_fit(fit_file, law)
    given = named(at)
    group = {column: group_name(given.pop(column)) for column in groups_in(loaded) if column in given}
    found = _quantities.quantity(loaded, name, group=group, unconverged=unconverged, **given)
    if as_json:
        points = json.loads(found.to_frame(prob).to_json(orient="records"))
        said = {"quantity": name, "unit": found.unit, "meaning": found.meaning, "laws": dict(found.laws) or None}
        print_json({**said, "prob": prob, "points": points})
    else:
        show(quantity_table(found, prob, loaded.runs.loss_unit))


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the fits and the pictures.")] = Path("bayes-scaling-demo"),
    workers: Workers = None,
    dask: DaskAddress = "",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Fit several laws to the small runs of a bundled table, forecast the largest and check against what was measured.

    Example: bayes-scaling demo
    """
    check_outputs([Output("--out", out, holds=("ensemble.nc", *(f"{name}.png" for name in PICTURES)))], {})
    from bayes_scaling.cli import demo as _demo
    from bayes_scaling.cli.printing.demo import demo_content, demo_story
    from bayes_scaling.cli.printing.layout import show

    with executor_of(workers, dask) as executor:
        done = _demo.demo(out, executor, seed)
    if as_json:
        print_json(demo_content(done))
    else:
        show(demo_story(done))
