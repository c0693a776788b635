"""Making a comparison: every candidate fitted below every cut, scored above it, and fitted to all runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.base.arguments import FilePath, Seed, validated
from bayes_scaling.base.names import ALONGSIDE
from bayes_scaling.base.progress import progress_bar
from bayes_scaling.data.runs import Runs
from bayes_scaling.evaluate.candidates import Candidate, Cut, candidates_of, default_cuts
from bayes_scaling.evaluate.comparison import Comparison, held_out_weights
from bayes_scaling.evaluate.refits import fit_to_all, held_out_scores, left_one_out_scores
from bayes_scaling.evaluate.weights import stacking_weights
from bayes_scaling.inference.result import Fit
from bayes_scaling.laws.law import Law


@validated
def compare(
    laws: Sequence[str | Law | Candidate],
    runs: Runs,
    *,
    cuts: Sequence[Cut] | None = None,
    alongside: Sequence[str] = tuple(ALONGSIDE),
    loo: bool = True,
    folder: FilePath | None = None,
    seed: Seed = 0,
    progress: bool | None = None,
) -> Comparison:
    """Compare laws by how they would have forecast the largest runs of a table.

    Parameters
    ----------
    laws : names of laws, laws, or `Candidate` s
    runs : the table
    cuts : where the largest runs are held out; by default at a 3rd, a 10th and a 30th of the largest one
    alongside : what each law is shown with: ``exact``, the law taken to be exactly right, without a discrepancy, which
        may earn weight; and baselines, which never do: ``huber`` and ``squares``, point fits with a bootstrap,
        ``laplace``, the normal approximation of the law alone, and ``conformal``, split-conformal intervals
    loo : also compute leave-one-out scores; their refits take about as long as everything else
    folder : where refits are kept and found again
    seed : of sampler and scores
    progress : show a bar; by default on a terminal

    Raises
    ------
    DataError
        When there is no law, the table lacks a column, or it has too few sizes to hold out the largest.
    """
    started = time.perf_counter()
    folder = None if folder is None else Path(folder)
    found = candidates_of(laws, alongside)
    cuts = tuple(cuts) if cuts is not None else default_cuts(found[0].law, runs)
    tasks = [(candidate, cut) for candidate in found for cut in (*cuts, None) if candidate.weighted or cut is not None]
    scored: list[pd.DataFrame] = []
    refits: list[dict[str, Any]] = []
    fits: dict[str, Fit] = {}
    left_one_out: dict[str, np.ndarray] = {}
    notes: dict[str, str] = {}
    with progress_bar("compare", progress) as report:
        for done, (candidate, cut) in enumerate(tasks):
            report(candidate.label, done / len(tasks))
            if cut is None:
                fits[candidate.label] = fit_to_all(candidate, runs, folder, seed)
                if loo:
                    name = candidate.label
                    left_one_out[name], notes[name] = left_one_out_scores(candidate, fits[name], folder, seed)
                continue
            held_out, how = held_out_scores(candidate, cut, runs, folder, seed)
            scored.append(held_out)
            refits.append({"candidate": candidate.label, "cut": cut.label, **how})
    scores = pd.concat(scored, ignore_index=True)
    weighted = [candidate.label for candidate in found if candidate.weighted]
    return Comparison(
        candidates=found,
        cuts=cuts,
        runs=runs,
        scores=scores,
        refits=pd.DataFrame(refits),
        left_one_out=left_one_out,
        loo_notes=notes,
        fits=fits,
        weights=held_out_weights(scores, weighted, cuts),
        loo_weights=stacking_weights(left_one_out) if loo else {},
        seconds=time.perf_counter() - started,
    )
