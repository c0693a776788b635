"""Scaling laws as Bayesian generative models: credible forecasts before a big training run.

The flow: runs, law, fit, forecast, compare, decide, report. Names below are loaded when first used, so that importing
the package, or asking the command line for help, costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayes_scaling.data import datasets as datasets
    from bayes_scaling.data.importers.mlflow import import_mlflow as import_mlflow
    from bayes_scaling.data.importers.tensorboard import import_tensorboard as import_tensorboard
    from bayes_scaling.data.importers.wandb import import_wandb as import_wandb
    from bayes_scaling.data.runs import Runs as Runs
    from bayes_scaling.data.units import PUBLISHED_FRONTIERS as PUBLISHED_FRONTIERS
    from bayes_scaling.data.units import Frontier as Frontier
    from bayes_scaling.data.units import Shape as Shape
    from bayes_scaling.data.units import bits_per_byte as bits_per_byte
    from bayes_scaling.data.units import deepseek_flops_per_token as deepseek_flops_per_token
    from bayes_scaling.data.units import flops_of_pf_days as flops_of_pf_days
    from bayes_scaling.data.units import inference_tokens as inference_tokens
    from bayes_scaling.data.units import nats_per_token as nats_per_token
    from bayes_scaling.data.units import non_embedding_params as non_embedding_params
    from bayes_scaling.data.units import pf_days as pf_days
    from bayes_scaling.data.units import total_params as total_params
    from bayes_scaling.data.units import training_flops as training_flops
    from bayes_scaling.decide.allocate import allocate as allocate
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
    from bayes_scaling.decide.records import Registered as Registered
    from bayes_scaling.decide.records import TrackRecord as TrackRecord
    from bayes_scaling.decide.records import preregister as preregister
    from bayes_scaling.decide.records import score_registered as score_registered
    from bayes_scaling.errors import BayesScalingError as BayesScalingError
    from bayes_scaling.errors import ConvergenceError as ConvergenceError
    from bayes_scaling.errors import DataError as DataError
    from bayes_scaling.errors import FitError as FitError
    from bayes_scaling.errors import ForecastError as ForecastError
    from bayes_scaling.errors import LawError as LawError
    from bayes_scaling.errors import PlanError as PlanError
    from bayes_scaling.errors import StudyError as StudyError
    from bayes_scaling.evaluate.backtest import Backtest as Backtest
    from bayes_scaling.evaluate.backtest import backtest as backtest
    from bayes_scaling.evaluate.baselines import IsoflopFit as IsoflopFit
    from bayes_scaling.evaluate.baselines import PointFit as PointFit
    from bayes_scaling.evaluate.baselines import isoflop_parabola as isoflop_parabola
    from bayes_scaling.evaluate.baselines import point_fit as point_fit
    from bayes_scaling.evaluate.calibration import Ranks as Ranks
    from bayes_scaling.evaluate.calibration import loo_pit as loo_pit
    from bayes_scaling.evaluate.calibration import predictive_check as predictive_check
    from bayes_scaling.evaluate.calibration import sbc as sbc
    from bayes_scaling.evaluate.checks import find_influential as find_influential
    from bayes_scaling.evaluate.checks import find_outliers as find_outliers
    from bayes_scaling.evaluate.checks import identifiability as identifiability
    from bayes_scaling.evaluate.checks import leave_one_out as leave_one_out
    from bayes_scaling.evaluate.compare import Candidate as Candidate
    from bayes_scaling.evaluate.compare import Comparison as Comparison
    from bayes_scaling.evaluate.compare import Cut as Cut
    from bayes_scaling.evaluate.compare import compare as compare
    from bayes_scaling.evaluate.scores import score as score
    from bayes_scaling.evaluate.sensitivity import floor_panel as floor_panel
    from bayes_scaling.evaluate.sensitivity import prior_sensitivity as prior_sensitivity
    from bayes_scaling.inference.fit import fit as fit
    from bayes_scaling.inference.loading import load_fit as load_fit
    from bayes_scaling.inference.result import Fit as Fit
    from bayes_scaling.laws.catalogue import available_laws as available_laws
    from bayes_scaling.laws.catalogue import load_law as load_law
    from bayes_scaling.laws.law import IRREDUCIBLE as IRREDUCIBLE
    from bayes_scaling.laws.law import LOSS_AT_CENTRE as LOSS_AT_CENTRE
    from bayes_scaling.laws.law import Array as Array
    from bayes_scaling.laws.law import Column as Column
    from bayes_scaling.laws.law import Curve as Curve
    from bayes_scaling.laws.law import Derived as Derived
    from bayes_scaling.laws.law import Features as Features
    from bayes_scaling.laws.law import Law as Law
    from bayes_scaling.laws.law import Parameter as Parameter
    from bayes_scaling.laws.law import Published as Published
    from bayes_scaling.laws.law import Quantity as Quantity
    from bayes_scaling.laws.law import power as power
    from bayes_scaling.laws.law import root as root
    from bayes_scaling.laws.priors import read_priors as read_priors
    from bayes_scaling.model.discrepancy import Discrepancy as Discrepancy
    from bayes_scaling.model.noise import Noise as Noise
    from bayes_scaling.model.pooling import Pool as Pool
    from bayes_scaling.model.pooling import partial as partial
    from bayes_scaling.model.pooling import separate as separate
    from bayes_scaling.model.simulate import grid as grid
    from bayes_scaling.model.simulate import simulate as simulate
    from bayes_scaling.plot.comparisons import plot_held_out as plot_held_out
    from bayes_scaling.plot.comparisons import plot_pit as plot_pit
    from bayes_scaling.plot.comparisons import plot_ranking as plot_ranking
    from bayes_scaling.plot.fits import plot_exponents as plot_exponents
    from bayes_scaling.plot.fits import plot_fit as plot_fit
    from bayes_scaling.plot.fits import plot_forecast as plot_forecast
    from bayes_scaling.plot.fits import plot_prior_posterior as plot_prior_posterior
    from bayes_scaling.plot.fits import plot_residuals as plot_residuals
    from bayes_scaling.plot.fits import plot_traces as plot_traces
    from bayes_scaling.plot.fits import save_pictures as save_pictures
    from bayes_scaling.predict.continuation import continued as continued
    from bayes_scaling.predict.ensemble import Beliefs as Beliefs
    from bayes_scaling.predict.forecast import Forecast as Forecast
    from bayes_scaling.predict.forecast import forecast as forecast
    from bayes_scaling.predict.frontier import Optimum as Optimum
    from bayes_scaling.predict.frontier import Requirement as Requirement
    from bayes_scaling.predict.frontier import compute_optimal as compute_optimal
    from bayes_scaling.predict.frontier import required as required
    from bayes_scaling.predict.quantities import QuantityDraws as QuantityDraws
    from bayes_scaling.predict.quantities import quantity as quantity
    from bayes_scaling.predict.stacking import stacked as stacked
    from bayes_scaling.predict.stacking import stacking_weights as stacking_weights
    from bayes_scaling.report.render import Report as Report
    from bayes_scaling.report.render import make_report as make_report
    from bayes_scaling.report.study import Study as Study

from bayes_scaling.version import __version__ as __version__

_HOME = {
    "BayesScalingError": "errors",
    "ConvergenceError": "errors",
    "DataError": "errors",
    "FitError": "errors",
    "ForecastError": "errors",
    "LawError": "errors",
    "IRREDUCIBLE": "laws.law",
    "LOSS_AT_CENTRE": "laws.law",
    "Array": "laws.law",
    "Derived": "laws.law",
    "Law": "laws.law",
    "Parameter": "laws.law",
    "Published": "laws.law",
    "power": "laws.law",
    "root": "laws.law",
    "Quantity": "laws.law",
    "Features": "laws.law",
    "Column": "laws.law",
    "available_laws": "laws.catalogue",
    "load_law": "laws.catalogue",
    "Noise": "model.noise",
    "Discrepancy": "model.discrepancy",
    "Runs": "data.runs",
    "import_mlflow": "data.importers.mlflow",
    "import_tensorboard": "data.importers.tensorboard",
    "import_wandb": "data.importers.wandb",
    "Fit": "inference.result",
    "fit": "inference.fit",
    "load_fit": "inference.loading",
    "Forecast": "predict.forecast",
    "forecast": "predict.forecast",
    "Optimum": "predict.frontier",
    "Requirement": "predict.frontier",
    "compute_optimal": "predict.frontier",
    "required": "predict.frontier",
    "find_outliers": "evaluate.checks",
    "find_influential": "evaluate.checks",
    "identifiability": "evaluate.checks",
    "simulate": "model.simulate",
    "grid": "model.simulate",
    "Curve": "laws.law",
    "leave_one_out": "evaluate.checks",
    "plot_exponents": "plot.fits",
    "plot_fit": "plot.fits",
    "plot_forecast": "plot.fits",
    "plot_prior_posterior": "plot.fits",
    "plot_residuals": "plot.fits",
    "plot_traces": "plot.fits",
    "save_pictures": "plot.fits",
    "read_priors": "laws.priors",
    "Shape": "data.units",
    "training_flops": "data.units",
    "pf_days": "data.units",
    "flops_of_pf_days": "data.units",
    "bits_per_byte": "data.units",
    "nats_per_token": "data.units",
    "total_params": "data.units",
    "non_embedding_params": "data.units",
    "inference_tokens": "data.units",
    "deepseek_flops_per_token": "data.units",
    "Frontier": "data.units",
    "PUBLISHED_FRONTIERS": "data.units",
    "QuantityDraws": "predict.quantities",
    "quantity": "predict.quantities",
    "Pool": "model.pooling",
    "partial": "model.pooling",
    "separate": "model.pooling",
    "Candidate": "evaluate.compare",
    "Comparison": "evaluate.compare",
    "Cut": "evaluate.compare",
    "compare": "evaluate.compare",
    "stacked": "predict.stacking",
    "stacking_weights": "predict.stacking",
    "Backtest": "evaluate.backtest",
    "backtest": "evaluate.backtest",
    "score": "evaluate.scores",
    "floor_panel": "evaluate.sensitivity",
    "prior_sensitivity": "evaluate.sensitivity",
    "IsoflopFit": "evaluate.baselines",
    "PointFit": "evaluate.baselines",
    "isoflop_parabola": "evaluate.baselines",
    "point_fit": "evaluate.baselines",
    "Ranks": "evaluate.calibration",
    "loo_pit": "evaluate.calibration",
    "predictive_check": "evaluate.calibration",
    "sbc": "evaluate.calibration",
    "plot_held_out": "plot.comparisons",
    "plot_pit": "plot.comparisons",
    "plot_ranking": "plot.comparisons",
    "PlanError": "errors",
    "StudyError": "errors",
    "Cost": "decide.costs",
    "flops": "decide.costs",
    "gpu_hours": "decide.costs",
    "money": "decide.costs",
    "lifetime": "decide.costs",
    "Beliefs": "predict.ensemble",
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
    "continued": "predict.continuation",
    "Registered": "decide.records",
    "TrackRecord": "decide.records",
    "preregister": "decide.records",
    "score_registered": "decide.records",
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
        return importlib.import_module("bayes_scaling.data.datasets")
    raise AttributeError(f"module 'bayes_scaling' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
