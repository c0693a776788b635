"""How much do held-out runs say about which law to believe? The number of witnesses that weights of laws rest on.

    uv run python benchmarks/weights.py --data FOLDER [--out FOLDER]
    uv run python benchmarks/weights.py --data FOLDER --below-cuts

Every public table of parameters and tokens is cut at about a third, a tenth and a thirtieth of its largest run. Below
each cut every law is fitted, with its discrepancy and without one, weighed by how it forecast the largest of the
runs that it was given, and mixed; the mixture is scored on the runs above. Weights are those of
`bayes_scaling.evaluate.weights.law_weights`, for several numbers of witnesses. One line chooses that number for each
table from the other tables.

Beside it: every member alone, equal weights, stacking row by row, and odds of laws learned from the other tables on top
of what held-out runs say. Fits are kept in ``--out`` and found there again.

``--below-cuts``: how far scores of the normal approximation, which stands in for the sampler below the cuts inside the
runs that are given, lie off those of NUTS: at the first split of each table, two seeds each.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.optimize
import scipy.special
from extrapolation import tables
from pilot_design import kept
from suites.cells import located

import bayes_scaling as bs
from bayes_scaling.base.names import NoiseName, SamplerName
from bayes_scaling.evaluate.candidates import usual_cuts
from bayes_scaling.evaluate.defaults import default_laws
from bayes_scaling.evaluate.fitting import members
from bayes_scaling.evaluate.refits import BelowCut, tasks_of
from bayes_scaling.evaluate.scores import COVERAGES, coverage, score
from bayes_scaling.evaluate.weights import WITNESSES as USUAL
from bayes_scaling.evaluate.weights import by_candidate, law_weights, stacking_weights

RATIOS = (3.0, 10.0, 30.0)  # the largest run over where a table is cut
FEWEST_BELOW, FEWEST_ABOVE = 15, 2
MOST_OFF = 1.0  # nats per run, as far as a member falls behind at most
PENALTY = 0.3  # nats per table for a squared log of odds, which holds learned odds of laws near one
WITNESSES = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0)


def everything(data: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    """Read every table of params, tokens and loss: name, rows."""
    found: dict[str, pd.DataFrame] = {}
    for name, rows, _, _ in tables(data):
        found.setdefault(name.split(" <=")[0], rows)
    if path := located(data, "openeurollm_best_per_cell.csv"):
        found["OpenEuroLLM"] = pd.read_csv(path)
    if path := located(data, "lr_bsz_train.csv"):
        found["learning rates"] = _best(_whole(path), "non_embedding_param_size", "data_size", "lm_loss")
    if path := located(data, "distillation_train.csv"):
        found["distillation"] = _best(_whole(path), "NS", "DS", "LS")
    if path := located(data, "losscast_runs.csv.gz"):
        runs = pd.read_csv(path)
        found["LossCast steplaw"] = _best(runs[runs["source"] == "steplaw"], "params", "tokens", "loss")
    for name, rows in found.items():
        yield name, rows[["params", "tokens", "loss"]].drop_duplicates().reset_index(drop=True)


def _whole(train: Path) -> pd.DataFrame:
    return pd.concat([pd.read_csv(train), pd.read_csv(train.with_name(train.name.replace("_train", "_test")))])


def _best(rows: pd.DataFrame, params: str, tokens: str, loss: str) -> pd.DataFrame:
    """Keep the best run of every pair of params and tokens."""
    named = rows.rename(columns={params: "params", tokens: "tokens", loss: "loss"})
    return named.loc[named.groupby(["params", "tokens"])["loss"].idxmin()]


def splits(rows: pd.DataFrame) -> Iterator[tuple[float, np.ndarray]]:
    """Yield each ratio with enough runs on both sides, and which runs are below."""
    flops = 6.0 * rows["params"].astype(float) * rows["tokens"].astype(float)
    seen = set()
    for ratio in RATIOS:
        below = (flops <= flops.max() / ratio).to_numpy()
        if below.sum() >= FEWEST_BELOW and (~below).sum() >= FEWEST_ABOVE and below.sum() not in seen:
            seen.add(int(below.sum()))
            yield ratio, below


def measure(rows: pd.DataFrame, below: np.ndarray, noise: NoiseName, refits: Path) -> dict[str, Any]:
    """Fit, weigh and forecast: held-out scores inside the runs below, and what each member says of those above."""
    runs = bs.Runs.from_frame(rows[below].reset_index(drop=True))
    candidates = members(default_laws(runs), noise, "brownian", "auto", runs)
    compared = bs.compare(candidates, runs, alongside=(), loo=False, folder=refits, progress=False)
    above, loss = rows.loc[~below, ["params", "tokens"]].reset_index(drop=True), rows.loc[~below, "loss"].to_numpy()
    said = {}
    for name, fit in compared.fits.items():
        scored = score(bs.forecast(fit, above, unconverged=True).predictive, loss)
        scored["log_score"] += np.log(loss)  # of the log loss
        said[name] = scored[["log_score", "pit", "error"]].to_dict(orient="list")
    return {
        "scores": compared.scores[["candidate", "cut", "row", "run", "log_score"]].to_dict(orient="list"),
        "laws": {one.label: one.law.label for one in compared.candidates},
        "cuts": [[cut.column, cut.at] for cut in compared.cuts],
        "said": said,
    }


def mixed(case: Mapping[str, Any], weights: Mapping[str, float]) -> dict[str, float]:
    """Score a mixture on the runs above; its median error is taken as the mean of the members'."""
    names = [name for name, weight in weights.items() if weight > 0]
    weight = np.array([weights[name] for name in names])[:, None]
    by = {of: np.array([case["said"][name][of] for name in names]) for of in ("log_score", "pit", "error")}
    log_score = scipy.special.logsumexp(by["log_score"] + np.log(weight), axis=0)
    pit, error = (weight * by["pit"]).sum(0), (weight * by["error"]).sum(0)
    inside = {f"inside_{p:.0%}": coverage(pit, p) for p in COVERAGES}
    return {"log_score": float(log_score.mean()), **inside, "rms": float(np.sqrt(np.mean(error**2)))}


