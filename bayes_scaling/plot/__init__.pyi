from bayes_scaling.plot.checks import plot_residuals as residuals
from bayes_scaling.plot.checks import plot_traces as traces
from bayes_scaling.plot.comparisons import plot_held_out as held_out
from bayes_scaling.plot.comparisons import plot_pit as pit
from bayes_scaling.plot.comparisons import plot_ranking as ranking
from bayes_scaling.plot.ensembles import plot_laws as laws
from bayes_scaling.plot.fits import plot_fit as fit
from bayes_scaling.plot.forecasts import plot_forecast as forecast
from bayes_scaling.plot.gallery import save_pictures as save_all
from bayes_scaling.plot.parameters import plot_exponents as exponents
from bayes_scaling.plot.parameters import plot_prior_posterior as prior_posterior
from bayes_scaling.plot.trajectories import plot_trajectory as trajectory

__all__ = [
    "exponents",
    "fit",
    "forecast",
    "held_out",
    "laws",
    "pit",
    "prior_posterior",
    "ranking",
    "residuals",
    "save_all",
    "traces",
    "trajectory",
]
