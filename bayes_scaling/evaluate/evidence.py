"""Why each law of an ensemble has its weight, in numbers and sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pandas as pd

from bayes_scaling.base.messages import counted
from bayes_scaling.evaluate.candidates import Candidate, Cut
from bayes_scaling.evaluate.scores import summarise
from bayes_scaling.evaluate.weights import RULE, law_weights
from bayes_scaling.inference.result import Fit
from bayes_scaling.predict.evidence import Evidence, EvidenceOfLaw

ALIKE = 0.05  # nats per run up to which two members forecast about as well
LEFT_OUT = "left out"  # of members without weight, how their reason begins
EQUAL = "there are too few runs to hold any out, so all laws get equal weight"


class ScoredFits(Protocol):
    """Fits with the scores of their refits, as `fit` and `compare` make them."""

    @property
    def scores(self) -> pd.DataFrame:
        """One row per candidate, cut and held-out row."""
        ...

    @property
    def refits(self) -> pd.DataFrame:
        """One row per candidate and cut."""
        ...

    @property
    def fits(self) -> Mapping[str, Fit]:
        """Posterior given all runs, by candidate."""
        ...


def evidence_of(candidates: Sequence[Candidate], made: ScoredFits, cuts: Sequence[Cut]) -> Evidence:
    """Say how each law would have forecast the largest runs, and what its weight follows from.

    Parameters
    ----------
    candidates : the members of the ensemble, those that did not converge included
    made : their refits and fits
    cuts : above which runs were held out
    """
    labels = [one.label for one in candidates]
    scored: dict[str, Any] = {}
    held_out, why = 0, EQUAL
    if cuts:
        ours = made.scores[made.scores["candidate"].isin(labels)]
        scored = {str(row["candidate"]): row for _, row in summarise(ours, ["candidate"]).iterrows()}
        held_out = int(ours["run"].nunique())
        why = f"fitted to {_spelled(cuts)} and scored on the {counted(held_out, 'run')} above: {RULE}"
    said = _reasons(candidates, made, cuts, {name: float(row["log_score"]) for name, row in scored.items()})
    laws = tuple(_of_law(one, scored.get(one.label), made.refits, said[one.label]) for one in candidates)
    return Evidence(tuple(cut.label for cut in cuts), held_out, why, laws)


def _spelled(cuts: Sequence[Cut]) -> str:
    return ", ".join(cut.label for cut in cuts)


def _of_law(candidate: Candidate, scored: Any, refits: pd.DataFrame, why: str) -> EvidenceOfLaw:
    own = refits[refits["candidate"] == candidate.label] if len(refits) else refits
    numbers = (
        {}
        if scored is None
        else {
            "log_score": float(scored["log_score"]),
            "error": float(scored["rmsle"]),
            "inside_90": float(scored["inside_90%"]),
        }
    )
    unconverged = int((~own["converged"].astype(bool)).sum()) if len(own) else 0
    if unconverged and not why.startswith(LEFT_OUT):
        why += f", {unconverged} of {len(own)} refits rough"
    return EvidenceOfLaw(
        candidate.label, candidate.law.label, **numbers, refits=len(own), unconverged=unconverged, why=why
    )


def _reasons(
    candidates: Sequence[Candidate], made: ScoredFits, cuts: Sequence[Cut], scores: Mapping[str, float]
) -> dict[str, str]:
    """Say of each member, in a few words, what its weight follows from."""
    laws = {one.label: one.law.label for one in candidates}
    used = {label: law for label, law in laws.items() if made.fits[label].converged}
    weights = law_weights(made.scores, used or laws, cuts) if laws else {}
    best = max(weights, key=lambda label: weights[label], default="")
    said: dict[str, str] = {}
    for label in laws:
        problems = "; ".join(made.fits[label].problems)
        if problems and label in weights:
            said[label] = f"it did not converge, as none did ({problems})"
        elif problems:
            said[label] = f"{LEFT_OUT}: it did not converge ({problems})"
        elif not cuts:
            said[label] = "no run held out"
        elif len(weights) == 1:
            said[label] = "the only law"
        else:
            said[label] = "best" if label == best else _compared(scores[best] - scores[label])
    return said


def _compared(lower: float) -> str:
    """Say how far a member scored below the best one, in nats per held-out run."""
    if math.isnan(lower):
        return "no score"
    if lower < ALIKE:
        return "about as good"
    return f"scored {lower:.1f} nats lower" if lower < 100 else "scored over 100 nats lower"
