"""What the terminal prints: tables and sentences about laws, runs, fits and forecasts.

Every text that comes from data goes through `rich.text.Text`, which does not interpret markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import pandas as pd

    from bayes_scaling.cli.demo import Demo
    from bayes_scaling.data.runs import Runs
    from bayes_scaling.evaluate.backtesting import Backtest
    from bayes_scaling.evaluate.comparison import Comparison
    from bayes_scaling.inference.result import Fit
    from bayes_scaling.laws.catalogue import Entry
    from bayes_scaling.laws.law import Law, Published
    from bayes_scaling.laws.parameters import Parameter
    from bayes_scaling.predict.forecast import Forecast
    from bayes_scaling.predict.frontier import Requirement
    from bayes_scaling.predict.quantities import QuantityDraws


def show(*parts: RenderableType) -> None:
    """Print to standard output; a pipe gets full lines instead of the width of some terminal."""
    console = Console(soft_wrap=False)
    if not console.is_terminal:
        console = Console(width=160)
    console.print(*parts, sep="\n")


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> Table:
    """Return a plain table; numbers right-aligned."""
    rows = [list(row) for row in rows]
    out = Table(
        title=Text(title, style="bold") if title else None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False
    )
    for i, header in enumerate(headers):
        numeric = bool(rows) and all(isinstance(row[i], int | float | np.number) for row in rows)
        out.add_column(Text(header), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        out.add_row(*(Text(_cell(value)) for value in row))
    return out


def _cell(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else ""
    if isinstance(value, float | np.floating):
        return number(float(value))
    return str(value)


def number(value: float) -> str:
    """Write a number with four significant digits, large ones in powers of ten."""
    if value == 0 or not np.isfinite(value):
        return f"{value:g}"
    return f"{value:.3e}" if abs(value) >= 1e6 or abs(value) < 1e-4 else f"{value:.4g}"


# --- laws -------------------------------------------------------------------------------------------------------


def law_list(entries: Iterable[Entry]) -> RenderableType:
    """Return the catalogue on one screen: law with options, inputs, formula."""
    rows = [(_with_options(entry), ", ".join(_read(entry)), entry.law.formula) for entry in entries]
    out = table(("law", "reads", "formula"), rows)
    for column in out.columns:
        column.overflow, column.no_wrap = "ellipsis", True
    return out


def law_table(entries: Iterable[Entry]) -> str:
    """Return the catalogue as a Markdown table."""
    lines = ["| law | reads | formula |", "|---|---|---|"]
    for entry in entries:
        options = "; ".join(f"{key}: {' / '.join(choices) or default}" for key, default, choices in entry.options)
        name = f"`{entry.law.name}`" + (f" ({options})" if options else "")
        lines.append(f"| {name} | {', '.join(_read(entry))} | {entry.law.formula.replace('|', '/')} |")
    return "\n".join(lines)


def _with_options(entry: Entry) -> str:
    options = ",".join(f"{key}={'|'.join(choices) or default}" for key, default, choices in entry.options)
    return f"{entry.law.name}:{options}" if options else entry.law.name


def _read(entry: Entry) -> list[str]:
    """Return the columns that a law reads; an option ``input`` chooses one of them."""
    chosen = {default for key, default, _ in entry.options if key == "input"}
    names = ["the input" if name in chosen else name for name in entry.law.inputs]
    return [*names, "run"] if entry.law.features and "run" in entry.law.features.needs else names


def law_card(law: Law, noise_rows: Sequence[Parameter]) -> RenderableType:
    """Return everything a reader needs to know about a law before fitting it."""
    from bayes_scaling.laws.parameters import Parameter
    from bayes_scaling.laws.priors import describe_prior

    inputs = [f"{name} ({law.column(name).meaning})" for name in law.inputs]
    parts = [
        Text(f"{law.label}: {law.title}", style="bold"),
        Text(f"\n    {law.formula}\n"),
        *(
            _entry(word, text)
            for word, text in (("inputs", ", ".join(inputs)), ("holds", law.holds), ("fails", law.fails))
        ),
        Text("\nParameters and priors", style="bold"),
    ]
    for row in (*law.parameters, *noise_rows):
        parts.append(_entry(row.name, f"{row.meaning} [{row.unit}]"))
        if isinstance(row, Parameter):
            parts.append(_entry("", f"{row.quantity or row.name} ~ {describe_prior(row.prior)}"))
            parts.append(_entry("", row.source, style="dim"))
        else:
            parts.append(_entry("", "follows from the others"))
    if law.weakly_identified:
        parts.append(_entry("weak", f"tables of the usual span tell little about {', '.join(law.weakly_identified)}"))
    if law.quantities:
        parts.append(Text("\nOther quantities, for quantity(fit, name, ...)", style="bold"))
    for q in law.quantities:
        takes = ", ".join(name for name in q.needs if name not in law.parameter_names)
        parts.append(Text(f"{q.name}({takes})"))
        parts.append(_entry("", f"{q.meaning} [{q.unit}]"))
        parts.append(_entry("", q.source, style="dim"))
    if law.published:
        parts.append(Text("\nPublished constants, for law.at(name) and simulate --constants name", style="bold"))
    for c in law.published:
        parts.append(Text(c.name if c.verified else f"{c.name} (UNVERIFIED: not read in the paper)"))
        parts.append(_entry("", ", ".join(_with_error(c, name) for name in law.parameter_names)))
        parts.append(_entry("", f"{c.source}; {c.note}" if c.note else c.source, style="dim"))
    parts.append(Text("\nReferences", style="bold"))
    return Group(*parts, *(_entry("", line) for line in law.references))


def _entry(word: str, text: str, style: str = "") -> RenderableType:
    """Return a word and a paragraph that wraps beside it."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=9, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(word), Text(text, style=style))
    return grid


