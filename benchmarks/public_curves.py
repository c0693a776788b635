"""Public tables of whole training curves, each with the curves that are fitted and those that are forecast.

`losscast_runs.csv.gz` and `losscast_curves.csv.gz` (LossCast, split of NCPL: sizes up to 430M parameters are fitted, or
12 layers of nanochat) and `multipowerlaw_curves.csv` (three sizes, nine schedules of the learning rate, the paper's
split). `curves.py` reads them from a folder; no row of them is part of this repository.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from suites.cells import located

import bayes_scaling as bs

RUNS, CURVES, SCHEDULES = "losscast_runs.csv.gz", "losscast_curves.csv.gz", "multipowerlaw_curves.csv"
SIZES = {"25M": 25e6, "100M": 100e6, "400M": 400e6}  # nominal
TRAINED_ON = ("cosine_24000", "constant_24000", "wsdcon_9")  # schedules that the paper fits
EVERY_FITTED, EVERY_AHEAD = 8, 4  # of all runs of StepLaw, badly tuned ones among them
OF_CURVES = ("kaplan_trajectory", "three_term", "chinchilla")
OF_RATES = ("annealing", "multi_power", "nesting_schedule")


@dataclasses.dataclass(frozen=True)
class Public:
    """A public table of curves.

    Attributes
    ----------
    files : what it is read from
    laws : by part, those that are fitted to it
    published : by whom, mean absolute errors of the loss on the rows that are forecast: last rows for LossCast
    """

    files: tuple[str, ...]
    laws: Mapping[str, tuple[str, ...]]
    published: Mapping[str, float] = dataclasses.field(default_factory=dict)


TABLES: Mapping[str, Public] = {
    "steplaw": Public(
        (RUNS, CURVES),
        {"tuned": (*OF_CURVES, "nesting_schedule"), "ends": OF_CURVES, "any": ("tuning",)},
        {"Chinchilla refit": 0.0440, "NCPL": 0.0199, "best boosted trees": 0.0169},
    ),
    "nanochat": Public((RUNS, CURVES), {"tuned": OF_CURVES, "ends": OF_CURVES}),
    **{
        f"multipower-{size}": Public((SCHEDULES,), {"schedules": OF_RATES}, {"Luo et al. 2025": error})
        for size, error in {"25M": 0.00376, "100M": 0.00435, "400M": 0.00484}.items()
    },
    "multipower": Public((SCHEDULES,), {"largest": ("chinchilla", "nesting_schedule")}),
}
"""By name. Parts: ``tuned``, the best curve at each size, length and batch (nanochat: and rate); ``ends``, of these
the last rows alone; ``any``, every 8th run fitted and every 4th of the larger ones forecast, however badly tuned;
``schedules``, those that the paper fits and those that it forecasts; ``largest``, the largest size forecast from the
two others at all schedules, with steps in place of tokens, which are not on record."""


def tasks(data: Path, asked: list[str]) -> list[tuple[str, str, str]]:
    """Return law, table and part of each fit that a folder has the files of.

    Parameters
    ----------
    asked : tables, parts, laws, or tables with a part as in ``steplaw-tuned``; all fits where nothing is asked
    """
    found = [
        (law, name, part)
        for name, table in TABLES.items()
        if all(located(data, file) for file in table.files)
        for part, laws in table.laws.items()
        for law in laws
    ]
    return [task for task in found if not asked or set(asked) & {*task, f"{task[1]}-{task[2]}"}]


def published(table: str) -> str:
    """Return the published errors of a table in words; nothing for one without."""
    found = TABLES[table].published if table in TABLES else {}
    return "; ".join(f"{who} {error:g}" for who, error in found.items())


def split(data: Path, table: str, part: str) -> tuple[bs.Runs, bs.Runs]:
    """Return the rows that are fitted and those that are forecast."""
    frames = [pd.read_csv(path) for file in TABLES[table].files if (path := located(data, file))]
    if len(frames) == 2:
        runs, curves = frames
        frame = losscast(runs[runs["source"] == table], curves, part)
    else:
        frame = schedules(frames[0], table, part)
    fitted = frame.pop("fitted").to_numpy(bool)
    return bs.Runs.from_frame(frame[fitted], source=table), bs.Runs.from_frame(frame[~fitted], source=table)


def losscast(runs: pd.DataFrame, curves: pd.DataFrame, part: str) -> pd.DataFrame:
    """Return the curves of the runs of one source that are used, as laws read them."""
    fitted = runs["split"] == "train"
    if part == "any":
        kept = pd.concat([runs[fitted][::EVERY_FITTED], runs[~fitted][::EVERY_AHEAD]])
    else:
        length = runs["tokens"].map(lambda tokens: float(f"{tokens:.1e}"))  # runs of a cell end at different last steps
        by = [runs["layers"], runs["width"], length, runs["batch_tokens"]]
        if runs["params"].isna().any():
            by.append(runs["learning_rate"])
        kept = runs.loc[runs.groupby(by, sort=False)["loss"].idxmin()]
    frame = kept.drop(columns=["loss", "steps"]).merge(curves, on="run")
    frame = frame[frame["step"] > 0]
    if part == "ends":
        frame = frame[frame["step"] == frame.groupby("run")["step"].transform("max")]
    return pd.DataFrame(
        {
            "run": frame["run"],
            "params": frame["params"].fillna(12 * frame["layers"] * frame["width"] ** 2),
            "tokens": frame["step"] * frame["batch_tokens"],
            "steps": frame["step"],
            "batch_tokens": frame["batch_tokens"],
            "peak_learning_rate": frame["learning_rate"],
            "learning_rate": rate_of(frame),
            "loss": frame["loss"],
            "fitted": frame["split"] == "train",
        }
    )


def rate_of(frame: pd.DataFrame) -> pd.Series[float]:
    """Return the rate at each step of runs of one peak rate and kind of schedule each."""
    warmup, last = frame["warmup_steps"], frame["final_lr_ratio"]
    end = frame.groupby("run")["step"].transform("max")
    done = ((frame["step"] - warmup) / (end - warmup)).clip(0, 1)
    fallen = np.where(frame["schedule"] == "cosine", (1 - np.cos(np.pi * done)) / 2, done)
    share = np.where(frame["step"] < warmup, frame["step"] / warmup.clip(lower=1), 1 - (1 - last) * fallen)
    return frame["learning_rate"] * share


def schedules(curves: pd.DataFrame, table: str, part: str) -> pd.DataFrame:
    """Return curves of the learning-rate schedules, of one size or of all."""
    _, _, size = table.partition("-")
    label = curves["model_size_label"]
    frame = pd.DataFrame(
        {
            "run": label + " " + curves["schedule"],
            "params": label.map(SIZES),
            "steps": curves["step"],
            "tokens": curves["step"],
            "learning_rate": curves["lr"],
            "loss": curves["loss"],
            "fitted": curves["schedule"].isin(TRAINED_ON) if part == "schedules" else label != "400M",
        }
    )
    # The batch is not on record and the same for all; a law of tokens reads steps in their place.
    return frame[label == size] if size else frame.drop(columns="steps")
