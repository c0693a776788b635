"""Sections that appear when the study asks: which recipe to train big, which score a benchmark will show."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayes_scaling.base.json_text import nulled
from bayes_scaling.data.reading import read_table
from bayes_scaling.data.scores import score_runs
from bayes_scaling.decide.plan import Plan
from bayes_scaling.decide.recipes import compare_recipes
from bayes_scaling.errors import StudyError
from bayes_scaling.evaluate.arms import alike
from bayes_scaling.inference.fit import fit_law
from bayes_scaling.inference.sampler import Sampler
from bayes_scaling.laws.catalogue import catalogue_law
from bayes_scaling.model.noise import Noise
from bayes_scaling.predict.chain import chain
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.report.decision import Context, run_of


def recipes(context: Context, plan: Plan) -> dict[str, Any] | None:
    """Return the comparison of the recipes of the table at the recommended run; None where the study asks for none."""
    asked = context.study.recipes
    if asked is None:
        return None
    run = run_of(plan)
    of_study = {one.law.label: one.law for one in context.comparison.candidates if one.weighted}
    found = compare_recipes(
        context.comparison.runs,
        asked.by,
        budget=run["training_flops"],
        baseline=asked.baseline,
        target=context.study.goal.target,
        law=asked.laws() or alike([*of_study.values()]),
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
    path = context.study.scores_file
    if not path.is_file():
        raise StudyError(f"scores.file is {asked.file!r}, but there is no such file in the folder of the study")
    table = score_runs(
        read_table(path), score=asked.score, loss=asked.loss, questions=asked.questions, source=path.name
    )
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
        "source": path.name,
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
