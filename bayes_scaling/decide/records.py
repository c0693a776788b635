"""Preregistration: a forecast on record before the run, and how well it did.

A registered forecast is one JSON file: when it was made, for which runs, quantiles of the loss of each, the laws with
their weights, a hash of the data, what the forecast leaves out, and a digest of all that. Once a run is measured, its
loss is scored against the file alone, without the fit or the package version behind it. Scores add up to a track
record, see `bayes_scaling.decide.track_record`.

Between its quantiles, a registered distribution is a normal score that is piecewise linear in log loss. So it has a
density everywhere, and normal tails.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.special

from bayes_scaling.base.arguments import FilePath, validated
from bayes_scaling.base.files import text_of, write_new
from bayes_scaling.base.messages import counted, equal_tails, listed, plain, shown
from bayes_scaling.base.numbers import span
from bayes_scaling.base.warned import warn_caller
from bayes_scaling.data.columns import RULES, derive_missing
from bayes_scaling.data.naming import named_as_runs
from bayes_scaling.data.reading import without_doubles
from bayes_scaling.data.units import training_flops
from bayes_scaling.data.validation import Origin, numeric, with_loss
from bayes_scaling.decide.plan import Plan
from bayes_scaling.decide.provenance import LEVELS, contained, provenance
from bayes_scaling.decide.registration import (
    BANDS,
    digest_of,
    fault_in,
    inputs_of_plan,
    inside_field,
    problem_of_plan,
)
from bayes_scaling.errors import DataError, ForecastError
from bayes_scaling.evaluate.comparison import Comparison
from bayes_scaling.inference.result import Fit
from bayes_scaling.model.families import HALF_LOG_TWO_PI
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.forecast import Forecast

FORMAT = "bayes-scaling registered forecast, 1"
FAR = 100.0  # times the largest fitted run, beyond which a forecast has a caveat
WRITE_A_PLAN = "write one with 'bayes-scaling allocate ... --json > plan.json'"
MEASURED = "the table of measured runs"
SAME = 1e-6  # relative difference up to which inputs are the same
ROUNDED = 0.01  # and up to which they are of one run, which is trained at sizes rounded to three digits


@dataclasses.dataclass(frozen=True)
class Registered:
    """A forecast on record.

    Attributes
    ----------
    content : what the file holds, without its digest
    """

    content: Mapping[str, Any]

    def __post_init__(self) -> None:
        problem = fault_in(self.content)
        if problem:
            raise DataError(f"this is no forecast that can be registered or scored: {problem}")

    @property
    def digest(self) -> str:
        """SHA-256 of the content, 16 hex digits."""
        return digest_of(self.content)

    @property
    def runs(self) -> pd.DataFrame:
        """Inputs of the forecast runs, one row each."""
        return pd.DataFrame([run["inputs"] for run in self.content["runs"]])

    @validated
    def quantiles(self, run: int) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities and log losses of the quantiles of a run, of which the first is 0."""
        count = len(self.content["runs"])
        if not 0 <= run < count:
            raise DataError(f"run is {run}, but the forecast on record has {counted(count, 'run')}, counted from 0")
        pairs = self.content["runs"][run]["quantiles"]
        return np.array([float(p) for p in pairs]), np.log([float(loss) for loss in pairs.values()])

    @validated
    def interval(self, probability: float = 0.9) -> np.ndarray:
        """Return the equal-tailed interval of the loss of each run, ``(n_run, 2)``.

        Beyond the outermost registered quantiles, its ends are those of the normal tails, as the scores have them.
        """
        runs = range(len(self.content["runs"]))
        return np.exp([_log_loss_at(*self.quantiles(run), np.array(equal_tails(probability))) for run in runs])

    def to_frame(self) -> pd.DataFrame:
        """Return one row per run: its inputs, the median of its loss, and the 90 % interval, ``low`` and ``high``."""
        bands = self.interval(0.9)
        medians = [_log_loss_at(*self.quantiles(run), np.array(0.5)) for run in range(len(self.content["runs"]))]
        return self.runs.assign(median=np.exp(medians), low=bands[:, 0], high=bands[:, 1])

    @property
    def verdict(self) -> str:
        """What was put on record, in one sentence."""
        low, high = self.interval(0.9)[0]
        more = f", and {len(self.runs) - 1} more" if len(self.runs) > 1 else ""
        return (
            f"Registered {self.content['registered']}, digest {self.digest}: the loss will be {span(low, high)} "
            f"{self.content['loss_unit']} with probability 90%{more}."
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
            content = json.loads(text_of(path), object_pairs_hook=without_doubles)
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"cannot read {path} as a registered forecast: {error}") from None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise DataError(f"{path} is not a registered forecast; make one with 'bayes-scaling preregister'")
        digest = content.pop("digest", "")
        found = digest_of(content)
        if digest != found:
            raise DataError(f"{path} was changed since it was registered: its digest is {found}, not {shown(digest)}")
        problem = fault_in(content)
        if problem:
            raise DataError(f"{path} is not as it was registered: {problem}")
        return cls(content)


