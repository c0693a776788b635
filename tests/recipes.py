"""Valid arguments of every public function, from which tests of mistakes change one at a time."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpyro.distributions as dist
import pandas as pd

import bayes_scaling as bs
from bayes_scaling.evaluate.arms import Arms, one_scale
from bayes_scaling.predict.along import Along
from bayes_scaling.predict.arms import ArmCurves

NOT_CALLED = {
    "Comparison": "a result",
    "Ensemble": "a result",
    "Fit": "a result",
    "Forecast": "a result",
    "Chain": "a result",
    "PilotPlan": "a result",
    "RecipeComparison": "a result",
    "Plan": "a result",
    "Registered": "a result",
    "TrackRecord": "a result",
    "Trajectory": "a result",
    "costs.Cost": "a protocol",
    "costs.Spending": "a result",
    "evaluate.Backtest": "a result",
    "evaluate.IsoflopFit": "a result",
    "evaluate.ConformalFit": "a result",
    "evaluate.PointFit": "a result",
    "evaluate.Ranks": "a result",
    "NoiseFamily": "a base class",
    "BayesScalingError": "an error",
    "units.Frontier": "a record of a paper",
    "objectives.Goal": "made by a problem",
    "objectives.Objective": "takes functions of draws; the problem checks it when it is used",
    # Rows of a law file, which load_law checks as a whole.
    **{f"laws.{name}": "a row of a law" for name in ("Column", "Curve", "Derived", "Features", "Law", "Parameter")},
    **{f"laws.{name}": "a row of a law" for name in ("Published", "Quantity")},
    # Functions of arrays, called by the compiled program or by laws, objectives and noise of one's own.
    "laws.power": "of arrays",
    "laws.root": "of arrays",
    **{f"Discrepancy.{name}": "of the program" for name in ("axes", "used_axes", "places")},
    **{f"Start.{name}": "of the program" for name in ("departure", "design", "scatter")},
    "laws.Law.arrays": "of the program",
    "laws.Law.hash_of": "of the program",
    "costs.Cost.spending": "a protocol",
    **{f"Ensemble.{name}": "of arrays" for name in ("discrepancy", "log_law", "log_mean", "new_run")},
    **{f"objectives.{name}": "of arrays" for name in ("cvar_given_draw", "improvement", "log_expected_improvement")},
    **{f"objectives.{name}": "of arrays" for name in ("log_improvement", "loss_given_draw", "probability_below")},
    **{f"objectives.{name}": "of arrays" for name in ("quantile", "standard_error")},
    "costs.Spending.surface": "of the program",
    "Constraints.range": "of the program",
}
"""Public names without a recipe, and why; a name also stands for what begins with it where it is no class of ours."""

OF_ARRAYS = ("Noise.", "NoiseFamily.", "errors.", "objectives.Objective.", "BayesScalingError.", "laws.Curve.")
"""Beginnings of names of methods that take arrays from the program, or that no user calls with data."""


@dataclasses.dataclass(frozen=True)
class Public:
    """A public function, method or class with its parameters."""

    name: str
    call: Any

    @property
    def parameters(self) -> list[str]:
        own = inspect.signature(self.call).parameters
        return [name for name in own if name not in ("self", "cls")]


def public() -> dict[str, Public]:
    """Find every public function, class and method of one, by dotted name, from the stub of the package."""
    found: dict[str, Any] = {}
    for name in bs.__all__:
        value = getattr(bs, name)
        if isinstance(value, ModuleType):
            found |= {f"{name}.{key}": one for key, one in _of_module(value).items()}
        elif callable(value):
            found[name] = value
    methods = {
        f"{name}.{key}": one
        for name, kind in found.items()
        if inspect.isclass(kind)
        for key, one in inspect.getmembers(kind, lambda m: inspect.isfunction(m) or inspect.ismethod(m))
        if not key.startswith("_") and one.__module__.startswith("bayes_scaling")
    }
    everything = {name: Public(name, call) for name, call in {**found, **methods}.items()}
    return {
        name: one
        for name, one in everything.items()
        if name not in NOT_CALLED and not name.startswith(OF_ARRAYS) and one.parameters
    }


def _of_module(module: ModuleType) -> dict[str, Any]:
    """Return functions and classes of a module: what it lists, or what is written in it or below; none of the top."""
    names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    values = {name: getattr(module, name) for name in names}
    top = [getattr(bs, name) for name in bs.__all__]
    return {
        name: value
        for name, value in values.items()
        if (inspect.isfunction(value) or inspect.isclass(value))
        and (hasattr(module, "__all__") or f"{value.__module__}.".startswith(f"{module.__name__}."))
        and not any(value is one for one in top)
    }


class World:
    """One small fit and what follows from it.

    Attributes
    ----------
    folder : where files are written
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @functools.cached_property
    def runs(self) -> bs.Runs:
        params = np.repeat(np.geomspace(6e7, 3e9, 12), 4)
        tokens = params * np.tile(np.geomspace(1, 20, 4), 12)
        names = np.repeat([f"r{i}" for i in range(12)], 4)
        table = pd.DataFrame({"run": names, "params": params, "tokens": tokens})
        truth = {**bs.load_law("chinchilla").at("besiroglu2024").constants.values, "sigma": 0.005}
        return bs.simulate("chinchilla", table, truth, noise="normal", seed=1)

    @functools.cached_property
    def fit(self) -> bs.Fit:
        sampler = bs.Sampler("laplace", draws=300)
        made = bs.fit("chinchilla", self.runs, noise="normal", discrepancy="none", sampler=sampler)
        return made.thinned(40)

    @functools.cached_property
    def curves(self) -> bs.Fit:
        sampler, noise = bs.Sampler("laplace", draws=300), bs.Noise("normal", rows="correlated")
        return bs.fit("chinchilla", self.runs, noise=noise, discrepancy="none", sampler=sampler).thinned(40)

    @functools.cached_property
    def tuned(self) -> bs.Fit:
        design = pd.DataFrame(
            {
                "params": np.tile([1e8, 4e8], 12),
                "steps": np.tile([1e4, 3e4, 9e4], 8),
                "batch_tokens": np.repeat([1e5, 4e5], 12),
                "peak_learning_rate": np.repeat([5e-4, 1e-3, 2e-3, 4e-3], 6),
                "loss": np.linspace(3.0, 2.5, 24),
            }
        )
        sampler = bs.Sampler("laplace", draws=300)
        runs = bs.Runs.from_frame(design.drop_duplicates())
        made = bs.fit("tuning", runs, noise="normal", discrepancy="none", sampler=sampler)
        return made.thinned(40)

    @functools.cached_property
    def ensemble(self) -> bs.Ensemble:
        return bs.Ensemble.of(self.fit)

    @functools.cached_property
    def problem(self) -> bs.DecisionProblem:
        return bs.DecisionProblem(self.ensemble, target=2.2)

    @functools.cached_property
    def forecast(self) -> bs.Forecast:
        return bs.forecast(self.fit, params=1e10, tokens=2e11)

    @functools.cached_property
    def trajectory(self) -> bs.Trajectory:
        return bs.trajectory(self.fit, params=1e10, tokens=[1e11, 2e11])

    @functools.cached_property
    def plan(self) -> bs.Plan:
        return bs.allocate(self.ensemble, 1e22)

    @functools.cached_property
    def registered(self) -> bs.Registered:
        return bs.preregister(self.forecast, rests_on=self.fit)

    @functools.cached_property
    def comparison(self) -> bs.Comparison:
        ahead = self.forecast
        scores = bs.score(ahead.predictive, ahead.median()).assign(
            candidate="chinchilla", cut="flops <= 1e+20", row=0, run="r11", extrapolation=10.0, range="all"
        )
        return bs.Comparison(
            candidates=(bs.evaluate.Candidate("chinchilla", self.fit.law),),
            cuts=(bs.Cut("flops", 1e20),),
            runs=self.runs,
            scores=scores,
            refits=pd.DataFrame({"candidate": ["chinchilla"], "converged": [True]}),
            left_one_out={"chinchilla": np.zeros(48)},
            loo_notes={},
            fits={"chinchilla": self.fit},
            weights={"chinchilla": 1.0},
            loo_weights={},
            seconds=0.0,
        )

    @functools.cached_property
    def two_recipes(self) -> bs.Runs:
        return bs.Runs.from_frame(self.runs.table.assign(recipe=np.where(np.arange(len(self.runs)) % 2, "a", "b")))

    @functools.cached_property
    def recipe_comparison(self) -> bs.RecipeComparison:
        arms = Arms("recipe", "shared", {"chinchilla": self.fit}, {"a": self.ensemble, "b": self.ensemble}, 0)
        along = Along("flops", 20.0, {})
        curves = ArmCurves.of(arms.arms, along, 1e17, 1e22)
        usual = one_scale(self.two_recipes, "recipe", self.fit.law, along.sizes(self.two_recipes))
        return bs.RecipeComparison(
            "recipe", "a", 1e22, None, "shared", {"shared": arms}, {"shared": curves}, usual, None
        )

    @functools.cached_property
    def scores(self) -> pd.DataFrame:
        off = np.random.default_rng(0).normal(0.0, 0.005, len(self.runs))
        return self.runs.table.assign(score=1 - (0.8 - 2.0 * np.exp(-0.7 * self.runs.loss)) * np.exp(off))

    @functools.cached_property
    def link(self) -> bs.Fit:
        sampler = bs.Sampler("laplace", draws=300)
        table = bs.score_runs(self.scores, questions=100)
        return bs.fit("downstream", table, noise="normal", discrepancy="none", sampler=sampler).thinned(40)

    @functools.cached_property
    def chain(self) -> bs.Chain:
        return bs.chain(self.fit, self.link, unconverged=True)

    @functools.cached_property
    def saved_link(self) -> Path:
        path = self.folder / "link.nc"
        self.link.save(path)
        return path

    @functools.cached_property
    def saved_curves(self) -> Path:
        path = self.folder / "curves.nc"
        self.curves.save(path)
        return path

    @functools.cached_property
    def csv_of_recipes(self) -> Path:
        path = self.folder / "recipes.csv"
        self.two_recipes.table.to_csv(path, index=False)
        return path

    @functools.cached_property
    def csv(self) -> Path:
        path = self.folder / "runs.csv"
        self.runs.table.to_csv(path, index=False)
        return path

    @functools.cached_property
    def saved(self) -> Path:
        path = self.folder / "fit.nc"
        self.fit.save(path)
        return path

    @functools.cached_property
    def saved_ensemble(self) -> Path:
        path = self.folder / "ensemble.nc"
        self.ensemble.save(path)
        return path

    @functools.cached_property
    def study(self) -> dict[str, Any]:
        return {
            "data": {"file": str(self.csv)},
            "laws": {"names": ["chinchilla"], "alongside": []},
            "budget": {"amount": 1e22},
        }

    @functools.cached_property
    def study_file(self) -> Path:
        path = self.folder / "study.toml"
        path.write_text(
            f'[data]\nfile = "{self.csv}"\n[laws]\nnames = ["chinchilla"]\nalongside = []\n[budget]\namount = 1e22\n'
        )
        return path

    @functools.cached_property
    def priors_file(self) -> Path:
        path = self.folder / "priors.toml"
        path.write_text('[priors]\nalpha = {distribution = "LogNormal", loc = -1.0, scale = 0.3}\n')
        return path


