"""Which runs of a pool should one have bought, by the published protocol: tables of others, budgets of 1 to 50 %.

    uv run python benchmarks/pilot_tasks.py --data FOLDER                    # resumes; --seeds 10 by default
    uv run python benchmarks/pilot_tasks.py --data FOLDER --tasks moe --methods pilot,random

Protocol of Li et al. 2026, Spend Less, Fit Better (arXiv 2604.22753): the train rows are the pool, a share of its whole
cost may be spent, the test rows are the target, the score is R2 of the loss there, clipped at -1. FOLDER holds
``TASK_train.csv`` and ``TASK_test.csv``, which are not part of this repository. Published scores are means over up to
ten laws; their laws, numbers of parameters and starting runs differ from those here: compare the level, and methods
among themselves.

Every method is scored by one and the same fit to what it bought: the laws of the task, each with its discrepancy and
taken to be right, by the importance-resampled normal approximation (1,000 draws), weighed by ``exp(2 m)`` with m the
mean log score of a row given the others. Designs start with runs drawn at random from the cheapest fifth of the pool,
and are made in three rounds, each after a fit to what was bought so far: there by the normal approximation as it is,
since the few draws that importance weights leave of a wide posterior span too few directions. A seed is of these
starts, of random choices and of draws.

Methods: ``pilot`` (the set that `pilot` finds under the ensemble, for the forecast of the test rows: which law is right
is among what it learns), ``pilot_one_law`` (the same for the first law alone), ``v_optimal``, ``d_optimal`` (first law,
see ``pilot_design.py``), ``random``, ``by_price``, ``cheapest``; ``everything``, the whole pool, whatever the budget;
and ``hindsight``, which sees the test rows: greedily the run that lowers their error most for a penalised point fit of
the first law, with three powers of the price, the best of three sets.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pandas as pd
from pilot_design import chosen_at_random, chosen_by_slopes, kept

import bayes_scaling as bs
from bayes_scaling.base import tasks
from bayes_scaling.base.executors import opened
from bayes_scaling.base.names import SamplerName
from bayes_scaling.base.progress import progress_bar
from bayes_scaling.base.scope import scope
from bayes_scaling.decide import designs
from bayes_scaling.decide.designs import Offer
from bayes_scaling.decide.information import Joint, winsorise
from bayes_scaling.evaluate.baselines.normal import normal_approximation
from bayes_scaling.evaluate.checks import leave_one_out_scores
from bayes_scaling.evaluate.scores import score
from bayes_scaling.inference.problem import SamplingMethod
from bayes_scaling.laws.parameters import resolve
from bayes_scaling.laws.priors import draw_prior
from bayes_scaling.model.composition import Composition
from bayes_scaling.model.discrepancy import Discrepancy
from bayes_scaling.model.noise import Noise
from bayes_scaling.model.observations import observe
from bayes_scaling.model.program import model_of

ROUNDS = (0.1, 0.4, 1.0)  # of the budget, spent by the end of each
START = 6  # runs at random before the first fit
CHEAP = 0.2  # share of the pool from which they are drawn
FEWEST = 2  # runs without which nothing is fitted: the score is -1
SEEDED = ("pilot", "pilot_one_law", "v_optimal", "d_optimal", "random", "by_price")
METHODS = (*SEEDED, "cheapest", "everything", "hindsight")
POWERS = (0.0, 0.4, 1.0)  # of the price, for hindsight
LOOKED_AT = 200  # runs that a step of hindsight looks at
STEPS = 12  # of each point fit, from the last one
SCATTER = 0.01  # log loss, of those fits


@dataclasses.dataclass(frozen=True)
class Task:
    """One task: how its files become a pool.

    Attributes
    ----------
    laws : what is fitted; the first is that of designs by slopes and of hindsight
    shares : of the pool's cost that may be spent
    prepared : from the rows of a file to columns of the laws, ``loss``, ``cost`` and ``table``, the pool of a row
    published : mean scores by method, in the order of `shares`
    """

    laws: tuple[str, ...]
    shares: tuple[float, ...]
    prepared: Callable[[pd.DataFrame], pd.DataFrame]
    published: Mapping[str, tuple[float, ...]]


def _data_constrained(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[["params", "tokens", "unique_tokens", "loss"]].assign(
        cost=6 * rows["params"] * rows["tokens"], table=""
    )


def _moe(rows: pd.DataFrame) -> pd.DataFrame:
    names = {"dense_parameter_count": "params", "num_experts": "experts", "loss_validation": "loss"}
    rows = rows.rename(columns=names)[list(names.values())]
    return rows.assign(cost=rows["params"] * rows["experts"], table="")


ABOVE = 8.0  # added to a loss that is a difference to that of a unigram model, so that it is positive


def _vocab(rows: pd.DataFrame) -> pd.DataFrame:
    names = {"non_vocab_parameters": "params", "vocab_size": "vocabulary", "num_characters": "characters"}
    rows = rows.rename(columns=names)
    cost = 6 * rows["params"] * rows["characters"]
    return rows[list(names.values())].assign(loss=rows["unigram_normalized_loss"] + ABOVE, cost=cost, table="")


def _parallel(rows: pd.DataFrame) -> pd.DataFrame:
    names = {"num_params": "params", "parallel_size": "streams", "loss": "loss", "group": "table"}
    rows = rows.rename(columns=names)[list(names.values())].astype({"params": float, "streams": float})
    return rows.assign(cost=rows["params"])


def _sparsity(rows: pd.DataFrame) -> pd.DataFrame:
    active, tokens = rows["N_active"] * 1e9, rows["D2"] * 1e9
    cost = 6 * (rows["N_dense"] * rows["D1"] * 1e18 + active * tokens)
    return pd.DataFrame({"params": active, "tokens": tokens, "loss": rows["loss"], "cost": cost, "table": ""})


TASKS: Mapping[str, Task] = {
    "moe": Task(
        ("moe_routing", "moe_effective"),
        (0.01, 0.05, 0.10),
        _moe,
        {
            "random": (-0.47, 0.01, 0.26),
            "cheapest": (0.30, 0.74, 0.81),
            "d_optimal": (0.34, 0.55, 0.74),
            "v_optimal": (0.67, 0.80, 0.80),
            "theirs": (0.59, 0.65, 0.83),
        },
    ),
    "data_constrained": Task(
        ("repeated_data", "repeated_data:exponents=free"),
        (0.01, 0.05, 0.10),
        _data_constrained,
        {
            "random": (-0.74, -0.36, 0.12),
            "cheapest": (-0.58, -0.56, -0.40),
            "d_optimal": (0.71, 0.80, 0.77),
            "v_optimal": (0.58, 0.83, 0.85),
            "theirs": (0.73, 0.85, 0.86),
        },
    ),
    "vocab": Task(
        ("vocabulary_size",),
        (0.01, 0.05, 0.10),
        _vocab,
        {
            "random": (0.54, 0.53, 0.59),
            "cheapest": (0.30, 0.53, 0.55),
            "d_optimal": (0.95, 0.97, 0.97),
            "v_optimal": (0.96, 0.97, 0.98),
            "theirs": (0.96, 0.98, 0.98),
        },
    ),
    "parallel": Task(
        ("parallel_scaling",),
        (0.01, 0.05, 0.10),
        _parallel,
        {
            "random": (-1.0, 0.27, 0.19),
            "cheapest": (-1.0, 0.42, 0.42),
            "d_optimal": (-1.0, 0.70, 0.99),
            "v_optimal": (-1.0, 0.69, 0.99),
            "theirs": (-1.0, 0.77, 0.99),
        },
    ),
    "sparsity": Task(
        ("chinchilla", "kaplan_joint"),
        (0.20, 0.35, 0.50),
        _sparsity,
        {
            "random": (-0.25, 0.37, 0.38),
            "cheapest": (-0.95, 0.04, 0.32),
            "d_optimal": (-0.07, 0.23, 0.19),
            "v_optimal": (0.12, 0.39, 0.51),
            "theirs": (0.31, 0.44, 0.53),
        },
    ),
}


# --- fits ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Weighted:
    """Fits of several laws with weights, as `Ensemble` takes them."""

    fits: Mapping[str, bs.Fit]
    weights: Mapping[str, float]
    runs: bs.Runs


def fitted(
    laws: tuple[str, ...], rows: pd.DataFrame, most: int, seed: int, method: SamplerName | SamplingMethod = "laplace"
) -> Weighted:
    """Fit each law, with its discrepancy and without one; fits of one pool share programs."""
    runs = bs.Runs.from_frame(rows.drop(columns=["cost", "table"]).reset_index(drop=True))
    sampler = bs.Sampler(method, draws=250, like_rows=most)
    fits, scores = {}, {}
    for law in laws:
        for discrepancy in ("brownian", "none"):
            name = law if discrepancy == "brownian" else f"{law}, law alone"
            fits[name] = bs.fit(law, runs, discrepancy=discrepancy, sampler=sampler, seed=seed, progress=False)
            scores[name] = float(np.nan_to_num(leave_one_out_scores(fits[name])[0], nan=-100.0).mean())
    best = max(scores.values())
    credit = {name: np.exp(2 * (value - best)) for name, value in scores.items()}
    return Weighted(fits, {name: value / sum(credit.values()) for name, value in credit.items()}, runs)


def ensemble_of(found: Weighted, seed: int) -> bs.Ensemble:
    """Mix the draws of all fits."""
    return bs.Ensemble.of(found, seed, unconverged=True)


def chosen_by_pilot(
    ensemble: bs.Ensemble, pool: pd.DataFrame, left: list[int], target: pd.DataFrame, budget: float
) -> list[int]:
    """Return the set that `pilot` chooses for a forecast: it appraises that set as well, which takes long here."""
    columns = [name for name in pool if name not in ("loss", "cost", "table")]
    offered = ensemble.points(**{name: pool.loc[left, name].to_numpy() for name in columns})
    wanted = ensemble.points(**{name: target[name].to_numpy() for name in columns})
    joint = Joint.of(ensemble.new_run(offered), winsorise(ensemble.log_mean(wanted)))
    offer = Offer(pool.loc[left, "cost"].to_numpy(), np.ones(len(left), int), budget)
    return [left[i] for i in designs.best_set(joint, offer)]


# --- hindsight ----------------------------------------------------------------------------------------------------


@functools.cache
def _refits(law: str, rows: int) -> Any:
    """Return the compiled penalised point fits of many sets: weights of rows, starts -> ends, log laws at all rows."""
    composition = Composition(bs.load_law(law), Noise("normal"), Discrepancy("none"), {})
    model = model_of(composition)
    sites = composition.law.sampled

    def log_law(u: Any, data: Any) -> Any:
        draws = {row.site: dist.biject_to(row.prior.support)(u[i]) for i, row in enumerate(sites)}
        values = resolve(model.law_rows, draws, data.at)
        return model.log_law({name: values[name] for name in model.law_names}, data.columns)

    def refit(weight: Any, start: Any, centre: Any, spread: Any, data: Any) -> tuple[Any, Any]:
        def residual(u: Any) -> Any:
            misfit = jnp.sqrt(weight) * (data.log_loss - log_law(u, data)) / SCATTER
            return jnp.concatenate([misfit, (u - centre) / spread])

        def step(_: int, state: Any) -> Any:
            u, value, damping = state
            now, slopes = residual(u), jax.jacfwd(residual)(u)
            curvature = slopes.T @ slopes
            move = -jnp.linalg.solve(curvature + damping * jnp.diag(jnp.diag(curvature)), slopes.T @ now)
            tried = u + jnp.clip(move, -2.0, 2.0)
            reached = jnp.sum(residual(tried) ** 2)
            better = reached < value
            damping = jnp.clip(jnp.where(better, damping / 5, damping * 5), 1e-9, 1e9)
            return jnp.where(better, tried, u), jnp.where(better, reached, value), damping

        end = jax.lax.fori_loop(0, STEPS, step, (start, jnp.sum(residual(start) ** 2), jnp.asarray(1e-3)))[0]
        return end, log_law(end, data)

    return composition, jax.jit(jax.vmap(refit, (0, None, None, None, None)))


def best_in_hindsight(law: str, pool: pd.DataFrame, target: pd.DataFrame, budget: float, power: float) -> list[int]:
    """Add the run that lowers the squared error of the test rows most, per power of its price."""
    both = pd.concat([pool, target], ignore_index=True).drop(columns=["cost", "table"])
    composition, refits = _refits(law, len(both))
    rng = np.random.default_rng(0)
    prices, loss = pool["cost"].to_numpy(), target["loss"].to_numpy()
    with scope():
        data = observe(composition, bs.Runs.from_frame(both), len(both))
        lines = [
            np.asarray(dist.biject_to(row.prior.support).inv(draw_prior(row.prior, rng, 500)))
            for row in composition.law.sampled
        ]
        centre, spread = np.array([line.mean() for line in lines]), np.array([line.std() for line in lines])

        def errors(sets: list[list[int]], start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            weights = np.zeros((LOOKED_AT, len(data.log_loss)))  # as many sets each time, so that one program serves
            for row, chosen in enumerate(sets):
                weights[row, chosen] = 1.0
            ends, found = refits(weights, start, centre, spread, data)
            ahead = np.exp(np.asarray(found))[: len(sets), len(pool) : len(both)]
            return np.asarray(ends)[: len(sets)], np.nan_to_num(((ahead - loss) ** 2).mean(axis=1), nan=np.inf)

        taken: list[int] = []
        best: tuple[float, list[int]] = (np.inf, [])
        at, now = centre, float(errors([[]], centre)[1][0])
        while True:
            spent = prices[taken].sum()
            open_ = np.setdiff1d(np.flatnonzero(prices <= budget - spent), taken)
            if not len(open_) or len(taken) >= 80:
                return best[1]
            looked = rng.permutation(open_)[:LOOKED_AT]
            ends, found = errors([[*taken, int(run)] for run in looked], at)
            # The gain in log error; where none is left, the least loss.
            gain = np.log(now) - np.log(found)
            index = int(np.argmax(np.where(gain > 0, gain / prices[looked] ** power, gain)))
            taken.append(int(looked[index]))
            at, now = ends[index], float(found[index])
            if now < best[0] and len(taken) >= FEWEST:
                best = (now, list(taken))
            elif len(taken) > len(best[1]) + 12:
                return best[1]


# --- replays ------------------------------------------------------------------------------------------------------


def started(pool: pd.DataFrame, budget: float, seed: int) -> list[int]:
    """Draw the first runs at random from the cheapest fifth of the pool, for half of the budget, or all if need be."""
    cheap = np.random.default_rng([seed, 1]).permutation(max(int(CHEAP * len(pool)), START))
    taken: list[int] = []
    for run in cheap:
        most = budget / 2 if len(taken) >= FEWEST else budget
        if len(taken) < START and pool.loc[[*taken, int(run)], "cost"].sum() <= most:
            taken.append(int(run))
    return taken


def bought_by(
    method: str, task: Task, pool: pd.DataFrame, target: pd.DataFrame, budget: float, seed: int, most: int
) -> list[int]:
    """Return the runs that a method buys."""
    prices = pool["cost"].to_numpy()
    everything = list(range(len(pool)))
    if method == "everything":
        return everything
    if method == "cheapest":
        return [run for run, total in zip(everything, prices.cumsum(), strict=True) if total <= budget]
    if method in ("random", "by_price"):
        weights = np.ones(len(pool)) if method == "random" else 1 / prices
        return chosen_at_random(pool, everything, budget, weights, seed)
    bought = started(pool, budget, seed)
    for spent in ROUNDS:
        left = [run for run in everything if run not in bought]
        now = spent * budget - prices[bought].sum()
        if not left or prices[left].min() > now or len(bought) < FEWEST:
            continue
        if method == "pilot":
            ensemble = ensemble_of(fitted(task.laws, pool.loc[bought], most, seed, normal_approximation), seed)
            bought += chosen_by_pilot(ensemble, pool, left, target, now)
            continue
        found = fitted(task.laws[:1], pool.loc[bought], most, seed, normal_approximation)
        if method == "pilot_one_law":
            bought += chosen_by_pilot(ensemble_of(found, seed), pool, left, target, now)
        else:
            alone = found.fits[f"{task.laws[0]}, law alone"]
            bought += chosen_by_slopes(method, alone, pool, bought, left, target, now)
    return bought


def scored(task: Task, bought: pd.DataFrame, target: pd.DataFrame, most: int, seed: int) -> dict[str, Any]:
    """Fit what was bought and score the forecast of the test rows."""
    if len(bought) < FEWEST:
        return {"r2": -1.0, "log_score": np.nan, "inside_90": np.nan}
    found = fitted(task.laws, bought, most, seed)
    inputs = target.drop(columns=["loss", "cost", "table"]).reset_index(drop=True)
    truth = target["loss"].to_numpy()
    predictive = ensemble_of(found, seed).new_run(
        ensemble_of(found, seed).points(**{name: inputs[name].to_numpy() for name in inputs})
    )
    scores = score(predictive, truth, seed)
    median = scores["median"].to_numpy()
    r2 = 1 - ((median - truth) ** 2).mean() / truth.var()
    return {
        "r2": float(np.clip(r2, -1, 1)),
        "log_score": float(scores["log_score"].mean()),
        "inside_90": float(scores["pit"].between(0.05, 0.95).mean()),
    }


def replay(task: Task, rows: pd.DataFrame, tests: pd.DataFrame, share: float, method: str, seed: int) -> dict[str, Any]:
    """Buy, fit and score in each table of a task; return means over tables."""
    began, parts = time.perf_counter(), []
    for table in sorted(rows["table"].unique()):
        pool = rows[rows["table"] == table].sort_values("cost", kind="stable").reset_index(drop=True)
        target = tests[tests["table"] == table].reset_index(drop=True)
        budget, most = share * pool["cost"].sum(), len(pool)
        if method == "hindsight":
            sets = [best_in_hindsight(task.laws[0], pool, target, budget, power) for power in POWERS]
        else:
            sets = [bought_by(method, task, pool, target, budget, seed, most)]
        found = [{**scored(task, pool.loc[bought], target, most, seed), "runs": len(bought)} for bought in sets]
        parts.append(max(found, key=lambda part: part["r2"]))
    means = pd.DataFrame(parts).mean().to_dict()
    return {**means, "seconds": time.perf_counter() - began}


@dataclasses.dataclass(frozen=True)
class Replay(tasks.Task[dict[str, Any]]):
    """One replay, kept under its name.

    Attributes
    ----------
    name, share, method, seed : what is replayed
    data, folder : of the published tables, and of what is kept
    """

    name: str
    share: float
    method: str
    seed: int
    data: Path
    folder: Path

    @property
    def label(self) -> str:
        """Its name."""
        return f"{self.name} {self.share} {self.method} {self.seed}"

    def found(self) -> dict[str, Any] | None:
        """Return what was measured before."""
        with contextlib.suppress(FileNotFoundError):
            return kept(self.folder, self.label, _nothing)
        return None

    def measure(self) -> dict[str, Any]:
        """Replay it."""
        return kept(self.folder, self.label, self._replayed)

    def _replayed(self) -> dict[str, Any]:
        task = TASKS[self.name]
        pool, target = (task.prepared(pd.read_csv(self.data / f"{self.name}_{part}.csv")) for part in ("train", "test"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = replay(task, pool, target, self.share, self.method, self.seed)
        print(self.label, {k: round(v, 3) for k, v in found.items()}, flush=True)
        return found


def _nothing() -> dict[str, Any]:
    raise FileNotFoundError("nothing is kept")


def markdown(results: pd.DataFrame) -> str:
    """Write a table per task: mean, standard error and number of seeds of R2, beside what was published."""
    lines = []
    for name, rows in results.groupby("task", sort=False):
        task = TASKS[str(name)]
        lines += ["", f"{name}: R2 ± standard error (seeds); 90 % bands hold; published"]
        lines += ["| method | " + " | ".join(f"{share:.0%}" for share in task.shares) + " | published |"]
        lines += ["|---|" + "---|" * (len(task.shares) + 1)]
        for method in dict.fromkeys([*rows["method"], "theirs"]):
            cells = []
            for share in task.shares:
                cell = rows[(rows["method"] == method) & (rows["budget"] == share)]
                spread = cell["r2"].std(ddof=1) / np.sqrt(len(cell)) if len(cell) > 1 else 0.0
                held = f", {cell['inside_90'].mean():.2f}" if cell["inside_90"].notna().any() else ""
                cells.append(f"{cell['r2'].mean():.2f} ± {spread:.2f} ({len(cell)}){held}" if len(cell) else "")
            published = " / ".join(f"{value:.2f}" for value in task.published.get(str(method), ()))
            lines.append(f"| {method} | " + " | ".join(cells) + f" | {published} |")
    return "\n".join(lines).strip()


def main() -> None:
    """Replay, seed by seed, so that a run that was stopped has even cells; print the table of what there is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the published tables")
    parser.add_argument("--out", type=Path, default=Path("pilot_tasks"), help="where replays are kept")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, help="replay in this many processes; by default in this one")
    parser.add_argument("--only-print", action="store_true", help="print what is kept, replay nothing")
    options = parser.parse_args()
    chosen, methods = options.tasks.split(","), options.methods.split(",")
    replays = [
        Replay(name, share, method, seed, options.data, options.out)
        for seed in range(options.seeds)
        for name in chosen
        for share in TASKS[name].shares
        for method in methods
        if not seed or method in SEEDED
    ]
    if options.only_print:
        made = [one.found() for one in replays]
    else:
        with opened(options.workers) as executor, progress_bar("replays") as report:
            made = list(tasks.carried_out(replays, executor, report))
    rows = [
        {"task": one.name, "budget": one.share, "method": one.method, "seed": one.seed, **found}
        for one, found in zip(replays, made, strict=True)
        if found is not None
    ]
    print(markdown(pd.DataFrame(rows).sort_values("task", kind="stable", key=lambda t: t.map(chosen.index))))


if __name__ == "__main__":
    main()
