"""Comparison: which law to believe, judged by how it would have forecast the largest runs that are there.

The headline is leave-largest-out: every candidate is fitted to the runs below a cut and scored on those above it, at
several cuts, because extrapolation is the job. Leave-one-out (PSIS-LOO, refitted where it cannot be trusted) stands
beside it. Weights of a stacked forecast come from the same scores.

Fits to parts of one table share a compiled program. Every refit is written to a folder when it is done, if one is
given, and found there again, so that a stopped comparison goes on where it was.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.base.files import write_text
from bayes_scaling.base.progress import progress_bar
from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import BayesScalingError, DataError
from bayes_scaling.evaluate.baselines import PointFit, point_fit
from bayes_scaling.evaluate.checks import leave_one_out_scores
from bayes_scaling.evaluate.scores import COVERAGES, extrapolation_range, score, summarise
from bayes_scaling.evaluate.weights import stacking_weights
from bayes_scaling.inference.fit import fit
from bayes_scaling.inference.loading import load_fit
from bayes_scaling.inference.result import Fit
from bayes_scaling.inference.sampler import SamplerChoice, chosen_sampler
from bayes_scaling.laws.catalogue import load_law
from bayes_scaling.laws.law import Law
from bayes_scaling.model.choices import DiscrepancyChoice, NoiseChoice
from bayes_scaling.model.discrepancy import log_size, size_inputs
from bayes_scaling.predict.forecast import Forecast, forecast
from bayes_scaling.predict.predictive import Predictive

CUTS = (3.0, 10.0, 30.0)  # default cuts: the largest run over these
FEWEST_BELOW, FEWEST_ABOVE = 8, 3  # rows that a default cut leaves on either side
BAD_K = 0.7
REFITS = 10  # at most, for rows whose leave-one-out weights fail; more such rows are left out in groups
BASELINES = ("huber", "squares")
ALONE = ", law alone"


# --- what is compared -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A way to forecast: a law with its discrepancy and noise, or a classical point fit of a law.

    Attributes
    ----------
    label : shown in tables
    law : what is fitted
    method : ``posterior``, or a baseline: ``huber`` (Huber loss, bootstrap) or ``squares`` (least squares, bootstrap)
    discrepancy, noise, sampler : of a posterior, as of `fit`
    """

    label: str
    law: Law
    method: str = "posterior"
    discrepancy: DiscrepancyChoice = "brownian"
    noise: NoiseChoice = "auto"
    sampler: SamplerChoice = "auto"

    @property
    def weighted(self) -> bool:
        """Whether it takes part in the stacked forecast; baselines are only shown."""
        return self.method == "posterior"


@dataclasses.dataclass(frozen=True)
class Cut:
    """Runs with ``column <= at`` are fitted, those above are forecast."""

    column: str
    at: float

    @property
    def label(self) -> str:
        """In words."""
        return f"{self.column} <= {self.at:.4g}"


def candidates_of(
    laws: Sequence[str | Law | Candidate], *, baselines: Sequence[str] = BASELINES, alone: bool = True
) -> tuple[Candidate, ...]:
    """List what is compared: each law with its discrepancy, taken to be right, and as classical point fits.

    Parameters
    ----------
    laws : names, laws, or candidates, which are taken as they are
    baselines : point fits of each law that are shown beside it
    alone : whether each law is also shown without a discrepancy
    """
    found: dict[str, Candidate] = {}
    for given in laws:
        if isinstance(given, Candidate):
            found[given.label] = given
            continue
        law = load_law(given) if isinstance(given, str) else given
        found[law.label] = Candidate(law.label, law)
        if alone:
            label = law.label + ALONE
            found[label] = Candidate(label, law, discrepancy="none")
        for method in baselines:
            label = f"{law.label}, {method} point fit"
            found[label] = Candidate(label, law, method)
    if not found:
        raise DataError("no law to compare; name one or more, like chinchilla,kaplan_joint,nesting")
    return tuple(found.values())


def default_cuts(law: Law, runs: Runs) -> tuple[Cut, ...]:
    """Return cuts at a 3rd, a 10th and a 30th of the largest run, where enough rows lie on both sides."""
    column = "flops" if "flops" in runs and {"params", "tokens"} <= set(law.inputs) else size_inputs(law)[0]
    values = runs.column(column)
    cuts: dict[int, Cut] = {}
    for factor in CUTS:
        cut = Cut(column, float(values.max() / factor))
        below = int((values <= cut.at).sum())
        if below >= FEWEST_BELOW and len(values) - below >= FEWEST_ABOVE:
            cuts.setdefault(below, cut)
    if not cuts:
        # Few or close runs: leave out the largest quarter.
        at = float(np.quantile(values, 0.75, method="lower"))
        if not (values > at).any() or (values <= at).sum() < 3:
            raise DataError(
                f"{runs.source} has too few sizes to hold out the largest ({len(runs)} rows, {column} from "
                f"{values.min():.3g} to {values.max():.3g}); give cuts, like flops=1e20"
            )
        return (Cut(column, at),)
    return tuple(cuts.values())


