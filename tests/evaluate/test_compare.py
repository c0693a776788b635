"""Comparison: the law that made the data wins, weights behave, refits are found again, the command line prints it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_scaling as bs
from bayes_scaling.evaluate import candidates as _candidates
from bayes_scaling.evaluate import refits as _refits
from bayes_scaling.evaluate.backtesting import Backtest, backtest, read_tables
from bayes_scaling.evaluate.baselines.point_fits import PointFit
from bayes_scaling.evaluate.kept import Kept
from bayes_scaling.evaluate.weights import PRIOR_ROWS
from bayes_scaling.inference.diagnostics import Diagnostics
from bayes_scaling.model.simulate import typical_design
from bayes_scaling.plot.comparisons import save_comparison_pictures
from tests.support import design, run

CUTS = [bs.Cut("tokens", 3e10)]
LAWS = ("power_law:input=tokens", "power_law:input=tokens,form=pure")


def curve(seed: int = 0, n: int = 24) -> bs.Runs:
    """Runs that flatten: a law without an irreducible loss cannot follow."""
    truth = {"E": 2.0, "alpha": 0.4, "X_c": 1e10, "sigma": 0.004}
    table = bs.grid(tokens=np.logspace(8.5, 11.5, n))
    return bs.simulate("power_law:input=tokens", table, truth, noise=bs.Noise("normal"), seed=seed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("comparison")


@pytest.fixture(scope="module")
def comparison(folder: Path) -> bs.Comparison:
    """One law, with a discrepancy and alone."""
    return bs.compare(LAWS[:1], curve(), cuts=CUTS, folder=folder, seed=0)


def test_baselines_stand_beside_and_earn_no_weight(comparison: bs.Comparison) -> None:
    table = comparison.to_frame()
    assert sum(comparison.weights.values()) == pytest.approx(1.0)
    assert sum(comparison.loo_weights.values()) == pytest.approx(1.0)
    assert len(table) == 6 and table["weight"].isna().sum() == 4
    assert comparison.posteriors == table.loc[table["weight"].notna(), "candidate"].tolist()


@pytest.fixture(scope="module")
def with_together(folder: Path) -> bs.Comparison:
    """Two laws, and both together."""
    return bs.compare(LAWS, curve(), cuts=CUTS, alongside=("exact", "together"), loo=False, folder=folder, seed=0)


def test_laws_together_say_what_a_fit_to_the_runs_below_the_cut_says(with_together: bs.Comparison) -> None:
    below, above = curve().cut(CUTS[0].column, CUTS[0].at)
    predicted = bs.forecast(bs.fit(LAWS, below, seed=0), above).predictive
    expected = bs.evaluate.score(predicted, above.loss)
    scores = with_together.scores[with_together.scores["candidate"] == "laws together"].reset_index(drop=True)
    pd.testing.assert_frame_equal(scores[list(expected)], expected)
    assert scores["run"].tolist() == list(above.labels)


def test_laws_together_are_shown_and_earn_no_weight(with_together: bs.Comparison, tmp_path: Path) -> None:
    table = with_together.to_frame().set_index("candidate")
    assert np.isnan(table.loc["laws together", "weight"]) and table["weight"].notna().sum() == 4
    assert "laws together" not in with_together.weights and "laws together" not in with_together.fits
    assert set(with_together.posteriors) == {*with_together.weights, "laws together"}
    assert with_together.best != "laws together" and "laws together" not in with_together.verdict
    assert {path.name for path in save_comparison_pictures(with_together, tmp_path)} == {
        "held_out.png",
        "ranking.png",
        "pit.png",
    }


@pytest.mark.slow
def test_laws_together_are_found_again(with_together: bs.Comparison, folder: Path) -> None:
    refits = with_together.refits.set_index("candidate")
    options: dict[str, Any] = {"cuts": CUTS, "loo": False, "folder": folder, "seed": 0}
    again = bs.compare(LAWS, curve(), alongside=("exact", "together"), **options)
    assert again.refits.set_index("candidate").loc["laws together", "seconds"] == refits.loc["laws together", "seconds"]
    fewer = bs.compare(LAWS[:1], curve(), alongside=("together",), **options)
    mixed = [one.scores[one.scores["candidate"] == "laws together"]["log_score"].to_numpy() for one in (again, fewer)]
    assert not np.allclose(*mixed)  # other laws, other answer: not what the folder has of the first


@pytest.mark.slow
def test_the_law_that_made_the_data_wins() -> None:
    comparison = bs.compare(LAWS, curve(), seed=0)
    table = comparison.to_frame()
    assert comparison.best.startswith("power_law:input=tokens") and "pure" not in comparison.best
    pure = [name for name in comparison.weights if "form=pure" in name]
    assert sum(comparison.weights[name] for name in pure) < 0.25
    # Law with discrepancy, law alone, and four baselines of each; the latter are shown, not weighted.
    assert len(table) == 12 and table["weight"].isna().sum() == 8
    held = bs.load_law(LAWS[1]).label
    bare = f"{held}, law alone"
    wrong = table.set_index("candidate")  # without a discrepancy, it misses what its discrepancy covers
    assert wrong.loc[held, "inside_90%"] > wrong.loc[bare, "inside_90%"]
    assert wrong.loc[held, "log_score"] > wrong.loc[bare, "log_score"]


def test_differences_are_paired_over_runs(comparison: bs.Comparison) -> None:
    table = comparison.to_frame()
    per_run = comparison.per_run()
    assert len(per_run) == comparison.scores["run"].nunique()
    last = table.iloc[-1]
    gap = per_run[last["candidate"]] - per_run[comparison.best]
    assert last["difference"] == pytest.approx(gap.mean())
    assert last["difference_se"] == pytest.approx(gap.std(ddof=1) / np.sqrt(len(gap)))
    assert table["log_score"].is_monotonic_decreasing
    assert comparison.verdict.startswith(("No law wins", comparison.best))


@pytest.mark.parametrize(("errors", "says"), [(1.9, "No law wins: "), (2.1, "power_law:input=tokens forecasts best: ")])
def test_a_law_wins_that_is_two_standard_errors_ahead(comparison: bs.Comparison, errors: float, says: str) -> None:
    first, second = comparison.weights
    rows = comparison.scores[comparison.scores["candidate"] == first]
    gap = np.linspace(-0.1, 0.1, len(rows))
    gap += errors * gap.std(ddof=1) / np.sqrt(len(rows))
    behind = rows.assign(candidate=second, log_score=rows["log_score"] - gap)
    others = comparison.scores[~comparison.scores["candidate"].isin([first, second])]
    found = dataclasses.replace(comparison, scores=pd.concat([rows, behind, others], ignore_index=True))
    assert found.verdict.startswith(says)


def test_cuts_leave_the_largest_out(comparison: bs.Comparison) -> None:
    tokens = comparison.runs.column("tokens")
    for cut in comparison.cuts:
        rows = comparison.scores[comparison.scores["cut"] == cut.label]
        assert set(rows["row"]) == set(np.flatnonzero(tokens > cut.at))
        assert (rows["extrapolation"] > 1).all()


def quick(law: str = LAWS[0], **how: Any) -> bs.evaluate.Candidate:
    """A candidate that takes no sampling."""
    how = {"discrepancy": "none", "noise": bs.Noise("normal"), "sampler": "laplace"} | how
    return bs.evaluate.Candidate("quick", bs.load_law(law), **how)


def test_a_run_without_a_name_is_the_same_at_every_cut() -> None:
    """Rows are numbered in the whole table, so that its scores at two cuts are averaged and not those of two runs."""
    cuts = [*CUTS, bs.Cut("tokens", 1e10)]
    named = curve()
    runs = bs.Runs.from_frame(named.table.drop(columns="run"))
    one, other = (
        bs.compare([quick(), dataclasses.replace(quick(LAWS[1]), label="pure")], table, cuts=cuts, loo=False)
        for table in (runs, named)
    )
    assert one.scores["run"].tolist() == [str(row + 1) for row in one.scores["row"]]
    assert len(one.per_run()) == (runs.column("tokens") > 1e10).sum()
    pd.testing.assert_frame_equal(one.to_frame(), other.to_frame())


def test_a_cut_is_kept_under_all_its_digits(tmp_path: Path) -> None:
    scored = _refits.ScoredRows.of(curve())
    one, other = (_refits.BelowCut(quick(), bs.Cut("tokens", at), scored, 0, tmp_path) for at in (1e10, 1.00003e10))
    assert one.cut.label == other.cut.label and one.kept.key != other.kept.key
    both = [quick(), dataclasses.replace(quick(LAWS[1]), label="pure")]
    slow = [dataclasses.replace(member, sampler="nuts", held_out_sampler="laplace") for member in both]
    keys = {Kept(None, _candidates.together(members), curve(), 0, "a cut").key for members in (both, slow)}
    assert len(keys) == 2, "the answer of several laws depends on how each is sampled in the end"


def test_losses_are_scored_with_their_own_standard_errors() -> None:
    runs = curve(n=40)
    relative = np.where(np.arange(40) % 2, 0.05, 0.002)
    noisy = runs.loss * np.exp(relative * np.random.default_rng(1).standard_normal(40))
    measured = bs.Runs.from_frame(runs.table.assign(loss=noisy, loss_se=relative * noisy))
    known = quick(noise=bs.Noise("normal", scale="known"))
    scores = bs.compare([known], measured, cuts=[bs.Cut("tokens", 5e9)], loo=False).scores
    far = scores[relative[scores["row"]] > 0.01]
    assert len(far) >= 6 and 0.5 < np.sqrt(np.mean((far["error"] / far["width"] * 3.29) ** 2)) < 1.5
    assert far["width"].min() > 0.15
    fitted = _refits.fit_of(known, measured, 40, 0)
    all_rows = _refits._of_measured(fitted, measured, 0)
    np.testing.assert_allclose(all_rows.scale, np.hypot(fitted.flat()["sigma"][:, None], relative), rtol=1e-9)


def test_rows_of_schedules_are_predicted_by_point_fits_with_all_that_came_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half a schedule is another schedule: the rows above a cut are those of the whole run."""
    law = bs.load_law("multi_power")
    truth = dict(law.at("luo2025_25M").constants.values)
    runs = bs.simulate(law, typical_design(law, 60), truth | {"sigma": 1e-9}, noise="normal", seed=0)
    fit = PointFit("known", law, truth, {name: np.array([value]) for name, value in truth.items()}, 1e-3, 0.0)
    split = _refits.Split.at(bs.Cut("steps", float(np.median(runs.column("steps")))), runs)
    monkeypatch.setattr(_refits, "point_fit", lambda *_, **__: fit)
    predicted, _ = _refits._predict(bs.evaluate.Candidate("huber", law, "huber"), split, 0)
    np.testing.assert_allclose(predicted.location[0], np.log(split.held_out.loss), atol=1e-6)


