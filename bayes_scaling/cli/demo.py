"""The main job on the bundled measured runs: fit the small ones, forecast the large ones, compare."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from bayes_scaling.data import datasets
from bayes_scaling.data.runs import Runs
from bayes_scaling.evaluate.checks import leave_one_out
from bayes_scaling.inference.fit import fit
from bayes_scaling.inference.result import Fit
from bayes_scaling.plot.gallery import save_pictures
from bayes_scaling.predict.forecast import Forecast, forecast

CUT = 2.5e12  # FLOPs; runs above it are held out
LAWS = ("kaplan_joint", "chinchilla")


@dataclasses.dataclass(frozen=True)
class Demo:
    """What the demo did.

    Attributes
    ----------
    below, above : fitted and held-out runs
    fits, forecasts : by law
    scores : PSIS-LOO log score of each law on the fitted runs, (n_row,) each
    chosen : the law with the best score, chosen without looking at the held-out runs
    files : what was written
    """

    below: Runs
    above: Runs
    fits: dict[str, Fit]
    forecasts: dict[str, Forecast]
    scores: dict[str, np.ndarray]
    chosen: str
    files: list[Path]


def demo(folder: Path, seed: int = 0) -> Demo:
    """Fit two laws to the bundled runs below a compute cut and forecast those above.

    Parameters
    ----------
    folder : for the pictures and the saved fit of the chosen law
    seed : of the sampler
    """
    below, above = datasets.load().cut("flops", CUT)
    fits = {law: fit(law, below, seed=seed) for law in LAWS}
    forecasts = {law: forecast(fits[law], above, seed=seed) for law in LAWS}
    scores = {law: leave_one_out(fits[law]) for law in LAWS}
    chosen = max(LAWS, key=lambda law: float(scores[law].sum()))
    fits[chosen].save(folder / "fit.nc")
    pictures = save_pictures(fits[chosen], folder, forecasts[chosen], measured=above.loss)
    return Demo(below, above, fits, forecasts, scores, chosen, [folder / "fit.nc", *pictures])