# --- the result -------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """How candidates forecast runs that they had not seen, and what weight each earns.

    Attributes
    ----------
    candidates, cuts, runs : what was compared on what
    scores : one row per candidate, cut and held-out row: the columns of `score`, ``candidate``, ``cut``, ``row``
        (of the table), ``run``, ``extrapolation`` (size over the largest fitted run), ``range`` (of that)
    refits : one row per candidate and cut: ``converged``, ``problems``, ``path``, ``seconds``
    left_one_out : by candidate, (n_row,) log score of every row given all others
    loo_notes : by candidate, how many rows had bad weights and were refitted
    fits : by candidate, posterior given all runs
    weights : by candidate, from leave-largest-out; they sum to one
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

    @property
    def best(self) -> str:
        """The candidate with the best leave-largest-out score among those that are weighted."""
        ranked = self.table()
        return str(ranked.loc[ranked["weight"].notna(), "candidate"].iloc[0])

    def table(self) -> pd.DataFrame:
        """Rank the candidates.

        Returns
        -------
        pandas.DataFrame
            Best first: ``candidate``, ``log_score`` (mean per held-out run), ``difference`` to the best weighted
            candidate with its standard error ``difference_se`` (paired over runs: cuts that hold out the same run
            count as one), ``weight`` and ``loo_weight`` (missing for baselines), ``rmsle``, ``crps``, ``width``,
            coverage, ``loo`` (sum over rows), ``converged``.
        """
        per_run = self.per_run()
        means = per_run.mean()
        names = [c.label for c in self.candidates if c.label in means]
        weighted = [c.label for c in self.candidates if c.weighted and c.label in means]
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
                    "converged": bool(self.refits.loc[self.refits["candidate"] == name, "converged"].all()),
                }
            )
        return pd.DataFrame(rows).sort_values("log_score", ascending=False, kind="stable", ignore_index=True)

    def per_run(self) -> pd.DataFrame:
        """Return the log score of each candidate on each held-out run, averaged over the cuts that hold it out.

        A cut counts in proportion to the size that it keeps: the stacked forecast will be made from all runs, and a cut
        near the largest of them says more about it than one far below.
        """
        wide = _by_candidate(self.scores, [c.label for c in self.candidates])
        counts = _counts(wide.index, self.cuts)
        weighted = wide.mul(counts, axis=0).groupby(level="run", sort=False).sum(min_count=1)
        return weighted.dropna(axis=1)

    def by_range(self) -> pd.DataFrame:
        """Return scores and coverage of each candidate by factor of extrapolation."""
        return summarise(self.scores, ["candidate", "range"])

    def verdict(self) -> str:
        """Say in a sentence whether one candidate wins."""
        ranked = self.table()
        ranked = ranked[ranked["weight"].notna()].reset_index(drop=True)
        if len(ranked) == 1:
            return f"{ranked['candidate'][0]} is the only law that was compared."
        first, second = ranked.iloc[0], ranked.iloc[1]
        gap, error = -second["difference"], second["difference_se"]
        apart = f"{gap:.2f} nats per held-out run ahead of {second['candidate']} (standard error {error:.2f})"
        if gap > 2 * error:
            return f"{first['candidate']} forecasts best: {apart}."
        return f"No law wins: {first['candidate']} is {apart}; use the stacked forecast."

    def forecast(self, points: Any = None, *, seed: int = 0, unconverged: bool = False, **inputs: Any) -> Forecast:
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
            "ranking": plain(self.table()),
            "verdict": self.verdict(),
            "by_extrapolation": plain(self.by_range()),
            "weights": dict(self.weights),
            "loo_weights": dict(self.loo_weights),
            "loo_notes": dict(self.loo_notes),
            "refits": plain(self.refits),
            "scores": plain(self.scores),
            "seconds": round(self.seconds, 1),
        }

    def __repr__(self) -> str:
        return f"<Comparison of {len(self.fits)} candidates at {len(self.cuts)} cuts>"


# --- making one -------------------------------------------------------------------------------------------------


