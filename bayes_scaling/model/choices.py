"""What a noise model or a discrepancy may be given as: a name, or an object."""

from __future__ import annotations

import dataclasses

import numpy as np

from bayes_scaling.base.messages import shown
from bayes_scaling.base.names import DISCREPANCIES, NOISES, DiscrepancyName, NoiseName
from bayes_scaling.data.columns import ordering
from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import LawError
from bayes_scaling.laws.law import Law
from bayes_scaling.model.discrepancy import Discrepancy
from bayes_scaling.model.noise import LEARNED, Noise
from bayes_scaling.model.start import BATCH, BY, describes_whole_curves, start_for

ENOUGH = 3  # model sizes, or batches, for a path along them

type NoiseChoice = NoiseName | Noise
type DiscrepancyChoice = DiscrepancyName | Discrepancy


def chosen_noise(choice: NoiseChoice, runs: Runs, law: Law) -> Noise:
    """Return the noise model that a choice means for a table, with the start of curves as the law reads it."""
    noise = _named_noise(choice, runs)
    if not noise.correlated or noise.start != LEARNED:
        return noise
    begins = start_for(law)
    return noise if begins is None else dataclasses.replace(noise, start=begins)


def _named_noise(choice: NoiseChoice, runs: Runs) -> Noise:
    if isinstance(choice, Noise):
        return choice
    if choice == "auto":
        return default_noise(runs)
    if isinstance(choice, str) and choice in NOISES:
        return Noise(choice)
    raise LawError(f"noise is {shown(choice)}; expected one of {', '.join(NOISES)}, or a bayes_scaling.Noise")


def chosen_discrepancy(choice: DiscrepancyChoice) -> Discrepancy:
    """Return the discrepancy that a choice means."""
    if isinstance(choice, Discrepancy):
        return choice
    if isinstance(choice, str) and choice in DISCREPANCIES:
        return Discrepancy(choice)
    raise LawError(
        f"discrepancy is {shown(choice)}; expected one of {', '.join(DISCREPANCIES)}, or a bayes_scaling.Discrepancy"
    )


def discrepancy_along(discrepancy: Discrepancy, noise: Noise, law: Law, runs: Runs) -> Discrepancy:
    """Return the discrepancy with what its paths run along settled, for whole curves of enough sizes and batches."""
    if not (
        noise.correlated and describes_whole_curves(law) and discrepancy.along == "auto" and discrepancy.kind != "none"
    ):
        return discrepancy
    told = {name for name in BY if name in law.inputs and len(np.unique(runs.column(name))) >= ENOUGH}
    if "params" not in told:
        return discrepancy
    return dataclasses.replace(discrepancy, along="params and batch" if BATCH in told else "params")


def default_noise(runs: Runs) -> Noise:
    """Return the noise model for a table: Student-t for separate runs, correlated normal rows for training curves.

    A table holds curves where most of its rows belong to runs of three rows or more. Along a curve, heavy tails would
    treat what the law does not explain as outliers, a drop of the learning rate for example, and give narrow bands.
    """
    if "run" not in runs or not ordering(runs.table):
        return Noise()
    rows_of_run = runs.table.groupby("run", sort=False)["loss"].transform("size")
    return Noise("normal", rows="correlated") if float((rows_of_run >= 3).mean()) > 0.5 else Noise()