def _with_error(constants: Published, name: str) -> str:
    error = constants.standard_error.get(name)
    return f"{name} = {number(constants.values[name])}" + (f" (se {number(error)})" if error else "")


def quantity_table(quantity: QuantityDraws, probability: float) -> RenderableType:
    """Return a quantity at each point with its interval."""
    frame = quantity.to_frame(probability)
    inputs = [str(name) for name in quantity.points]
    headers = [*inputs, f"median [{quantity.unit}]", f"{probability:.0%} interval", "defined"]
    rows = [
        [
            *(float(row[name]) for name in inputs),
            float(row["median"]),
            f"{number(float(row['low']))} - {number(float(row['high']))}",
            f"{row['defined']:.0%}",
        ]
        for _, row in frame.iterrows()
    ]
    note = "Equal-tailed credible interval of the law's parameters, over the draws that give an answer (defined)."
    return Group(table(headers, rows, title=f"{quantity.name}: {quantity.meaning}"), Text(note))


# --- runs -------------------------------------------------------------------------------------------------------


def runs_summary(runs: Runs) -> RenderableType:
    """Return the ranges of a table, and what was recognised, derived, or looks odd."""
    from bayes_scaling.data.runs import NUMERIC

    rows = []
    for name in NUMERIC:
        if name in runs:
            values = runs.column(name)
            decades = float(np.log10(values.max() / values.min()))
            rows.append(
                (
                    name,
                    float(values.min()),
                    float(np.median(values)),
                    float(values.max()),
                    round(decades, 2),
                    len(np.unique(values)),
                )
            )
    lines = [
        Text(
            f"{runs.source}: {len(runs)} rows, loss in {runs.loss_unit}, params: {runs.params_convention}", style="bold"
        )
    ]
    notes = [Text(f"note     {note}") for note in runs.notes]
    odd = [Text(f"warning  {warning}", style="yellow") for warning in runs.warnings]
    return Group(*lines, table(("column", "smallest", "median", "largest", "decades", "distinct"), rows), *notes, *odd)


