"""Sections that appear when the study asks: which recipe to train big, which score a benchmark will show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bayes_scaling.base.json_text import nulled
from bayes_scaling.data.reading import read_table
from bayes_scaling.data.runs import Runs
from bayes_scaling.data.scores import score_runs
from bayes_scaling.decide.plan import Plan
from bayes_scaling.decide.recipes import baseline_of, compare_recipes
from bayes_scaling.errors import StudyError
from bayes_scaling.evaluate.arms import alike, arms_laws
from bayes_scaling.evaluate.candidates import Candidate
from bayes_scaling.inference.fit import fit_law
from bayes_scaling.inference.sampler import Sampler
from bayes_scaling.laws.catalogue import catalogue_law
from bayes_scaling.laws.law import Law
from bayes_scaling.model.noise import Noise
from bayes_scaling.predict.chain import chain
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.report.decision import Context, run_of
from bayes_scaling.report.study import Study
from bayes_scaling.report.tables import Recipes, Scores


def require_answers(study: Study, runs: Runs, candidates: Sequence[Candidate]) -> None:
    """Refuse recipes and scores that cannot be compared, before any law is fitted."""
    if study.recipes is not None:
        arms_laws(_laws_of_recipes(study.recipes, candidates), runs)
        baseline_of(runs, study.recipes.by, study.recipes.baseline)
    if study.scores is not None:
        _scored(study, study.scores)


def _laws_of_recipes(asked: Recipes, candidates: Sequence[Candidate]) -> tuple[Law, ...]:
    """Return the laws that recipes are compared by: those named, or the study's that read the inputs of its first."""
    of_study = {one.law.label: one.law for one in candidates if one.weighted}
    return asked.laws() or alike([*of_study.values()])


def _scored(study: Study, asked: Scores) -> Runs:
    """Read the scores of small models."""
    path = study.scores_file
    if not path.is_file():
        raise StudyError(f"scores.file is {asked.file!r}, but there is no such file in the folder of the study")
    return score_runs(read_table(path), score=asked.score, loss=asked.loss, questions=asked.questions, source=path.name)


def recipes(context: Context, plan: Plan) -> dict[str, Any] | None:
    """Return the comparison of the recipes of the table at the recommended run; None where the study asks for none."""
    asked = context.study.recipes
    if asked is None:
        return None
    run = run_of(plan)
    found = compare_recipes(
        context.comparison.runs,
        asked.by,
        budget=run["training_flops"],
        baseline=asked.baseline,
        target=context.study.goal.target,
        law=_laws_of_recipes(asked, context.comparison.candidates),
        irreducible=asked.irreducible,
        tokens_per_param=run["tokens_per_param"],
        sampler="laplace" if context.draft else "auto",
        seed=context.study.seed,
        unconverged=context.unconverged,
        progress=False,
    )
    content = found.to_dict()
    kept = (
        "by",
        "laws",
        "baseline",
        "budget",
        "unit",
        "along",
        "irreducible",
        "pairs",
        "decision",
        "best",
        "verdict",
        "recipes",
    )
    return nulled({name: content[name] for name in kept})  # type: ignore[no-any-return]


def scores(context: Context, plan: Plan, ensemble: Ensemble) -> dict[str, Any] | None:
    """Return the score of the recommended run on a benchmark; None where the study asks for none."""
    asked = context.study.scores
    if asked is None:
        return None
    table = _scored(context.study, asked)
    link = fit_law(
        catalogue_law(asked.link),
        table,
        noise=Noise("normal", scale="constant" if asked.questions is None else "known"),
        sampler=Sampler("laplace" if context.draft else "auto"),
        seed=context.study.seed,
        progress=False,
    )
    made = chain(
        ensemble,
        link,
        questions=asked.questions,
        chance=asked.chance,
        unconverged=context.unconverged,
        seed=context.study.seed,
    )
    ahead = made.forecast(None, **context.inputs_of(plan))
    low, high = ahead.interval(0.9)[0]
    spread = ahead.uncertainty().iloc[0]
    content: dict[str, Any] = {
        "source": table.source,
        "models": len(table),
        "link": link.law.label,
        "questions": asked.questions,
        "chance": asked.chance,
        "score": float(ahead.median()[0]),
        "low": float(low),
        "high": float(high),
        "expected": float(ahead.median(of="expected")[0]),
        "spread": {name: float(spread[name]) for name in ("loss", "link", "questions", "total")},
        "ceiling": float(np.median(made.ceiling())),
        "target": asked.target,
    }
    if asked.target is not None:
        needed = made.required(asked.target, tokens_per_param=run_of(plan)["tokens_per_param"])
        content["probability_reaches_target"] = float(ahead.probability_above(asked.target)[0])
        content["needed"] = needed.to_dict()
    return nulled(content)  # type: ignore[no-any-return]