@validated
def preregister(
    source: Plan | Forecast | Mapping[str, Any],
    *,
    rests_on: Fit | Comparison | Ensemble | None = None,
    name: str = "",
    note: str = "",
    now: datetime.datetime | None = None,
) -> Registered:
    """Put a forecast on record.

    Parameters
    ----------
    source : a plan, its `to_dict` as read from JSON, or a forecast
    rests_on : the fit, comparison or ensemble that a forecast was made from
    name, note : of the forecast, for its readers
    now : when; by default the time of the call, in UTC

    Raises
    ------
    ForecastError
        When a forecast does not say what it rests on, or a file is not a plan.
    """
    if isinstance(source, Forecast):
        if rests_on is None:
            raise ForecastError("say what the forecast was made from: rests_on=fit, or the comparison or ensemble")
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
        inputs = [inputs_of_plan(plan)]
        runs = [_run(inputs[0], list(plan["loss_quantiles"].values()))]
        basis, unit, label = dict(plan["rests_on"]), str(plan["loss_unit"]), str(plan["law"])
        if basis.get("largest_flops"):
            basis["extrapolation"] = training_flops(chosen["params"], chosen["tokens"]) / basis["largest_flops"]
        contains = contained(basis)
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
    losses : measured loss of each of its runs, in order; or a table of runs, in which they are found by their inputs:
        the nearest row, whose numbers are all within 1 % of the registered ones, as those of a run that was trained at
        rounded sizes; an input that follows from the others (tokens from params and FLOPs) may be left out
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
        When losses are missing or impossible, or a table lacks an input of the runs, has none of them, or has
        one of them in several rows with different losses, as of several seeds.
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
        middle = float(np.exp(_log_loss_at(levels, quantiles, np.array(0.5))))
        name = {
            "digest": registered.digest,
            "registered": registered.content["registered"],
            "scored": moment,
            "name": registered.content["name"],
            "law": registered.content["law"],
            "run": place,
        }
        score = {
            "loss": loss,
            "median": middle,
            "error": math.log(loss) - math.log(middle),
            "pit": pit,
            "log_score": density,
            **{inside_field(band): abs(pit - 0.5) <= band / 2 for band in BANDS},
        }
        inputs = registered.content["runs"][place]["inputs"]
        rows.append({**name, **inputs, **name, **score})  # an input may have the name of a field, which stays
    return pd.DataFrame(rows)


def _farthest(extrapolation: np.ndarray) -> float | None:
    """Return how many times the largest fitted run is exceeded; None where sizes are not known."""
    known = extrapolation[np.isfinite(extrapolation)]
    return float(known.max()) if len(known) else None


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
    return float(scipy.special.ndtr(z)), float(-(z**2) / 2 - HALF_LOG_TWO_PI + math.log(slope))


