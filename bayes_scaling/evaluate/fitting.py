"""Fitting: one law to a posterior, several to what they say together, and by default the laws that fit the columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TypedDict, Unpack, overload

from bayes_scaling.base.arguments import FilePath, Seed, validated
from bayes_scaling.base.executors import ExecutorChoice, opened
from bayes_scaling.base.progress import progress_bar
from bayes_scaling.base.tasks import carried_out
from bayes_scaling.base.warned import warn_caller
from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import ArgumentError, ConvergenceError, LawError
from bayes_scaling.evaluate.candidates import FAST, Candidate, candidates_of, usual_cuts
from bayes_scaling.evaluate.defaults import NoiseAsked, default_laws
from bayes_scaling.evaluate.refits import Weighed, measured, tasks_of
from bayes_scaling.evaluate.unread import unread_columns
from bayes_scaling.inference.fit import fit_law, refuse_unusable_columns
from bayes_scaling.inference.result import Fit
from bayes_scaling.inference.sampler import Sampler, SamplerChoice
from bayes_scaling.laws.catalogue import load_law
from bayes_scaling.laws.law import Law
from bayes_scaling.model.choices import DiscrepancyChoice, NoiseChoice, chosen_discrepancy, chosen_noise
from bayes_scaling.model.pooling import Pool, Pooling
from bayes_scaling.predict.ensemble import ALONE, TREND, Ensemble


class ModelOptions(TypedDict, total=False):
    """Options of every law that is fitted.

    Attributes
    ----------
    noise : scatter of log loss: ``student_t`` with learned tails, ``normal``, or a `Noise`; ``auto`` is Student-t, or
        normal with correlated rows where the table holds training curves, of which at most 12 rows of each run are read
        (``Noise.rows_per_curve``). Of several laws of two inputs or more it is Student-t with a scale that may grow
        towards small runs
    discrepancy : how the truth may leave the law: ``brownian``, as a random path along the size of runs whose scale is
        learned; ``none``, the law is exactly right; or a `Discrepancy`. With several laws, each is fitted a second time
        with another discrepancy: ``trend`` for a law of one input, none for any other
    """

    noise: NoiseChoice
    discrepancy: DiscrepancyChoice


class LawOptions(ModelOptions, total=False):
    """Options of a law that is fitted alone, on top of `ModelOptions`.

    Attributes
    ----------
    pooling : how parameters vary between groups of runs: ``{"alpha": partial("dataset")}``; a parameter that is not
        named is shared. A parameter is named as its prior is
    """

    pooling: Pooling | None


@overload
def fit(  # type: ignore[overload-overlap]  # a name is no list of laws, though text is a sequence of text
    law: Law | str,
    runs: Runs,
    *,
    sampler: SamplerChoice = "auto",
    seed: Seed = 0,
    progress: bool | None = None,
    **options: Unpack[LawOptions],
) -> Fit: ...


@overload
def fit(
    law: Runs | Sequence[str | Law | Candidate],
    runs: Runs | None = None,
    *,
    sampler: SamplerChoice = "auto",
    folder: FilePath | None = None,
    executor: ExecutorChoice | None = None,
    seed: Seed = 0,
    progress: bool | None = None,
    **options: Unpack[ModelOptions],
) -> Ensemble: ...


@validated
def fit(
    law: Law | str | Sequence[str | Law | Candidate] | Runs,
    runs: Runs | None = None,
    *,
    sampler: SamplerChoice = "auto",
    folder: FilePath | None = None,
    executor: ExecutorChoice | None = None,
    seed: Seed = 0,
    progress: bool | None = None,
    **options: Unpack[LawOptions],
) -> Fit | Ensemble:
    """Fit the default laws for a table, several laws, or one.

    Parameters
    ----------
    law : the table alone, for the default laws by its columns; several laws, as names, `Law` s or `Candidate` s; or one
        `Law`, or what ``load_law`` takes
    runs : the table, where laws are named
    sampler : ``auto``, ``nuts``, ``batched``, ``tempered``, ``laplace``, or a `Sampler`, which also says how many
        chains and draws, on what device, and may be a method of your own
    folder : of several laws, where refits are kept and found again
    executor : of several laws, whose workers make the fits: a number of processes of this machine, or any executor of
        `concurrent.futures`; by default this process. The result is the same
    seed : the same seed on the same machine gives the same draws
    progress : show a bar; by default on a terminal
    options : `LawOptions`: noise, discrepancy, and of one law pooling

    Returns
    -------
    Fit or Ensemble
        Of one law a `Fit`, marked as not converged, not refused, when even stronger settings do not help; forecasts
        from it refuse. Of several an `Ensemble`: each law twice, with its discrepancy and without one (of one
        input: with a discrepancy of kind ``trend``, that goes on for a while the way it went), weighed by
        how it would have forecast the largest runs from those below a 3rd, a 10th and a 30th of the largest one. With
        too few runs to hold any out, all laws weigh the same. A fit that did not converge is left out with a warning.
        `Ensemble.to_frame` lists the laws, their weights and why.

    Raises
    ------
    DataError
        When the table lacks a column that a law or the noise reads, or there are no default laws for its columns.
    ConvergenceError
        When none of several fits converged.
    WorkerError
        When workers are lost for good, or a law cannot be sent to one.
    """
    if isinstance(law, Runs):
        if runs is not None:
            raise ArgumentError("law is a table of runs, and runs is another one; give laws first, or the table alone")
        runs, law = law, default_laws(law)
    if runs is None:
        raise ArgumentError("there are no runs to fit; give the table, as in fit(runs) or fit(law, runs)")
    if isinstance(law, str | Law):
        if folder is not None:
            raise ArgumentError("folder keeps the refits of several laws; one law has none, save its fit instead")
        if executor is not None:
            raise ArgumentError("executor shares out the fits of several laws; one law is one fit, leave it out")
        one = load_law(law) if isinstance(law, str) else law
        pooled = [pool.by for pool in (options.get("pooling") or {}).values() if isinstance(pool, Pool)]
        made = fit_law(one, runs, sampler=sampler, seed=seed, progress=progress, **options)
        for said in unread_columns([one], runs, pooled):
            warn_caller(said)
        return made
    if options.get("pooling"):
        raise LawError("pooling names parameters of one law; fit that law alone, as in fit('chinchilla', runs, ...)")
    candidates = members(law, options.get("noise", "auto"), options.get("discrepancy", "brownian"), sampler, runs)
    with opened(executor) as workers:
        return _fit_several(candidates, runs, None if folder is None else Path(folder), workers, seed, progress)


def members(
    laws: Sequence[str | Law | Candidate],
    noise: NoiseChoice | NoiseAsked,
    discrepancy: DiscrepancyChoice,
    sampler: SamplerChoice,
    runs: Runs,
) -> tuple[Candidate, ...]:
    """Return each law with its discrepancy and with another one; candidates are taken as they are."""
    baselines = [one.label for one in laws if isinstance(one, Candidate) and not one.weighted]
    if baselines:
        raise LawError(f"{baselines[0]} is a baseline, which has no posterior; compare(...) shows it beside laws")
    given = [one.label for one in laws if isinstance(one, Candidate)]
    asked = NoiseAsked() if noise == "auto" else noise
    found: list[Candidate] = []
    for one in candidates_of(laws, ()):
        if one.label in given:
            found.append(one)
            continue
        scatter = asked.of(one.law, runs) if isinstance(asked, NoiseAsked) else asked
        member = dataclasses.replace(
            one, noise=scatter, discrepancy=discrepancy, sampler=sampler, held_out_sampler=_below_cuts(sampler)
        )
        found += [member, *beside(member, runs)]
    return tuple(found)


def _below_cuts(sampler: SamplerChoice) -> SamplerChoice | None:
    """Return what samples below the cuts: an approximation that is good enough for weights, or what was asked for."""
    if isinstance(sampler, Sampler):
        return dataclasses.replace(sampler, method=FAST) if sampler.method == "auto" else None
    return FAST if sampler == "auto" else None


def beside(member: Candidate, runs: Runs) -> Sequence[Candidate]:
    """Return a law once more, with another discrepancy; nothing beside a law that is asked for as exact.

    A law of one input has a smooth path beside its rough one: a curve may go through stages, and rise, as no such law
    does. Any other law is also fitted without one, and so is one of many curves, which deviate from it as they may.
    """
    kind = chosen_discrepancy(member.discrepancy).kind
    if kind == "none":
        return ()
    one_curve = len(member.law.inputs) == 1 and not chosen_noise(member.noise, runs, member.law).correlated
    if one_curve and kind != "trend":
        return (dataclasses.replace(member, label=member.label + TREND, discrepancy="trend"),)
    return (dataclasses.replace(member, label=member.label + ALONE, discrepancy="none"),)


def _fit_several(
    candidates: Sequence[Candidate],
    runs: Runs,
    folder: Path | None,
    executor: Executor | None,
    seed: int,
    progress: bool | None,
) -> Ensemble:
    """Fit several laws and weigh them."""
    for candidate in candidates:
        refuse_unusable_columns(candidate.law, runs)
    for said in unread_columns([candidate.law for candidate in candidates], runs):
        warn_caller(said)
    cuts = usual_cuts(candidates[0].law, runs)
    with progress_bar("fit", progress) as report:
        tasks = tasks_of(candidates, cuts, runs, folder, seed)
        made = measured(tasks, carried_out(tasks, executor, report))
    left_out = {one.label: "; ".join(made.fits[one.label].problems) for one in candidates}
    left_out = {label: problems for label, problems in left_out.items() if problems}
    if len(left_out) == len(candidates):
        first = candidates[0]
        raise ConvergenceError(
            f"none of {len(left_out)} fits converged, that of {first.law.label} for one ({left_out[first.label]}): fit "
            "again with more draws, other laws or tighter priors"
        )
    for label, problems in left_out.items():
        said = f"{label} did not converge ({problems}), and is left out of the ensemble"
        warn_caller(said)
    return Ensemble.of(Weighed.of(candidates, made, cuts, runs), seed)
