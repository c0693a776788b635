"""The track record: scores of registered forecasts, which show over time whether bands cover as often as they claim.

A record is a file of JSON lines, one per measured run, each with a digest of what it says. Lines are added in one step,
by several processes at once if need be. A line that is no score is named, stays in the file and does not count.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import scipy.stats

from bayes_scaling.base.arguments import FilePath, validated
from bayes_scaling.base.files import append_lines
from bayes_scaling.base.json_text import is_number
from bayes_scaling.base.messages import listed, shown
from bayes_scaling.decide.registration import BANDS, digest_of, inside_field, problem_of_score
from bayes_scaling.errors import DataError

NUMBERS = ("loss", "median", "error", "pit", "log_score")
UNLIKELY = 1e-3  # probability of a loss so far from the median, or further
CHECK = "sha256"  # of what else a line says
FIELDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "digest": (lambda value: isinstance(value, str), "text"),
    "run": (lambda value: type(value) is int, "a whole number"),
    **dict.fromkeys(NUMBERS, (is_number, "a number")),
    **dict.fromkeys(map(inside_field, BANDS), (lambda value: isinstance(value, bool), "true or false")),
}
"""Of a score: what each field must be."""


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
        """Return the record with more scores; each run of a forecast counts once.

        Raises
        ------
        DataError
            When the scores are not those of `score_registered`, or one of their runs is on the record already.
        """
        lacking = [name for name in FIELDS if name not in scores]
        if lacking and len(scores):
            raise DataError(f"the scores lack {listed(lacking)}; expected a table that score_registered returned")
        if len(self.scores):
            known = set(zip(self.scores["digest"], self.scores["run"], strict=True))
            again = [row for row in zip(scores["digest"], scores["run"], strict=True) if row in known]
            if again:
                raise DataError(
                    f"forecast {again[0][0]} was scored before: its run {again[0][1]} is on the record already"
                )
        return TrackRecord(pd.concat([self.scores, scores], ignore_index=True), self.unread)

    @classmethod
    @validated
    def append(cls, path: FilePath, scores: pd.DataFrame) -> TrackRecord:
        """Add scores to the record in a file in one step, and return the whole record.

        Several processes may do so at once. Lines that are no scores stay as they are.

        Raises
        ------
        DataError
            When one of the runs is on the record already, or the file holds something else.
        WriteError
            When the lines do not all fit; the record is then as before.
        """
        path, found = Path(path), []

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
            inside = int(self.scores[inside_field(band)].sum()) if count else 0
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
        pit = self.scores["pit"].astype(float)
        missed = int((pit.clip(upper=1 - pit) < UNLIKELY / 2).sum())
        chance = f"one chance in {1 / UNLIKELY:,.0f}"
        far = f" {missed} of them had less than {chance} by their forecast." if missed else ""
        side = "too few" if row["inside"] < row["low"] else "too many" if row["inside"] > row["high"] else ""
        low, high = int(row["low"]), int(row["high"])
        between = f"{low} or {high}" if high == low + 1 else f"{low} to {high}" if high > low else f"{low}"
        fits = f"{side} for calibrated forecasts" if side else "consistent with calibration"
        return (
            f"{row['inside']:.0f} of {row['runs']:.0f} measured runs lay inside their 90% band, {fits} "
            f"(expected: {between}).{far} Mean error "
            f"{math.expm1(self.scores['error'].mean()):+,.2%}, mean log score {self.scores['log_score'].mean():.2f}."
        )


def _lines(scores: pd.DataFrame) -> list[tuple[tuple[str, int], str]]:
    """Return forecast and run of each score, and its line in a record."""
    rows = [{str(k): v for k, v in row.items() if not pd.isna(v)} for row in scores.to_dict(orient="records")]
    return [((row["digest"], row["run"]), json.dumps(row | {CHECK: _sum_of(row)}, ensure_ascii=False)) for row in rows]


def _sum_of(row: Mapping[str, Any]) -> str:
    """Return the digest of what a line of a record says."""
    return digest_of({name: value for name, value in row.items() if name != CHECK})


def _score_of(line: str) -> tuple[dict[str, Any] | None, str]:
    """Read a line of a record: the object in it, if it is one, and what is wrong with it as a score."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None, "it is not JSON, perhaps cut off"
    if not isinstance(row, dict):
        return None, "it is not an object"
    for name, (fits, expected) in FIELDS.items():
        if not fits(row.get(name)):
            found = f"its {name} is {shown(row[name])}, expected {expected}" if name in row else f"it has no {name}"
            return row, found
    if row.pop(CHECK, None) not in (None, _sum_of(row)):  # a line written by hand needs none
        return row, "it was changed since it was written"
    return row, problem_of_score(row)
