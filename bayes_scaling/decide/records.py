"""Preregistration: a forecast on record before the run, and what became of it.

A registered forecast is one JSON file: when it was made, of which runs, quantiles of the loss that each would reach,
the laws with their weights, a hash of the data, what the forecast leaves out, and a digest of all that. Once a run is
measured, its loss is scored against the file alone: no fit and no package version has to be found again. Scores gather
in a track record, which says over time whether the bands hold what they promise.

Between its quantiles a registered distribution is read as a normal score that is piecewise linear in log loss, so
that it has a density everywhere, and tails that end like those of a normal.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.special
import scipy.stats

from bayes_scaling.base.files import write_text
from bayes_scaling.data.units import FLOPS_PER_PARAM_TOKEN
from bayes_scaling.decide.plan import Plan
from bayes_scaling.decide.provenance import LEVELS, provenance
from bayes_scaling.errors import DataError, ForecastError
from bayes_scaling.evaluate.comparison import Comparison
from bayes_scaling.inference.result import Fit
from bayes_scaling.predict.forecast import Forecast

FORMAT = "bayes-scaling registered forecast, 1"
BANDS = (0.5, 0.8, 0.9)
FAR = 100.0  # times the largest fitted run, beyond which a forecast says so
SAME = 1e-6  # relative difference of inputs of one run


@dataclasses.dataclass(frozen=True)
class Registered:
    """A forecast on record.

    Attributes
    ----------
    content : what the file holds, without its digest
    """

    content: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 of the content, 16 hex digits."""
        plain = json.dumps(self.content, sort_keys=True, ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(plain.encode()).hexdigest()[:16]

    @property
    def runs(self) -> pd.DataFrame:
        """Inputs of the runs that are forecast, a row each."""
        return pd.DataFrame([run["inputs"] for run in self.content["runs"]])

    def quantiles(self, run: int) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities and log losses of the quantiles of a run."""
        pairs = self.content["runs"][run]["quantiles"]
        return np.array([float(p) for p in pairs]), np.log([float(loss) for loss in pairs.values()])

    def save(self, path: Path) -> Path:
        """Write the file; one that is there already is never changed."""
        if path.exists():
            raise DataError(f"{path} is there already, and what is on record stays: choose another name")
        return write_text(json.dumps({**self.content, "digest": self.digest}, indent=2, ensure_ascii=False), path)

    @classmethod
    def read(cls, path: Path) -> Registered:
        """Read a file, and refuse one that was changed since it was written."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read {path} as a registered forecast: {error}") from None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise DataError(f"{path} is no registered forecast; make one with 'bayes-scaling preregister'")
        digest = content.pop("digest", "")
        found = cls(content)
        if digest != found.digest:
            raise DataError(f"{path} was changed since it was registered: its digest is {found.digest}, not {digest}")
        return found


def preregister(
    source: Plan | Forecast | Mapping[str, Any],
    *,
    rests_on: Fit | Comparison | None = None,
    name: str = "",
    note: str = "",
    now: datetime.datetime | None = None,
) -> Registered:
    """Put a forecast on record.

    Parameters
    ----------
    source : a plan, its `to_dict` as read from JSON, or a forecast
    rests_on : of a forecast, the fit or comparison that it was made from
    name, note : what to call it, and anything that a reader should know
    now : when; by default the time of the call, in UTC

    Raises
    ------
    ForecastError
        When a forecast does not say what it rests on, or a file is no plan.
    """
    if isinstance(source, Forecast):
        if rests_on is None:
            raise ForecastError("say what the forecast was made from: rests_on=fit, or the comparison")
        losses = source.quantile(LEVELS)
        inputs = [{str(k): v for k, v in row.items()} for row in source.points.to_dict(orient="records")]
        runs = [_run(row, losses[:, i]) for i, row in enumerate(inputs)]
        basis = {**provenance(rests_on), "extrapolation": float(np.nanmax(source.extrapolation))}
        contains, unit, label = source.contains["new_run"], source.loss_unit, source.label
    else:
        plan = source.to_dict() if isinstance(source, Plan) else source
        if "loss_quantiles" not in plan:  # what the command line wrote holds the plan beside other answers
            plan = plan.get("plan", {})
        if not {"loss_quantiles", "rests_on", "plan"} <= set(plan):
            raise ForecastError("this is no plan: write one with 'bayes-scaling allocate ... --json > plan.json'")
        chosen = plan["plan"]
        inputs = [{k: chosen[k] for k in ("params", "tokens", "batch_tokens", "steps") if chosen.get(k) is not None}]
        runs = [_run(inputs[0], list(plan["loss_quantiles"].values()))]
        basis, unit, label = dict(plan["rests_on"]), str(plan["loss_unit"]), str(plan["beliefs"])
        if basis.get("largest_flops"):
            basis["extrapolation"] = (
                FLOPS_PER_PARAM_TOKEN * chosen["params"] * chosen["tokens"] / basis["largest_flops"]
            )
        contains = "one new run (parameters, the law's own error where it is fitted, run noise)"
    moment = (datetime.datetime.now(datetime.UTC) if now is None else now).isoformat(timespec="seconds")
    content = {
        "format": FORMAT,
        "registered": moment,
        "name": name,
        "note": note,
        "beliefs": label,
        "loss_unit": unit,
        "contains": contains,
        "runs": runs,
        "rests_on": basis,
        "caveats": _caveats(basis),
    }
    return Registered(json.loads(json.dumps(content)))