def with_witnesses(case: Mapping[str, Any], count: float) -> dict[str, float]:
    """Return weights for a number of witnesses."""
    return law_weights(pd.DataFrame(case["scores"]), case["laws"], [bs.Cut(*cut) for cut in case["cuts"]], count)


def stacked(case: Mapping[str, Any]) -> dict[str, float]:
    """Return stacking weights over all held-out rows."""
    wide = by_candidate(pd.DataFrame(case["scores"]), list(case["said"]))
    return stacking_weights({name: wide[name].to_numpy() for name in wide})


def _alone(name: str, table: str, case: Mapping[str, Any]) -> dict[str, float]:
    return {name: 1.0}


def _witnesses(best: Mapping[str, float], count: float, table: str, case: Mapping[str, Any]) -> dict[str, float]:
    return with_witnesses(case, best.get(table, count))


def with_odds(case: Mapping[str, Any], odds: Mapping[str, float]) -> dict[str, float]:
    """Return the usual weights, times odds of each law."""
    weights = {name: odds[case["laws"][name]] * weight for name, weight in with_witnesses(case, USUAL).items()}
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def learned_odds(cases: Mapping[tuple[str, float], Any]) -> dict[str, float]:
    """Return the odds of laws under which mixtures forecast these tables best, less the penalty."""
    laws = list(dict.fromkeys(next(iter(cases.values()))["laws"].values()))

    def loss(log_odds: np.ndarray) -> float:
        odds = dict(zip(laws, np.exp(log_odds - log_odds.mean()), strict=True))
        scores = summary(cases, lambda _, case: with_odds(case, odds))["log_score"]
        return PENALTY * float(np.sum((log_odds - log_odds.mean()) ** 2)) - float(scores.sum())

    found = scipy.optimize.minimize(loss, np.zeros(len(laws)), options={"gtol": 1e-3}).x
    return dict(zip(laws, np.exp(found - found.mean()).tolist(), strict=True))


def summary(cases: Mapping[tuple[str, float], Any], weigh: Callable[[str, Any], Mapping[str, float]]) -> pd.DataFrame:
    """Average scores over the splits of each table: one row per table."""
    rows = [{"table": table, **mixed(case, weigh(table, case))} for (table, _), case in cases.items()]
    return pd.DataFrame(rows).groupby("table", sort=False).mean()


