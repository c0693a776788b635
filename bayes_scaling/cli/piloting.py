"""Commands before, during and after a big run: pilots, mid-run decisions, registered forecasts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bayes_scaling.base.files import refuse_taken, text_of
from bayes_scaling.base.messages import counted, printing
from bayes_scaling.base.numbers import number as written
from bayes_scaling.cli._options import (
    AsJson,
    At,
    FitFile,
    LawOfFit,
    Seed,
    Unconverged,
    asked_table,
    groups_in,
    inputs_of,
    named,
    numbers,
    print_json,
    saved_fit,
)
from bayes_scaling.cli._outputs import Output, check_outputs
from bayes_scaling.cli._plan_options import (
    CostName,
    CostQuantile,
    Currency,
    Incumbent,
    IncumbentOfRun,
    Limits,
    ObjectiveName,
    PeakFlops,
    PricePerGpuHour,
    ServingPrice,
    ServingTokens,
    ServingUtilisation,
    Target,
    TrainingCostName,
    Utilisation,
    constraints_of,
    cost_from,
    fixed,
    training_cost_from,
)
from bayes_scaling.errors import DataError, PlanError


def pilot(
    source: FitFile,
    pilot_budget: Annotated[
        float, typer.Option(help="Largest total cost of the pilots, in the unit of --cost.", show_default=False)
    ],
    law: LawOfFit = "",
    budget: Annotated[float | None, typer.Option(help="Budget of the big run.")] = None,
    forecast_at: Annotated[
        list[str] | None,
        typer.Option(help="Instead of --budget, the run to forecast: params=70e9. Repeatable."),
    ] = None,
    offers: Annotated[
        Path | None, typer.Option(help="Table of pilots to choose from: inputs, and cost if known.")
    ] = None,
    between: Annotated[
        list[str] | None, typer.Option(help="Instead of --offers, the range of an input: params=1e8:1e10. Repeatable.")
    ] = None,
    copies: Annotated[int, typer.Option(help="How often one pilot may be repeated.")] = 4,
    price: Annotated[
        float | None, typer.Option(help="Value of one unit of cost, if pilots are not paid out of the budget.")
    ] = None,
    objective: ObjectiveName = "expected_improvement",
    incumbent: Incumbent = None,
    target: Target = None,
    limit: Limits = None,
    cost: CostName = "flops",
    peak_flops: PeakFlops = None,
    utilisation: Utilisation = "",
    price_per_gpu_hour: PricePerGpuHour = "",
    currency: Currency = None,
    serving_tokens: ServingTokens = "",
    serving_utilisation: ServingUtilisation = "",
    serving_price: ServingPrice = "",
    cost_quantile: CostQuantile = None,
    at: At = None,
    seed: Seed = 0,
    unconverged: Unconverged = False,
    as_json: AsJson = False,
) -> None:
    """Choose the pilots worth buying before a big run, if any.

    Example: bayes-scaling pilot fit.nc --budget 1e23 --pilot-budget 1e21 --between params=1e8:1e10
    --between tokens=1e9:1e11
    """
    from bayes_scaling.cli.printing.layout import show
    from bayes_scaling.cli.printing.plans import pilot_table
    from bayes_scaling.decide.decision import DecisionProblem
    from bayes_scaling.predict.ensemble import draws_of

    if (offers is None) == (not between):
        raise PlanError(
            "say which pilots to choose from: either --offers TABLE, or --between INPUT=LEAST:MOST for each input"
        )
    if offers is not None:
        candidates: Any = asked_table(offers, "--offers")
    else:
        pairs = [item.partition("=") for item in between or []]
        candidates = {name.strip(): tuple(numbers(text.replace(":", ","), "--between")) for name, _, text in pairs}
    fitted = saved_fit(source, law)
    given, group = fixed(at, groups_in(fitted))
    problem = DecisionProblem(
        draws_of(fitted, seed, group=group, unconverged=unconverged),
        cost=cost_from(
            cost,
            peak_flops=peak_flops,
            utilisation=utilisation,
            price_per_gpu_hour=price_per_gpu_hour,
            currency=currency,
            serving_tokens=serving_tokens,
            serving_utilisation=serving_utilisation,
            serving_price=serving_price,
            quantile=cost_quantile,
        ),
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
    run: Annotated[str, typer.Option(help="Id of the run; the fit must include its curve so far.", show_default=False)],
    until: Annotated[
        float,
        typer.Option(help="Planned end of the run, in steps (tokens if the table has no steps).", show_default=False),
    ],
    law: LawOfFit = "",
    extend: Annotated[str, typer.Option(help="Other ends to compare, as multiples of --until.")] = "1.5,2",
    price: Annotated[
        float, typer.Option(help="Value of one unit of cost, in the unit of the objective; 0 does not count cost.")
    ] = 0.0,
    objective: ObjectiveName = "expected_improvement",
    incumbent: IncumbentOfRun = None,
    target: Target = None,
    cost: TrainingCostName = "flops",
    peak_flops: PeakFlops = None,
    utilisation: Utilisation = "",
    price_per_gpu_hour: PricePerGpuHour = "",
    currency: Currency = None,
    cost_quantile: CostQuantile = None,
    seed: Seed = 0,
    unconverged: Unconverged = False,
    as_json: AsJson = False,
) -> None:
    """Compare stopping a run now, finishing it as planned, and extending it.

    Example: bayes-scaling midrun fit.nc --run big --until 100000
    """
    from bayes_scaling.cli.printing.layout import show
    from bayes_scaling.cli.printing.plans import midrun_table
    from bayes_scaling.decide.midrun import midrun as compare_options
    from bayes_scaling.inference.result import Fit
    from bayes_scaling.predict.so_far import along_curves

    fitted = saved_fit(source, law)
    if not isinstance(fitted, Fit):
        able = [fit.law.label for fit in (fitted.leading, *fitted.fits.values()) if along_curves(fit)]
        remedy = (
            f"choose it, as in --law {able[0]!r}"
            if able
            else "none of them reads steps or tokens, so fit one that does"
        )
        raise PlanError(f"{source.name} holds several laws, and the curve of a run is continued by one: {remedy}")
    found = compare_options(
        fitted,
        run,
        until,
        extend=numbers(extend, "--extend") if extend else (),
        objective=objective,
        incumbent=incumbent,
        target=target,
        price=price,
        cost=training_cost_from(
            cost,
            peak_flops=peak_flops,
            utilisation=utilisation,
            price_per_gpu_hour=price_per_gpu_hour,
            currency=currency,
            quantile=cost_quantile,
        ),
        seed=seed,
        unconverged=unconverged,
    )
    if as_json:
        print_json(found.to_dict())
    else:
        show(midrun_table(found))


def preregister(
    source: Annotated[
        Path,
        typer.Argument(help="Plan saved from 'allocate --json', or what 'fit --out' saved (.nc).", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="New file to write; an existing one is never replaced.")] = Path(
        "forecast.json"
    ),
    params: Annotated[str, typer.Option(help="With a fit: parameter counts of the runs to forecast.")] = "",
    tokens: Annotated[str, typer.Option(help="With a fit: training tokens of the runs to forecast.")] = "",
    at: At = None,
    law: LawOfFit = "",
    name: Annotated[str, typer.Option(help="Name of the forecast.")] = "",
    note: Annotated[str, typer.Option(help="A note for readers.")] = "",
    seed: Seed = 0,
    unconverged: Unconverged = False,
) -> None:
    """Register the forecast of a run before it is trained.

    Example: bayes-scaling preregister plan.json --name "the big run"
    """
    check_outputs([Output("--out", out, (".json",))], {"the plan or fit": source})
    refuse_taken(out)
    from bayes_scaling.decide.records import preregister as put

    if source.suffix.lower() == ".nc":
        from bayes_scaling.predict.forecast import forecast

        fitted = saved_fit(source, law)
        planned = {**inputs_of({"params": params, "tokens": tokens}), **named(at)}
        ahead = forecast(fitted, seed=seed, unconverged=unconverged, **planned)
        registered = put(ahead, rests_on=fitted, name=name, note=note)
    else:
        said = {"--params": params, "--tokens": tokens, "--at": at, "--law": law, "--seed": seed}
        lost = [option for option, value in {**said, "--unconverged": unconverged}.items() if value]
        if lost:
            raise DataError(
                f"{lost[0]} is about the forecast of a fit, and {source.name} is read as a plan, which has its run "
                "already; leave it out, or give what 'bayes-scaling fit --out' saved (.nc)"
            )
        try:
            plan = json.loads(text_of(source))
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(
                f"cannot read {source} as a plan ({error}); expected what 'bayes-scaling allocate --json' printed, or "
                "what 'bayes-scaling fit --out' saved (.nc)"
            ) from None
        registered = put(plan if isinstance(plan, dict) else {}, name=name, note=note)
    registered.save(out)
    called = f"{printing(name)}, " if name else ""
    typer.echo(f"{out}: {called}{counted(len(registered.runs), 'run')}")
    inputs = ", ".join(
        f"{name} {value if isinstance(value, str) else written(value)}"
        for name, value in registered.content["runs"][0]["inputs"].items()
    )
    typer.echo(printing(f"{inputs}: {registered.verdict}"))
    for caveat in registered.content["caveats"]:
        typer.echo(f"caveat: {printing(caveat)}")


def score(
    source: Annotated[
        Path, typer.Argument(help="Forecast written by 'bayes-scaling preregister'.", show_default=False)
    ],
    loss: Annotated[str, typer.Option(help="Measured loss of each run, comma-separated.")] = "",
    runs: Annotated[
        Path | None, typer.Option(help="Instead of --loss, a table of runs with the measured losses.")
    ] = None,
    record: Annotated[Path | None, typer.Option(help="Track record to add the scores to (.jsonl).")] = None,
    as_json: AsJson = False,
) -> None:
    """Score a registered forecast against measured losses, and keep a track record.

    Example: bayes-scaling score forecast.json --loss 1.94 --record record.jsonl
    """
    check_outputs([Output("--record", record, (".jsonl",))], {"the registered forecast": source, "--runs": runs})
    import pandas as pd
    from rich.text import Text

    from bayes_scaling.cli.printing.layout import show
    from bayes_scaling.cli.printing.plans import record_table
    from bayes_scaling.decide.records import Registered, score_registered
    from bayes_scaling.decide.track_record import TrackRecord

    if (not loss) == (runs is None):
        raise DataError("say what was measured: either --loss LOSS or --runs TABLE")
    registered = Registered.read(source)
    measured: Any = asked_table(runs, "--runs") if runs is not None else numbers(loss, "--loss")
    scores = score_registered(registered, measured)
    kept = TrackRecord(pd.DataFrame()).add(scores) if record is None else TrackRecord.append(record, scores)
    if as_json:
        print_json(
            {
                "scores": scores.to_dict(orient="records"),
                "record": kept.summary().to_dict(orient="records"),
                "verdict": kept.verdict,
                "warnings": list(kept.unread),
            }
        )
    else:
        show(*(Text(f"warning: {one}") for one in kept.unread), record_table(scores, kept))
