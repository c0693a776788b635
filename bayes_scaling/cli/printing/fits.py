"""What the terminal prints about a fit."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from bayes_scaling.base.messages import counted
from bayes_scaling.base.numbers import alike
from bayes_scaling.cli.printing.layout import table, unit_of

if TYPE_CHECKING:
    import pandas as pd

    from bayes_scaling.inference.result import Fit

MANY_GROUPS = 12  # beyond which the parameters of groups are summed up in a line
MANY = 100_000  # rows, beyond which no influential run is looked for


def fit_summary(fit: Fit) -> RenderableType:
    """Return the posterior, how it was sampled, and which runs stand out."""
    from bayes_scaling.evaluate.sensitivity import LITTLE_LEARNED

    d = fit.diagnostics
    how = (
        f"{fit.sampler_used}, {fit.unconstrained.shape[0]} x {fit.unconstrained.shape[1]} draws: R-hat {d.rhat:.3f}, "
        f"ESS {d.ess_bulk:.0f} bulk, {d.ess_tail:.0f} tail, {d.divergences} divergences, {fit.manifest['seconds']} s"
    )
    if np.isfinite(d.k_hat):
        how = f"{fit.sampler_used} (not MCMC): Pareto k-hat {d.k_hat:.2f}, effective draws {d.ess_bulk:.0f}"
    parts: list[RenderableType] = [
        Text(
            f"{fit.law.label} fitted to {fit.runs.counted} of {fit.runs.source}, noise {fit.noise.label}; "
            + ("law without a discrepancy" if fit.discrepancy.kind == "none" else "with a discrepancy of the law"),
            style="bold",
        ),
        Text(f"    {fit.law.formula}"),
        *(Text(f"NOT CONVERGED: {problem}", style="bold red") for problem in fit.problems),
        *_posterior(fit),
        Text("learned: share of the prior's variance that the data removed; near 0%, the posterior is just the prior"),
        Text(how),
    ]
    flagged = _outliers(fit)
    if len(flagged):
        names = ", ".join(
            f"{row} ({residual:+.1%})"
            for row, residual in zip(_rows(fit, flagged[:8]), flagged["residual"][:8], strict=True)
        )
        lie = f"{counted(len(flagged), 'row lies', 'rows lie')} outside the bulk of the scatter"
        parts.append(Text(f"outliers: {lie}: {names}"))
    parts += _influential(fit)
    weak = [name for name in fit.law_names if fit.contraction[name] < LITTLE_LEARNED]
    if weak:
        names = ", ".join(_by_parameter(fit, weak))
        parts.append(Text(f"mostly prior: the data removed less than half of the prior's variance for {names}"))
    return Group(*parts)


def _posterior(fit: Fit) -> list[RenderableType]:
    """Return the table of parameters, and one of those that vary between many groups, a line each."""
    from bayes_scaling.model.pooling import shared_first

    summary, many = fit.summary(0.9), _of_many_groups(fit)
    units = {row.name: row.unit for row in fit.composition.rows}
    rows = [
        (
            str(name),
            *alike([float(v["median"]), float(v.iloc[1]), float(v.iloc[2])]),
            f"{v['learned']:.0%}",
            _unit(str(name), units, fit.runs.loss_unit),
        )
        for name, v in summary.loc[shared_first(summary.index)].iterrows()
        if str(name).partition("[")[0] not in many
    ]
    found: list[RenderableType] = [table(("parameter", "median", "5%", "95%", "learned", "unit"), rows)]
    of_groups = []
    for base, names in many.items():
        medians = summary.loc[names, "median"].sort_values(kind="stable")
        middle, low, high = alike([float(medians.median()), float(medians.iloc[0]), float(medians.iloc[-1])])
        lowest, highest = (str(medians.index[i]).removeprefix(f"{base}[")[:-1] for i in (0, -1))
        learned = f"{summary.loc[names, 'learned'].median():.0%}"
        unit = _unit(base, units, fit.runs.loss_unit)
        of_groups.append((base, len(names), middle, f"{low} ({lowest})", f"{high} ({highest})", learned, unit))
    if of_groups:
        headers = ("parameter", "groups", "median of medians", "lowest", "highest", "learned", "unit")
        found += [table(headers, of_groups), Text("--json has the posterior of every group")]
    return found


def _of_many_groups(fit: Fit) -> dict[str, list[str]]:
    """Return the names of the draws of parameters that vary between many groups, by parameter."""
    names: dict[str, list[str]] = {}
    for name in fit.draws:
        if "[" in name:
            names.setdefault(name.partition("[")[0], []).append(name)
    return {base: inside for base, inside in names.items() if len(inside) > MANY_GROUPS}


def _by_parameter(fit: Fit, names: Sequence[str]) -> list[str]:
    """Name parameters, those of many groups by how many there are of them."""
    many, counts = _of_many_groups(fit), Counter(name.partition("[")[0] for name in names)
    said = []
    for name in names:
        base = name.partition("[")[0]
        said.append(f"{base} of {counted(counts[base], 'group')}" if base in many else name)
    return list(dict.fromkeys(said))


def fit_content(fit: Fit) -> dict[str, Any]:
    """Return the posterior, how it was sampled, and which runs stand out, as plain values.

    ``influential`` is None where it is not looked for.
    """
    moving = _movers(fit)
    return {
        "law": fit.law.label,
        "converged": fit.converged,
        "problems": fit.problems,
        "posterior": json.loads(fit.summary(0.9).to_json(orient="index")),
        "outliers": _outliers(fit).to_dict(orient="records"),
        "influential": None if moving is None else moving.to_dict(orient="records"),
        "manifest": dict(fit.manifest),
    }


def _outliers(fit: Fit) -> pd.DataFrame:
    """Return the runs outside the bulk of the scatter."""
    from bayes_scaling.evaluate.checks import find_outliers

    found = find_outliers(fit)
    return found[found["outlier"]].drop(columns="outlier")


def _movers(fit: Fit) -> pd.DataFrame | None:
    """Return the runs that move the answer; None of a table in which looking for them takes minutes."""
    from bayes_scaling.evaluate.checks import find_influential

    if len(fit.runs) > MANY:
        return None
    found = find_influential(fit)
    return found[found["influential"]].drop(columns="influential")


def _influential(fit: Fit) -> list[Text]:
    """Say which runs move the answer."""
    from bayes_scaling.evaluate.checks import MOST_SHIFT

    flagged = _movers(fit)
    if flagged is None:
        return [Text(f"influential runs are not looked for in more than {MANY:,} rows; find_influential takes minutes")]
    moving = flagged["shift"].abs() > MOST_SHIFT
    said = []
    if moving.any():
        most = flagged[moving][:5]
        shifts = zip(_rows(fit, most), most["parameter"], most["shift"], strict=True)
        names = ", ".join(f"{row} ({parameter} by {shift:+.1f} sd)" for row, parameter, shift in shifts)
        left_out = "this row" if moving.sum() == 1 else f"any one of these {moving.sum()} rows"
        said.append(Text(f"influential: refitting without {left_out} would shift a parameter: {names}"))
    if (~moving).any():
        names = ", ".join(_rows(fit, flagged[~moving][:5]))
        said.append(Text(f"perhaps influential (only a refit without it could tell): {names}"))
    return said


def _rows(fit: Fit, found: pd.DataFrame) -> list[str]:
    """Name rows of the table: the run, and of several rows of one run the step."""
    several = fit.runs.table["run"].duplicated(keep=False) if "run" in fit.runs.table else None
    if several is None or not several.any() or "steps" not in fit.runs:
        known = "run" in fit.runs.table
        return [str(name) if known else f"row {name}" for name in found["run"]]
    steps = fit.runs.column("steps")
    return [f"{found['run'][i]} at step {steps[i]:.0f}" if several[i] else str(found["run"][i]) for i in found.index]


def _unit(name: str, units: Mapping[str, str], loss_unit: str) -> str:
    """Return the unit of a parameter, of a group's value of it, or of the spread of its population."""
    return unit_of(units.get(name) or units.get(name.split("[")[0], "on the sampled scale"), loss_unit)