def report(cases: Mapping[tuple[str, float], Any]) -> pd.DataFrame:
    """Return one row per way to weigh laws: means over tables, and the worst table's log score."""
    lines: dict[str, pd.DataFrame] = {}
    names = list(next(iter(cases.values()))["said"])
    for name in names:
        lines[name] = summary(cases, functools.partial(_alone, name))
    lines["equal weights"] = summary(cases, lambda _, case: dict.fromkeys(case["said"], 1 / len(case["said"])))
    lines["stacked row by row"] = summary(cases, lambda _, case: stacked(case))
    scans = {count: summary(cases, functools.partial(_witnesses, {}, count)) for count in WITNESSES}
    lines |= {f"{count:g} witnesses": scan for count, scan in scans.items()}
    log_scores = pd.DataFrame({count: scores["log_score"] for count, scores in scans.items()})
    best = {table: float(log_scores.drop(index=table).mean().idxmax()) for table in log_scores.index}
    lines["chosen on the other tables"] = summary(cases, functools.partial(_witnesses, best, WITNESSES[0]))
    odds = {
        table: learned_odds({at: case for at, case in cases.items() if at[0] != table}) for table in log_scores.index
    }
    lines["odds of laws from the other tables"] = summary(cases, lambda table, case: with_odds(case, odds[table]))
    out = pd.DataFrame({label: scores.mean() for label, scores in lines.items()}).T
    out["worst"] = {label: scores["log_score"].min() for label, scores in lines.items()}
    return out


def off_nuts(rows: pd.DataFrame) -> Iterator[tuple[float, bool]]:
    """Yield by member, cut and seed how far the approximation's log score is off NUTS, and whether its k-hat is bad."""
    runs = bs.Runs.from_frame(rows.reset_index(drop=True))
    candidates = members(default_laws(runs), "auto", "brownian", "auto", runs)
    cuts = usual_cuts(candidates[0].law, runs)

    def measured(way: SamplerName, seed: int) -> Iterator[tuple[float, str]]:
        alike = [dataclasses.replace(one, held_out_sampler=way) for one in candidates]
        for task in tasks_of(alike, cuts, runs, None, seed):
            if isinstance(task, BelowCut):
                made = task.measure()
                yield float(np.mean(made["scores"]["log_score"])), made["how"]["problems"]

    nuts = [right for right, _ in measured("auto", 0)]
    for seed in (0, 1):
        for right, (quick, problems) in zip(nuts, measured("laplace", seed), strict=True):
            yield float(np.clip(quick - right, -MOST_OFF, MOST_OFF)), "k-hat" in problems


def report_off_nuts(data: Path) -> None:
    """Print how far the normal approximation below cuts lies off NUTS."""
    found = []
    for table, rows in everything(data):
        for ratio, below in itertools.islice(splits(rows), 1):
            found += list(off_nuts(rows[below]))
            print(f"{table}, {below.sum()} runs below 1/{ratio:g}", flush=True)
    off, bad = (np.array(values) for values in zip(*found, strict=True))
    print(
        f"{len(found)} scores: {np.sqrt((off**2).mean()):.3f} off NUTS (root mean square, differences held to "
        f"{MOST_OFF:g}), median {np.median(np.abs(off)):.3f}, mean {off.mean():+.3f}; "
        f"k-hat above .7 in {bad.mean():.0%}"
    )


def main() -> None:
    """Measure every split and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of public tables")
    parser.add_argument("--out", type=Path, default=Path("weights"), help="where fits and scores are kept")
    noise = "scatter of members: auto, which may grow towards small runs, or student_t, the same for all runs"
    parser.add_argument("--noise", choices=("auto", "student_t"), default="auto", help=noise)
    parser.add_argument("--below-cuts", action="store_true", help="how good are the scores below cuts")
    arguments = parser.parse_args()
    if arguments.below_cuts:
        report_off_nuts(arguments.data)
        return
    cases = {}
    for table, rows in everything(arguments.data):
        for ratio, below in splits(rows):

            def work(rows: pd.DataFrame = rows, below: np.ndarray = below) -> dict[str, Any]:
                return measure(rows, below, arguments.noise, arguments.out)

            cases[table, ratio] = kept(arguments.out, f"{table} {ratio} {arguments.noise}", work)
            print(f"{table}, {below.sum()} runs below 1/{ratio:g}, {(~below).sum()} above", flush=True)
    print(report(cases).round(3).to_string())


if __name__ == "__main__":
    main()
