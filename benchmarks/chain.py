"""Do chained forecasts of scores hold what they promise? Simulated tables: a law of loss, a link, a benchmark.

    uv run python benchmarks/chain.py --tables 60

Every table has a truth of its own: Chinchilla's law of loss, an exponential link to the error, and a score of Q
questions for each of 30 models. One run is planned at 30 times the compute of the largest model. Its score, counted on
as many questions, is forecast in three ways:

chain      draws of the loss through draws of the link, and the questions
direct     a law fitted to the error rates, without any loss: Chinchilla's by default
plug-in    the medians of loss law and link, and the questions

A table is left out where a fit of its three does not converge. No public table at hand has losses and scores of the
same models, so there is none here.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

import bayes_scaling as bs
from bayes_scaling.base.names import SAMPLERS, SamplerName

MODELS, FARTHER = 30, 30.0
CHANCE = 0.25
SHARES = (0.5, 0.8, 0.9)
LOSS_NOISE, COUNTED = bs.Noise("normal"), bs.Noise("normal", scale="known")


def drawn(seed: int) -> tuple[dict[str, float], dict[str, float], pd.DataFrame, dict[str, float]]:
    """Draw a law of loss, a link, the sizes of the models, and the planned run."""
    rng = np.random.default_rng([seed, 3])
    alpha, beta = rng.uniform(0.28, 0.40), rng.uniform(0.25, 0.38)
    terms = rng.uniform(0.4, 0.8, 2)  # nats at 2e8 parameters and 5e9 tokens
    law = {
        **{"E": rng.uniform(1.5, 1.9), "alpha": alpha, "beta": beta},
        **{"A": terms[0] * 2e8**alpha, "B": terms[1] * 5e9**beta, "sigma": 0.004},
    }
    params = np.geomspace(3e7, 1.5e9, MODELS)
    sizes = pd.DataFrame({"params": params, "tokens": params * 10 ** rng.uniform(0.7, 2.0, MODELS)})
    largest = float((sizes["params"] * sizes["tokens"]).max())
    big = math.sqrt(largest * FARTHER / 20)
    run = {"params": big, "tokens": 20 * big}
    best, worst = loss_of(law, **run), float(loss_of(law, **sizes.to_dict("series")).max())
    gamma = rng.uniform(0.6, 1.4)
    goal = rng.uniform(0.15, 0.45)  # error of the planned run; the worst model is just better than guessing
    k = (0.97 * (1 - CHANCE) - goal) / (math.exp(-gamma * best) - math.exp(-gamma * worst))
    return law, {"eps": goal + k * math.exp(-gamma * best), "k": k, "gamma": gamma}, sizes, run


def loss_of(law: dict[str, float], **inputs: Any) -> Any:
    """Return the expected loss."""
    constants = {name: value for name, value in law.items() if name != "sigma"}
    return bs.load_law("chinchilla").evaluate(constants, **inputs)


def judged(seed: int, questions: int, direct: str, sampler: SamplerName) -> Iterator[dict[str, Any]]:
    """Forecast the score of one planned run in three ways; a row each, none where a fit did not converge."""
    law, link, sizes, run = drawn(seed)
    rng = np.random.default_rng([seed, 4])
    runs = bs.simulate("chinchilla", sizes, law, noise=LOSS_NOISE, seed=seed)

    def counted(loss: Any) -> Any:
        error = np.clip(link["eps"] - link["k"] * np.exp(-link["gamma"] * np.asarray(loss)), 0, 1 - CHANCE)
        return rng.binomial(questions, 1 - error) / questions

    scores = bs.score_runs(runs.table.assign(score=counted(runs.loss)), questions=questions)
    alone: dict[str, Any] = {"discrepancy": "none", "sampler": sampler, "seed": seed}
    loss_fit = bs.fit("chinchilla", runs, noise=LOSS_NOISE, **alone)
    score_fit = bs.fit("downstream", scores, noise=COUNTED, **alone)
    direct_fit = bs.fit(direct, scores, noise=COUNTED, **alone)
    if not (loss_fit.converged and score_fit.converged and direct_fit.converged):
        return
    chain = bs.chain(loss_fit, score_fit, questions=questions, chance=CHANCE, direct=direct_fit, seed=seed)
    ahead = chain.forecast(**run)
    middle = float(np.median(ahead.losses))
    at = {name: float(np.median(score_fit.theta()[name])) for name in ("eps", "k", "gamma")}
    error = min(max(at["eps"] - at["k"] * math.exp(-at["gamma"] * middle), 0.0), 1 - CHANCE)
    plugged = rng.binomial(questions, 1 - error, 4000) / questions
    measured = float(counted(loss_of(law, **run) * math.exp(law["sigma"] * rng.standard_normal())))
    shares = ahead.uncertainty().iloc[0]
    ways = {"chain": ahead.draws()[:, 0], "direct": ahead.draws(of="direct")[:, 0], "plug-in": plugged}
    for way, draws in ways.items():
        row: dict[str, Any] = {"table": seed, "way": way, "off": float(np.median(draws)) - measured}
        for share in SHARES:
            low, high = np.quantile(draws, [(1 - share) / 2, (1 + share) / 2])
            row[f"{share:.0%}"] = bool(low <= measured <= high)
        row["width"] = high - low
        half = rng.permutation(draws)
        apart = np.abs(half[::2] - half[1::2]).mean()
        row["crps"] = float(np.abs(draws - measured).mean() - apart / 2)
        yield row | {f"from {name}": shares[f"{name}_share"] for name in ("loss", "link", "questions")}


def main() -> None:
    """Judge simulated tables and print coverage, error and width of each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=60)
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--direct", default="chinchilla", help="law of the error rates")
    parser.add_argument("--sampler", choices=SAMPLERS, default="auto")
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    started = time.process_time()
    for seed in range(asked.tables):
        rows += judged(seed, asked.questions, asked.direct, asked.sampler)
    table = pd.DataFrame(rows)
    by = table.groupby("way", sort=False)
    found = by[[f"{share:.0%}" for share in SHARES]].mean()
    found["median error"] = by["off"].apply(lambda off: float(np.abs(off).median()))
    found["rms error"] = by["off"].apply(lambda off: float(np.sqrt((off**2).mean())))
    found["90 % width"], found["crps"] = by["width"].mean(), by["crps"].mean()
    print(f"{table['table'].nunique()} of {asked.tables} tables, {asked.questions} questions, "
          f"{time.process_time() - started:.0f} CPU s")  # fmt: skip
    print(found.round(4).to_string())
    shares = table[table["way"] == "chain"][["from loss", "from link", "from questions"]].mean()
    print("spread of the chain, share of the variance:", ", ".join(f"{k} {v:.2f}" for k, v in shares.items()))


if __name__ == "__main__":
    main()
