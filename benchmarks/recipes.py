"""Which recipe is better at a scale that was not trained? Tables with several recipes, their largest runs held out.

    uv run python benchmarks/recipes.py --data FOLDER     # public tables, the bundled architectures, simulated ones
    uv run python benchmarks/recipes.py --data FOLDER --laws chinchilla  # by one law, or some, in place of the default
    uv run python benchmarks/recipes.py --data FOLDER --ranking  # the usual ranking alone, in seconds
    uv run python benchmarks/recipes.py --only simulated  # speedups and crossings whose truth is known

A table is cut: runs above a size are held out, and every pair of recipes is judged at each held-out size that both were
run at. Right: the recipe with the lower held-out loss has odds above one half. Beside it the usual ranking, by the loss
at the largest common scale below the cut. Calibration: mean of (odds - outcome)^2 (Brier), where 0.25 is what a coin
gets, and the share of held-out log ratios of losses inside their 90 % intervals. On simulated tables multipliers and
crossings are known, so that their 90 % intervals can be checked. Every table is kept in ``--out`` and found again.
Log score is the mean log density of the log ratio of two held-out losses.

How far recipes leave the law (`LEAD` in bayes_scaling/evaluate/arms.py) was chosen on one table, the routing runs by
validation loss with 1, 8 and 64 experts. The over-training losses on C4 had a say in the form of the model: intervals
of multipliers were looked at there, no held-out score.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import json
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp
from scipy.stats import norm

import bayes_scaling as bs
from bayes_scaling.evaluate.arms import Arms, arms_laws, fitted_arms, one_scale
from bayes_scaling.predict.along import Along
from bayes_scaling.predict.arms import ArmCurves

READINGS = ("shared", "own")
OVERTRAINING = ("loss_c4_val", "loss_paloma_dolma_100_programing_languages", "loss_paloma_ptb", "loss_de_en")
FINISHED = 0.98  # of its steps, for a run that counts
EVALUATIONS = ("loss_validation", "loss_lambada")


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with recipes, and where it is cut.

    Attributes
    ----------
    group, name : of the table
    rows : with ``recipe``
    cut : column and largest value that is fitted
    truth : constants of each recipe, where the table is simulated
    """

    group: str
    name: str
    rows: pd.DataFrame
    cut: tuple[str, float]
    truth: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)


def public(data: Path | None) -> Iterator[Table]:
    """Read the public tables with recipes."""
    if data is None:
        return
    gadre = pd.read_csv(data / "gadre_overtraining.csv").rename(columns={"train_dataset": "recipe"})
    for column in OVERTRAINING:
        rows = gadre[["recipe", "params", "tokens"]].assign(loss=gadre[column])
        yield Table("over-training", column, rows, ("params", 2e8))
    clark = pd.read_csv(data / "clark_routing.csv").query("step == 240000 and k == 1 and routing_frequency == 0.5")
    for column in EVALUATIONS:
        for experts in ((1, 8, 64), (1, 2, 16, 128)):
            rows = clark[clark["num_experts"].isin(experts)].rename(columns={"params_dense": "params", column: "loss"})
            rows = rows.assign(recipe=rows["family"] + " " + rows["num_experts"].astype(str))
            rows = best_of(rows[["recipe", "params", "loss"]].dropna(), ["recipe", "params"])
            name = f"routing {column}, {listed(experts)} experts"
            yield Table("routing", name, rows, ("params", 1.5e8))
    casts = pd.read_csv(data / "scoreboard" / "losscast_runs.csv.gz", low_memory=False).query("source == 'marin'")
    casts = casts[casts["last_logged_step"] > FINISHED * casts["steps"]].rename(columns={"optimizer": "recipe"})
    # A batch decides the last few steps: tokens of one size differ in the fourth digit.
    casts["tokens"] = casts["tokens"].map(lambda tokens: float(f"{tokens:.1e}"))
    casts = best_of(casts[["recipe", "params", "tokens", "loss"]].dropna(), ["recipe", "params", "tokens"])
    yield Table("optimisers", "marin", casts, ("params", 3.5e8))