def score_registered(
    registered: Registered, losses: float | Sequence[float] | pd.DataFrame, now: datetime.datetime | None = None
) -> pd.DataFrame:
    """Compare a forecast on record with what was measured.

    Parameters
    ----------
    losses : measured loss of each of its runs, in their order; or a table of runs, where they are found by inputs
    now : when; by default the time of the call, in UTC

    Returns
    -------
    pandas.DataFrame
        One row per measured run: ``digest``, ``registered``, ``scored``, ``name``, ``beliefs``, its inputs, ``loss``,
        the forecast's ``median``, ``error`` (log of the loss over it), ``pit`` (probability of a lower loss),
        ``log_score`` (log density of log loss) and ``inside_50``, ``inside_80``, ``inside_90``.

    Raises
    ------
    DataError
        When losses are missing or impossible, or a table has none of the runs.
    """
    runs = registered.runs
    if isinstance(losses, pd.DataFrame):
        pairs = _looked_up(runs, losses)
    else:
        values = np.atleast_1d(np.asarray(losses, float))
        if len(values) != len(runs):
            raise DataError(f"the forecast is of {len(runs)} runs, and {len(values)} losses were given; give one each")
        pairs = list(enumerate(values.tolist()))
    moment = (datetime.datetime.now(datetime.UTC) if now is None else now).isoformat(timespec="seconds")
    rows = []
    for place, loss in pairs:
        if not (math.isfinite(loss) and loss > 0):
            raise DataError(f"the measured loss is {loss:g}, expected a positive number")
        levels, quantiles = registered.quantiles(place)
        pit, density = _read(levels, quantiles, math.log(loss))
        middle = float(np.exp(np.interp(0.5, levels, quantiles)))
        rows.append(
            {
                "digest": registered.digest,
                "registered": registered.content["registered"],
                "scored": moment,
                "name": registered.content["name"],
                "beliefs": registered.content["beliefs"],
                "run": place,
                **registered.content["runs"][place]["inputs"],
                "loss": loss,
                "median": middle,
                "error": math.log(loss / middle),
                "pit": pit,
                "log_score": density,
                **{_inside(band): abs(pit - 0.5) <= band / 2 for band in BANDS},
            }
        )
    return pd.DataFrame(rows)


