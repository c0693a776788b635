"""Preregistration: a forecast on record before the run, and how well it did.

A registered forecast is one JSON file: when it was made, for which runs, quantiles of the loss of each, the laws with
their weights, a hash of the data, what the forecast leaves out, and a digest of all that. Once a run is measured, its
loss is scored against the file alone, without the fit or the package version behind it. Scores add up to a track
record, which shows over time whether bands cover as often as they claim.

Between its quantiles, a registered distribution is a normal score that is piecewise linear in log loss. So it has a
density everywhere, and normal tails.
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

from bayes_scaling.base.arguments import FilePath, validated
from bayes_scaling.base.files import append_lines, write_new
from bayes_scaling.base.messages import checked_probability, counted, shown
from bayes_scaling.data.units import training_flops
from bayes_scaling.decide.plan import Plan
from bayes_scaling.decide.provenance import LEVELS, provenance
from bayes_scaling.decide.registration import BANDS, problem_of, problem_of_plan, problem_of_score
from bayes_scaling.errors import DataError, ForecastError
from bayes_scaling.evaluate.comparison import Comparison
from bayes_scaling.inference.result import Fit
from bayes_scaling.predict.forecast import Forecast

FORMAT = "bayes-scaling registered forecast, 1"
FAR = 100.0  # times the largest fitted run, beyond which a forecast has a caveat
WRITE_A_PLAN = "write one with 'bayes-scaling allocate ... --json > plan.json'"
NUMBERS = ("loss", "median", "error", "pit", "log_score")  # of a score
CHECK = "sha256"  # in a line of a record: of what else it says
SAME = 1e-6  # relative difference up to which inputs are those of one run


@dataclasses.dataclass(frozen=True)
class Registered:
    """A forecast on record.

    Attributes
    ----------
    content : what the file holds, without its digest
    """

    content: Mapping[str, Any]

    def __post_init__(self) -> None:
        problem = problem_of(self.content)
        if problem:
            raise DataError(f"this is no forecast that can be registered or scored: {problem}")

    @property
    def digest(self) -> str:
        """SHA-256 of the content, 16 hex digits."""
        return _digest(self.content)

    @property
    def runs(self) -> pd.DataFrame:
        """Inputs of the forecast runs, one row each."""
        return pd.DataFrame([run["inputs"] for run in self.content["runs"]])

    @validated
    def quantiles(self, run: int) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities and log losses of the quantiles of a run."""
        pairs = self.content["runs"][run]["quantiles"]
        return np.array([float(p) for p in pairs]), np.log([float(loss) for loss in pairs.values()])

    @validated
    def interval(self, probability: float = 0.9) -> np.ndarray:
        """Return the equal-tailed interval of the loss of each run, ``(n_run, 2)``, between registered quantiles."""
        tail = (1 - checked_probability(probability)) / 2
        ends = scipy.special.ndtri([tail, 1 - tail])
        pairs = [self.quantiles(run) for run in range(len(self.content["runs"]))]
        return np.array([np.exp(np.interp(ends, scipy.special.ndtri(levels), losses)) for levels, losses in pairs])

    def to_frame(self) -> pd.DataFrame:
        """Return one row per run: its inputs, the median of its loss, and the 90 % interval, ``low`` and ``high``."""
        bands = self.interval(0.9)
        medians = [float(np.exp(np.interp(0.5, *self.quantiles(run)))) for run in range(len(self.content["runs"]))]
        return self.runs.assign(median=medians, low=bands[:, 0], high=bands[:, 1])

    @property
    def verdict(self) -> str:
        """What was put on record, in one sentence."""
        low, high = self.interval(0.9)[0]
        more = f", and {len(self.runs) - 1} more" if len(self.runs) > 1 else ""
        return (
            f"Registered {self.content['registered']}, digest {self.digest}: the loss will be {low:.4g} to {high:.4g} "
            f"{self.content['loss_unit']} with probability 90 %{more}."
        )

    @validated
    def save(self, path: FilePath) -> Path:
        """Write the file, but never over an existing one."""
        text = json.dumps({**self.content, "digest": self.digest}, indent=2, ensure_ascii=False)
        return write_new(text, Path(path))

    @classmethod
    @validated
    def read(cls, path: FilePath) -> Registered:
        """Read a file; refuse one that was changed since it was written."""
        path = Path(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"cannot read {path} as a registered forecast: {error}") from None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise DataError(f"{path} is not a registered forecast; make one with 'bayes-scaling preregister'")
        digest = content.pop("digest", "")
        found = _digest(content)
        if digest != found:
            raise DataError(f"{path} was changed since it was registered: its digest is {found}, not {shown(digest)}")
        problem = problem_of(content)
        if problem:
            raise DataError(f"{path} is not as it was registered: {problem}")
        return cls(content)


