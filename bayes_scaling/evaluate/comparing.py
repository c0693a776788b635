"""Making a comparison: every candidate fitted below every cut, scored above it, and fitted to all runs."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

from bayes_scaling.base.arguments import FilePath, Seed, validated
from bayes_scaling.base.executors import ExecutorChoice, opened
from bayes_scaling.base.names import USUALLY_ALONGSIDE
from bayes_scaling.base.progress import progress_bar
from bayes_scaling.base.tasks import carried_out
from bayes_scaling.data.runs import Runs
from bayes_scaling.evaluate.candidates import TOGETHER, Candidate, Cut, apart, candidates_of, default_cuts, together
from bayes_scaling.evaluate.comparison import Comparison
from bayes_scaling.evaluate.fitting import members
from bayes_scaling.evaluate.refits import Refit, measured, tasks_of
from bayes_scaling.evaluate.weights import stacking_weights
from bayes_scaling.laws.law import Law


class WorkOptions(TypedDict, total=False):
    """Where the fits of a comparison are made and kept; no number depends on it.

    Attributes
    ----------
    folder : where refits are kept and found again
    executor : whose workers make the fits: a number of processes of this machine, or any executor of
        `concurrent.futures`; by default this process
    """

    folder: FilePath | None
    executor: ExecutorChoice | None


@validated
def compare(
    laws: Sequence[str | Law | Candidate],
    runs: Runs,
    *,
    cuts: Sequence[Cut] | None = None,
    alongside: Sequence[str] = USUALLY_ALONGSIDE,
    loo: bool = True,
    seed: Seed = 0,
    progress: bool | None = None,
    **options: Unpack[WorkOptions],
) -> Comparison:
    """Compare laws by how they would have forecast the largest runs of a table.

    Parameters
    ----------
    laws : names of laws, laws, or `Candidate` s
    runs : the table
    cuts : where the largest runs are held out; by default at a 3rd, a 10th and a 30th of the largest one
    alongside : what each law is shown with: ``exact``, the law without a discrepancy, which
        may earn weight; and baselines, which never do: ``huber`` and ``squares``, point fits with a bootstrap,
        ``laplace``, the normal approximation of the law alone, and ``conformal``, split-conformal intervals. With
        ``together``, all laws as one: fitted and weighed by `fit` to the runs below each cut, whose own largest runs
        decide the weights
    loo : also compute leave-one-out scores; their refits take about as long as everything else
    seed : of sampler and scores
    progress : show a bar; by default on a terminal
    options : `WorkOptions`: folder, executor

    Raises
    ------
    DataError
        When there is no law, the table lacks a column, or it has too few sizes to hold out the largest.
    WorkerError
        When workers are lost for good, or a law cannot be sent to one.
    """
    with opened(options.get("executor")) as workers, progress_bar("compare", progress) as report:
        asked = AskedComparison.of(laws, runs, cuts, alongside, loo, folder_of(options), seed)
        return asked.answered(carried_out(asked.tasks, workers, report))


def folder_of(options: WorkOptions) -> Path | None:
    """Return the folder as a path."""
    folder = options.get("folder")
    return None if folder is None else Path(folder)


@dataclasses.dataclass(frozen=True, eq=False)
class AskedComparison:
    """A comparison that is asked for, with the fits that it takes.

    Attributes
    ----------
    candidates, cuts, runs : what is compared on what
    tasks : the fits, see `tasks_of`
    started : when it was asked for
    """

    candidates: tuple[Candidate, ...]
    cuts: tuple[Cut, ...]
    runs: Runs
    tasks: Sequence[Refit]
    started: float

    @classmethod
    def of(
        cls,
        laws: Sequence[str | Law | Candidate],
        runs: Runs,
        cuts: Sequence[Cut] | None,
        alongside: Sequence[str],
        loo: bool,
        folder: Path | None,
        seed: int,
    ) -> AskedComparison:
        """Return what `compare` is asked for; arguments and errors as there."""
        started = time.perf_counter()
        found = candidates_of(laws, alongside)
        if TOGETHER in alongside:
            answering = [one for one in laws if not isinstance(one, Candidate) or one.weighted]
            found = (*found, together(members(answering, "auto", "brownian", "auto", runs)))
        cuts = apart(cuts) if cuts is not None else default_cuts(found[0].law, runs)
        return cls(found, cuts, runs, tasks_of(found, cuts, runs, folder, seed, loo), started)

    def answered(self, made: Sequence[Any]) -> Comparison:
        """Return the comparison, from the results of the tasks."""
        whole = measured(self.tasks, made)
        weighted = {one.label: one.law.label for one in self.candidates if one.weighted}
        return Comparison(
            candidates=self.candidates,
            cuts=self.cuts,
            runs=self.runs,
            scores=whole.scores,
            refits=whole.refits,
            left_one_out=whole.left_one_out,
            loo_notes=whole.loo_notes,
            fits=whole.fits,
            weights=whole.weights(weighted, self.cuts),
            loo_weights=stacking_weights(whole.left_one_out) if whole.left_one_out else {},
            seconds=time.perf_counter() - self.started,
        )