def test_a_law_that_did_not_converge_on_all_runs_has_no_say(comparison: bs.Comparison) -> None:
    bad = Diagnostics(2.0, 40, 40, 0, 1.0, "E")
    best, other = comparison.weights
    fits = {**comparison.fits, best: dataclasses.replace(comparison.fits[best], diagnostics=bad)}
    without = dataclasses.replace(comparison, fits=fits, weights={best: 0.0, other: 1.0})
    rows = without.to_frame().set_index("candidate")
    assert not rows.loc[best, "converged"] and rows.loc[other, "converged"] and rows.loc[other, "difference"] == 0
    assert without.best == other and without.verdict == f"{other} is the only law that converged."
    said = {one.member: one.why for one in without.evidence.laws}
    assert said[best].startswith("left out: it did not converge (R-hat 2.000")
    none = dataclasses.replace(
        comparison, fits={name: dataclasses.replace(one, diagnostics=bad) for name, one in comparison.fits.items()}
    )
    assert all(one.why.startswith("it did not converge, as none did (R-hat") for one in none.evidence.laws)


def test_a_comparison_goes_on_where_it_was(
    comparison: bs.Comparison, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("this was fitted before")

    monkeypatch.setattr(_refits, "fit_law", refuse)
    monkeypatch.setattr(_refits, "point_fit", refuse)
    again = bs.compare(LAWS[:1], curve(), cuts=CUTS, folder=folder, seed=0)
    assert again.weights == pytest.approx(comparison.weights, abs=1e-9)
    pd.testing.assert_frame_equal(again.to_frame(), comparison.to_frame())
    with pytest.raises(AssertionError, match="fitted before"):
        bs.compare(LAWS[:1], curve(), cuts=CUTS, folder=folder, seed=1)  # another seed is another comparison


def test_refits_that_are_not_what_was_kept_are_made_again(
    comparison: bs.Comparison, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever lies under the name of a refit, it is recognised; a sound one is found again, without a word."""
    runs, (right, other) = curve(), comparison.candidates[:2]

    def name(candidate: bs.Candidate, what: str, ending: str) -> str:
        return f"{Kept(None, candidate, runs, 0, what).key}.{ending}"

    def stored(*which: Any) -> bytes:
        return (folder / "refits" / name(*which)).read_bytes()

    there = tmp_path / "refits"
    there.mkdir()
    score, fitted = stored(right, "loo", "json"), comparison.fits[right.label]
    digit = score.rindex(b".") + 1
    measured: list[str] = []
    monkeypatch.setattr(
        _refits, "leave_one_out_scores", lambda fit: (measured.append("again"), (np.zeros(24), np.zeros(24)))[1]
    )
    for content in (
        b"{}", b"[]", b"null", b"3", b"NaN", b"", b"\xff", b"[" * 10**5, b'{"content": {}, "refit": 1, "sha256": []}',
        score[: len(score) // 2],
        stored(other, "loo", "json"),
        score[:digit] + bytes([score[digit] ^ 1]) + score[digit + 1 :],
    ):  # fmt: skip
        (there / name(right, "loo", "json")).write_bytes(content)
        with pytest.warns(bs.errors.BayesScalingWarning, match="fitting again"):
            left_out = _refits.left_one_out(right, fitted, tmp_path, 0)
        assert measured.pop() == "again" and not any(left_out["scores"])
        assert _refits.left_one_out(right, fitted, tmp_path, 0) == left_out
        assert not measured
    monkeypatch.setattr(_refits, "fit_of", lambda *_: (measured.append("again"), fitted)[1])
    whole = stored(right, "all", "nc")
    for content in (b"{}", whole[: len(whole) // 2], stored(other, "all", "nc")):
        (there / name(right, "all", "nc")).write_bytes(content)
        with pytest.warns(bs.errors.BayesScalingWarning, match="fitting again"):
            _refits.fit_to_all(right, runs, tmp_path, 0)
        assert measured.pop() == "again"
    assert _refits.fit_to_all(right, runs, tmp_path, 0).discrepancy == fitted.discrepancy and not measured


def test_the_stack_is_a_mixture(comparison: bs.Comparison) -> None:
    ahead = comparison.forecast(tokens=[1e12, 1e13])
    assert len(ahead.mean) == 4000 and ahead.label == "power_law:input=tokens"
    medians = [member.median() for _, member in ahead.members.values()]
    low, high = np.min(medians, axis=0), np.max(medians, axis=0)  # up to the error of a median of 2,000 draws
    assert (0.999 * low <= ahead.median()).all() and (ahead.median() <= 1.001 * high).all()
    spread = ahead.uncertainty()
    parts = spread[["parameters", "law_form", "discrepancy", "run_noise"]]
    np.testing.assert_allclose((parts**2).sum(axis=1), spread["total"] ** 2)
    assert "disagreement between laws" in ahead.contains["mean"]
    np.testing.assert_array_equal(ahead.new_run, comparison.forecast(tokens=[1e12, 1e13]).new_run)


def test_an_ensemble_of_a_comparison_knows_why(comparison: bs.Comparison) -> None:
    table = bs.Ensemble.of(comparison).to_frame()
    assert set(table["member"]) == set(comparison.weights) and "best" in set(table["why"])
    assert table.loc[table["why"] != "best", "why"].str.fullmatch(r"about as good|scored \d+\.\d nats lower").all()
    assert table["log_score"].notna().all() and (table["refits"] == 1).all()


def test_pictures_and_json(comparison: bs.Comparison, tmp_path: Path) -> None:
    files = save_comparison_pictures(comparison, tmp_path)
    assert [path.name for path in files] == ["held_out.png", "ranking.png", "pit.png"]
    assert all(path.stat().st_size > 10_000 for path in files)
    content = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert content["weights"] == dict(comparison.weights)
    assert len(content["scores"]) == len(comparison.scores)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(1, 60))
def test_weights_are_weights(seed: int, laws: int, rows: int) -> None:
    scores = np.random.default_rng(seed).normal(0, 3, (laws, rows))
    weights = bs.evaluate.stacking_weights({str(i): row for i, row in enumerate(scores)})
    assert sum(weights.values()) == pytest.approx(1.0)
    assert min(weights.values()) > 0
    again = bs.evaluate.stacking_weights({str(i): row + 7.0 for i, row in enumerate(scores)})
    np.testing.assert_allclose(list(again.values()), list(weights.values()), atol=1e-7)


def test_weights_maximise_the_log_score_of_the_mixture() -> None:
    rng = np.random.default_rng(0)
    scores = {"a": rng.normal(0, 1, 400), "b": rng.normal(0, 1, 400), "c": rng.normal(-3, 1, 400)}
    weights = bs.evaluate.stacking_weights(scores)
    density = np.exp(np.stack(list(scores.values()), axis=1))

    def objective(w: np.ndarray) -> float:
        return float(np.log(density @ w).sum() + PRIOR_ROWS / 3 * np.log(w).sum())

    best = np.array(list(weights.values()))
    for _ in range(200):
        other = rng.dirichlet(1 + 50 * best)
        assert objective(other) <= objective(best) + 1e-6
    assert weights["c"] < 0.05


def test_equal_laws_share_and_one_row_decides_nothing() -> None:
    same = bs.evaluate.stacking_weights({"a": np.array([1.0, 2.0]), "b": np.array([1.0, 2.0])})
    assert same["a"] == pytest.approx(0.5)
    lucky = bs.evaluate.stacking_weights({"a": np.array([0.0]), "b": np.array([5.0])})
    assert 0.1 < lucky["a"] < 0.5


def test_scores_that_are_no_numbers_are_refused_and_impossible_rows_tell_nothing() -> None:
    with pytest.raises(bs.errors.DataError, match="the log score of b in row 2 is no number"):
        bs.evaluate.stacking_weights({"a": np.zeros(2), "b": np.array([0.0, np.nan])})
    scores = {"a": np.array([1.0, 2.0]), "b": np.array([0.5, 2.5])}
    with_row = {name: np.append(values, -np.inf) for name, values in scores.items()}
    expected = bs.evaluate.stacking_weights(scores, np.ones(2))
    found = bs.evaluate.stacking_weights(with_row, np.array([1.0, 1.0, 1e-12]))
    assert found == pytest.approx(expected, abs=1e-6)


def test_weights_agree_with_arviz_on_many_rows() -> None:
    """Stacking as ArviZ does it, without our one pretended row: the same on a long table."""
    from scipy.optimize import minimize

    rng = np.random.default_rng(2)
    scores = {"a": rng.normal(0, 1, 5000), "b": rng.normal(0.1, 1, 5000)}
    density = np.exp(np.stack(list(scores.values()), axis=1))
    exact = minimize(lambda w: -np.log(density @ np.array([w[0], 1 - w[0]])).sum(), [0.5], bounds=[(0.01, 0.99)]).x[0]
    assert bs.evaluate.stacking_weights(scores)["a"] == pytest.approx(exact, abs=0.01)


def test_what_stands_beside_a_law_is_chosen() -> None:
    law = bs.load_law("chinchilla")
    own = bs.evaluate.Candidate("mine", law, noise=bs.Noise("normal"))
    labels = [one.label for one in _candidates.candidates_of(["chinchilla", own])]
    beside = [
        *("chinchilla, law alone", "chinchilla, huber point fit", "chinchilla, squares point fit"),
        *("chinchilla, normal approximation", "chinchilla, conformal"),
    ]
    assert labels == ["chinchilla", *beside, "mine"]
    assert [one.label for one in _candidates.candidates_of([law], ["huber"])] == ["chinchilla", beside[1]]
    assert [one.weighted for one in _candidates.candidates_of([law], ["exact", "squares"])] == [True, True, False]
    with pytest.raises(bs.errors.DataError, match="alongside has 'alone'; expected any of exact, huber, sq"):
        _candidates.candidates_of([law], ["alone"])


def test_candidates_are_a_law_a_baseline_or_several_laws() -> None:
    law = bs.load_law("chinchilla")
    one = bs.evaluate.Candidate("one", law)
    with pytest.raises(bs.errors.DataError, match="method of a candidate is 'magic'; expected any of posterior, huber"):
        bs.evaluate.Candidate("mine", law, "magic")
    with pytest.raises(bs.errors.DataError, match="mine has 0 members and method together; several laws together"):
        bs.evaluate.Candidate("mine", law, "together")
    with pytest.raises(bs.errors.DataError, match="mine has 1 member and method posterior"):
        bs.evaluate.Candidate("mine", law, members=(one,))


def test_default_cuts_keep_enough_on_both_sides(chinchilla_runs: bs.Runs) -> None:
    cuts = _candidates.default_cuts(bs.load_law("chinchilla"), chinchilla_runs)
    flops = chinchilla_runs.column("flops")
    assert cuts and all(cut.column == "flops" for cut in cuts)
    assert all((flops <= cut.at).sum() >= 8 and (flops > cut.at).sum() >= 3 for cut in cuts)
    few = bs.Runs.from_frame(pd.DataFrame({"tokens": [1e9, 2e9, 3e9, 4e9], "loss": [3.0, 2.9, 2.85, 2.8]}))
    assert _candidates.default_cuts(bs.load_law("power_law:input=tokens"), few)[0].at == 3e9
    lone = bs.Runs.from_frame(
        pd.DataFrame({"tokens": [*np.geomspace(1e8, 1e9, 10), 1e10], "loss": np.linspace(3.0, 2.0, 11)})
    )
    (cut,) = _candidates.default_cuts(bs.load_law("power_law:input=tokens"), lone)
    assert (lone.column("tokens") > cut.at).sum() == 3, "one run far above all others is no cut of its own"
    same = bs.Runs.from_frame(pd.DataFrame({"tokens": [1e9] * 4, "loss": [3.0, 3.1, 3.2, 3.3]}))
    with pytest.raises(bs.errors.DataError, match="too few sizes to hold out the largest"):
        _candidates.default_cuts(bs.load_law("power_law:input=tokens"), same)
    shares = bs.Runs.from_frame(pd.DataFrame({"a": np.linspace(0, 0.6, 31), "loss": np.linspace(3.0, 2.5, 31)}))
    (cut, *_) = _candidates.default_cuts(bs.load_law("mixture:domains=a+b"), shares)
    assert cut.column == "a" and cut.at == pytest.approx(0.2)
    with pytest.raises(bs.errors.DataError, match=r"mixture_targets:domains=a\+b reads no size, .* such as a=0.3"):
        _candidates.default_cuts(bs.load_law("mixture_targets:domains=a+b"), shares)


def test_long_curves_are_scored_at_sixty_rows_of_each_run() -> None:
    """Whatever the order of the table; ends are among them, and runs of a few rows are scored whole."""
    table = pd.DataFrame({"run": np.repeat(["a", "b", "c", "d"], [200, 200, 200, 5])})
    table["tokens"] = np.concatenate(
        [np.linspace(1e7, end, n) for end, n in ((1e9, 200), (2e9, 200), (4e9, 200), (8e9, 5))]
    )
    truth = {"E": 1.8, "alpha": 0.3, "X_c": 2e9, "sigma": 0.001, "sigma_curve": 0.01, "length": 1.5}
    noise = bs.Noise("normal", rows="correlated")
    runs = bs.simulate("power_law:input=tokens", table.sample(frac=1, random_state=0), truth, noise=noise, seed=0)
    quick = bs.evaluate.Candidate("quick", bs.load_law(LAWS[0]), noise=noise, sampler="laplace")
    scores = bs.compare([quick], runs, cuts=[bs.Cut("tokens", 1e9)], alongside=(), loo=False).scores
    tokens = runs.column("tokens")[scores["row"]]
    np.testing.assert_allclose(runs.loss[scores["row"]], scores["loss"])
    octaves = {"b": 60 / np.log2(200), "c": 120 / np.log2(400)}  # above the cut, of 60 rows evenly along log tokens
    assert scores.groupby("run").size().to_dict() == {name: round(n) for name, n in octaves.items()} | {"d": 4}
    assert pd.Series(tokens).groupby(scores["run"].to_numpy()).max().to_dict() == {"b": 2e9, "c": 4e9, "d": 8e9}


def test_bad_requests_are_explained() -> None:
    with pytest.raises(bs.errors.DataError, match="no law to compare"):
        bs.compare([], curve())
    with pytest.raises(bs.errors.LawError):
        bs.compare(["no_such_law"], curve())
    with pytest.raises(bs.errors.DataError, match="no run has tokens above"):
        bs.compare(LAWS[:1], curve(), cuts=[bs.Cut("tokens", 1e15)])
    with pytest.raises(bs.errors.DataError, match="no cut to hold runs out above; give one, like flops=1e20"):
        bs.compare(LAWS[:1], curve(), cuts=[])
    with pytest.raises(bs.errors.DataError, match="two cuts are tokens <= 1e[+]10; give each once"):
        bs.compare(LAWS[:1], curve(), cuts=[bs.Cut("tokens", 1e10), bs.Cut("tokens", 1.00003e10)])
    with pytest.raises(bs.errors.DataError, match="no table could be compared"):
        backtest({}, LAWS)


def test_every_table_of_a_backtest_counts_once() -> None:
    one = {"candidate": "law", "table": "one", "error": 0.1, "crps": 0.1, "width": 1.0, "pit": [0.5], "log_score": 0.0}
    three = {**one, "table": "three", "pit": [0.01] * 3, "log_score": 4.0}
    row = Backtest({}, {}, pd.concat([pd.DataFrame(one), pd.DataFrame(three)])).to_frame().iloc[0]
    assert row[["tables", "log_score", "inside_90%"]].tolist() == [2, 2.0, 0.5]


def test_the_command_line_goes_on_from_a_comparison(comparison: bs.Comparison, folder: Path, tmp_path: Path) -> None:
    comparison.runs.table.to_csv(tmp_path / "runs.csv", index=False)
    arguments = ("--law", LAWS[0], "--cut", "tokens=3e10", "--out", folder)
    code, out, err = run("compare", tmp_path / "runs.csv", *arguments)
    assert code == 0, err
    assert "Leave-largest-out" in out and comparison.best in out
    assert json.loads((folder / "comparison.json").read_text())["weights"] == pytest.approx(dict(comparison.weights))
    code, _, err = run("backtest", tmp_path / "nowhere")
    assert code == 2 and "is not a folder" in err


def test_a_folder_without_a_table_says_why(tmp_path: Path) -> None:
    with pytest.raises(bs.errors.DataError, match=r"no table in .* can be read: expected files like runs.csv, ending"):
        read_tables(tmp_path)
    (tmp_path / "broken.csv").write_text("params,loss\n1e9,abc\n")
    with pytest.raises(bs.errors.DataError, match="no table in .* can be read: broken.csv, row 1, column loss: 'abc'"):
        read_tables(tmp_path)


@pytest.mark.slow
def test_the_command_line_compares_and_backtests(tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    tables.mkdir()
    for seed in (0, 1):
        curve(seed).table.to_csv(tables / f"curve{seed}.csv", index=False)
    (tables / "broken.csv").write_text("params,loss\n1e9,abc\n")
    law = "power_law:input=tokens"
    code, out, err = run(
        "compare", tables / "curve0.csv", "--law", law, "--cut", "tokens=1e10", "--out", tmp_path / "c"
    )
    assert code == 0, err
    assert "Leave-largest-out" in out and "law alone" in out and "took" in out
    assert {"comparison.json", "held_out.png", "ranking.png", "pit.png"} <= {p.name for p in (tmp_path / "c").iterdir()}
    code, out, err = run("backtest", tables, "--law", law, "--out", tmp_path / "b")
    assert code == 0, err
    assert "left out broken.csv" in out and "in 90%" in out
    content = json.loads((tmp_path / "b" / "backtest.json").read_text())
    assert {row["table"] for row in content["by_table"]} == {"curve0.csv", "curve1.csv"}
    assert "laws together" in {row["candidate"] for row in content["by_table"]}
    code, _, err = run("compare", tables / "curve0.csv", "--law", law, "--cut", "tokens=much")
    assert code == 2 and "not a number" in err
    code, _, err = run("backtest", tmp_path / "nowhere")
    assert code == 2 and "is not a folder" in err
    assert len(read_tables(tables)[0]) == 2


def test_options_with_commas_stay_with_their_law() -> None:
    from bayes_scaling.cli._options import law_names

    assert law_names("chinchilla, power_law:input=tokens,form=pure,nesting") == [
        "chinchilla",
        "power_law:input=tokens,form=pure",
        "nesting",
    ]


@pytest.mark.slow
def test_bad_leave_one_out_weights_are_refitted() -> None:
    """A far outlier at the end has weights that cannot be trusted; its score is that of a fit without it."""
    runs = curve(3)
    loss = runs.loss.copy()
    loss[-1] *= 1.2
    odd = bs.Runs.from_frame(runs.table.assign(loss=loss))
    candidate = quick(sampler="auto")
    fitted = _refits.fit_of(candidate, odd, len(odd), 0)
    scores, note = _refits.scores_and_note(_refits.left_one_out(candidate, fitted, None, 0), len(fitted.runs))
    assert not note.startswith("0 of")
    fewer = odd.where(np.arange(len(odd)) < len(odd) - 1)
    without = bs.fit(LAWS[0], fewer, noise="normal", discrepancy="none", seed=0)
    exact = bs.forecast(without, tokens=odd.column("tokens")[-1:], unconverged=True).predictive.log_density(loss[-1:])
    assert scores[-1] == pytest.approx(exact[0], abs=max(1.0, 0.3 * abs(exact[0])))


@pytest.mark.slow
def test_a_design_in_two_inputs_is_cut_by_compute() -> None:
    runs = bs.simulate("chinchilla", design(30), "besiroglu2024", seed=0)
    compared = bs.compare(["chinchilla"], runs, alongside=(), loo=False, seed=0)
    assert compared.weights == {"chinchilla": pytest.approx(1.0)}
    assert compared.verdict == "chinchilla is the only law that was compared."
    assert compared.to_frame()["loo"].isna().all()