@dataclasses.dataclass(frozen=True, eq=False)
class TrackRecord:
    """Forecasts that were scored.

    Attributes
    ----------
    scores : as of `score_registered`, one row per measured run
    """

    scores: pd.DataFrame

    @classmethod
    def read(cls, path: Path) -> TrackRecord:
        """Read a record; one that is not there yet is empty."""
        if not path.exists():
            return cls(pd.DataFrame())
        try:
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read the track record {path}: {error}") from None
        return cls(pd.DataFrame(rows))

    def add(self, scores: pd.DataFrame) -> TrackRecord:
        """Return the record with more scores; a run of a forecast counts once."""
        if len(self.scores):
            known = set(zip(self.scores["digest"], self.scores["run"], strict=True))
            again = [row for row in zip(scores["digest"], scores["run"], strict=True) if row in known]
            if again:
                raise DataError(
                    f"forecast {again[0][0]} was scored before: its run {again[0][1]} is on the record already"
                )
        return TrackRecord(pd.concat([self.scores, scores], ignore_index=True))

    def save(self, path: Path) -> Path:
        """Write the record, one line per run."""
        rows = self.scores.to_dict(orient="records")
        return write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), path)

    def summary(self) -> pd.DataFrame:
        """Say how often bands held, with the 90 % interval of chance that a right forecast leaves.

        Returns
        -------
        pandas.DataFrame
            One row per band: ``band``, ``runs``, ``inside``, ``share``, ``low`` and ``high`` (runs inside, between
            which a right forecast stays nine times in ten)
        """
        count = len(self.scores)
        rows = []
        for band in BANDS:
            inside = int(self.scores[_inside(band)].sum()) if count else 0
            low, high = (float(scipy.stats.binom.ppf(p, count, band)) if count else 0.0 for p in (0.05, 0.95))
            share = inside / count if count else math.nan
            row = {"band": band, "runs": count, "inside": inside, "share": share, "low": int(low), "high": int(high)}
            rows.append(row)
        return pd.DataFrame(rows)

    @property
    def verdict(self) -> str:
        """The record in one sentence."""
        if not len(self.scores):
            return "Nothing was scored yet."
        row = self.summary().iloc[-1]
        held = "as many as" if row["low"] <= row["inside"] <= row["high"] else "not as many as"
        return (
            f"{row['inside']:.0f} of {row['runs']:.0f} measured runs lay inside their 90 % band, {held} a right "
            f"forecast would have ({row['low']:.0f} to {row['high']:.0f}); mean error "
            f"{self.scores['error'].mean():+.2%}, mean log score {self.scores['log_score'].mean():.2f}."
        )


def _inside(band: float) -> str:
    return f"inside_{100 * band:.0f}"


def _run(inputs: Mapping[str, Any], losses: Any) -> dict[str, Any]:
    quantiles = {f"{level:g}": float(loss) for level, loss in zip(LEVELS, losses, strict=True)}
    return {"inputs": {k: v if isinstance(v, str) else float(v) for k, v in inputs.items()}, "quantiles": quantiles}


def _caveats(basis: Mapping[str, Any]) -> list[str]:
    """Return what a reader of a forecast should know of it."""
    out = []
    if basis.get("extrapolation", 1.0) > FAR:
        out.append(f"the run is {basis['extrapolation']:.3g} times as large as the largest fitted one")
    for law in basis["laws"]:
        out += [f"{law['law']} did not converge: {problem}" for problem in law["problems"]]
        if law["discrepancy"] == "none":
            out.append(f"{law['law']} is taken to be exactly right beyond the data")
    return out


def _read(levels: np.ndarray, quantiles: np.ndarray, log_loss: float) -> tuple[float, float]:
    """Return the probability below a log loss, and the log density there."""
    score = scipy.special.ndtri(levels)
    quantiles = np.maximum.accumulate(quantiles + 1e-12 * np.arange(len(quantiles)))
    place = int(np.clip(np.searchsorted(quantiles, log_loss), 1, len(levels) - 1))
    slope = (score[place] - score[place - 1]) / (quantiles[place] - quantiles[place - 1])
    z = score[place - 1] + slope * (log_loss - quantiles[place - 1])
    return float(scipy.special.ndtr(z)), float(-(z**2) / 2 - math.log(2 * math.pi) / 2 + math.log(slope))


def _looked_up(runs: pd.DataFrame, table: pd.DataFrame) -> list[tuple[int, float]]:
    """Find registered runs in a table, by their inputs."""
    names = [name for name in runs if name in table]
    if "loss" not in table or not names:
        raise DataError(f"the table of measured runs needs loss and {', '.join(map(str, runs.columns))}")
    pairs, losses = [], pd.to_numeric(table["loss"], errors="coerce").to_numpy(float)
    for place, row in enumerate(runs[names].to_dict(orient="records")):
        same = np.ones(len(table), bool)
        for name, value in row.items():
            column = table[str(name)]
            same &= (
                (column.astype(str) == value).to_numpy()
                if isinstance(value, str)
                else np.abs(pd.to_numeric(column, errors="coerce").to_numpy(float) / value - 1) < SAME
            )
        pairs += [(place, float(loss)) for loss in losses[same][:1]]
    if not pairs:
        raise DataError(f"the table has none of the {len(runs)} registered runs, by {', '.join(map(str, names))}")
    return pairs