def bundled() -> Iterator[Table]:
    """Read the bundled runs of two architectures: LSTMs and transformers on the same text."""
    lstm, transformer = (bs.datasets.load(name).table for name in ("stdlib_lstm", "stdlib_sweep"))
    rows = pd.concat([lstm.assign(recipe="lstm"), transformer.assign(recipe="transformer")])
    rows = best_of(rows[["recipe", "params", "tokens", "loss"]], ["recipe", "params", "tokens"])
    yield Table("architectures", "LSTM against transformer", rows, ("params", 6e4))


def listed(values: tuple[int, ...]) -> str:
    """Write numbers in a row."""
    return " ".join(map(str, values))


def best_of(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Keep the best run of each recipe and size: seeds and tuning are not what is compared."""
    return rows.sort_values("loss").drop_duplicates(by).sort_values(by).reset_index(drop=True)


def simulated(count: int) -> Iterator[Table]:
    """Draw tables of two recipes whose constants are known."""
    for seed in range(count):
        rng = np.random.default_rng([seed, 77])
        floor, alpha = rng.uniform(1.5, 1.9), rng.uniform(0.25, 0.4)
        truth, parts = {}, []
        params = np.geomspace(2e7, 2e9, 5)
        sizes = [(n, n * r) for n in params for r in (10.0, 40.0)]
        both = pd.DataFrame(sizes, columns=["params", "tokens"])
        for name, tilt in (("a", 0.0), ("b", 0.03 * rng.standard_normal())):
            level = np.exp(0.06 * rng.standard_normal()) if name == "b" else 1.0
            exponents = {"alpha": alpha * np.exp(tilt), "beta": alpha * np.exp(tilt)}
            at = {"params": 2e8, "tokens": 5e9}
            one = {
                "E": floor,
                "A": 0.6 * level * at["params"] ** exponents["alpha"],
                "B": 0.6 * level * at["tokens"] ** exponents["beta"],
                **exponents,
            }
            loss = bs.load_law("chinchilla").evaluate(one, params=both["params"], tokens=both["tokens"])
            noise = 0.003 * rng.standard_normal(len(both))
            truth[name] = one
            parts.append(both.assign(recipe=name, loss=loss * np.exp(noise)))
        yield Table("simulated", f"{seed}", pd.concat(parts), ("params", 1e9), truth)


# --- one table --------------------------------------------------------------------------------------------------


def divided(table: Table) -> tuple[bs.Runs, pd.DataFrame]:
    """Return the runs below the cut, and those above it, of recipes that have both."""
    column, most = table.cut
    rows = table.rows.astype({"params": float})
    below = rows[rows[column] <= most]
    counts = below["recipe"].value_counts()
    kept = [name for name in counts.index[counts > 1] if (rows.query("recipe == @name")[column] > most).any()]
    below, above = below[below["recipe"].isin(kept)], rows[(rows[column] > most) & rows["recipe"].isin(kept)]
    return bs.Runs.from_frame(below.drop(columns="flops", errors="ignore").reset_index(drop=True)), above


def ranked(table: Table) -> dict[str, Any]:
    """Say how many pairs the ranking at one scale gets right; nothing is fitted."""
    runs, above = divided(table)
    law = arms_laws(None, runs)[0]
    usual = one_scale(runs, "recipe", law, Along.through(law, runs, {}, None).sizes(runs))
    right = pairs = 0
    for pair in usual.to_dict(orient="records"):
        one, other = (above[above["recipe"] == pair[name]] for name in ("recipe", "over"))
        both = one.merge(other, on=list(law.inputs), suffixes=("", "_over"))
        right += int(((both["loss"] < both["loss_over"]) == (pair["log_ratio"] < 0)).sum())
        pairs += len(both)
    return {"tables": table.group, "pairs": pairs, "right": right}


def judged(table: Table, names: list[str] | None, draws: int) -> list[dict[str, Any]]:
    """Fit below the cut, and judge every pair at every held-out size; one row each."""
    runs, above = divided(table)
    laws, found = arms_laws(names, runs), []
    law = laws[0]
    for reading in READINGS:
        started = time.perf_counter()
        arms = by_those_that_converge(laws, runs, reading, draws)
        converged = sum(fit.converged for fit in arms.fits.values()) / len(laws)
        along = Along.through(law, runs, {}, None)
        usual = one_scale(runs, "recipe", law, along.sizes(runs))
        common = {
            "group": table.group, "table": table.name, "reading": reading, "converged": converged,
            "pairs": arms.pairs, "seconds": time.perf_counter() - started,
        }  # fmt: skip
        found += [common | one for one in _held_out(arms, above, usual, law.inputs)]
        if table.truth:
            found += [common | one for one in _known(table, arms, along, runs)]
    return found


def by_those_that_converge(laws: tuple[bs.laws.Law, ...], runs: bs.Runs, reading: str, draws: int) -> Arms:
    """Fit laws; where none converges, which users are told, they are judged all the same."""
    for unconverged in (False, True):
        with contextlib.suppress(bs.errors.ConvergenceError), warnings.catch_warnings():
            warnings.simplefilter("ignore", bs.errors.BayesScalingWarning)
            return fitted_arms(
                laws, runs, "recipe", reading, sampler=bs.Sampler(draws=draws), progress=False, unconverged=unconverged
            )
    raise AssertionError("unconverged fits are accepted")


def _held_out(
    arms: Arms, above: pd.DataFrame, usual: pd.DataFrame, inputs: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    for pair in usual.to_dict(orient="records"):
        one, other = (above[above["recipe"] == pair[name]] for name in ("recipe", "over"))
        both = one.merge(other, on=list(inputs), suffixes=("", "_over"))
        for run in both.to_dict(orient="records"):
            at = {name: [run[name]] for name in inputs}
            ahead = [arms.arms[pair[name]] for name in ("recipe", "over")]
            log = [arm.log_mean(arm.points(**at))[:, 0] for arm in ahead]
            scale = ahead[0].new_run(ahead[0].points(**at)).scale[:, 0]
            apart = scale * np.sqrt(2)
            noise = np.random.default_rng(0).standard_normal(len(scale)) * apart
            ratio, drawn = log[0] - log[1], log[0] - log[1] + noise
            true = float(np.log(run["loss"] / run["loss_over"]))
            low, high = np.quantile(drawn, [0.05, 0.95])
            yield {
                "kind": "pair", "pair": f"{pair['recipe']} | {pair['over']}", "at": [run[name] for name in inputs],
                "odds": float((ratio < 0).mean()), "odds_of_runs": float((drawn < 0).mean()), "better": true < 0,
                "one_scale": bool(pair["log_ratio"] < 0), "inside": bool(low <= true <= high),
                "log_ratio": true, "median": float(np.median(ratio)), "width": float(high - low),
                "log_score": float(logsumexp(norm.logpdf(true, ratio, apart)) - np.log(len(ratio))),
            }  # fmt: skip


def _known(table: Table, arms: Arms, along: Along, runs: bs.Runs) -> Iterator[dict[str, Any]]:
    """Check multipliers and crossings against the constants that a table was drawn from."""
    sizes = along.sizes(runs)
    curves = ArmCurves.of(arms.arms, along, float(sizes.min()), 1e22)
    grid = np.geomspace(curves.sizes[0], curves.sizes[-1], 200_001)
    law = bs.load_law("chinchilla")
    true = {name: np.log(law.evaluate(one, **along.inputs(grid))) for name, one in table.truth.items()}
    for at in (1e21, 1e22):
        place = int(np.abs(np.log(grid / at)).argmin())
        needed = np.interp(-true["b"][place], -true["a"], np.log(grid), left=-np.inf, right=np.inf)
        multiplier = float(np.exp(needed) / at)
        found = curves.speedup("b", "a", at=at)
        low, high = found.interval()
        yield {
            "kind": "speedup", "at": at, "truth": multiplier, "median": found.median, "low": low, "high": high,
            "inside": low <= multiplier <= high, "odds": found.ahead, "better": multiplier > 1,
        }  # fmt: skip
    inside = (grid > sizes.min()) & (grid < 1e22)
    apart = (true["b"] - true["a"])[inside]
    turns = np.flatnonzero(np.sign(apart[1:]) != np.sign(apart[:-1]))
    found = curves.crossing("b", "a", float(sizes.min()), 1e22)
    row: dict[str, Any] = {"kind": "crossing", "odds": found.probability, "better": bool(len(turns))}
    if len(turns) and found.probability > 0:
        low, high = found.interval()
        where = float(grid[inside][turns[-1]])
        row |= {"truth": where, "low": low, "high": high, "inside": low <= where <= high}
    yield row


# --- all tables -------------------------------------------------------------------------------------------------


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what was found for each group of tables and reading."""
    out = []
    for (group, reading, kind), part in rows.groupby(["group", "reading", "kind"], sort=False):
        outcome = part["better"].astype(float)
        row: dict[str, Any] = {"tables": group, "irreducible": reading, "of": kind, "n": len(part)}
        row["right"] = float(((part["odds"] > 0.5) == part["better"].astype(bool)).mean())
        if kind == "pair":
            row["one scale right"] = float((part["one_scale"].astype(bool) == part["better"].astype(bool)).mean())
        row["brier"] = float(((part.get("odds_of_runs", part["odds"]).fillna(part["odds"]) - outcome) ** 2).mean())
        if "inside" in part and part["inside"].notna().any():
            row["inside 90 %"] = float(part["inside"].dropna().astype(bool).mean())
        if kind == "pair":
            row["log score"] = float(part["log_score"].mean())
        row["converged"] = float(part.groupby("table")["converged"].first().mean())
        out.append(row)
    return pd.DataFrame(out)


def main() -> None:
    """Judge all tables, or those named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, help="folder with the public tables")
    parser.add_argument("--out", type=Path, default=Path("recipes_out"), help="folder that keeps what was found")
    parser.add_argument("--only", default="", help="groups of tables, comma-separated")
    parser.add_argument("--tables", type=int, default=20, help="simulated tables")
    parser.add_argument("--ranking", action="store_true", help="only the ranking at one scale, without any fit")
    parser.add_argument("--laws", help="by which recipes are compared, with commas; by default those for the columns")
    parser.add_argument("--draws", type=int, default=500, help="kept draws per chain")
    asked = parser.parse_args()
    measured = [*public(asked.data), *bundled()]
    if asked.ranking:
        by = pd.DataFrame([ranked(table) for table in measured]).groupby("tables", sort=False).sum()
        print(by.assign(share=by["right"] / by["pairs"]).to_string(float_format=lambda x: f"{x:.3f}"))
        return
    asked.out.mkdir(parents=True, exist_ok=True)
    groups = set(filter(None, asked.only.split(",")))
    found: list[dict[str, Any]] = []
    for table in [*measured, *simulated(asked.tables)]:
        if groups and table.group not in groups:
            continue
        text = f"{asked.laws}{table.cut}{asked.draws}{table.rows.to_csv(index=False)}"
        key = hashlib.sha256(text.encode()).hexdigest()[:12]
        file = asked.out / f"{table.group}-{key}.json"
        if not file.is_file():
            made = judged(table, asked.laws.split(",") if asked.laws else None, asked.draws)
            part = file.with_suffix(".part")
            part.write_text(json.dumps(made, default=float), encoding="utf-8")
            part.replace(file)
        found += json.loads(file.read_text(encoding="utf-8"))
        print(f"{table.group}: {table.name}", flush=True)
    if found:
        print(summary(pd.DataFrame(found)).to_string(index=False, float_format=lambda x: f"{x:.3f}"))


if __name__ == "__main__":
    main()
