"""Evidence: everything that a report says, as plain numbers and text, computed once from a study."""

from __future__ import annotations

import dataclasses
import datetime
import json
import time
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.base.json_text import json_text
from bayes_scaling.base.messages import listed
from bayes_scaling.base.progress import part_of, progress_bar
from bayes_scaling.base.spacing import evenly
from bayes_scaling.data.runs import Runs
from bayes_scaling.data.tuning import BATCH, RATE
from bayes_scaling.data.units import FLOPS_PER_PARAM_TOKEN
from bayes_scaling.decide.decision import DecisionProblem
from bayes_scaling.decide.plan import Plan
from bayes_scaling.errors import StudyError
from bayes_scaling.evaluate.candidates import BASELINES, EXACT, TOGETHER, Candidate
from bayes_scaling.evaluate.comparing import compare
from bayes_scaling.evaluate.comparison import Comparison
from bayes_scaling.evaluate.weights import law_weights
from bayes_scaling.predict.ensemble import used
from bayes_scaling.predict.forecast import DISAGREEMENT
from bayes_scaling.report import changes, curve, decision, provenance, questions, trust
from bayes_scaling.report.decision import Context
from bayes_scaling.report.study import Study

FORMAT = 1  # of the JSON
DOTS = 1500  # runs that the fan chart shows
TOGETHER_WORDS = "forecast by all laws at once"
MADE = "made"  # the part that differs between two reports of one study
LAWS = 0.6  # share of the time that laws take to compare
PANELS = 6  # laws whose held-out forecasts are shown
BARS = 500  # of them, of each law: a bar takes 400 bytes of the page


def gather(
    study: Study,
    runs: Runs | None = None,
    *,
    draft: bool = False,
    unconverged: bool = False,
    refits: Path | None = None,
    executor: Executor | None = None,
    run_law_files: bool = False,
    progress: bool | None = None,
) -> dict[str, Any]:
    """Run a study and return the results as plain values.

    Parameters
    ----------
    study, runs, draft, unconverged, refits, executor, run_law_files, progress : as in `make_report`

    Returns
    -------
    dict
        Plain values only. The same study, table and seed give the same values, except for the part ``made``.
    """
    started = time.perf_counter()
    runs = study.runs() if runs is None else runs
    candidates = _answerable(study, runs, draft, run_law_files)
    with progress_bar("report", progress) as report:
        with part_of(report, "", 0.0, LAWS):
            comparison = compare(
                candidates,
                runs,
                cuts=study.cuts(),
                loo=False,
                folder=refits,
                executor=executor,
                seed=study.seed,
                progress=progress,
            )
        if draft:
            comparison = all_weighed(comparison)

        def advance(stage: str, fraction: float) -> None:
            report(stage, LAWS + (1 - LAWS) * fraction)

        incumbent = float(runs.loss.min()) if study.goal.incumbent is None else study.goal.incumbent
        context = Context(study, comparison, incumbent, draft, draft or unconverged)
        problem = context.problem(context.ensemble(comparison))
        advance("plan", 0.0)
        plan = context.plan(problem)
        recommended = decision.recommendation(plan)
        advance("pilots", 0.1)
        with part_of(advance, "pilots", 0.1, 0.3):
            pilots = decision.pilots(context, problem)
        asked = {
            "tuning": decision.tuning(context, problem, plan),
            "recipes": questions.recipes(context, plan),
            "scores": questions.scores(context, plan, problem.ensemble),
            "trajectory": curve.curve(context),
        }
        advance("other budgets", 0.3)
        others = decision.budgets(context, problem)
        advance("what would change it", 0.5)

        def advance_refits(stage: str, fraction: float) -> None:
            advance(f"what would change it, {stage}", 0.5 + 0.3 * fraction)

        changed = changes.changes(context, problem, plan, others, pilots["best"], executor, advance_refits)
        advance("other sizes", 0.8)
        outlook = _outlook(context, problem, plan, others)
        advance("checks", 0.85)
        medians = decision.law_medians(comparison, context.inputs_of(plan), study.seed, context.unconverged)
        alone = {row["law"]: row.get("params") for row in changed if row["kind"] == "law"}
        dropped = [
            {**row, "params": alone.get(row["law"])}
            for row in decision.dropped_laws(comparison, context.inputs_of(plan), study.seed)
        ]
        checks = trust.verdicts(
            comparison,
            recommended["run"],
            changed,
            medians,
            dropped,
            outlook["extrapolation"],
            recommended["cautions"],
            draft,
        )
        content = {
            "format": FORMAT,
            "title": study.title,
            "draft": draft,
            "lacks": _lacks(study, comparison) if draft else "",
            "converged": all(comparison.fits[name].converged for name in used(comparison.weights)),
            "loss_unit": runs.loss_unit,
            "budget_unit": recommended["cost_unit"],
            "bands": _bands(comparison, draft),
            "recommendation": recommended,
            "changes": changed,
            "pilots": pilots,
            "outlook": outlook,
            **asked,
            "laws": {**_ranking(comparison, draft), "at_plan": medians, "dropped": dropped},
            "trust": {"verdicts": checks, **trust.details(comparison)},
            "methods": provenance.methods(study, comparison, draft),
            MADE: {
                "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
                "seconds": round(time.perf_counter() - started, 1),
            },
        }
    plain: dict[str, Any] = json.loads(json_text(content))
    return plain


