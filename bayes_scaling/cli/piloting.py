"""Commands before, during and after a big run: pilots, mid-run decisions, registered forecasts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bayes_scaling.cli._options import (
    AsJson,
    At,
    FitFile,
    Seed,
    Unconverged,
    inputs_of,
    named,
    numbers,
    print_json,
)
from bayes_scaling.cli._plan_options import (
    CostName,
    Incumbent,
    Limits,
    ObjectiveName,
    PeakFlops,
    PricePerGpuHour,
    Target,
    Utilisation,
    constraints_of,
    cost_from,
    fixed,
)
from bayes_scaling.errors import DataError, PlanError


def pilot(
    source: FitFile,
    pilot_budget: Annotated[float, typer.Option(help="The most that pilots may cost.", show_default=False)],
    budget: Annotated[float | None, typer.Option(help="Of the big run that pilots are to inform.")] = None,
    forecast_at: Annotated[
        list[str] | None,
        typer.Option(help="Instead of --budget, the run to forecast: --forecast-at params=70e9 ... Repeatable."),
    ] = None,
    offers: Annotated[Path | None, typer.Option(help="Table of runs on offer: inputs, cost if known.")] = None,
    between: Annotated[
        list[str] | None, typer.Option(help="Instead of a table, a range of an input: params=1e8:1e10. Repeatable.")
    ] = None,
    copies: Annotated[int, typer.Option(help="How often one run may be repeated.")] = 4,
    price: Annotated[
        float | None, typer.Option(help="Worth of one unit of cost, where pilots are not paid out of the budget.")
    ] = None,
    objective: ObjectiveName = "expected_improvement",
    incumbent: Incumbent = None,
    target: Target = None,
    limit: Limits = None,
    cost: CostName = "flops",
    peak_flops: PeakFlops = None,
    utilisation: Utilisation = "",
    price_per_gpu_hour: PricePerGpuHour = "",
    at: At = None,
    seed: Seed = 0,
    unconverged: Unconverged = False,
    as_json: AsJson = False,
) -> None:
    """Choose small runs to buy before a big one, or none if none is worth its price.

    Example: bayes-scaling pilot fit.nc --budget 1e23 --pilot-budget 1e21 --between params=1e8:1e10
    --between tokens=1e9:1e11
    """
    from bayes_scaling.cli.show import show
    from bayes_scaling.cli.show_plans import pilot_table
    from bayes_scaling.decide.decision import DecisionProblem
    from bayes_scaling.inference.loading import load_fit
    from bayes_scaling.predict.ensemble import Ensemble

    if (offers is None) == (not between):
        raise PlanError("say which runs are on offer: a table (--offers), or a range of each input (--between)")
    if offers is not None:
        candidates: Any = _table(offers, "--offers")
    else:
        pairs = [item.partition("=") for item in between or []]
        candidates = {name.strip(): tuple(numbers(text.replace(":", ","), "--between")) for name, _, text in pairs}
    fitted = load_fit(source)
    given, group = fixed(at, fitted.groups.columns)
    problem = DecisionProblem(
        Ensemble.of(fitted, seed, group=group, unconverged=unconverged),
        cost=cost_from(cost, peak_flops=peak_flops, utilisation=utilisation, price_per_gpu_hour=price_per_gpu_hour),
        objective=objective,
        constraints=constraints_of(limit),
        incumbent=incumbent,
        target=target,
        given=given,
        seed=seed,
    )
    wanted = named(forecast_at) if forecast_at else None
    plan = problem.pilot(candidates, pilot_budget, budget=budget, forecast_at=wanted, price=price, copies=copies)
    if as_json:
        print_json(plan.to_dict())
    else:
        show(pilot_table(plan))


def midrun(
    source: FitFile,
    run: Annotated[str, typer.Option(help="Id of the run, part of the fit with its curve so far.", show_default=False)],
    until: Annotated[float, typer.Option(help="Where it was to end (steps, else tokens).", show_default=False)],
    extend: Annotated[str, typer.Option(help="Factors of --until at which it might end instead.")] = "1.5,2",
    price: Annotated[float, typer.Option(help="Worth of one unit of cost, in the unit of the objective.")] = 0.0,
    objective: ObjectiveName = "expected_improvement",
    incumbent: Incumbent = None,
    target: Target = None,
    cost: CostName = "flops",
    peak_flops: PeakFlops = None,
    utilisation: Utilisation = "",
    price_per_gpu_hour: PricePerGpuHour = "",
    seed: Seed = 0,
    unconverged: Unconverged = False,
    as_json: AsJson = False,
) -> None:
    """Compare stopping a run now, continuing it as planned, and extending it.

    Example: bayes-scaling midrun fit.nc --run big --until 100000
    """
    from bayes_scaling.cli.show import show
    from bayes_scaling.cli.show_plans import midrun_table
    from bayes_scaling.decide.midrun import midrun as compare_options
    from bayes_scaling.inference.loading import load_fit

    found = compare_options(
        load_fit(source),
        run,
        until,
        extend=numbers(extend, "--extend") if extend else (),
        objective=objective,
        incumbent=incumbent,
        target=target,
        price=price,
        cost=cost_from(cost, peak_flops=peak_flops, utilisation=utilisation, price_per_gpu_hour=price_per_gpu_hour),
        seed=seed,
        unconverged=unconverged,
    )
    if as_json:
        print_json(found.to_dict())
    else:
        show(midrun_table(found))


def preregister(
    source: Annotated[Path, typer.Argument(help="A plan (allocate --json), or a fit (.nc).", show_default=False)],
    out: Annotated[Path, typer.Option(help="File to write, never an existing one.")] = Path("forecast.json"),
    params: Annotated[str, typer.Option(help="With a fit: parameters of the runs to forecast.")] = "",
    tokens: Annotated[str, typer.Option(help="With a fit: their tokens.")] = "",
    at: At = None,
    name: Annotated[str, typer.Option(help="Name of the forecast.")] = "",
    note: Annotated[str, typer.Option(help="A note for readers.")] = "",
    seed: Seed = 0,
    unconverged: Unconverged = False,
) -> None:
    """Put the forecast of a run on record before it is trained.

    Example: bayes-scaling preregister plan.json --name "the big run"
    """
    from bayes_scaling.decide.records import preregister as put
    from bayes_scaling.inference.loading import load_fit

    if source.suffix == ".nc":
        from bayes_scaling.predict.forecast import forecast

        fitted = load_fit(source)
        planned = {**inputs_of({"params": params, "tokens": tokens}), **named(at)}
        ahead = forecast(fitted, seed=seed, unconverged=unconverged, **planned)
        registered = put(ahead, rests_on=fitted, name=name, note=note)
    else:
        try:
            plan = json.loads(source.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read {source} as a plan: {error}") from None
        registered = put(plan if isinstance(plan, dict) else {}, name=name, note=note)
    registered.save(out)
    typer.echo(f"{out}: {len(registered.runs)} run(s), digest {registered.digest}")
    for caveat in registered.content["caveats"]:
        typer.echo(f"caveat: {caveat}")


def score(
    source: Annotated[Path, typer.Argument(help="A registered forecast.", show_default=False)],
    loss: Annotated[str, typer.Option(help="Measured loss of each of its runs, with commas.")] = "",
    runs: Annotated[Path | None, typer.Option(help="Or a table of runs in which they are looked up.")] = None,
    record: Annotated[Path | None, typer.Option(help="Track record to add the scores to (.jsonl).")] = None,
    as_json: AsJson = False,
) -> None:
    """Score a registered forecast against measured losses, and keep a track record.

    Example: bayes-scaling score forecast.json --loss 1.94 --record record.jsonl
    """
    import pandas as pd

    from bayes_scaling.cli.show import show
    from bayes_scaling.cli.show_plans import record_table
    from bayes_scaling.decide.records import Registered, TrackRecord, score_registered

    if (not loss) == (runs is None):
        raise DataError("say what was measured: --loss LOSS, or --runs with a table of runs")
    registered = Registered.read(source)
    measured: Any = _table(runs, "--runs") if runs is not None else numbers(loss, "--loss")
    scores = score_registered(registered, measured)
    kept = (TrackRecord(pd.DataFrame()) if record is None else TrackRecord.read(record)).add(scores)
    if record is not None:
        kept.save(record)
    if as_json:
        print_json({"scores": scores.to_dict(orient="records"), "record": kept.summary().to_dict(orient="records")})
    else:
        show(record_table(scores, kept))


def _table(path: Path, option: str) -> Any:
    """Read the table that an option names."""
    from bayes_scaling.data.reading import read_table

    try:
        return read_table(path)
    except DataError as error:
        raise DataError(f"cannot read {option}: {error}") from None