# --- fits -------------------------------------------------------------------------------------------------------


def fit_summary(fit: Fit) -> RenderableType:
    """Return the posterior, how it was sampled, and which runs stand out."""
    from bayes_scaling.evaluate.checks import find_influential, find_outliers

    summary = fit.summary(0.9)
    units = {row.name: row.unit for row in fit.composition.rows}
    rows = [
        (name, float(v["median"]), float(v.iloc[1]), float(v.iloc[2]), f"{v['learned']:.0%}", _unit(str(name), units))
        for name, v in summary.iterrows()
    ]
    d = fit.diagnostics
    how = (
        f"{fit.sampler_used}, {fit.unconstrained.shape[0]} x {fit.unconstrained.shape[1]} draws: R-hat {d.rhat:.3f}, "
        f"ESS {d.ess_bulk:.0f} bulk, {d.ess_tail:.0f} tail, {d.divergences} divergences, {fit.manifest['seconds']} s"
    )
    if np.isfinite(d.k_hat):
        how = f"{fit.sampler_used} (not MCMC): Pareto k-hat {d.k_hat:.2f}, effective draws {d.ess_bulk:.0f}"
    parts: list[RenderableType] = [
        Text(
            f"{fit.law.label} fitted to {fit.runs.counted} of {fit.runs.source}, {fit.noise.label} noise, "
            + ("law taken to be right" if fit.discrepancy.kind == "none" else "with a discrepancy of the law"),
            style="bold",
        ),
        Text(f"    {fit.law.formula}"),
        table(("parameter", "median", "5%", "95%", "learned", "unit"), rows),
        Text("learned: share of the prior's variance that the data removed; near 0 % the prior is speaking"),
        Text(how),
    ]
    flagged = find_outliers(fit)
    flagged = flagged[flagged["outlier"]]
    if len(flagged):
        names = ", ".join(
            f"{run} ({residual:+.1%})"
            for run, residual in zip(flagged["run"][:8], flagged["residual"][:8], strict=True)
        )
        parts.append(Text(f"outliers: {len(flagged)} runs lie outside the bulk of the scatter: {names}"))
    flagged = find_influential(fit)
    flagged = flagged[flagged["influential"]]
    moving = flagged["shift"].abs() > 0.5
    if moving.any():
        shifts = zip(*(flagged.loc[moving, name][:5] for name in ("run", "parameter", "shift")), strict=True)
        names = ", ".join(f"{run} ({parameter} by {shift:+.1f} sd)" for run, parameter, shift in shifts)
        parts.append(Text(f"influential: leaving out one of these {moving.sum()} runs would move the answer: {names}"))
    if (~moving).any():
        names = ", ".join(map(str, flagged.loc[~moving, "run"][:5]))
        parts.append(Text(f"perhaps influential (only a refit without it could tell): {names}"))
    weak = [name for name in fit.law_names if fit.contraction[name] < 0.5]
    if weak:
        parts.append(
            Text(f"the prior is speaking: the data removed less than half of its variance for {', '.join(weak)}")
        )
    parts += [Text(f"NOT CONVERGED: {problem}", style="bold red") for problem in fit.problems]
    return Group(*parts)


def _unit(name: str, units: Mapping[str, str]) -> str:
    """Return the unit of a parameter, of a group's value of it, or of the spread of its population."""
    return units.get(name) or units.get(name.split("[")[0], "on the sampled scale")


# --- forecasts --------------------------------------------------------------------------------------------------


