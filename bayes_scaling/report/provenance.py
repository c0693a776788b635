"""Provenance of a report: laws with their priors, the table, versions, citations and the checklist."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from bayes_scaling.data.ranges import ranges_of
from bayes_scaling.data.runs import Runs
from bayes_scaling.data.units import FLOPS_PER_PARAM_TOKEN
from bayes_scaling.evaluate.candidates import Candidate
from bayes_scaling.evaluate.comparison import Comparison
from bayes_scaling.laws.law import Law
from bayes_scaling.laws.priors import describe_prior
from bayes_scaling.plot.style import short_number
from bayes_scaling.report.study import Study

IN_FULL = 1e10  # counts below which are written with all their digits
PACKAGES = ("bayes-scaling", "jax", "numpyro", "numpy", "scipy", "pandas", "arviz", "matplotlib")
CHECKLIST = "Li et al. 2025, (Mis)Fitting: A Survey of Scaling Laws, arXiv 2502.18969"
ENTRY = re.compile(r"(?P<authors>.+?) (?P<year>\d{4}), (?P<title>.+)")
ARXIV = re.compile(r"(?:,? |^)\(?arXiv (?P<number>\d{4}\.\d{4,5}).*")
QUESTIONS = {
    "architecture": "Architecture and its shapes",
    "tokeniser": "Tokeniser",
    "repetition": "Repetition of training data",
    "flop_counting": "How FLOPs were counted (embeddings, attention)",
    "hyperparameters": "How hyper-parameters were chosen at each size",
    "learning_rate_schedule": "Learning-rate schedule",
    "optimiser": "Optimiser of the runs",
    "evaluation": "Evaluation set",
    "checkpoints": "Whether intermediate checkpoints were used",
    "smoothing": "Smoothing of losses",
    "exclusions": "Runs left out, and why",
    "points_published": "Where the points are published",
}
"""Fields of the checklist that only the people who trained the runs can fill in, by name in the study file."""


def methods(study: Study, comparison: Comparison, draft: bool) -> dict[str, Any]:
    """Return what is needed to check or reproduce a report."""
    laws = _laws(comparison.candidates)
    fits = comparison.fits
    some = fits[comparison.best]
    return {
        "laws": [law_of(one) for one in laws],
        "noise": some.noise.label,
        "noise_priors": [_prior(row) for row in some.noise.parameters],
        "discrepancy": {
            "kind": study.laws.discrepancy,
            "priors": [_prior(row) for row in some.discrepancy.parameters] if study.laws.discrepancy != "none" else [],
        },
        "sampler": {name: fit.sampler_used for name, fit in fits.items()},
        "draws": {"chains": int(some.manifest["chains"]), "per_chain": int(some.manifest["draws"])},
        "seed": study.seed,
        "data": table_of(comparison.runs),
        "study": study.to_dict(),
        "asked": json.dumps(study.to_dict(), indent=1, ensure_ascii=False),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
        "checklist": checklist(study, comparison, draft),
        "checklist_source": CHECKLIST,
        "bibtex": bibtex([reference for one in laws for reference in one.references] + [CHECKLIST]),
    }


def _laws(candidates: Sequence[Candidate]) -> list[Law]:
    """Return each law once."""
    return list({candidate.law.label: candidate.law for candidate in candidates}.values())


def law_of(law: Law) -> dict[str, Any]:
    """Return a law's formula, priors and sources as plain text."""
    return {
        "name": law.label,
        "title": law.title,
        "formula": law.formula,
        "holds": law.holds,
        "fails": law.fails,
        "references": list(law.references),
        "source_sha256": law.source_hash,
        "priors": [_prior(row) for row in law.sampled],
        "changed": sorted(set(map(str, law.overridden))),
    }


def _prior(row: Any) -> dict[str, str]:
    return {
        "name": row.name,
        "of": row.quantity or row.name,
        "prior": describe_prior(row.prior),
        "unit": row.unit,
        "meaning": row.meaning,
        "source": row.source,
    }


