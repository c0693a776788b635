"""All figures of a fit or of several, written to a folder.

Each function returns a new `matplotlib.figure.Figure`, outside pyplot, and changes nothing global.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from bayes_scaling.base.arguments import FilePath, validated
from bayes_scaling.base.messages import shown
from bayes_scaling.base.progress import progress_bar
from bayes_scaling.errors import BayesScalingError, ForecastError
from bayes_scaling.inference.result import Fit
from bayes_scaling.plot.checks import plot_residuals, plot_traces
from bayes_scaling.plot.ensembles import plot_laws
from bayes_scaling.plot.fits import plot_fit
from bayes_scaling.plot.forecasts import plot_forecast
from bayes_scaling.plot.parameters import exponents_of, plot_exponents, plot_prior_posterior
from bayes_scaling.plot.style import leading_of, saved
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.forecast import Forecast


@validated
def save_pictures(
    fit: Fit | Ensemble,
    folder: FilePath,
    forecast: Forecast | None = None,
    measured: np.ndarray | Sequence[float] | None = None,
    target: float | None = None,
    file_format: str = "png",
    progress: bool | None = None,
) -> list[Path]:
    """Draw every figure of a fit, or of several together, into a folder, which is created if it is missing.

    Each file is written under a temporary name and then renamed, so that no file is ever incomplete.

    Parameters
    ----------
    fit : a fit; or an ensemble, of which parameters, residuals and traces are those of the fit with most weight
    folder : where to write; files of the same name are replaced
    forecast, measured, target : for `plot_forecast`, which is skipped without a forecast
    file_format : ``png``, ``pdf``, ``svg`` or another format that Matplotlib writes
    progress : show a bar; by default on a terminal

    Returns
    -------
    list of Path
        ``fit``, ``prior_posterior``, ``residuals``, ``traces``, ``exponents`` (if the law has any), ``forecast``, and
        of several laws ``laws``, what each says of the largest run that is forecast.

    Raises
    ------
    BayesScalingError
        When the format is not known or the folder cannot be written.
    ForecastError
        When measured losses or a target are given without a forecast.
    """
    refuse_unknown_format(file_format)
    if forecast is None and (measured is not None or target is not None):
        raise ForecastError("measured losses and a target belong to a forecast; pass forecast=... too")
    one = leading_of(fit)
    pictures: dict[str, Callable[[], Figure]] = {
        "fit": lambda: plot_fit(fit),
        "prior_posterior": lambda: plot_prior_posterior(one),
        "residuals": lambda: plot_residuals(one),
        "traces": lambda: plot_traces(one),
    }
    if exponents_of(one):
        pictures["exponents"] = lambda: plot_exponents(one)
    if forecast is not None:
        pictures["forecast"] = lambda: plot_forecast(fit, forecast, measured, target)
        if isinstance(fit, Ensemble) and forecast.members:
            pictures["laws"] = lambda: plot_laws(fit, forecast, target, measured)
    paths: list[Path] = []
    with progress_bar("pictures", progress) as report:
        for name, draw in pictures.items():
            report(name, len(paths) / len(pictures))
            paths.append(saved(draw(), Path(folder) / f"{name}.{file_format}"))
    return paths


def refuse_unknown_format(file_format: str) -> None:
    """Refuse a format of pictures that Matplotlib does not write."""
    formats = FigureCanvasBase.get_supported_filetypes()
    if file_format not in formats:
        raise BayesScalingError(
            f"no picture can be written as {shown(file_format)}; choose one of {', '.join(sorted(formats))}"
        )
