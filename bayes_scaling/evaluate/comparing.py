"""Making a comparison: every candidate fitted below every cut, scored above it, and fitted to all runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bayes_scaling.base.arguments import FilePath, Seed, validated
from bayes_scaling.base.names import ALONGSIDE
from bayes_scaling.base.progress import progress_bar
from bayes_scaling.data.runs import Runs
from bayes_scaling.evaluate.candidates import Candidate, Cut, candidates_of, default_cuts
from bayes_scaling.evaluate.comparison import Comparison
from bayes_scaling.evaluate.refits import left_one_out_scores, measured
from bayes_scaling.evaluate.weights import stacking_weights
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
    left_one_out: dict[str, np.ndarray] = {}
    notes: dict[str, str] = {}
    weighted = [candidate for candidate in found if candidate.weighted]
    with progress_bar("compare", progress) as report:
        made = measured(found, cuts, runs, folder, seed, report)
        for candidate in weighted if loo else ():
            name = candidate.label
            report(f"{name}, one left out", 1.0)
            left_one_out[name], notes[name] = left_one_out_scores(candidate, made.fits[name], folder, seed)
    return Comparison(
        candidates=found,
        cuts=cuts,
        runs=runs,
        scores=made.scores,
        refits=made.refits,
        left_one_out=left_one_out,
        loo_notes=notes,
        fits=made.fits,
        weights=made.weights({candidate.label: candidate.law.label for candidate in weighted}, cuts),
        loo_weights=stacking_weights(left_one_out) if loo else {},
        seconds=time.perf_counter() - started,
    )