def table_of(runs: Runs) -> dict[str, Any]:
    """Return a description of the table: rows, hash, ranges, and notes from reading it."""
    columns = [
        {
            "name": of.column,
            "smallest": of.smallest,
            "median": of.median,
            "largest": of.largest,
            "distinct": of.distinct,
            "as": "integer" if of.whole and of.largest < IN_FULL else "plain",
        }
        for of in ranges_of(runs)
    ]
    ratio = None
    if {"params", "tokens", "flops"} <= set(runs.table):
        over = runs.column("flops") / (FLOPS_PER_PARAM_TOKEN * runs.column("params") * runs.column("tokens"))
        ratio = {"low": float(over.min()), "high": float(over.max())}
    return {
        "source": runs.source,
        "rows": len(runs),
        "counted": runs.counted,
        "sha256": runs.content_hash,
        "params_convention": runs.params_convention,
        "loss_unit": runs.loss_unit,
        "columns": columns,
        "flops_over_6nd": ratio,
        "notes": list(runs.notes),
        "warnings": list(runs.warnings),
    }


# --- the checklist --------------------------------------------------------------------------------------------------


def checklist(study: Study, comparison: Comparison, draft: bool) -> list[dict[str, Any]]:
    """Return the fields of the (Mis)Fitting checklist, each with its answer, or None."""
    runs, laws = comparison.runs, _laws(comparison.candidates)
    fits = comparison.fits.values()

    def span(name: str) -> str | None:
        if name not in runs:
            return None
        values = runs.column(name)
        return f"{short_number(values.min())} to {short_number(values.max())}, {len(np.unique(values))} distinct"

    given: dict[str, str] = dict(study.about)  # type: ignore[arg-type]
    answers = {name: given.get(name) for name in QUESTIONS}
    unique = "unique_tokens" in runs
    counted = (
        None
        if runs.params_convention == "unstated"
        else f"N counts {runs.params_convention.replace('_', '-')} parameters"
    )
    sampler = "importance-resampled normal approximation" if draft else "NUTS, convergence checked"
    fields: dict[str, dict[str, str | None]] = {
        "Form": {
            "Equations": "; ".join(law.formula for law in laws),
            "Variables": ", ".join(dict.fromkeys(name for law in laws for name in law.inputs)),
            "Free parameters": "; ".join(f"{law.label}: {', '.join(law.parameter_names)}" for law in laws),
            "Held-out evaluation": "largest runs held out at " + "; ".join(cut.label for cut in comparison.cuts),
        },
        "Training": {
            "Number of runs": runs.counted,
            "Sizes": span("params"),
            "Tokens": span("tokens"),
            "Counting of parameters": counted,
            **{QUESTIONS[name]: answers[name] for name in list(QUESTIONS)[:8]},
        },
        "Data": {QUESTIONS[name]: answers[name] for name in list(QUESTIONS)[8:]}
        | {"Hash of the points": f"SHA-256 {runs.content_hash}"},
        "Fit": {
            "Objective": f"posterior; likelihood {next(iter(fits)).noise.label} in log loss",
            "Optimiser and initialisation": f"{sampler}; chains start from draws of the prior or of a Laplace fit",
            "Weighting of points": "none: every row has weight 1",
            "Uncertainty": "posterior draws; bands are equal-tailed credible intervals and state what they include",
            "Validation": "leave-largest-out scores and coverage, posterior predictive checks",
        },
    }
    if unique and fields["Training"][QUESTIONS["repetition"]] is None:
        fields["Training"][QUESTIONS["repetition"]] = f"unique tokens {span('unique_tokens')}"
    return [
        {"group": group, "field": field, "answer": a} for group, rows in fields.items() for field, a in rows.items()
    ]


# --- citations ------------------------------------------------------------------------------------------------------


def bibtex(references: Sequence[str]) -> str:
    """Return BibTeX entries of references like ``Author year, title, arXiv number``, each paper once."""
    entries = dict(filter(None, (_entry(reference) for reference in references)))
    return "\n\n".join(entries[key] for key in sorted(entries))


def _entry(reference: str) -> tuple[str, str] | None:
    """Return the key and the entry of one reference; None if it has no year."""
    found = ENTRY.match(reference.rpartition("compare ")[2])
    if found is None:
        return None
    authors, year, title = found.group("authors", "year", "title")
    arxiv = ARXIV.search(title)
    title = ARXIV.sub("", title)
    names = authors.replace(" et al.", " and others")
    first = re.sub(r"[^a-z]", "", names.split()[0].lower())
    word = next((w for w in re.findall(r"[a-z]+", title.lower()) if len(w) > 3), "paper")
    key = f"{first}{year}{word}"
    fields = {"author": names, **({"title": f"{{{title}}}"} if title else {}), "year": year}
    if arxiv:
        fields |= {"eprint": arxiv.group("number"), "archiveprefix": "arXiv"}
    lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
    return key, f"@misc{{{key},\n{lines}\n}}"