def forecast_table(forecast: Forecast, probabilities: Sequence[float], target: float | None) -> RenderableType:
    """Return the forecast at each point with both bands, and say what they contain."""
    frame = forecast.to_frame(probabilities, target)
    shown = [str(name) for name in forecast.points]
    headers = [*shown, "x largest run", f"median [{forecast.loss_unit}]"]
    columns: list[list[Any]] = [list(frame[name]) for name in shown] + [
        list(frame["extrapolation"]),
        list(frame["mean_median"]),
    ]
    for of, word in (("mean", "mean curve"), ("new_run", "one new run")):
        for p in probabilities:
            headers.append(f"{p:.0%} {word}")
            low, high = frame[f"{of}_{p:g}_low"], frame[f"{of}_{p:g}_high"]
            columns.append([f"{a:.4g} - {b:.4g}" for a, b in zip(low, high, strict=True)])
    if target is not None:
        headers.append(f"P(loss <= {target:g})")
        columns.append([f"{p:.1%}" for p in frame["probability_below_target"]])
    note = f"Bands: {forecast.contains['mean']}; {forecast.contains['new_run']}. Equal-tailed intervals."
    return Group(table(headers, zip(*columns, strict=True), title=f"Forecast by {forecast.label}"), Text(note))


def requirement_line(requirement: Requirement, probability: float, unit: str) -> RenderableType:
    """Return in one sentence what a target loss takes."""
    low, high = requirement.interval(probability)
    what = {"flops": "FLOPs"}.get(requirement.of, requirement.of)
    sentence = (
        f"loss {requirement.loss:g} {unit} on the mean curve takes {requirement.quantile(0.5):.3g} {what} "
        f"({probability:.0%}: {low:.3g} - {high:.3g}) along {requirement.along}"
    )
    if requirement.reachable < 1:
        sentence += f"; with probability {1 - requirement.reachable:.1%} it is out of reach at any size"
    return Text(sentence)


def measured_table(
    forecast: Forecast, measured: np.ndarray, labels: Sequence[str], frame: pd.DataFrame
) -> RenderableType:
    """Return forecast bands beside what was measured, hit or miss."""
    inner, outer = forecast.interval(0.5), forecast.interval(0.9)
    middle = forecast.median()
    rows = [
        (
            labels[i],
            float(forecast.extrapolation[i]),
            f"{middle[i]:.4f}",
            f"{inner[i, 0]:.4f} - {inner[i, 1]:.4f}",
            f"{outer[i, 0]:.4f} - {outer[i, 1]:.4f}",
            f"{measured[i]:.4f}",
            f"{measured[i] / middle[i] - 1:+.2%}",
            "inside" if outer[i, 0] <= measured[i] <= outer[i, 1] else "OUTSIDE",
        )
        for i in np.argsort(frame["flops"].to_numpy())
    ]
    headers = (
        "held-out run",
        "x largest fitted",
        "forecast",
        "50% one new run",
        "90% one new run",
        "measured",
        "error",
        "90% band",
    )
    return table(headers, rows, title=f"{forecast.label}, loss in {forecast.loss_unit}")


def demo_story(demo: Demo) -> RenderableType:
    """Return what the demo did, in the order in which a planner would ask."""
    below, above = demo.below, demo.above
    largest = above.column("flops").max() / below.column("flops").max()
    totals = {law: float(score.sum()) for law, score in demo.scores.items()}
    other = min(totals, key=lambda law: totals[law])
    difference = demo.scores[demo.chosen] - demo.scores[other]
    error = float(np.sqrt(len(difference) * difference.var()))
    parts: list[RenderableType] = [
        Text(
            f"Fitted {len(below)} small measured runs, held out the {len(above)} largest "
            f"(up to {largest:.0f}x the compute).",
            style="bold",
        ),
        Text(
            f"On the fitted runs alone {demo.chosen} predicts left-out runs better than {other}: "
            f"PSIS-LOO log score {totals[demo.chosen]:.1f} against {totals[other]:.1f} "
            f"(difference {difference.sum():.1f}, standard error {error:.1f})."
        ),
        Text(),
        fit_summary(demo.fits[demo.chosen]),
        Text(),
    ]
    for law in sorted(totals, key=lambda name: -totals[name]):
        forecast = demo.forecasts[law]
        parts.append(measured_table(forecast, above.loss, above.labels, above.table))
        interval = forecast.interval(0.9)
        hits = int(np.sum((interval[:, 0] <= above.loss) & (above.loss <= interval[:, 1])))
        parts.append(Text(f"{law}: {hits} of {len(above)} held-out losses are inside the 90% band of one new run.\n"))
    parts.append(
        Text(
            "The bands hold uncertainty of the parameters, the law's own error along the size of runs, and run noise.",
            style="italic",
        )
    )
    parts.append(Text("Written: " + ", ".join(str(path) for path in demo.files)))
    return Group(*parts)