@validated
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
    rests_on : the fit or comparison that a forecast was made from
    name, note : of the forecast, for its readers
    now : when; by default the time of the call, in UTC

    Raises
    ------
    ForecastError
        When a forecast does not say what it rests on, or a file is not a plan.
    """
    if isinstance(source, Forecast):
        if rests_on is None:
            raise ForecastError("say what the forecast was made from: rests_on=fit, or the comparison")
        losses = source.quantile(LEVELS)
        inputs = [{str(k): v for k, v in row.items()} for row in source.points.to_dict(orient="records")]
        runs = [_run(row, losses[:, i]) for i, row in enumerate(inputs)]
        basis = {**provenance(rests_on), "extrapolation": _farthest(source.extrapolation)}
        contains, unit, label = source.contains["new_run"], source.loss_unit, source.label
    else:
        plan = source.to_dict() if isinstance(source, Plan) else source
        if "loss_quantiles" not in plan:  # the command line writes the plan among other answers
            plan = plan.get("plan", {})
        if not {"loss_quantiles", "rests_on", "plan"} <= set(plan):
            raise ForecastError(f"this is not a plan: {WRITE_A_PLAN}")
        chosen = plan["plan"]
        problem = problem_of_plan(plan)
        if problem:
            raise ForecastError(f"this is not a plan as it was written: {problem}; {WRITE_A_PLAN}")
        inputs = [{k: chosen[k] for k in ("params", "tokens", "batch_tokens", "steps") if chosen.get(k) is not None}]
        runs = [_run(inputs[0], list(plan["loss_quantiles"].values()))]
        basis, unit, label = dict(plan["rests_on"]), str(plan["loss_unit"]), str(plan["law"])
        if basis.get("largest_flops"):
            basis["extrapolation"] = training_flops(chosen["params"], chosen["tokens"]) / basis["largest_flops"]
        contains = "one new run (parameters, the law's own error where it is fitted, run noise)"
    moment = (datetime.datetime.now(datetime.UTC) if now is None else now).isoformat(timespec="seconds")
    content = {
        "format": FORMAT,
        "registered": moment,
        "name": name,
        "note": note,
        "law": label,
        "loss_unit": unit,
        "contains": contains,
        "runs": runs,
        "rests_on": basis,
        "caveats": _caveats(basis),
    }
    return Registered(json.loads(json.dumps(content)))


@validated
def score_registered(
    registered: Registered, losses: float | Sequence[float] | pd.DataFrame, now: datetime.datetime | None = None
) -> pd.DataFrame:
    """Score a registered forecast against measured losses.

    Parameters
    ----------
    losses : measured loss of each of its runs, in order; or a table of runs, in which they are found by their inputs
    now : when; by default the time of the call, in UTC

    Returns
    -------
    pandas.DataFrame
        One row per measured run: ``digest``, ``registered``, ``scored``, ``name``, ``law``, its inputs, ``loss``,
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
            raise DataError(
                f"the forecast is of {counted(len(runs), 'run')}, and "
                f"{counted(len(values), 'loss was', 'losses were')} given; give one each"
            )
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
                "law": registered.content["law"],
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
    """Scores of registered forecasts.

    Attributes
    ----------
    scores : as of `score_registered`, one row per measured run
    unread : lines of the file that are no scores, one sentence each; they stay in the file and do not count
    """

    scores: pd.DataFrame
    unread: tuple[str, ...] = ()

    @classmethod
    @validated
    def read(cls, path: FilePath) -> TrackRecord:
        """Read a record; a file that does not exist is an empty record."""
        path = Path(path)
        if not path.exists():
            return cls(pd.DataFrame())
        try:
            return cls._of(path.read_bytes().decode(errors="replace"), path)
        except OSError as error:
            raise DataError(f"cannot read the track record {path}: {error.strerror or error}") from None

    @classmethod
    def _of(cls, text: str, path: Path) -> TrackRecord:
        """Read the lines of a record, and name those that are no scores."""
        rows: dict[tuple[str, int], dict[str, Any]] = {}
        where: dict[tuple[str, int], int] = {}
        unread, foreign = [], False
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            row, wrong = _score_of(line)
            foreign |= row is not None and bool(wrong)
            key = ("", -1) if row is None or wrong else (row["digest"], row["run"])
            if key in rows:
                wrong = f"run {key[1]} of forecast {key[0]} is on line {where[key]} already"
            if row is None or wrong:
                unread.append(f"{path.name}, line {number}: {wrong}; it is kept and does not count")
            else:
                rows[key], where[key] = row, number
        if foreign and not rows:
            raise DataError(f"{path} holds something else than a track record ({unread[0].partition(';')[0]})")
        return cls(pd.DataFrame(list(rows.values())), tuple(unread))

    @validated
    def add(self, scores: pd.DataFrame) -> TrackRecord:
        """Return the record with more scores; each run of a forecast counts once."""
        if len(self.scores):
            known = set(zip(self.scores["digest"], self.scores["run"], strict=True))
            again = [row for row in zip(scores["digest"], scores["run"], strict=True) if row in known]
            if again:
                raise DataError(
                    f"forecast {again[0][0]} was scored before: its run {again[0][1]} is on the record already"
                )
        return TrackRecord(pd.concat([self.scores, scores], ignore_index=True), self.unread)

    @classmethod
    def append(cls, path: Path, scores: pd.DataFrame) -> TrackRecord:
        """Add scores to the record in a file in one step, and return the whole record.

        Several processes may do so at once. Lines that are no scores stay as they are.

        Raises
        ------
        DataError
            When one of the runs is on the record already, or the file holds something else.
        WriteError
            When the lines do not all fit; the record is then as before.
        """
        found = []

        def lines(text: str) -> list[str]:
            found.append(cls._of(text, path).add(scores))
            return [line for _, line in _lines(scores)]

        append_lines(path, lines)
        return found[-1]

    @validated
    def save(self, path: FilePath) -> Path:
        """Add to a file, one line each, the scores that it does not hold yet; the others stay."""
        path = Path(path)

        def lines(text: str) -> list[str]:
            there = {key for key, _ in _lines(TrackRecord._of(text, path).scores)}
            return [line for key, line in _lines(self.scores) if key not in there]

        append_lines(path, lines)
        return path

    def to_frame(self) -> pd.DataFrame:
        """Return one row per measured run."""
        return self.scores.copy()

    def summary(self) -> pd.DataFrame:
        """Say how many measured runs lay inside each band, and how many would if forecasts were calibrated.

        Returns
        -------
        pandas.DataFrame
            One row per band: ``band``, ``runs``, ``inside``, ``share``, ``low`` and ``high`` (the
            90 % interval of the number inside for calibrated forecasts)
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
            return "Nothing has been scored yet."
        row = self.summary().iloc[-1]
        side = "too few" if row["inside"] < row["low"] else "too many" if row["inside"] > row["high"] else "as expected"
        return (
            f"{row['inside']:.0f} of {row['runs']:.0f} measured runs lay inside their 90 % band, {side}: calibrated "
            f"forecasts have {row['low']:.0f} to {row['high']:.0f}. Mean error "
            f"{self.scores['error'].mean():+.2%}, mean log score {self.scores['log_score'].mean():.2f}."
        )


def _digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of content, 16 hex digits; also of content that no forecast has."""
    plain = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(plain.encode(errors="surrogatepass")).hexdigest()[:16]


