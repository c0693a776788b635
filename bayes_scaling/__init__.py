"""Scaling laws as Bayesian generative models: credible forecasts before a big training run.

The flow: runs, law, fit, forecast, compare, decide, report. Names below are loaded when first used, so that importing
the package, or asking the command line for help, costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayes_scaling import datasets as datasets
    from bayes_scaling._backtest import Backtest as Backtest
    from bayes_scaling._backtest import backtest as backtest
    from bayes_scaling._baselines import IsoflopFit as IsoflopFit
    from bayes_scaling._baselines import PointFit as PointFit
    from bayes_scaling._baselines import isoflop_parabola as isoflop_parabola
    from bayes_scaling._baselines import point_fit as point_fit
    from bayes_scaling._calibration import Ranks as Ranks
    from bayes_scaling._calibration import loo_pit as loo_pit
    from bayes_scaling._calibration import predictive_check as predictive_check
    from bayes_scaling._calibration import sbc as sbc
    from bayes_scaling._catalogue import available_laws as available_laws
    from bayes_scaling._catalogue import load_law as load_law
    from bayes_scaling._check import find_influential as find_influential
    from bayes_scaling._check import find_outliers as find_outliers
    from bayes_scaling._check import identifiability as identifiability
    from bayes_scaling._check import leave_one_out as leave_one_out
    from bayes_scaling._compare import Candidate as Candidate
    from bayes_scaling._compare import Comparison as Comparison
    from bayes_scaling._compare import Cut as Cut
    from bayes_scaling._compare import compare as compare
    from bayes_scaling._comparison_pictures import plot_held_out as plot_held_out
    from bayes_scaling._comparison_pictures import plot_pit as plot_pit
    from bayes_scaling._comparison_pictures import plot_ranking as plot_ranking
    from bayes_scaling._continuation import continued as continued
    from bayes_scaling._counting import PUBLISHED_FRONTIERS as PUBLISHED_FRONTIERS
    from bayes_scaling._counting import Frontier as Frontier
    from bayes_scaling._counting import Shape as Shape
    from bayes_scaling._counting import bits_per_byte as bits_per_byte
    from bayes_scaling._counting import deepseek_flops_per_token as deepseek_flops_per_token
    from bayes_scaling._counting import flops_of_pf_days as flops_of_pf_days
    from bayes_scaling._counting import inference_tokens as inference_tokens
    from bayes_scaling._counting import nats_per_token as nats_per_token
    from bayes_scaling._counting import non_embedding_params as non_embedding_params
    from bayes_scaling._counting import pf_days as pf_days
    from bayes_scaling._counting import total_params as total_params
    from bayes_scaling._counting import training_flops as training_flops
    from bayes_scaling._discrepancy import Discrepancy as Discrepancy
    from bayes_scaling._errors import BayesScalingError as BayesScalingError
    from bayes_scaling._errors import ConvergenceError as ConvergenceError
    from bayes_scaling._errors import DataError as DataError
    from bayes_scaling._errors import FitError as FitError
    from bayes_scaling._errors import ForecastError as ForecastError
    from bayes_scaling._errors import LawError as LawError
    from bayes_scaling._errors import PlanError as PlanError
    from bayes_scaling._errors import StudyError as StudyError
    from bayes_scaling._fit import Fit as Fit
    from bayes_scaling._fit import fit as fit
    from bayes_scaling._forecast import Forecast as Forecast
    from bayes_scaling._forecast import forecast as forecast
    from bayes_scaling._frontier import Optimum as Optimum
    from bayes_scaling._frontier import Requirement as Requirement
    from bayes_scaling._frontier import compute_optimal as compute_optimal
    from bayes_scaling._frontier import required as required
    from bayes_scaling._law import IRREDUCIBLE as IRREDUCIBLE
    from bayes_scaling._law import LOSS_AT_CENTRE as LOSS_AT_CENTRE
    from bayes_scaling._law import Array as Array
    from bayes_scaling._law import Column as Column
    from bayes_scaling._law import Curve as Curve
    from bayes_scaling._law import Derived as Derived
    from bayes_scaling._law import Features as Features
    from bayes_scaling._law import Law as Law
    from bayes_scaling._law import Parameter as Parameter
    from bayes_scaling._law import Published as Published
    from bayes_scaling._law import Quantity as Quantity
    from bayes_scaling._law import power as power
    from bayes_scaling._law import root as root
    from bayes_scaling._noise import Noise as Noise
    from bayes_scaling._pictures import plot_exponents as plot_exponents
    from bayes_scaling._pictures import plot_fit as plot_fit
    from bayes_scaling._pictures import plot_forecast as plot_forecast
    from bayes_scaling._pictures import plot_prior_posterior as plot_prior_posterior
    from bayes_scaling._pictures import plot_residuals as plot_residuals
    from bayes_scaling._pictures import plot_traces as plot_traces
    from bayes_scaling._pictures import save_pictures as save_pictures
    from bayes_scaling._pooling import Pool as Pool
    from bayes_scaling._pooling import partial as partial
    from bayes_scaling._pooling import separate as separate
    from bayes_scaling._preregistration import Registered as Registered
    from bayes_scaling._preregistration import TrackRecord as TrackRecord
    from bayes_scaling._preregistration import preregister as preregister
    from bayes_scaling._preregistration import score_registered as score_registered
    from bayes_scaling._priors import read_priors as read_priors
    from bayes_scaling._quantities import QuantityDraws as QuantityDraws
    from bayes_scaling._quantities import quantity as quantity
    from bayes_scaling._runs import Runs as Runs
    from bayes_scaling._scores import score as score
    from bayes_scaling._sensitivity import floor_panel as floor_panel
    from bayes_scaling._sensitivity import prior_sensitivity as prior_sensitivity
    from bayes_scaling._simulate import grid as grid
    from bayes_scaling._simulate import simulate as simulate
    from bayes_scaling._stacking import stacked as stacked
    from bayes_scaling._stacking import stacking_weights as stacking_weights
    from bayes_scaling._store import load_fit as load_fit
    from bayes_scaling.decide.allocate import allocate as allocate
    from bayes_scaling.decide.beliefs import Beliefs as Beliefs
    from bayes_scaling.decide.budgets import budget_curve as budget_curve
    from bayes_scaling.decide.budgets import smallest_budget as smallest_budget
    from bayes_scaling.decide.constraints import Constraints as Constraints
    from bayes_scaling.decide.costs import Cost as Cost
    from bayes_scaling.decide.costs import flops as flops
    from bayes_scaling.decide.costs import gpu_hours as gpu_hours
    from bayes_scaling.decide.costs import lifetime as lifetime
    from bayes_scaling.decide.costs import money as money
    from bayes_scaling.decide.ladder import Ladder as Ladder
    from bayes_scaling.decide.ladder import ladder as ladder
    from bayes_scaling.decide.midrun import MidRun as MidRun
    from bayes_scaling.decide.midrun import midrun as midrun
    from bayes_scaling.decide.objectives import Objective as Objective
    from bayes_scaling.decide.objectives import cvar as cvar
    from bayes_scaling.decide.objectives import expected_improvement as expected_improvement
    from bayes_scaling.decide.objectives import expected_loss as expected_loss
    from bayes_scaling.decide.objectives import loss_quantile as loss_quantile
    from bayes_scaling.decide.objectives import mean_and_cvar as mean_and_cvar
    from bayes_scaling.decide.objectives import probability_of_target as probability_of_target
    from bayes_scaling.decide.objectives import utility as utility
    from bayes_scaling.decide.pilot import pilot as pilot
    from bayes_scaling.decide.pilot_plan import PilotPlan as PilotPlan
    from bayes_scaling.decide.plan import Plan as Plan
    from bayes_scaling.decide.portfolio import Portfolio as Portfolio
    from bayes_scaling.decide.portfolio import allocate_runs as allocate_runs
    from bayes_scaling.importers.mlflow import import_mlflow as import_mlflow
    from bayes_scaling.importers.tensorboard import import_tensorboard as import_tensorboard
    from bayes_scaling.importers.wandb import import_wandb as import_wandb
    from bayes_scaling.report.render import Report as Report
    from bayes_scaling.report.render import make_report as make_report
    from bayes_scaling.report.study import Study as Study

__version__ = "0.1.0"

_HOME = {
    "BayesScalingError": "_errors",
    "ConvergenceError": "_errors",
    "DataError": "_errors",
    "FitError": "_errors",
    "ForecastError": "_errors",
    "LawError": "_errors",
    "IRREDUCIBLE": "_law",
    "LOSS_AT_CENTRE": "_law",
    "Array": "_law",
    "Derived": "_law",
    "Law": "_law",
    "Parameter": "_law",
    "Published": "_law",
    "power": "_law",
    "root": "_law",
    "Quantity": "_law",
    "Features": "_law",
    "Column": "_law",
    "available_laws": "_catalogue",
    "load_law": "_catalogue",
    "Noise": "_noise",
    "Discrepancy": "_discrepancy",
    "Runs": "_runs",
    "import_mlflow": "importers.mlflow",
    "import_tensorboard": "importers.tensorboard",
    "import_wandb": "importers.wandb",
    "Fit": "_fit",
    "fit": "_fit",
    "load_fit": "_store",
    "Forecast": "_forecast",
    "forecast": "_forecast",
    "Optimum": "_frontier",
    "Requirement": "_frontier",
    "compute_optimal": "_frontier",
    "required": "_frontier",
    "find_outliers": "_check",
    "find_influential": "_check",
    "identifiability": "_check",
    "simulate": "_simulate",
    "grid": "_simulate",
    "Curve": "_law",
    "leave_one_out": "_check",
    "plot_exponents": "_pictures",
    "plot_fit": "_pictures",
    "plot_forecast": "_pictures",
    "plot_prior_posterior": "_pictures",
    "plot_residuals": "_pictures",
    "plot_traces": "_pictures",
    "save_pictures": "_pictures",
    "read_priors": "_priors",
    "Shape": "_counting",
    "training_flops": "_counting",
    "pf_days": "_counting",
    "flops_of_pf_days": "_counting",
    "bits_per_byte": "_counting",
    "nats_per_token": "_counting",
    "total_params": "_counting",
    "non_embedding_params": "_counting",
    "inference_tokens": "_counting",
    "deepseek_flops_per_token": "_counting",
    "Frontier": "_counting",
    "PUBLISHED_FRONTIERS": "_counting",
    "QuantityDraws": "_quantities",
    "quantity": "_quantities",
    "Pool": "_pooling",
    "partial": "_pooling",
    "separate": "_pooling",
    "Candidate": "_compare",
    "Comparison": "_compare",
    "Cut": "_compare",
    "compare": "_compare",
    "stacked": "_stacking",
    "stacking_weights": "_stacking",
    "Backtest": "_backtest",
    "backtest": "_backtest",
    "score": "_scores",
    "floor_panel": "_sensitivity",
    "prior_sensitivity": "_sensitivity",
    "IsoflopFit": "_baselines",
    "PointFit": "_baselines",
    "isoflop_parabola": "_baselines",
    "point_fit": "_baselines",
    "Ranks": "_calibration",
    "loo_pit": "_calibration",
    "predictive_check": "_calibration",
    "sbc": "_calibration",
    "plot_held_out": "_comparison_pictures",
    "plot_pit": "_comparison_pictures",
    "plot_ranking": "_comparison_pictures",
    "PlanError": "_errors",
    "StudyError": "_errors",
    "Cost": "decide.costs",
    "flops": "decide.costs",
    "gpu_hours": "decide.costs",
    "money": "decide.costs",
    "lifetime": "decide.costs",
    "Beliefs": "decide.beliefs",
    "Objective": "decide.objectives",
    "expected_improvement": "decide.objectives",
    "expected_loss": "decide.objectives",
    "probability_of_target": "decide.objectives",
    "loss_quantile": "decide.objectives",
    "cvar": "decide.objectives",
    "mean_and_cvar": "decide.objectives",
    "utility": "decide.objectives",
    "Constraints": "decide.constraints",
    "Plan": "decide.plan",
    "allocate": "decide.allocate",
    "Ladder": "decide.ladder",
    "ladder": "decide.ladder",
    "Portfolio": "decide.portfolio",
    "allocate_runs": "decide.portfolio",
    "budget_curve": "decide.budgets",
    "PilotPlan": "decide.pilot_plan",
    "pilot": "decide.pilot",
    "MidRun": "decide.midrun",
    "midrun": "decide.midrun",
    "continued": "_continuation",
    "Registered": "_preregistration",
    "TrackRecord": "_preregistration",
    "preregister": "_preregistration",
    "score_registered": "_preregistration",
    "smallest_budget": "decide.budgets",
    "Report": "report.render",
    "make_report": "report.render",
    "Study": "report.study",
}

__all__ = [*_HOME, "datasets", "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"bayes_scaling.{_HOME[name]}"), name)
    if name == "datasets":
        return importlib.import_module("bayes_scaling.datasets")
    raise AttributeError(f"module 'bayes_scaling' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