def compare(
    laws: Sequence[str | Law | Candidate],
    runs: Runs,
    *,
    cuts: Sequence[Cut] | None = None,
    baselines: Sequence[str] = BASELINES,
    alone: bool = True,
    loo: bool = True,
    folder: Path | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Comparison:
    """Compare laws by how they would have forecast the largest runs of a table.

    Parameters
    ----------
    laws : names of laws, laws, or `Candidate` s
    runs : the table
    cuts : where the largest runs are held out; by default at a 3rd, a 10th and a 30th of the largest one
    baselines : classical point fits that are shown beside each law, never weighted
    alone : whether each law is also compared without a discrepancy, and may earn weight so
    loo : whether leave-one-out scores stand beside; their refits take about as long as all else
    folder : where refits are kept and found again
    seed : of sampler and scores
    progress : show a bar; by default on a terminal

    Raises
    ------
    DataError
        When the table lacks a column, or has too few sizes to hold out the largest.
    """
    started = time.perf_counter()
    found = candidates_of(laws, baselines=baselines, alone=alone)
    cuts = tuple(cuts) if cuts is not None else default_cuts(found[0].law, runs)
    tasks = [(candidate, cut) for candidate in found for cut in (*cuts, None) if candidate.weighted or cut is not None]
    scored: list[pd.DataFrame] = []
    refits: list[dict[str, Any]] = []
    fits: dict[str, Fit] = {}
    left_one_out: dict[str, np.ndarray] = {}
    notes: dict[str, str] = {}
    with progress_bar("compare", progress) as report:
        for done, (candidate, cut) in enumerate(tasks):
            report(candidate.label, done / len(tasks))
            if cut is None:
                fits[candidate.label] = _whole(candidate, runs, folder, seed)
                if loo:
                    name = candidate.label
                    left_one_out[name], notes[name] = _left_one_out(candidate, fits[name], folder, seed)
                continue
            held_out, how = _held_out(candidate, cut, runs, folder, seed)
            scored.append(held_out)
            refits.append({"candidate": candidate.label, "cut": cut.label, **how})
    scores = pd.concat(scored, ignore_index=True)
    weighted = [candidate.label for candidate in found if candidate.weighted]
    return Comparison(
        candidates=found,
        cuts=cuts,
        runs=runs,
        scores=scores,
        refits=pd.DataFrame(refits),
        left_one_out=left_one_out,
        loo_notes=notes,
        fits=fits,
        weights=_held_out_weights(scores, weighted, cuts),
        loo_weights=stacking_weights(left_one_out) if loo else {},
        seconds=time.perf_counter() - started,
    )


def _held_out(
    candidate: Candidate, cut: Cut, runs: Runs, folder: Path | None, seed: int
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Fit below a cut and score above it: one row per held-out row, and how the fit went."""
    below, above = runs.cut(cut.column, cut.at)
    rows = np.flatnonzero(runs.column(cut.column) > cut.at)

    def measured() -> dict[str, Any]:
        started = time.perf_counter()
        predicted, how = _predict(candidate, below, above, len(runs), seed)
        held_out = score(predicted, above.loss, seed)
        held_out.insert(0, "run", above.labels)
        held_out.insert(0, "row", rows)
        size = np.exp(log_size(candidate.law, _inputs(candidate.law, above)))
        held_out["extrapolation"] = size / np.exp(log_size(candidate.law, _inputs(candidate.law, below)).max())
        seconds = round(time.perf_counter() - started, 2)
        return {"scores": held_out.to_dict(orient="list"), "how": {**how, "seconds": seconds}}

    kept = _kept(folder, _key(candidate, runs, seed, cut.label), measured)
    held_out = pd.DataFrame(kept["scores"]).assign(candidate=candidate.label, cut=cut.label)
    held_out["range"] = extrapolation_range(held_out["extrapolation"].to_numpy())
    return held_out, kept["how"]


def _inputs(law: Law, runs: Runs) -> dict[str, np.ndarray]:
    return {name: runs.column(name) for name in law.inputs}


def _predict(
    candidate: Candidate, below: Runs, above: Runs, like_rows: int, seed: int
) -> tuple[Predictive, dict[str, Any]]:
    """Return the predictive distribution at the runs above, and how it came about."""
    if candidate.method != "posterior":
        fitted: PointFit = point_fit(candidate.law, below, loss=candidate.method, seed=seed, like_rows=like_rows)
        return fitted.predict(_inputs(candidate.law, above)), {
            "converged": True,
            "problems": "",
            "sampler_used": "bootstrap",
        }
    posterior = fit_of(candidate, below, like_rows, seed)
    predicted = forecast(posterior, above, seed=seed, unconverged=True).predictive
    how = {
        "converged": posterior.converged,
        "problems": "; ".join(posterior.problems),
        "sampler_used": posterior.sampler_used,
    }
    return predicted, how


def fit_of(candidate: Candidate, runs: Runs, like_rows: int, seed: int) -> Fit:
    """Fit a candidate that is a posterior; ``like_rows`` as of `fit`."""
    return fit(
        candidate.law,
        runs,
        noise=candidate.noise,
        discrepancy=candidate.discrepancy,
        sampler=dataclasses.replace(chosen_sampler(candidate.sampler), like_rows=like_rows),
        seed=seed,
        progress=False,
    )


def _whole(candidate: Candidate, runs: Runs, folder: Path | None, seed: int) -> Fit:
    """Fit all runs, or find the fit in the folder."""
    path = None if folder is None else folder / "refits" / f"{_key(candidate, runs, seed, 'all')}.nc"
    if path is not None and path.is_file():
        try:
            return load_fit(path, candidate.law)
        except BayesScalingError:
            path.unlink()  # another version of the law or of the format: fit again
    fitted = fit_of(candidate, runs, len(runs), seed)
    if path is not None:
        fitted.save(path)
    return fitted


def _left_one_out(candidate: Candidate, fitted: Fit, folder: Path | None, seed: int) -> tuple[np.ndarray, str]:
    """Return the leave-one-out score of every row, refitted where reweighting fails, and a note on that."""

    def measured() -> dict[str, Any]:
        scores, k_hat = leave_one_out_scores(fitted)
        bad = np.flatnonzero(k_hat > BAD_K)
        # Rows of curves are scored given the rows before them, which a forecast of a single row is not.
        refitted = bad if not fitted.noise.correlated else bad[:0]
        for left_out in (refitted[i::REFITS] for i in range(min(REFITS, len(refitted)))):
            out = np.isin(np.arange(len(fitted.runs)), left_out)
            again = fit_of(candidate, fitted.runs.where(~out), len(fitted.runs), seed)
            predicted = forecast(again, fitted.runs.where(out), seed=seed, unconverged=True).predictive
            scores[left_out] = predicted.log_density(fitted.runs.loss[left_out])
        return {"scores": scores.tolist(), "bad": len(bad), "refitted": len(refitted)}

    kept = _kept(folder, _key(candidate, fitted.runs, seed, "loo"), measured)
    note = f"{kept['bad']} of {len(fitted.runs)} rows with k-hat above {BAD_K}, {kept['refitted']} of them refitted"
    return np.array(kept["scores"]), note


def _key(candidate: Candidate, runs: Runs, seed: int, what: str) -> str:
    """Name a refit by everything that it depends on."""
    priors = [(row.name, str(row.prior.__class__.__name__), _numbers(row.prior)) for row in candidate.law.sampled]
    parts = (
        *(candidate.law.label, candidate.law.source_hash, priors, candidate.method, str(candidate.sampler)),
        *(str(candidate.discrepancy), str(candidate.noise), runs.hash_of(candidate.law.inputs), seed, what),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:20]


def _numbers(prior: Any) -> list[tuple[str, str]]:
    return [(name, str(getattr(prior, name))) for name in sorted(prior.arg_constraints)]


def _kept(folder: Path | None, key: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what is kept under a key, or measure it and keep it, whole or not at all."""
    if folder is None:
        return measure()
    path = folder / "refits" / f"{key}.json"
    if path.is_file():
        found: dict[str, Any] = json.loads(path.read_text())
        return found
    content = measure()
    write_text(json.dumps(content), path)
    kept: dict[str, Any] = json.loads(json.dumps(content))
    return kept


# --- weights ----------------------------------------------------------------------------------------------------


def _held_out_weights(scores: pd.DataFrame, names: Sequence[str], cuts: Sequence[Cut]) -> dict[str, float]:
    """Return stacking weights from held-out rows."""
    wide = _by_candidate(scores, names)
    return stacking_weights({name: wide[name].to_numpy() for name in names}, _counts(wide.index, cuts))


def _by_candidate(scores: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return log scores with a column per candidate, a row per cut and held-out row."""
    return scores.pivot(index=["cut", "row", "run"], columns="candidate", values="log_score")[list(names)]


def _counts(index: pd.Index, cuts: Sequence[Cut]) -> np.ndarray:
    """Return how much each held-out row counts, ``(n_row,)``: a run counts once over all its rows and cuts."""
    kept = index.get_level_values("cut").map({cut.label: cut.at for cut in cuts}).to_numpy(float)
    runs = index.get_level_values("run").to_numpy()
    return np.asarray(kept / pd.Series(kept).groupby(runs).transform("sum"))