def _farthest(extrapolation: np.ndarray) -> float | None:
    """Return how many times the largest fitted run is exceeded; None where sizes are not known."""
    known = extrapolation[np.isfinite(extrapolation)]
    return float(known.max()) if len(known) else None


def _lines(scores: pd.DataFrame) -> list[tuple[tuple[str, int], str]]:
    """Return forecast and run of each score, and its line in a record."""
    rows = [{str(k): v for k, v in row.items() if not pd.isna(v)} for row in scores.to_dict(orient="records")]
    return [((row["digest"], row["run"]), json.dumps(row | {CHECK: _sum_of(row)}, ensure_ascii=False)) for row in rows]


def _sum_of(row: Mapping[str, Any]) -> str:
    """Return the digest of what a line of a record says."""
    return _digest({name: value for name, value in row.items() if name != CHECK})


def _score_of(line: str) -> tuple[dict[str, Any] | None, str]:
    """Read a line of a record: the object in it, if it is one, and what is wrong with it as a score."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None, "it is not JSON, perhaps cut off"
    if not isinstance(row, dict):
        return None, "it is not an object"
    for names, kind, expected in (
        (("digest",), str, "text"),
        (("run",), int, "a whole number"),
        (NUMBERS, (int, float), "a number"),
        ([_inside(band) for band in BANDS], bool, "true or false"),
    ):
        for name in names:
            value = row.get(name)
            fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
            if not fits or (isinstance(value, float) and not math.isfinite(value)):
                return row, f"its {name} is {shown(value)}, expected {expected}" if name in row else f"it has no {name}"
    if row.pop(CHECK, None) not in (None, _sum_of(row)):  # a line written by hand needs none
        return row, "it was changed since it was written"
    return row, problem_of_score(row)


def _inside(band: float) -> str:
    return f"inside_{100 * band:.0f}"


def _run(inputs: Mapping[str, Any], losses: Any) -> dict[str, Any]:
    quantiles = {f"{level:g}": float(loss) for level, loss in zip(LEVELS, losses, strict=True)}
    return {"inputs": {k: v if isinstance(v, str) else float(v) for k, v in inputs.items()}, "quantiles": quantiles}


def _caveats(basis: Mapping[str, Any]) -> list[str]:
    """Return what a reader of the forecast should know."""
    out = []
    extrapolation = float(basis.get("extrapolation") or 1.0)
    if extrapolation > FAR:
        out.append(f"the run is {extrapolation:.3g} times as large as the largest fitted one")
    for law in basis["laws"]:
        out += [f"{law['law']} did not converge: {problem}" for problem in law["problems"]]
        if law["discrepancy"] == "none":
            out.append(f"{law['law']} is assumed to be exactly right beyond the data")
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
    """Find registered runs in a table by their inputs."""
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
                else np.abs(pd.to_numeric(column, errors="coerce").to_numpy(float) - value) <= SAME * abs(value)
            )
        pairs += [(place, float(loss)) for loss in losses[same][:1]]
    if not pairs:
        raise DataError(
            f"the table has none of {counted(len(runs), 'registered run')}, by {', '.join(map(str, names))}"
        )
    return pairs
