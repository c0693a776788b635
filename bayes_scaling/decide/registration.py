"""What a registered forecast must say to be scored: runs, losses that rise with their probability, what it rests on.

The digest of a file shows that it was changed by accident; whoever changes it can write another digest. So its content
is checked for itself. Each check returns what is wrong, in a phrase, or nothing.
"""

from __future__ import annotations

import datetime
import hashlib
import itertools
import json
import math
from collections.abc import Mapping
from typing import Any

from bayes_scaling.base.json_text import is_number
from bayes_scaling.base.messages import listed, percent, plain, shown
from bayes_scaling.data.tuning import RATE
from bayes_scaling.decide.provenance import LEVELS
from bayes_scaling.errors import LawError
from bayes_scaling.laws.catalogue import catalogue_law
from bayes_scaling.predict.ensemble import ALONE, TREND

CHOSEN = ("params", "tokens", "batch_tokens", "steps", RATE)  # inputs of a run that a plan may choose
TEXTS = ("registered", "name", "note", "law", "loss_unit", "contains")
TAILS = (0.05, 0.95)  # the 90 % interval, which quantiles must reach
BANDS = (0.5, 0.8, 0.9)
ROUNDING = 1e-9


def digest_of(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of content, 16 hex digits; also of content that no forecast has."""
    plain = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(plain.encode(errors="surrogatepass")).hexdigest()[:16]


def inside_field(band: float) -> str:
    """Name the field of a score that says whether the loss lay inside a band."""
    return f"inside_{100 * band:.0f}"


def fault_in(content: Any) -> str:
    """Return why the content of a registered forecast cannot be used; empty if it can."""
    if not isinstance(content, Mapping):
        return f"it is {shown(content)}, expected named parts"
    for name in TEXTS:
        if not isinstance(content.get(name), str):
            return f"its {name} is {shown(content[name])}, expected text" if name in content else f"it has no {name}"
    for name in ("law", "loss_unit"):
        if not content[name].strip():
            return f"its {name} is empty"
    try:
        datetime.datetime.fromisoformat(content["registered"])
    except ValueError:
        return f"registered is {shown(content['registered'])}, expected a moment like 2026-01-02T03:04:05+00:00"
    return _problem_of_runs(content.get("runs")) or _problem_of_basis(content) or _problem_of_writing(content)


def _problem_of_writing(content: Mapping[str, Any]) -> str:
    """Return why the content cannot be written as JSON again, which its digest is taken of."""
    try:
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError):  # a surrogate without its other half is a ValueError, too
        return "it holds what JSON cannot: a number that is not finite, broken text or parts within parts without end"
    return ""


def _problem_of_runs(runs: Any) -> str:
    if not isinstance(runs, list) or not runs:
        return f"its runs are {shown(runs)}, expected at least one with inputs and quantiles"
    names: set[str] = set()
    for number, run in enumerate(runs, 1):
        if not isinstance(run, dict) or not isinstance(run.get("inputs"), dict) or not run["inputs"]:
            return f"run {number} is {shown(run)}, expected inputs and quantiles"
        for name, value in run["inputs"].items():
            if not isinstance(value, str) and not is_number(value):
                return f"{plain(name)} of run {number} is {shown(value)}, expected a number, or the name of a group"
        if names and set(run["inputs"]) != names:
            return f"run {number} has other inputs than the runs before it"
        names = set(run["inputs"])
        problem = problem_of_quantiles(run.get("quantiles"))
        if problem:
            return f"run {number}: {problem}"
    return ""


def problem_of_quantiles(quantiles: Any) -> str:
    """Return why losses by probability are no distribution; empty if they are one."""
    if not isinstance(quantiles, Mapping) or len(quantiles) < 2:
        return f"its quantiles are {shown(quantiles)}, expected losses by probability"
    levels = [_level(name) for name in quantiles]
    for name, level in zip(quantiles, levels, strict=True):
        if not 0 < level < 1:
            return f"its quantiles have a probability {shown(name)}, expected a number between 0 and 1"
    for name, loss in quantiles.items():
        if not is_number(loss) or not loss > 0:
            return f"its quantile at {plain(str(name))} is {shown(loss)}, expected a positive loss"
    if any(after <= before for before, after in itertools.pairwise(levels)):
        return "the probabilities of its quantiles do not rise"
    if any(after < before * (1 - ROUNDING) for before, after in itertools.pairwise(quantiles.values())):
        return "its quantiles fall where their probability rises"
    if levels[0] > TAILS[0] or levels[-1] < TAILS[1]:
        return f"its quantiles go from {levels[0]:g} to {levels[-1]:g}, expected {TAILS[0]:g} to {TAILS[1]:g} at least"
    return ""


def _problem_of_basis(content: Mapping[str, Any]) -> str:
    problem = problem_of_basis(content.get("rests_on"))
    caveats = content.get("caveats")
    if not problem and not (isinstance(caveats, list) and all(isinstance(one, str) for one in caveats)):
        return f"its caveats are {shown(caveats)}, expected sentences"
    return problem


def problem_of_basis(basis: Any) -> str:
    """Return why this does not say which laws and data a forecast rests on; empty if it does."""
    if not isinstance(basis, Mapping) or not isinstance(basis.get("laws"), list) or not basis["laws"]:
        return f"it rests on {shown(basis)}, expected laws and data"
    for law in basis["laws"]:
        if not isinstance(law, Mapping) or not all(isinstance(law.get(name), str) for name in ("law", "discrepancy")):
            return f"it rests on the law {shown(law)}, expected its name and discrepancy"
        if not is_number(law.get("weight")) or not 0 <= law["weight"] <= 1 + ROUNDING:
            return f"the weight of {plain(law['law'])} is {shown(law.get('weight'))}, expected a number from 0 to 1"
        problems = law.get("problems")
        if not isinstance(problems, list) or not all(isinstance(one, str) for one in problems):
            return f"the problems of {plain(law['law'])} are {shown(problems)}, expected sentences"
    for name in ("extrapolation", "largest_flops"):
        value = basis.get(name)
        if value is not None and not (is_number(value) and value > 0):
            return f"its {name} is {shown(value)}, expected a positive number"
    return ""


def problem_of_plan(plan: Mapping[str, Any]) -> str:
    """Return why the forecast of a plan, as `Plan.to_dict` writes it, cannot be registered; empty if it can."""
    chosen = plan["plan"]
    if not isinstance(chosen, Mapping):
        return f"its plan is {shown(chosen)}"
    for name in CHOSEN:
        value = chosen.get(name)
        if (value is not None or name in ("params", "tokens")) and not (is_number(value) and value > 0):
            return f"its {name} is {shown(value)}, expected a positive number"
    for name in ("law", "loss_unit"):
        if not isinstance(plan.get(name), str) or not plan[name].strip():
            return f"its {name} is {shown(plan.get(name))}, expected text"
    found = problem_of_quantiles(plan["loss_quantiles"]) or problem_of_basis(plan["rests_on"])
    found = found or _problem_of_conditions(plan)
    return found or ("" if len(plan["loss_quantiles"]) == len(LEVELS) else f"it lacks some of {len(LEVELS)} quantiles")


def inputs_of_plan(plan: Mapping[str, Any]) -> dict[str, float | str]:
    """Return the inputs of the run of a plan, which `problem_of_plan` finds nothing wrong with, and its group."""
    chosen = plan["plan"]
    fixed = dict(plan.get("given", {}))
    if "given" not in plan and chosen.get("epochs") is not None:  # all that an older file says of what was fixed
        fixed["unique_tokens"] = chosen["tokens"] / chosen["epochs"]
    if "unique_tokens" in fixed:
        fixed["unique_tokens"] = min(fixed["unique_tokens"], chosen["tokens"])
    read = {name: chosen[name] for name in CHOSEN if chosen.get(name) is not None}
    return {**fixed, **read, **plan.get("group", {})}


def _problem_of_conditions(plan: Mapping[str, Any]) -> str:
    """Return why what was fixed cannot be read; an older file may not say it, which is wrong if a law reads it."""
    for name, fits, expected in (("given", is_number, "numbers by input"), ("group", _is_text, "names by column")):
        value = plan.get(name, {})
        if not isinstance(value, Mapping) or not all(map(fits, value.values())):
            return f"its {name} is {shown(value)}, expected {expected}"
    epochs = plan["plan"].get("epochs")
    if epochs is not None and not (is_number(epochs) and epochs > 0):
        return f"its epochs are {shown(epochs)}, expected a positive number"
    if "given" in plan:
        return ""
    for label in (law["law"] for law in plan["rests_on"]["laws"]):
        unsaid = [name for name in _read_by(label) if name not in (*CHOSEN, "flops", "unique_tokens")]
        if unsaid:
            return f"it does not say at which {listed(unsaid)}, which {plain(label)} reads"
    return ""


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _read_by(label: str) -> tuple[str, ...]:
    """Return the inputs of a law of the catalogue; none of a law that is not there."""
    try:
        return catalogue_law(label.removesuffix(ALONE).removesuffix(TREND)).inputs
    except LawError:
        return ()


def problem_of_score(score: Mapping[str, Any]) -> str:
    """Return why the numbers of a score contradict each other; empty if they do not.

    Parameters
    ----------
    score : a row of `score_registered`, whose fields are of the right kind
    """
    if not (score["loss"] > 0 and score["median"] > 0):
        return f"its loss is {shown(score['loss'])} and its median {shown(score['median'])}, expected positive numbers"
    if not 0 <= score["pit"] <= 1:
        return f"its pit is {shown(score['pit'])}, expected a probability"
    if not math.isclose(
        score["error"], math.log(score["loss"]) - math.log(score["median"]), rel_tol=1e-6, abs_tol=1e-9
    ):
        return f"its error is {shown(score['error'])}, but its loss over its median is not e to that"
    for band in BANDS:
        said, edge = score[inside_field(band)], abs(abs(score["pit"] - 0.5) - band / 2)
        if edge > 1e-9 and said is not (abs(score["pit"] - 0.5) <= band / 2):
            return f"it says that the {percent(band)} band held: {said}, but its pit is {shown(score['pit'])}"
    return ""


def _level(name: Any) -> float:
    try:
        return float(name)
    except (TypeError, ValueError):
        return math.nan