def _log_loss_at(levels: np.ndarray, quantiles: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the log losses that lie above others with given probabilities; `_read` backwards."""
    score, wanted = scipy.special.ndtri(levels), scipy.special.ndtri(probabilities)
    place = np.clip(np.searchsorted(score, wanted), 1, len(levels) - 1)
    slope = (quantiles[place] - quantiles[place - 1]) / (score[place] - score[place - 1])
    return np.asarray(quantiles[place - 1] + slope * (wanted - score[place - 1]))


def _looked_up(runs: pd.DataFrame, table: pd.DataFrame) -> list[tuple[int, float]]:
    """Find registered runs in a table by their inputs."""
    read = {"loss", *map(str, runs), *(name for rule in RULES for name in (rule.name, *rule.needs))}
    table, spelled = named_as_runs(table, read, MEASURED)
    origin = Origin(MEASURED, spelled)
    if "loss" in table:
        table, origin, left_out = with_loss(table, origin)
        table = numeric(table, ["loss"], origin)
        for said in left_out:
            warn_caller(f"{MEASURED}: {said}")
    known = _with_derived(table)
    names = _independent([str(name) for name in runs if name in known])
    lacking = _independent([str(name) for name in ("loss", *runs) if name not in known], names)
    if lacking:
        raise DataError(
            f"{MEASURED} has {listed(table)}; it needs {listed(lacking)} too, to find the registered "
            "runs: add or rename columns"
        )
    pairs, losses = [], table["loss"].to_numpy(float)
    for place, row in enumerate(runs[names].to_dict(orient="records")):
        apart = {str(name): _apart(known[name], value) for name, value in row.items()}
        farthest = np.max(list(apart.values()), axis=0)
        least = float(farthest.min(initial=math.inf))
        same = farthest <= (least + SAME if least <= ROUNDED else -1.0)
        if SAME < least <= ROUNDED:
            nearest = int(np.flatnonzero(same)[0])
            most = max(apart, key=lambda name: apart[name][nearest])
            warn_caller(
                f"{origin.row(nearest)} of the table is taken for registered run {place}, from which it differs by "
                f"{apart[most][nearest]:.2%} in {plain(most)}"
            )
        found = np.unique(losses[same])
        if len(found) > 1:
            rows = listed(origin.row(int(row)) for row in np.flatnonzero(same))
            raise DataError(
                f"{rows} of the table are all registered run {place}, with losses of {found[0]:.4g} to "
                f"{found[-1]:.4g}: a forecast is of one run, so keep only its row"
            )
        pairs += [(place, float(loss)) for loss in found]
    if not pairs:
        first = ", ".join(
            f"{name} {value if isinstance(value, str) else f'{value:.8g}'}" for name, value in runs.iloc[0].items()
        )
        raise DataError(
            f"the table has none of {counted(len(runs), 'registered run')}, by {listed(names)} to {ROUNDED:.0%}; "
            f"registered is {plain(first, 160)}: if this is the run all the same, give its loss alone"
        )
    return pairs


def _apart(column: pd.Series, value: float | str) -> np.ndarray:
    """Return how far each cell is from an input, relative to it: ``(n_row,)``, infinite for another name."""
    if isinstance(value, str):
        return np.where((column.astype(str) == value).to_numpy(), 0.0, np.inf)
    cells = pd.to_numeric(column, errors="coerce").to_numpy(float)
    apart = np.abs(cells - value) / (abs(value) or 1.0)
    return np.where(np.isnan(apart), np.inf, apart)


def _with_derived(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with the columns that follow from its own."""
    tied = {name for rule in RULES for name in (rule.name, *rule.needs)}
    numbers = {name: pd.to_numeric(table[name], errors="coerce").to_numpy(float) for name in tied if name in table}
    derived, _ = derive_missing(numbers)
    return table.assign(**{name: values for name, values in derived.items() if name not in table})


def _independent(names: Sequence[str], beside: Sequence[str] = ()) -> list[str]:
    """Return the inputs that follow neither from others beside them nor from those before them."""
    kept: list[str] = []
    for name in names:
        if name not in _following([*beside, *kept]):
            kept.append(name)
    return kept


def _following(names: Sequence[str]) -> set[str]:
    """Return inputs with those that follow from them: of three that a rule ties, each follows from the other two."""
    known = set(names)
    for _ in RULES:
        for rule in RULES:
            tied = {rule.name, *rule.needs}
            known |= tied if len(tied - known) == 1 else set()
    return known
