"""Refits of a comparison: to the runs below a cut, to all runs, and to all but a few.

Fits to parts of one table share a compiled program. Every refit is written to a folder when it is done, if one is
given, and found there again, so that a comparison that was stopped goes on where it was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.base.tasks import Task
from bayes_scaling.data.columns import ordering
from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import BayesScalingError
from bayes_scaling.evaluate.baselines.conformal import conformal_fit
from bayes_scaling.evaluate.baselines.normal import normal_approximation
from bayes_scaling.evaluate.baselines.point_fits import LOSSES, point_fit
from bayes_scaling.evaluate.candidates import Candidate, Cut, usual_cuts
from bayes_scaling.evaluate.checks import fits_without, leave_one_out_scores
from bayes_scaling.evaluate.evidence import evidence_of
from bayes_scaling.evaluate.kept import Kept, warn_and_remove
from bayes_scaling.evaluate.scores import extrapolation_range, score
from bayes_scaling.evaluate.weights import law_weights
from bayes_scaling.inference.at_rows import with_few_draws
from bayes_scaling.inference.fit import composed, fit_law, prepare
from bayes_scaling.inference.loading import load_fit
from bayes_scaling.inference.result import Fit
from bayes_scaling.inference.sampler import Sampler, chosen_sampler
from bayes_scaling.inference.weights import MOST_K, unreliable
from bayes_scaling.laws.priors import describe_prior
from bayes_scaling.model.discrepancy import log_size
from bayes_scaling.model.observations import law_table, rows_along_curves
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.evidence import Evidence
from bayes_scaling.predict.forecast import forecast
from bayes_scaling.predict.predictive import Predictive

SCORED_PER_CURVE = 60  # rows of one run at most
SCORED_AT_ONCE = 2_000_000  # draws by rows of the table, behind the scores above a cut
ALL, LEFT_OUT = "all", "loo"  # results of a fit to all runs: itself, and its scores when runs are left out
REFITS = 10  # at most, for rows whose leave-one-out weights fail; more such rows are left out in groups


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """Candidates fitted below every cut, scored above it, and fitted to all runs.

    Attributes
    ----------
    scores : one row per candidate, cut and held-out row, see `held_out_scores`
    refits : one row per candidate and cut: ``candidate``, ``cut``, ``converged``, ``problems``, ``sampler_used``,
        ``seconds``
    fits : by label of a candidate that is a posterior, given all runs
    left_one_out, loo_notes : by the same label, as of `Comparison`; empty where they were not wanted
    """

    scores: pd.DataFrame
    refits: pd.DataFrame
    fits: Mapping[str, Fit]
    left_one_out: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    loo_notes: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def weights(self, laws: Mapping[str, str], cuts: Sequence[Cut]) -> dict[str, float]:
        """Return the weight of every fit, by the label of its law; 0 where it did not converge, unless none did."""
        usable = [name for name in laws if self.fits[name].converged] or list(laws)
        found = law_weights(self.scores, {name: laws[name] for name in usable}, cuts)
        return {name: found.get(name, 0.0) for name in laws}


@dataclasses.dataclass(frozen=True, eq=False)
class Weighed:
    """Several fits with weights, and why; see `WeightedFits`."""

    fits: Mapping[str, Fit]
    weights: Mapping[str, float]
    runs: Runs
    evidence: Evidence

    @classmethod
    def of(cls, candidates: Sequence[Candidate], made: Measured, cuts: Sequence[Cut], runs: Runs) -> Weighed:
        """Weigh the fits of all candidates by how they forecast the runs above the cuts."""
        weights = made.weights({candidate.label: candidate.law.label for candidate in candidates}, cuts)
        return cls(made.fits, weights, runs, evidence_of(candidates, made, cuts))


@dataclasses.dataclass(frozen=True, eq=False)
class ScoredRows:
    """What stands for a table where laws are scored: all of it, but of long curves 60 rows of each run.

    Attributes
    ----------
    runs : those rows
    rows : (n_row,) their places in the whole table
    """

    runs: Runs
    rows: np.ndarray

    @classmethod
    def of(cls, runs: Runs) -> ScoredRows:
        """Choose the rows, whatever the law and its noise."""
        rows = np.arange(len(runs))
        if "run" not in runs or not ordering(runs.table):
            return cls(runs, rows)
        chosen = rows_along_curves(runs, SCORED_PER_CURVE)
        return cls(runs.where(np.isin(rows, chosen)), chosen)


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """A table of which some runs are held out.

    Attributes
    ----------
    runs : the whole table
    out : (n_row,) which rows are held out
    """

    runs: Runs
    out: np.ndarray

    @classmethod
    def at(cls, cut: Cut, runs: Runs) -> Split:
        """Hold out the rows above a cut; each side has some."""
        runs.cut(cut.column, cut.at)
        return cls(runs, runs.column(cut.column) > cut.at)

    @functools.cached_property
    def held_out(self) -> Runs:
        """The rows that are held out."""
        return self.runs.where(self.out)

    @functools.cached_property
    def fitted(self) -> Runs:
        """All other rows."""
        return self.runs.where(~self.out)

    @property
    def rows(self) -> np.ndarray:
        """Places of the rows that are held out, ``(n_held_out,)``."""
        return np.flatnonzero(self.out)


@dataclasses.dataclass(frozen=True, eq=False)
class BelowCut(Task[Mapping[str, Any]]):
    """A candidate fitted below a cut and scored above it; a row is numbered among those that stand for the table.

    Attributes
    ----------
    candidate, cut, seed, folder : as of `tasks_of`
    scored : the table
    """

    candidate: Candidate
    cut: Cut
    scored: ScoredRows
    seed: int
    folder: Path | None = None

    @property
    def label(self) -> str:
        """What is fitted to what."""
        return f"{self.candidate.label} below {self.cut.label}"

    @functools.cached_property
    def kept(self) -> Kept:
        """Its place in the folder: a cut with all its digits, and its column, which the law may not read."""
        what = f"{self.cut.column} <= {self.cut.at!r}"
        return Kept(self.folder, self.candidate.held_out, self.scored.runs, self.seed, what, (self.cut.column,))

    def found(self) -> Mapping[str, Any] | None:
        """Return the scores that the folder has."""
        return self.kept.found()

    def measure(self) -> Mapping[str, Any]:
        """Return the scores above the cut, and how the fit went."""
        return self.kept.or_made(self._measure)

    def keep(self, made: Mapping[str, Any]) -> Mapping[str, Any]:
        """Write scores that a worker made, unless it has."""
        return self.kept.or_made(lambda: made)

    def _measure(self) -> dict[str, Any]:
        candidate, cut, started = self.candidate, self.cut, time.perf_counter()
        split = Split.at(cut, self.scored.runs)
        predicted, how = _predict(candidate.held_out, split, self.seed)
        held_out = score(predicted, split.held_out.loss, self.seed)
        # By their place in the whole table, so that a run without a name is the same at every cut.
        held_out.insert(0, "run", np.array(split.runs.labels)[split.out])
        held_out.insert(0, "row", split.rows)
        size = np.exp(log_size(candidate.law, law_table(candidate.law, split.runs)))
        held_out["extrapolation"] = size[split.out] / size[~split.out].max()
        seconds = round(time.perf_counter() - started, 2)
        return {"scores": held_out.to_dict(orient="list"), "how": {**how, "seconds": seconds}}


@dataclasses.dataclass(frozen=True, eq=False)
class FitToAll:
    """A fit to all runs, and what leaving them out gave: ``scores`` by row, ``bad`` and ``refitted`` rows."""

    fit: Fit
    left_out: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class ToAllRuns(Task[FitToAll]):
    """A candidate fitted to all runs, with leave-one-out scores if they are wanted.

    Attributes
    ----------
    candidate, runs, seed, loo, folder : as of `tasks_of`
    """

    candidate: Candidate
    runs: Runs
    seed: int
    loo: bool = False
    folder: Path | None = None

    @property
    def label(self) -> str:
        """What is fitted to what."""
        return f"{self.candidate.label}, all runs"

    @property
    def long(self) -> bool:  # type: ignore[override]
        """Leaving runs out takes many fits."""
        return self.loo

    def found(self) -> FitToAll | None:
        """Return what the folder has, if it has all."""
        fitted = fit_in(self.candidate, self.runs, self.folder, self.seed)
        if fitted is None or not self.loo:
            return None if fitted is None else FitToAll(fitted)
        kept = Kept(self.folder, self.candidate, self.runs, self.seed, LEFT_OUT).found()
        return None if kept is None else FitToAll(fitted, kept)

    def prepare(self) -> None:
        """Compile the pieces of its chains, which is a third of a first fit."""
        path, one = Kept(self.folder, self.candidate, self.runs, self.seed, ALL).path(".nc"), self.candidate
        if path is None or not path.is_file():
            composition = composed(one.law, self.runs, one.noise, one.discrepancy, None)
            prepare(composition, self.runs, _sampler_like(one, len(self.runs)))

    def measure(self) -> FitToAll:
        """Fit all runs, and leave them out one by one."""
        fitted = fit_to_all(self.candidate, self.runs, self.folder, self.seed)
        left_out = left_one_out(self.candidate, fitted, self.folder, self.seed) if self.loo else None
        # What a fit caches cannot be sent between processes.
        return FitToAll(dataclasses.replace(fitted), left_out)

    def keep(self, made: FitToAll) -> FitToAll:
        """Write what a worker made, unless it has."""
        path = Kept(self.folder, self.candidate, self.runs, self.seed, ALL).path(".nc")
        if path is not None and not path.is_file():
            made.fit.save(path)
        if made.left_out is None:
            return made
        left_out, kept = made.left_out, Kept(self.folder, self.candidate, self.runs, self.seed, LEFT_OUT)
        return dataclasses.replace(made, left_out=kept.or_made(lambda: left_out))


@dataclasses.dataclass(frozen=True, eq=False)
class Again(Task[Fit]):
    """A candidate fitted once more, to other runs or with other priors.

    Attributes
    ----------
    candidate, runs, like_rows, seed : as of `fit_of`
    why : what is different, in words
    """

    candidate: Candidate
    runs: Runs
    like_rows: int
    seed: int
    why: str

    @property
    def label(self) -> str:
        """What is fitted, and why."""
        return f"{self.candidate.label}, {self.why}"

    def measure(self) -> Fit:
        """Fit it; without what a fit caches."""
        return dataclasses.replace(fit_of(self.candidate, self.runs, self.like_rows, self.seed))


type Refit = BelowCut | ToAllRuns


def tasks_of(
    candidates: Sequence[Candidate], cuts: Sequence[Cut], runs: Runs, folder: Path | None, seed: int, loo: bool = False
) -> list[Refit]:
    """Return the fits of a comparison: of every candidate below every cut, and of those with weight to all runs.

    Parameters
    ----------
    folder : where results are kept and found again
    loo : whether runs are also left out one by one
    """
    scored = ScoredRows.of(runs)
    return [
        ToAllRuns(one, runs, seed, loo, folder) if cut is None else BelowCut(one, cut, scored, seed, folder)
        for one in candidates
        for cut in (*cuts, None)
        if one.weighted or cut is not None
    ]


def measured(tasks: Sequence[Refit], made: Sequence[Any]) -> Measured:
    """Put together what the tasks of `tasks_of` gave."""
    scored: list[pd.DataFrame] = []
    refits: list[dict[str, Any]] = []
    fits: dict[str, Fit] = {}
    scores: dict[str, np.ndarray] = {}
    notes: dict[str, str] = {}
    for task, result in zip(tasks, made, strict=True):
        name = task.candidate.label
        if isinstance(task, BelowCut):
            held_out = pd.DataFrame(result["scores"]).assign(candidate=name, cut=task.cut.label)
            held_out["row"] = task.scored.rows[held_out["row"]]
            held_out["range"] = extrapolation_range(held_out["extrapolation"].to_numpy())
            scored.append(held_out)
            refits.append({"candidate": name, "cut": task.cut.label, **result["how"]})
            continue
        fits[name] = result.fit
        if result.left_out is not None:
            scores[name], notes[name] = scores_and_note(result.left_out, len(task.runs))
    together = pd.concat(scored, ignore_index=True) if scored else pd.DataFrame()
    return Measured(together, pd.DataFrame(refits), fits, scores, notes)


def _predict(candidate: Candidate, split: Split, seed: int) -> tuple[Predictive, dict[str, Any]]:
    """Return the predictive distribution at the runs that are held out, and how it came about."""
    law, rows = candidate.law, len(split.runs)
    if candidate.members:
        return _predict_together(candidate.members, split, seed)
    if candidate.method in LOSSES:
        fitted = point_fit(law, split.fitted, loss=candidate.method, seed=seed, like_rows=rows)
        return fitted.predict(law_table(law, split.runs)).at(split.rows), _made_by("bootstrap")
    if candidate.method == "conformal":
        halves = conformal_fit(law, split.fitted, seed=seed, like_rows=rows)
        return halves.predict(law_table(law, split.runs)).at(split.rows), _made_by("split")
    if candidate.method == "laplace":
        candidate = dataclasses.replace(candidate, discrepancy="none", sampler=Sampler(normal_approximation))
    posterior = fit_of(candidate, split.fitted, rows, seed)
    few = with_few_draws(posterior, rows, SCORED_AT_ONCE)
    return _of_measured(few, split.held_out, seed), _made_by(posterior.sampler_used, posterior.problems)


def _of_measured(fitted: Fit, held_out: Runs, seed: int) -> Predictive:
    """Forecast losses as they were measured: with their own standard errors, where the noise of the fit has them."""
    predicted = forecast(fitted, held_out, seed=seed, unconverged=True).predictive
    if "noise.relative_se" not in fitted.noise.columns:
        return predicted
    return predicted.measured_with(held_out.column("loss_se") / held_out.loss)


def _predict_together(members: Sequence[Candidate], split: Split, seed: int) -> tuple[Predictive, dict[str, Any]]:
    """Return what all members say, weighed by how they forecast the largest of the runs below; as of `_predict`."""
    cuts = usual_cuts(members[0].law, split.fitted)
    tasks = tasks_of(members, cuts, split.fitted, None, seed)
    made = measured(tasks, [task.measure() for task in tasks])
    few = {name: with_few_draws(fitted, len(split.runs), SCORED_AT_ONCE) for name, fitted in made.fits.items()}
    weighed = Weighed.of(members, dataclasses.replace(made, fits=few), cuts, split.fitted)
    ensemble = Ensemble.of(weighed, seed, unconverged=True)
    predicted = forecast(ensemble, split.held_out, seed=seed, unconverged=True).predictive
    usable = any(fitted.converged for fitted in made.fits.values())
    return predicted, _made_by("mixture", () if usable else (f"none of {len(members)} fits converged",))


def _made_by(sampler: str, problems: tuple[str, ...] = ()) -> dict[str, Any]:
    """Say how a predictive distribution came about; only posteriors can fail to converge."""
    return {"converged": not problems, "problems": "; ".join(problems), "sampler_used": sampler}


def fit_of(candidate: Candidate, runs: Runs, like_rows: int, seed: int) -> Fit:
    """Fit a candidate that is a posterior; ``like_rows`` as of `Sampler`."""
    return fit_law(
        candidate.law,
        runs,
        noise=candidate.noise,
        discrepancy=candidate.discrepancy,
        sampler=_sampler_like(candidate, like_rows),
        seed=seed,
        progress=False,
    )


def _sampler_like(candidate: Candidate, rows: int) -> Sampler:
    """Return the sampler of a candidate, compiled for a table of so many rows."""
    return dataclasses.replace(chosen_sampler(candidate.sampler), like_rows=rows)


def fit_to_all(candidate: Candidate, runs: Runs, folder: Path | None, seed: int) -> Fit:
    """Fit all runs, or find the fit in the folder."""
    found = fit_in(candidate, runs, folder, seed)
    if found is not None:
        return found
    fitted = fit_of(candidate, runs, len(runs), seed)
    path = Kept(folder, candidate, runs, seed, ALL).path(".nc")
    if path is not None:
        fitted.save(path)
    return fitted


def fit_in(candidate: Candidate, runs: Runs, folder: Path | None, seed: int) -> Fit | None:
    """Return the fit that `fit_to_all` has left in the folder; None without one that is whole."""
    path = Kept(folder, candidate, runs, seed, ALL).path(".nc")
    if path is None or not path.is_file():
        return None
    with contextlib.suppress(BayesScalingError):
        found = load_fit(path, candidate.law)
        if _is_of(found, candidate, runs, seed):
            return found
    warn_and_remove(path)
    return None


def _is_of(found: Fit, candidate: Candidate, runs: Runs, seed: int) -> bool:
    """Return whether a fit is what `fit_to_all` would make, as far as its file says."""
    columns, made = candidate.law.inputs, found.manifest
    asked = composed(candidate.law, runs, candidate.noise, candidate.discrepancy, None)
    return (
        found.runs.hash_of(columns) == runs.hash_of(columns)
        and (found.noise, found.discrepancy.as_dict()) == (asked.noise, asked.discrepancy.as_dict())
        and (made["law_source_sha256"], made["sampler"], made["seed"])
        == (candidate.law.source_hash, chosen_sampler(candidate.sampler).name, seed)
        and made["priors"] == {row.site: describe_prior(row.prior) for row in found.composition.sampled}
    )


def left_one_out(candidate: Candidate, fitted: Fit, folder: Path | None, seed: int) -> dict[str, Any]:
    """Return the leave-one-out ``scores`` of every row, refitted where reweighting fails, and of how many it does."""

    def measure() -> dict[str, Any]:
        scores, k_hat = leave_one_out_scores(fitted)
        bad = np.flatnonzero(unreliable(k_hat))
        # Rows of curves are scored given the rows before them, which a forecast of a single row is not; and laws of
        # whole schedules read the rates of those rows.
        along_curves = fitted.noise.correlated or fitted.law.features is not None
        refitted = bad[:0] if along_curves else bad
        groups = [refitted[i::REFITS] for i in range(min(REFITS, len(refitted)))]
        # So few refits do not repay the programs of the batched sampler; those of the fit are there.
        again_without = fits_without(fitted, groups, chosen_sampler(candidate.sampler), seed)
        for left_out, again in zip(groups, again_without, strict=True):
            held_out = fitted.runs.where(np.isin(np.arange(len(fitted.runs)), left_out))
            scores[left_out] = _of_measured(again, held_out, seed).log_density(held_out.loss)
        return {"scores": scores.tolist(), "bad": len(bad), "refitted": len(refitted)}

    return Kept(folder, candidate, fitted.runs, seed, LEFT_OUT).or_made(measure)


def scores_and_note(left_out: Mapping[str, Any], rows: int) -> tuple[np.ndarray, str]:
    """Return the leave-one-out score of every row, and a note on how many were refitted."""
    note = f"{left_out['bad']} of {rows} rows with k-hat above {MOST_K}, {left_out['refitted']} of them refitted"
    return np.array(left_out["scores"], float), note