AHEAD = {"params": 1e10, "tokens": 2e11}
PILOTS = {"candidates": {"params": (1e8, 1e9), "tokens": (1e9, 1e10)}, "pilot_budget": 1e20, "budget": 1e22}
PLAN = {"candidates": [1e9, 1e10], "compare_with": {"a": (1e9, 2e10)}, "flat": 0.001}
OPTIONS = {
    "cost": "flops",
    "objective": "expected_improvement",
    "constraints": bs.Constraints(),
    "incumbent": 3.0,
    "target": 2.2,
    "given": {},
    "unconverged": True,
    "seed": 0,
}
KEYS = {"params": "n", "loss": "loss"}
MONEY = {"peak_flops": 1e15, "utilisation": 0.4, "serving_tokens": 1e12, "serving_utilisation": 0.3, "quantile": 0.5}
PICTURES = ("prior_posterior", "residuals", "traces")


def recipes(w: World) -> Mapping[str, tuple[Callable[..., Any], Mapping[str, Any]]]:
    """Return a call and valid arguments for it, by public name; what is made for all of them is made once."""
    law, fit, runs = w.fit.law, w.fit, w.runs
    tracker = {"path": w.folder, "columns": KEYS, "last": True, "groups": ["a"]}
    imported = {**tracker, "params_convention": "total", "loss_unit": "nats"}
    theta = {name: float(values.mean()) for name, values in fit.flat().items()}
    at, curve = {"of": "new_run"}, {"of": "curve"}
    framed = {"columns": {"params": "params"}, "params_convention": "total", "loss_unit": "nats", "source": "it"}
    now = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    record = bs.TrackRecord(pd.DataFrame())
    scored = bs.score_registered(w.registered, 2.0)
    ranks = bs.evaluate.Ranks(("sigma",), np.array([[3]]), 99, np.ones(1, bool), np.ones(1), np.zeros(1, bool))
    isoflop = bs.evaluate.IsoflopFit(np.array([1e19, 1e20]), np.array([1e8, 3e8]), np.array([3.0, 2.5]))
    ranges = dict.fromkeys(("params", "tokens", "batch_tokens", "steps"), (1.0, 1e30))
    return {
        # the flow
        "Runs": (
            bs.Runs,
            {
                "table": runs.table,
                "params_convention": "total",
                "loss_unit": "nats",
                "source": "it",
                "notes": (),
                "warnings": (),
            },
        ),
        "Runs.from_frame": (bs.Runs.from_frame, {"frame": runs.table, **framed}),
        "Runs.from_csv": (bs.Runs.from_csv, {"path": w.csv, **framed}),
        "Runs.from_parquet": (bs.Runs.from_parquet, {"path": w.csv, **framed}),
        "Runs.from_json_lines": (bs.Runs.from_json_lines, {"path": w.csv, **framed}),
        "Runs.read": (bs.Runs.read, {"path": w.csv, **framed}),
        "Runs.column": (runs.column, {"name": "loss"}),
        "Runs.hash_of": (runs.hash_of, {"others": ["run"]}),
        "Runs.where": (runs.where, {"keep": runs.loss > 3}),
        "Runs.cut": (runs.cut, {"column": "params", "at": 1e9}),
        "Runs.after_warmup": (runs.after_warmup, {"fraction": 0.1, "tokens": 1e8}),
        "load_law": (
            bs.load_law,
            {"name_or_path": "power_law", "priors": {"alpha": dist.Beta(1, 2)}, "input": "tokens"},
        ),
        "laws.Law.evaluate": (law.evaluate, {"constants": theta, **AHEAD}),
        "laws.Law.at": (law.at, {"published": "besiroglu2024"}),
        "laws.Law.column": (law.column, {"name": "params"}),
        "laws.Law.quantity": (law.quantity, {"name": law.quantities[0].name, "constants": theta, "flops": 1e21}),
        "laws.Law.with_priors": (law.with_priors, {"priors": {"alpha": dist.LogNormal(-1.0, 0.3)}}),
        "laws.read_priors": (bs.laws.read_priors, {"path": w.priors_file}),
        "Noise": (
            bs.Noise,
            {"family": "normal", "scale": "constant", "rows": "correlated", "rows_per_curve": 12, "start": "none"},
        ),
        "Discrepancy": (bs.Discrepancy, {"kind": "none", "smoothness": 0.5, "scale": 0.02, "along": "params"}),
        "Start": (bs.Start, {"along": "tokens", "by": ("params",), "share": 0.2}),
        "Sampler": (
            bs.Sampler,
            {"method": "laplace", "chains": 4, "draws": 100, "device": "cpu", "like_rows": 48},
        ),
        "partial": (bs.partial, {"by": "dataset"}),
        "separate": (bs.separate, {"by": "dataset"}),
        "grid": (bs.grid, {"params": [1e8, 1e9]}),
        "simulate": (
            bs.simulate,
            {
                "law": law,
                "design": runs.table.head(3),
                "constants": theta,
                "noise": "normal",
                "discrepancy": "none",
                "seed": 0,
                "typical_loss": 3.0,
                "loss_unit": "nats",
            },
        ),
        "fit": (
            bs.fit,
            {
                "law": law,
                "runs": runs,
                "noise": "normal",
                "discrepancy": "none",
                "pooling": {},
                "sampler": "laplace",
                "folder": None,
                "executor": None,
                "seed": 0,
                "progress": False,
            },
        ),
        "load_fit": (bs.load_fit, {"path": w.saved, "law": law, "noise": fit.noise}),
        "Fit.save": (fit.save, {"path": w.folder / "again.nc"}),
        "Fit.summary": (fit.summary, {"probability": 0.9}),
        "Fit.theta": (fit.theta, {"group": None, "seed": 0}),
        "Fit.in_groups": (fit.in_groups, {"table": runs.table, "source": "it", "seed": 0}),
        "Fit.replicate": (fit.replicate, {"at": fit.at_rows}),
        "Fit.thinned": (fit.thinned, {"most": 10}),
        "Fit.require_convergence": (fit.require_convergence, {"unconverged": True}),
        # predictions
        "forecast": (bs.forecast, {"source": fit, "points": None, "seed": 0, "unconverged": True, **AHEAD}),
        "Forecast.draws": (w.forecast.draws, at),
        "Forecast.quantile": (w.forecast.quantile, {"probability": 0.9, **at}),
        "Forecast.median": (w.forecast.median, at),
        "Forecast.interval": (w.forecast.interval, {"probability": 0.9, **at}),
        "Forecast.probability_below": (w.forecast.probability_below, {"loss": 2.0, **at}),
        "Forecast.to_frame": (w.forecast.to_frame, {"probabilities": [0.5], "target": 2.0}),
        "Forecast.to_json": (w.forecast.to_json, {"probabilities": [0.5], "target": 2.0}),
        "continued": (
            bs.continued,
            {"source": fit, "run": "r3", "ahead": {"tokens": [5e9]}, "until": 5e9, "seed": 0, "unconverged": True},
        ),
        "trajectory": (
            bs.trajectory,
            {"source": fit, "run": "", "given": None, "seed": 0, "unconverged": True, **AHEAD},
        ),
        "Trajectory.draws": (w.trajectory.draws, curve),
        "Trajectory.median": (w.trajectory.median, curve),
        "Trajectory.interval": (w.trajectory.interval, {"probability": 0.9, **curve}),
        "Trajectory.simultaneous": (w.trajectory.simultaneous, {"probability": 0.9, **curve}),
        "Trajectory.required": (w.trajectory.required, {"loss": 2.0, "of": "tokens"}),
        "Trajectory.reached": (w.trajectory.reached, {"loss": 2.0, "probability": 0.9}),
        "Trajectory.beside_frame": (w.trajectory.beside_frame, {"probability": 0.9}),
        "Trajectory.to_frame": (w.trajectory.to_frame, {"probabilities": [0.5]}),
        "Trajectory.to_json": (w.trajectory.to_json, {"probabilities": [0.5], "targets": [2.0]}),
        "Ensemble.of": (bs.Ensemble.of, {"source": fit, "seed": 0, "group": None, "unconverged": True}),
        "Ensemble.load": (bs.Ensemble.load, {"path": w.saved_ensemble, "laws": [law], "noise": fit.noise}),
        "Ensemble.save": (w.ensemble.save, {"path": w.folder / "ensemble again.nc"}),
        "Ensemble.only": (w.ensemble.only, {"name": "chinchilla"}),
        "Ensemble.without": (w.ensemble.without, {"names": ["nesting"]}),
        "Ensemble.points": (w.ensemble.points, AHEAD),
        "Ensemble.take": (w.ensemble.take, {"draws": [0, 1]}),
        "compute_optimal": (
            bs.compute_optimal,
            {"fit": fit, "flops": 1e21, "group": None, "unconverged": True, "seed": 0},
        ),
        "required": (
            bs.required,
            {
                "fit": fit,
                "loss": 2.2,
                "of": "flops",
                "tokens_per_param": 20.0,
                "group": None,
                "unconverged": True,
                "seed": 0,
            },
        ),
        "quantity": (
            bs.quantity,
            {"fit": fit, "name": law.quantities[0].name, "group": None, "unconverged": True, "flops": 1e21},
        ),
        "optimal_hyperparameters": (
            bs.optimal_hyperparameters,
            {
                "fit": w.tuned,
                **AHEAD,
                "batch_tokens": 5e5,
                "within": 0.01,
                "group": None,
                "unconverged": True,
                "seed": 0,
            },
        ),
        # evaluation
        "score": (bs.score, {"predicted": w.forecast.predictive, "loss": np.array([2.0]), "seed": 0}),
        "Cut": (bs.Cut, {"column": "flops", "at": 1e20}),
        "evaluate.Candidate": (
            bs.evaluate.Candidate,
            {
                "label": "c",
                "law": law,
                "method": "posterior",
                "discrepancy": "none",
                "noise": "normal",
                "sampler": "laplace",
                "held_out_sampler": None,
                "members": (),
            },
        ),
        "compare": (
            bs.compare,
            {
                "laws": ["chinchilla"],
                "runs": runs,
                "cuts": None,
                "alongside": ["exact"],
                "loo": False,
                "folder": None,
                "executor": None,
                "seed": 0,
                "progress": False,
            },
        ),
        "compare_recipes": (
            bs.compare_recipes,
            {
                "runs": w.two_recipes,
                "by": "recipe",
                "budget": 1e22,
                "baseline": "a",
                "target": None,
                "law": "chinchilla",
                "irreducible": "own",
                "tokens_per_param": None,
                "given": None,
                "pilot_budget": 0.0,
                "sampler": "laplace",
                "seed": 0,
                "progress": False,
                "unconverged": True,
            },
        ),
        "RecipeComparison.speedup": (
            w.recipe_comparison.speedup,
            {"recipe": "b", "at": 1e21, "loss": None, "over": "a", "irreducible": "shared"},
        ),
        "RecipeComparison.ahead": (
            w.recipe_comparison.ahead,
            {"recipe": "b", "at": 1e21, "over": "a", "irreducible": "shared"},
        ),
        "RecipeComparison.crossing": (
            w.recipe_comparison.crossing,
            {"recipe": "b", "low": 1e19, "high": 1e21, "over": "a", "irreducible": "shared"},
        ),
        "RecipeComparison.to_frame": (w.recipe_comparison.to_frame, {"probability": 0.9}),
        "chain": (
            bs.chain,
            {
                "loss_fit": fit,
                "score_fit": w.link,
                "questions": 100,
                "chance": 0.25,
                "direct": None,
                "unconverged": True,
                "seed": 0,
            },
        ),
        "Chain.forecast": (w.chain.forecast, {"points": None, **AHEAD}),
        "Chain.required": (w.chain.required, {"score": 0.5, "task": None, "tokens_per_param": 20.0, "given": None}),
        "Chain.ceiling": (w.chain.ceiling, {"task": None}),
        "pass_at_k": (bs.pass_at_k, {"samples": [10, 10], "correct": [1, 2], "k": 2}),
        "score_runs": (
            bs.score_runs,
            {"frame": w.scores, "score": "score", "loss": "loss", "questions": 100, "source": "t"},
        ),
        "backtest": (
            bs.backtest,
            {
                "tables": {"a": runs},
                "laws": ["chinchilla"],
                "cuts": None,
                "alongside": ["exact"],
                "loo": False,
                "folder": None,
                "executor": None,
                "seed": 0,
                "progress": False,
            },
        ),
        "Comparison.forecast": (
            w.comparison.forecast,
            {"points": None, "seed": 0, "unconverged": True, **AHEAD},
        ),
        "evaluate.find_influential": (bs.evaluate.find_influential, {"fit": fit}),
        "evaluate.find_outliers": (bs.evaluate.find_outliers, {"fit": fit}),
        "evaluate.leave_one_out": (bs.evaluate.leave_one_out, {"fit": fit}),
        "evaluate.loo_pit": (bs.evaluate.loo_pit, {"fit": fit}),
        "evaluate.predictive_check": (bs.evaluate.predictive_check, {"fit": fit}),
        "evaluate.prior_sensitivity": (bs.evaluate.prior_sensitivity, {"fitted": fit}),
        "evaluate.identifiability": (bs.evaluate.identifiability, {"law": law, "runs": runs}),
        "evaluate.isoflop_parabola": (bs.evaluate.isoflop_parabola, {"runs": runs}),
        "evaluate.floor_panel": (
            bs.evaluate.floor_panel,
            {
                "fitted": fit,
                "points": None,
                "floors": {"flat": dist.Beta(1.0, 1.0)},
                "executor": None,
                "seed": 0,
                "unconverged": True,
                "progress": False,
                **AHEAD,
            },
        ),
        "evaluate.point_fit": (
            bs.evaluate.point_fit,
            {"law": law, "runs": runs, "loss": "huber", "bootstrap": 2, "seed": 0, "like_rows": 48},
        ),
        "evaluate.PointFit.predict": (
            bs.evaluate.point_fit(law, runs, bootstrap=2).predict,
            {"points": AHEAD},
        ),
        "evaluate.conformal_fit": (
            bs.evaluate.conformal_fit,
            {"law": law, "runs": runs, "split": "random", "seed": 0, "like_rows": 48},
        ),
        "evaluate.ConformalFit.half_width": (bs.evaluate.conformal_fit(law, runs).half_width, {"probability": 0.9}),
        "evaluate.ConformalFit.predict": (bs.evaluate.conformal_fit(law, runs).predict, {"points": AHEAD}),
        "evaluate.IsoflopFit.params_at": (isoflop.params_at, {"flops": 1e21}),
        "evaluate.IsoflopFit.tokens_at": (isoflop.tokens_at, {"flops": 1e21}),
        "evaluate.Ranks.joined": (bs.evaluate.Ranks.joined, {"parts": [ranks]}),
        "evaluate.sbc": (
            bs.evaluate.sbc,
            {
                "law": law,
                "design": runs.table.head(8),
                "noise": "normal",
                "discrepancy": "none",
                "tables": 2,
                "executor": None,
                "seed": 0,
                "progress": False,
            },
        ),
        "evaluate.stacking_weights": (
            bs.evaluate.stacking_weights,
            {"log_scores": {"a": np.zeros(3), "b": np.ones(3)}, "counts": np.ones(3)},
        ),
        # decisions
        "Constraints": (
            bs.Constraints,
            {
                **ranges,
                "tokens_per_param": (1.0, 100.0),
                "tokens_available": 1e13,
                "deadline_hours": 10.0,
                "step_seconds": 1.0,
                "memory_bytes": 1e12,
                "bytes_per_param": 16.0,
            },
        ),
        "Constraints.allows": (bs.Constraints().allows, AHEAD),
        "DecisionProblem": (
            bs.DecisionProblem,
            {"source": w.ensemble, **{k: v for k, v in OPTIONS.items() if k != "unconverged"}},
        ),
        "DecisionProblem.allocate": (w.problem.allocate, {"budget": 1e22, **PLAN}),
        "DecisionProblem.curve": (w.problem.curve, {"budgets": [1e21], "candidates": [1e8, 1e9]}),
        "DecisionProblem.smallest_budget": (w.problem.smallest_budget, {"probabilities": [0.5]}),
        "DecisionProblem.portfolio": (w.problem.portfolio, {"budget": 1e22, "runs": 2}),
        "DecisionProblem.ladder": (
            w.problem.ladder,
            {"budget": 1e22, "share": 0.05, "rungs": 2, "ratio": 3.0, "reserve": 0.05, "candidates": [1e9, 1e10]},
        ),
        "DecisionProblem.pilot": (w.problem.pilot, {**PILOTS, "forecast_at": None, "price": None, "copies": 1}),
        "allocate": (bs.allocate, {"source": w.ensemble, "budget": 1e22, **PLAN, **OPTIONS, "group": None}),
        "pilot": (
            bs.pilot,
            {
                "source": w.ensemble,
                **PILOTS,
                "forecast_at": None,
                "price": None,
                "copies": 1,
                **OPTIONS,
                "group": None,
            },
        ),
        "midrun": (
            bs.midrun,
            {
                "fit": w.curves,
                "run": "r3",
                "until": 4e9,
                "extend": (1.5,),
                "price": 0.0,
                "ahead": None,
                **{k: v for k, v in OPTIONS.items() if k not in ("constraints", "given")},
            },
        ),
        "Plan.cvar": (w.plan.cvar, {"worst": 0.05}),
        "Plan.interval": (w.plan.interval, {"probability": 0.9, "of": "loss"}),
        "PilotPlan.interval": (_pilot_plan(w).interval, {"probability": 0.9}),
        "preregister": (
            bs.preregister,
            {"source": w.forecast, "rests_on": fit, "name": "n", "note": "n", "now": now},
        ),
        "score_registered": (
            bs.score_registered,
            {"registered": w.registered, "losses": [2.0], "now": now},
        ),
        "Registered.interval": (w.registered.interval, {"probability": 0.9}),
        "Registered.quantiles": (w.registered.quantiles, {"run": 0}),
        "Registered.read": (bs.Registered.read, {"path": w.csv}),
        "Registered.save": (w.registered.save, {"path": w.folder / "registered.json"}),
        "TrackRecord.add": (record.add, {"scores": scored}),
        "TrackRecord.append": (bs.TrackRecord.append, {"path": w.folder / "appended.jsonl", "scores": scored}),
        "TrackRecord.read": (bs.TrackRecord.read, {"path": w.folder / "none.jsonl"}),
        "TrackRecord.save": (record.save, {"path": w.folder / "record.jsonl"}),
        # reports
        "Study": (bs.Study, dict(w.study)),
        "Study.of": (bs.Study.of, {"content": w.study, "source": "it"}),
        "Study.read": (bs.Study.read, {"path": w.study_file}),
        "Study.candidates": (bs.Study.of(w.study).candidates, {"runs": runs, "draft": True, "run_law_files": False}),
        "make_report": (
            bs.make_report,
            {
                "study": w.study_file,
                "runs": None,
                "draft": True,
                "run_law_files": False,
                "unconverged": True,
                "refits": None,
                "executor": None,
                "progress": False,
            },
        ),
        # costs and objectives
        "costs.gpu_hours": (bs.costs.gpu_hours, MONEY),
        "costs.money": (
            bs.costs.money,
            {**MONEY, "price_per_gpu_hour": 2.0, "serving_price": 1.0, "currency": "USD"},
        ),
        "costs.lifetime": (bs.costs.lifetime, {"serving_tokens": 1e12, "quantile": 0.5}),
        "costs.fraction": (bs.costs.fraction, {"name": "x", "value": 0.5}),
        "costs.draws": (bs.costs.draws, {"name": "x", "value": 0.5, "seed": 0}),
        "costs.PricedFlops": (
            bs.costs.PricedFlops,
            {
                "label": "l",
                "unit": "u",
                "hours": True,
                "peak_flops": 1.0,
                "utilisation": 1.0,
                "price": 1.0,
                "serving_tokens": 0.0,
                "serving_utilisation": 1.0,
                "serving_price": 1.0,
                "quantile": 0.5,
            },
        ),
        "costs.PricedFlops.spending": (bs.costs.flops().spending, {"seed": 0}),
        "costs.Spending.of": (
            bs.costs.Spending.of,
            {"per_flop": 1.0, "unit": "u", "per_served_flop": 1.0, "serving_tokens": 0.0, "quantile": 0.5},
        ),
        "costs.Spending.cost": (bs.costs.flops().spending(0).cost, AHEAD),
        "costs.Spending.draws": (bs.costs.flops().spending(0).draws, AHEAD),
        "objectives.cvar": (bs.objectives.cvar, {"worst": 0.05}),
        "objectives.loss_quantile": (bs.objectives.loss_quantile, {"probability": 0.5}),
        "objectives.mean_and_cvar": (bs.objectives.mean_and_cvar, {"weight": 0.5, "worst": 0.05}),
        "objectives.utility": (bs.objectives.utility, {"of": [(2.0, 1.0), (3.0, 0.0)], "label": "u"}),
        # importers, bundled tables, pictures
        **{f"importers.import_{name}": (_importer(name), imported) for name in ("mlflow", "wandb", "tensorboard")},
        "datasets.load": (bs.datasets.load, {"name": "stdlib_sweep", "params": "total"}),
        "datasets.card": (bs.datasets.card, {"name": "stdlib_sweep"}),
        "plot.exponents": (bs.plot.exponents, {"fit": fit, "names": ["alpha"]}),
        "plot.fit": (bs.plot.fit, {"fit": fit, "probabilities": [0.5]}),
        "plot.laws": (
            bs.plot.laws,
            {
                "ensemble": w.ensemble,
                "forecast": bs.forecast(w.ensemble, params=1e10, tokens=2e11),
                "target": 2.0,
                "measured": [2.1],
            },
        ),
        "plot.forecast": (
            bs.plot.forecast,
            {"fit": fit, "forecast": w.forecast, "measured": [2.0], "target": 2.0},
        ),
        "plot.trajectory": (
            bs.plot.trajectory,
            {
                "fit": fit,
                "trajectory": w.trajectory,
                "measured": pd.DataFrame({"tokens": [1e11], "loss": [2.0]}),
                "plan": w.trajectory,
                "target": 2.0,
            },
        ),
        **{
            f"plot.{name}": (getattr(bs.plot, name), {"comparison": w.comparison})
            for name in ("held_out", "pit", "ranking")
        },
        **{
            f"plot.{name}": (getattr(bs.plot, name), {"fit": fit})
            for name in ("prior_posterior", "residuals", "traces")
        },
        "plot.save_all": (
            bs.plot.save_all,
            {
                "fit": fit,
                "folder": w.folder,
                "forecast": None,
                "measured": None,
                "target": None,
                "file_format": "png",
                "progress": False,
            },
        ),
        # units
        "units.Shape": (
            bs.units.Shape,
            {
                "layers": 12,
                "width": 768,
                "attention_width": 768,
                "feedforward_width": 3072,
                "vocabulary": 50_000,
                "context": 1024,
            },
        ),
        "units.PowerOfCompute": (bs.units.PowerOfCompute, {"scale": 1.0, "exponent": 0.5, "unit": 1.0}),
        "units.training_flops": (bs.units.training_flops, AHEAD),
        "units.training_flops_of_forward": (
            bs.units.training_flops_of_forward,
            {"flops_per_token": 1e9, "tokens": 1e9},
        ),
        "units.deepseek_flops_per_token": (
            bs.units.deepseek_flops_per_token,
            {"layers": 12, "width": 768, "context": 1024},
        ),
        "units.pf_days": (bs.units.pf_days, {"flops": 1e20}),
        "units.flops_of_pf_days": (bs.units.flops_of_pf_days, {"days": 1.0}),
        "units.bits_per_byte": (bs.units.bits_per_byte, {"nats_per_token": 2.0, "tokens_per_byte": 0.3}),
        "units.nats_per_token": (bs.units.nats_per_token, {"bits_per_byte": 1.0, "tokens_per_byte": 0.3}),
        "units.total_params": (bs.units.total_params, {"non_embedding": 1e9, "gamma": 1e4}),
        "units.non_embedding_params": (bs.units.non_embedding_params, {"total": 1e9, "gamma": 1e4}),
        "units.inference_tokens": (bs.units.inference_tokens, {**AHEAD, "constants": theta}),
    }


def _importer(name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(bs.importers, f"import_{name}")
    return found


def _pilot_plan(w: World) -> bs.PilotPlan:
    return w.problem.pilot(**PILOTS, copies=1)