# --- comparisons ------------------------------------------------------------------------------------------------


def _percent(value: float, digits: int = 0) -> str:
    return "" if np.isnan(value) else f"{value:.{digits}%}"


def comparison_table(comparison: Comparison) -> RenderableType:
    """Return candidates ranked by how they would have forecast the largest runs, with the verdict."""
    rows = []
    for _, row in comparison.to_frame().iterrows():
        error = "" if np.isnan(row["difference_se"]) else f" +- {row['difference_se']:.2f}"
        rows.append(
            (
                row["candidate"] + ("" if row["converged"] else " (NOT CONVERGED)"),
                f"{row['log_score']:.2f}",
                f"{row['difference']:+.2f}{error}",
                _percent(row["weight"]),
                _percent(row["loo_weight"]),
                _percent(row["rmsle"], 1),
                _percent(row["width"], 1),
                _percent(row["inside_50%"]),
                _percent(row["inside_80%"]),
                _percent(row["inside_90%"]),
                "" if np.isnan(row["loo"]) else f"{row['loo']:.1f}",
            )
        )
    headers = ("law", "log score", "difference", "weight", "(LOO)", "error", "90% width", "in 50%", "in 80%", "in 90%")
    cuts = "; ".join(cut.label for cut in comparison.cuts)
    title = f"Leave-largest-out on {comparison.runs.source}, fitted at {cuts}"
    ranges = comparison.by_range()
    best = ranges[ranges["candidate"] == comparison.best]
    spans = [
        f"{row['range']}: {row['n']} forecasts, error {row['rmsle']:.1%}, {row['inside_90%']:.0%} inside 90%"
        for _, row in best.iterrows()
    ]
    notes = [Text(f"{name}: {note}") for name, note in comparison.loo_notes.items() if not note.startswith("0 ")]
    words = (
        "log score: mean log density per held-out run; difference to the best law, with its standard error over runs; "
        "weight in the stacked forecast (LOO: from leave-one-out); error: root mean square of log loss; bands of one "
        "new run. LOO score is the sum over rows. Point fits have bootstrap bands and no weight."
    )
    return Group(
        table((*headers, "LOO score"), rows, title=title),
        Text(comparison.verdict, style="bold"),
        Text(f"{comparison.best} by size over the largest fitted run: " + "; ".join(spans)),
        *notes,
        Text(words, style="dim"),
        Text(f"took {comparison.seconds:.0f} s"),
    )


def backtest_table(result: Backtest) -> RenderableType:
    """Return scores and coverage over many tables."""
    rows = [
        (
            row["candidate"],
            int(row["tables"]),
            _percent(row["rmsle"], 1),
            f"{row['log_score']:.2f}",
            *(_percent(row[name]) for name in ("inside_50%", "inside_80%", "inside_90%")),
            _percent(row["width"], 1),
        )
        for _, row in result.to_frame().iterrows()
    ]
    headers = ("law", "tables", "error", "log score", "in 50%", "in 80%", "in 90%", "90% width")
    failed = [Text(f"left out {name}: {why}", style="yellow") for name, why in result.failures.items()]
    title = "Held-out largest runs, means over tables"
    return Group(table(headers, rows, title=title), *failed)