def _answerable(study: Study, runs: Runs, draft: bool, run_law_files: bool) -> tuple[Candidate, ...]:
    """Return the candidates of a study; refuse a table or laws that cannot answer what it asks, before any fit."""
    for name in ("params", "tokens"):
        if name not in runs:
            raise StudyError(f"a report plans parameters and tokens, but {runs.source} has no column {name}")
    candidates = study.candidates(runs, draft, run_law_files)
    if study.tuning is not None and not any(RATE in one.law.inputs for one in candidates):
        raise StudyError(
            f"tuning asks for a learning rate, but no law of the study reads one: add 'tuning' to laws.names, for a "
            f"table with the columns params, tokens, {BATCH} and {RATE}"
        )
    questions.require_answers(study, runs, candidates)
    return candidates


def _outlook(context: Context, problem: DecisionProblem, plan: Plan, others: list[dict[str, Any]]) -> dict[str, Any]:
    """Return other budgets and sizes, the band along compute, and how far the plan lies beyond the runs."""
    runs, planned = context.comparison.runs, decision.run_of(plan)["training_flops"]
    size = FLOPS_PER_PARAM_TOKEN * runs.column("params") * runs.column("tokens")
    reach = max(float(size.max()), planned)
    reaching, cautions = decision.reaching(problem)
    return {
        "budgets": others,
        "reaching": reaching,
        "cautions": cautions,
        "fan": decision.fan(context, problem.ensemble, float(size.min()), 1.5 * reach),
        "sizes": decision.sizes(problem, plan),
        "runs": _dots(runs, size),
        "largest_fitted": float(size.max()),
        "extrapolation": planned / float(size.max()),
    }


def _bands(comparison: Comparison, draft: bool) -> dict[str, Any]:
    """Say what the bands contain."""
    known = ["parameters"]
    weights = used(comparison.weights)
    if len(weights) > 1:
        known.append(DISAGREEMENT)
    if any(comparison.fits[name].discrepancy_grid.size for name in weights):
        known.append("the laws' own error beyond the runs")
    how = "equal-tailed credible intervals" + (" of a normal approximation" if draft else "")
    return {"outer": 0.9, "inner": 0.5, "contains": [*known, "run noise"], "kind": how}


def _dots(runs: Runs, size: np.ndarray) -> dict[str, list[Any]]:
    """Return the runs for the fan chart, thinned if there are very many."""
    every = -(-len(runs) // DOTS)
    return {"flops": size[::every].tolist(), "loss": runs.loss[::every].tolist(), "run": runs.labels[::every]}


def all_weighed(comparison: Comparison) -> Comparison:
    """Return a comparison in which every law has its weight, however rough its approximation: what a draft goes by.

    Weights come from forecasts of the largest runs, so they are those that sampling would give.
    """
    laws = {one.label: one.law.label for one in comparison.candidates if one.weighted}
    return dataclasses.replace(comparison, weights=law_weights(comparison.scores, laws, comparison.cuts))


def _lacks(study: Study, comparison: Comparison) -> str:
    """Say what a draft leaves out."""
    rough = [name for name in used(comparison.weights) if not comparison.fits[name].converged]
    beside = [TOGETHER_WORDS if one == TOGETHER else BASELINES[one] for one in study.laws.alongside if one != EXACT]
    how = f" (a rough one for {listed(rough)})" if rough else ""
    without = f"; no {listed([f'{one}s' for one in beside])} to compare with" if beside else ""
    return (
        f"every posterior is a normal approximation{how} and none is sampled; fewer draws, pilots on offer and other "
        f"budgets{without}"
    )


def _ranking(comparison: Comparison, draft: bool) -> dict[str, Any]:
    """Return the comparison of candidates, and the held-out forecasts of the largest runs by each."""
    ranked = comparison.to_frame()
    ranked["note"] = [_note(comparison, str(name), draft) for name in ranked["candidate"]]
    lowest = min(comparison.cuts, key=lambda cut: cut.at)
    shown = {"label": lowest.label, "column": lowest.column, "at": lowest.at}
    columns = ["run", "extrapolation", "loss", "median", "low", "lower", "upper", "high", "pit"]
    scores = comparison.scores[comparison.scores["cut"] == lowest.label]
    by_law = {
        name: scores.loc[scores["candidate"] == name, columns].sort_values("extrapolation", kind="stable")
        for name in comparison.posteriors[:PANELS]
    }
    return {
        "ranking": _plain(ranked.drop(columns=["loo_weight", "loo"])),
        "verdict": comparison.verdict,
        "weights": dict(comparison.weights),
        "cuts": [{"label": cut.label, "column": cut.column, "at": cut.at} for cut in comparison.cuts],
        "held_out_at": shown,
        "held_out_runs": max(map(len, by_law.values()), default=0),
        "held_out": {name: _plain(rows.iloc[evenly(len(rows), BARS)]) for name, rows in by_law.items()},
    }


def _note(comparison: Comparison, name: str, draft: bool) -> str:
    """Say what is wrong with the fit of a candidate to all runs, or with those below the cuts, which only score it."""
    below = comparison.refits.loc[comparison.refits["candidate"] == name, "converged"].astype(bool)
    if name in comparison.fits and not comparison.fits[name].converged:
        return "rough approximation" if draft else "did not converge"
    return "" if below.all() else f"scored by a rough fit at {int((~below).sum())} of {len(below)} cuts"


def _plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=12))
    return rows
