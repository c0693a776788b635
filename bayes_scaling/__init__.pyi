from bayes_scaling import errors as errors
from bayes_scaling import evaluate as evaluate
from bayes_scaling import laws as laws
from bayes_scaling import plot as plot
from bayes_scaling.data import datasets as datasets
from bayes_scaling.data import importers as importers
from bayes_scaling.data import units as units
from bayes_scaling.data.runs import Runs as Runs
from bayes_scaling.data.scores import pass_at_k as pass_at_k
from bayes_scaling.data.scores import score_runs as score_runs
from bayes_scaling.decide import costs as costs
from bayes_scaling.decide import objectives as objectives
from bayes_scaling.decide.constraints import Constraints as Constraints
from bayes_scaling.decide.decision import DecisionProblem as DecisionProblem
from bayes_scaling.decide.decision import allocate as allocate
from bayes_scaling.decide.decision import pilot as pilot
from bayes_scaling.decide.midrun import midrun as midrun
from bayes_scaling.decide.pilot_plan import PilotPlan as PilotPlan
from bayes_scaling.decide.plan import Plan as Plan
from bayes_scaling.decide.recipes import RecipeComparison as RecipeComparison
from bayes_scaling.decide.recipes import compare_recipes as compare_recipes
from bayes_scaling.decide.records import Registered as Registered
from bayes_scaling.decide.records import preregister as preregister
from bayes_scaling.decide.records import score_registered as score_registered
from bayes_scaling.decide.track_record import TrackRecord as TrackRecord
from bayes_scaling.errors import BayesScalingError as BayesScalingError
from bayes_scaling.evaluate.backtesting import backtest as backtest
from bayes_scaling.evaluate.candidates import Cut as Cut
from bayes_scaling.evaluate.comparing import compare as compare
from bayes_scaling.evaluate.comparison import Comparison as Comparison
from bayes_scaling.evaluate.fitting import fit as fit
from bayes_scaling.evaluate.scores import score as score
from bayes_scaling.inference.loading import load_fit as load_fit
from bayes_scaling.inference.result import Fit as Fit
from bayes_scaling.inference.sampler import Sampler as Sampler
from bayes_scaling.laws.catalogue import available_laws as available_laws
from bayes_scaling.laws.catalogue import load_law as load_law
from bayes_scaling.model.discrepancy import Discrepancy as Discrepancy
from bayes_scaling.model.families import Family as NoiseFamily
from bayes_scaling.model.noise import Noise as Noise
from bayes_scaling.model.pooling import partial as partial
from bayes_scaling.model.pooling import separate as separate
from bayes_scaling.model.simulate import grid as grid
from bayes_scaling.model.simulate import simulate as simulate
from bayes_scaling.model.start import Start as Start
from bayes_scaling.predict.chain import Chain as Chain
from bayes_scaling.predict.chain import chain as chain
from bayes_scaling.predict.continuation import continued as continued
from bayes_scaling.predict.ensemble import Ensemble as Ensemble
from bayes_scaling.predict.forecast import Forecast as Forecast
from bayes_scaling.predict.forecast import forecast as forecast
from bayes_scaling.predict.frontier import compute_optimal as compute_optimal
from bayes_scaling.predict.frontier import required as required
from bayes_scaling.predict.quantities import quantity as quantity
from bayes_scaling.predict.trajectory import Trajectory as Trajectory
from bayes_scaling.predict.trajectory import trajectory as trajectory
from bayes_scaling.predict.tuning import optimal_hyperparameters as optimal_hyperparameters
from bayes_scaling.report.render import make_report as make_report
from bayes_scaling.report.study import Study as Study
from bayes_scaling.version import __version__ as __version__

__all__ = [
    "BayesScalingError",
    "Chain",
    "Comparison",
    "Constraints",
    "Cut",
    "DecisionProblem",
    "Discrepancy",
    "Ensemble",
    "Fit",
    "Forecast",
    "Noise",
    "NoiseFamily",
    "PilotPlan",
    "Plan",
    "RecipeComparison",
    "Registered",
    "Runs",
    "Sampler",
    "Start",
    "Study",
    "TrackRecord",
    "Trajectory",
    "__version__",
    "allocate",
    "available_laws",
    "backtest",
    "chain",
    "compare",
    "compare_recipes",
    "compute_optimal",
    "continued",
    "costs",
    "datasets",
    "errors",
    "evaluate",
    "fit",
    "forecast",
    "grid",
    "importers",
    "laws",
    "load_fit",
    "load_law",
    "make_report",
    "midrun",
    "objectives",
    "optimal_hyperparameters",
    "partial",
    "pass_at_k",
    "pilot",
    "plot",
    "preregister",
    "quantity",
    "required",
    "score",
    "score_registered",
    "score_runs",
    "separate",
    "simulate",
    "trajectory",
    "units",
]
