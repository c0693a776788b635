"""The main job on the bundled measured runs: fit the small ones, forecast the large ones, compare."""

from __future__ import annotations

import dataclasses
from concurrent.futures import Executor
from pathlib import Path

from bayes_scaling.base.progress import part_of, progress_bar
from bayes_scaling.data import datasets
from bayes_scaling.data.runs import Runs
from bayes_scaling.evaluate.fitting import fit
from bayes_scaling.plot.gallery import save_pictures
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.forecast import Forecast, forecast

CUT = 2.5e12  # FLOPs; runs above it are held out
FITS = 0.7  # share of the time that fits take


@dataclasses.dataclass(frozen=True)
class Demo:
    """What the demo did.

    Attributes
    ----------
    below, above : fitted and held-out runs
    ensemble : the default laws, weighed without looking at the held-out runs
    forecast : of the held-out runs
    files : what was written
    """

    below: Runs
    above: Runs
    ensemble: Ensemble
    forecast: Forecast
    files: list[Path]


def demo(folder: Path, executor: Executor | None = None, seed: int = 0) -> Demo:
    """Fit the default laws to the bundled runs below a compute cut and forecast those above.

    Parameters
    ----------
    folder : for the pictures and the saved fits
    executor : whose workers make the fits
    seed : of the sampler
    """
    below, above = datasets.load().cut("flops", CUT)
    with progress_bar("demo") as report:
        with part_of(report, "", 0.0, FITS):
            ensemble = fit(below, executor=executor, seed=seed)
        report("saving", FITS)
        ahead = forecast(ensemble, above, seed=seed)
        ensemble.save(folder / "ensemble.nc")
        with part_of(report, "pictures", FITS, 1.0):
            pictures = save_pictures(ensemble, folder, ahead, measured=above.loss)
    return Demo(below, above, ensemble, ahead, [folder / "ensemble.nc", *pictures])
