"""The result of a comparison: which law to believe, judged by how it would have forecast the largest runs.

The main result is leave-largest-out: every candidate is fitted to the runs below a cut and scored on those above it, at
several cuts, because extrapolation is the job. Leave-one-out (PSIS-LOO, refitted where it cannot be trusted) is given
beside it. Weights of laws come from the same scores.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from bayes_scaling.base.arguments import Seed, validated
from bayes_scaling.base.messages import counted
from bayes_scaling.data.runs import Runs
from bayes_scaling.evaluate.candidates import Candidate, Cut
from bayes_scaling.evaluate.evidence import evidence_of
from bayes_scaling.evaluate.scores import COVERAGES, summarise
from bayes_scaling.evaluate.weights import by_candidate, counts_of
from bayes_scaling.inference.result import Fit
from bayes_scaling.predict.evidence import Evidence
from bayes_scaling.predict.forecast import Forecast, forecast


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """How candidates forecast runs that they had not seen, and what weight each earns.

    Attributes
    ----------
    candidates, cuts, runs : what was compared on what
    scores : one row per candidate, cut and held-out row: the columns of `score`, ``candidate``, ``cut``, ``row``
        (of the table), ``run``, ``extrapolation`` (size over the largest fitted run), ``range`` (of that)
    refits : one row per candidate and cut: ``converged``, ``problems``, ``sampler_used``, ``seconds``
    left_one_out : by candidate, (n_row,) log score of every row given all others
    loo_notes : by candidate, how many rows had bad weights and were refitted
    fits : by candidate, posterior given all runs
    weights : by candidate, from leave-largest-out, see `law_weights`; they sum to one, and a fit that did not converge
        has none
    loo_weights : by candidate, from leave-one-out
    seconds : what it took
    """

    candidates: tuple[Candidate, ...]
    cuts: tuple[Cut, ...]
    runs: Runs
    scores: pd.DataFrame
    refits: pd.DataFrame
    left_one_out: Mapping[str, np.ndarray]
    loo_notes: Mapping[str, str]
    fits: Mapping[str, Fit]
    weights: Mapping[str, float]
    loo_weights: Mapping[str, float]
    seconds: float
    EXPECTED: ClassVar[str] = "a Comparison, as from compare(laws, runs)"

    @property
    def best(self) -> str:
        """The candidate with the best leave-largest-out score among those with weight."""
        ranked = self.to_frame()
        return str(ranked.loc[ranked["weight"] > 0, "candidate"].iloc[0])

    @property
    def posteriors(self) -> list[str]:
        """The candidates that are no baselines, best first: laws, and laws together."""
        ours = {one.label for one in self.candidates if one.weighted or one.members}
        return [str(name) for name in self.to_frame()["candidate"] if name in ours]

    @property
    def evidence(self) -> Evidence:
        """Why each candidate has its weight."""
        return evidence_of([candidate for candidate in self.candidates if candidate.weighted], self, self.cuts)

    def to_frame(self) -> pd.DataFrame:
        """Rank the candidates.

        Returns
        -------
        pandas.DataFrame
            One row per candidate, best first, with the columns

            - ``candidate``: its label
            - ``log_score``: mean over held-out runs; a run that several cuts hold out counts once, and a cut by the
              share of the largest run that it keeps
            - ``difference``: of the log score to that of the best candidate that has a weight
            - ``difference_se``: its standard error, paired over runs
            - ``weight``: in an ensemble; missing for baselines
            - ``loo_weight``: by leaving single runs out; missing for baselines
            - ``rmsle``: root mean square of the log error, over held-out rows of all cuts, as the next ones
            - ``crps``: continuous ranked probability score
            - ``width``: of the 90 % interval, in log loss
            - ``inside_50%``, ...: share of rows inside intervals of these probabilities
            - ``loo``: leave-one-out log score, summed over rows of the table
            - ``converged``: whether all its fits did
        """
        per_run = self.per_run()
        means = per_run.mean()
        names = [c.label for c in self.candidates if c.label in means]
        weighted = [name for name in names if self.weights.get(name, 0.0) > 0]
        best = max(weighted, key=lambda name: (means[name], -names.index(name)))
        summary = summarise(self.scores, ["candidate"]).set_index("candidate")
        rows = []
        for name in names:
            gap = per_run[name] - per_run[best]
            rows.append(
                {
                    "candidate": name,
                    "log_score": means[name],
                    "difference": gap.mean(),
                    "difference_se": gap.std(ddof=1) / math.sqrt(len(gap)) if len(gap) > 1 else math.nan,
                    "weight": self.weights.get(name, math.nan),
                    "loo_weight": self.loo_weights.get(name, math.nan),
                    **summary.loc[name, ["rmsle", "crps", "width", *(f"inside_{p:.0%}" for p in COVERAGES)]].to_dict(),
                    "loo": float(self.left_one_out[name].sum()) if name in self.left_one_out else math.nan,
                    "converged": self._converged(name),
                }
            )
        return pd.DataFrame(rows).sort_values("log_score", ascending=False, kind="stable", ignore_index=True)

    def _converged(self, name: str) -> bool:
        """Return whether all fits of a candidate converged, below the cuts and to all runs."""
        below = self.refits.loc[self.refits["candidate"] == name, "converged"]
        return bool(below.all()) and (name not in self.fits or self.fits[name].converged)

    def per_run(self) -> pd.DataFrame:
        """Return the log score of each candidate on each held-out run, averaged over the cuts that hold it out.

        A cut counts in proportion to the share of the largest size that it keeps: the forecast will be made from all
        runs, and a cut near the largest of them says more about it than one far below.
        """
        wide = by_candidate(self.scores, [c.label for c in self.candidates])
        counts = counts_of(wide.index, self.cuts, self.runs)
        weighted = wide.mul(counts, axis=0).groupby(level="run", sort=False).sum(min_count=1)
        return weighted.dropna(axis=1)

    def by_range(self) -> pd.DataFrame:
        """Return scores and coverage of each candidate by factor of extrapolation."""
        return summarise(self.scores, ["candidate", "range"])

    @property
    def verdict(self) -> str:
        """Whether one candidate wins, in a sentence."""
        ranked = self.to_frame()
        ranked = ranked[ranked["weight"] > 0].reset_index(drop=True)
        if len(ranked) == 1:
            others = "converged" if len(self.weights) > 1 else "was compared"
            return f"{ranked['candidate'][0]} is the only law that {others}."
        first, second = ranked.iloc[0], ranked.iloc[1]
        gap, error = -second["difference"], second["difference_se"]
        apart = f"{gap:.2f} nats per held-out run ahead of {second['candidate']} (standard error {error:.2f})"
        if gap > 2 * error:
            return f"{first['candidate']} forecasts best: {apart}."
        return f"No law wins: {first['candidate']} is {apart}; use them together."

    @validated
    def forecast(self, points: Any = None, *, seed: Seed = 0, unconverged: bool = False, **inputs: Any) -> Forecast:
        """Forecast with all candidates, mixed by their leave-largest-out weights; arguments as of `forecast`."""
        return forecast(self, points, seed=seed, unconverged=unconverged, **inputs)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but draws as plain values, for JSON."""

        def plain(frame: pd.DataFrame) -> Any:
            return json.loads(frame.to_json(orient="records", double_precision=12))

        return {
            "source": self.runs.source,
            "rows": len(self.runs),
            "cuts": [cut.label for cut in self.cuts],
            "ranking": plain(self.to_frame()),
            "verdict": self.verdict,
            "by_extrapolation": plain(self.by_range()),
            "weights": dict(self.weights),
            "loo_weights": dict(self.loo_weights),
            "loo_notes": dict(self.loo_notes),
            "refits": plain(self.refits),
            "scores": plain(self.scores),
            "seconds": round(self.seconds, 1),
        }

    def __repr__(self) -> str:
        return f"<Comparison of {counted(len(self.fits), 'candidate')} at {counted(len(self.cuts), 'cut')}>"
