"""How comparisons of recipes and forecasts of scores are printed."""

from __future__ import annotations

import math

from rich.console import Group, RenderableType
from rich.text import Text

from bayes_scaling.base.messages import computed_percent, listed
from bayes_scaling.base.numbers import number
from bayes_scaling.cli.printing.layout import table
from bayes_scaling.cli.printing.plans import pilot_table
from bayes_scaling.decide.recipes import RecipeComparison
from bayes_scaling.predict.chain import ScoreForecast
from bayes_scaling.predict.frontier import Requirement


def recipe_table(found: RecipeComparison) -> RenderableType:
    """Return the verdict, every recipe under both readings of the irreducible loss, and the pilots."""
    frame = found.to_frame()
    headers = [
        "recipe",
        "irreducible loss",
        "multiplier",
        "90%",
        "P(ahead)",
        "P(crossing)",
        "loss at one scale",
    ]
    rows = [
        [
            row["recipe"],
            row["irreducible"],
            row["multiplier"],
            f"{number(row['low'])} to {number(row['high'])}",
            computed_percent(row["ahead"]),
            computed_percent(row["crosses"]),
            "-" if math.isnan(row["one_scale"]) else f"{row['one_scale'] - 1:+.2%}",
        ]
        for row in frame.to_dict(orient="records")
    ]
    size = f"{found.budget:.3g} {found.unit}"
    laws = list(found.readings[found.irreducible].fits)
    by = f"by {listed(laws)}{', which count the same' if len(laws) > 1 else ''}; "
    parts: list[RenderableType] = [
        Text(found.verdict, style="bold"),
        table(headers, rows, title=f"against {found.baseline} at {size}"),
        Text(
            f"{by}multiplier: how many times the {found.unit} the baseline needs for the same expected loss; loss at "
            "one scale: over the baseline's at the largest scale that both were run at, the usual ranking",
            style="dim",
        ),
    ]
    if found.target is not None:
        wanted = [
            [row["recipe"], row["irreducible"], row["multiplier_to_target"], number(row["target_low"]),
             number(row["target_high"]), computed_percent(row["target_defined"])]
            for row in frame.to_dict(orient="records")
        ]  # fmt: skip
        headers = ["recipe", "irreducible loss", "multiplier", "low", "high", "P(one gets there)"]
        parts.append(table(headers, wanted, title=f"to a loss of {found.target:.4g}"))
    if found.pilots is not None:
        parts.append(pilot_table(found.pilots))
    return Group(*parts)


def score_table(ahead: ScoreForecast | None, needed: Requirement | None, target: float | None) -> list[RenderableType]:
    """Return the scores of planned runs, where their spread comes from, and what a score needs."""
    parts: list[RenderableType] = []
    if ahead is not None:
        frame = ahead.to_frame(target=target)
        inputs = [str(name) for name in ahead.points]
        shown = [
            *inputs,
            "task",
            "loss",
            "score",
            "low",
            "high",
            *(n for n in map(str, frame) if n.startswith("direct")),
        ]
        if target is not None:
            shown.append("probability_above_target")
        parts.append(table(shown, frame[shown].to_numpy().tolist(), title="measured scores, 90% intervals"))
        spread = ahead.uncertainty()
        rows = [
            [*point, *(f"{row[name]:.2%}" for name in ("loss", "link", "questions", "total"))]
            for point, row in zip(
                ahead.points[inputs].to_numpy().tolist(), spread.to_dict(orient="records"), strict=True
            )
        ]
        headers = [*inputs, "loss", "link", "questions", "total"]
        parts.append(table(headers, rows, title="standard deviation of the score, by where it comes from"))
    if needed is not None:
        parts.append(Text(needs_words(needed)))
    return parts


def needs_words(needed: Requirement) -> str:
    """Say what a score needs in a sentence."""
    if not needed.reachable:
        return f"A score of {needed.target:.4g} is out of reach: in no draw does the link get there."
    can = f"the probability that it can be reached at all is {computed_percent(needed.reachable)}"
    if math.isinf(needed.quantile(0.5)):
        return f"A score of {needed.target:.4g} is out of reach along {needed.along}: {can}."
    low, high = ("out of reach" if math.isinf(end) else number(end) for end in needed.interval(0.9))
    return (
        f"A score of {needed.target:.4g} needs {number(needed.quantile(0.5))} {needed.of} (90%: {low} to {high}) "
        f"along {needed.along}; {can}."
    )
