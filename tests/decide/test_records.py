"""Forecasts on record, and what became of them."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats

import bayes_scaling as bs
from bayes_scaling.decide.provenance import LEVELS
from bayes_scaling.decide.records import _read
from bayes_scaling.decide.registration import problem_of_score

THEN = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
LATER = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def forecast(chinchilla_fit: bs.Fit) -> bs.Forecast:
    return bs.forecast(chinchilla_fit, params=[1e9, 1e13], tokens=[2e10, 2e14])


@pytest.fixture(scope="module")
def registered(chinchilla_fit: bs.Fit, forecast: bs.Forecast) -> bs.Registered:
    return bs.preregister(forecast, rests_on=chinchilla_fit, name="two <runs>", now=THEN)


def test_quantiles_are_read_as_a_distribution() -> None:
    levels = np.array(LEVELS)
    normal = scipy.stats.norm(0.7, 0.02)
    for x in normal.ppf([1e-4, 0.003, 0.31, 0.5, 0.87, 0.9999]):
        below, density = _read(levels, normal.ppf(levels), x)
        assert below == pytest.approx(normal.cdf(x), rel=1e-6)
        assert density == pytest.approx(normal.logpdf(x), abs=1e-6)


def test_a_file_holds_what_is_needed_and_stays(registered: bs.Registered, tmp_path: Path) -> None:
    path = registered.save(tmp_path / "deep" / "forecast.json")
    content = json.loads(path.read_text())
    assert content["registered"] == "2026-01-02T03:04:05+00:00"
    assert content["rests_on"]["data"]["rows"] == 48
    assert content["rests_on"]["laws"][0]["law"] == "chinchilla"
    assert any("times as large" in caveat for caveat in content["caveats"])
    assert "chinchilla is assumed to be exactly right beyond the data" in content["caveats"]
    assert bs.Registered.read(path).digest == registered.digest == content["digest"]
    with pytest.raises(bs.errors.DataError, match="never overwritten"):
        registered.save(path)
    content["runs"][0]["quantiles"]["0.5"] *= 1.01
    path.write_text(json.dumps(content))
    with pytest.raises(bs.errors.DataError, match="was changed since"):
        bs.Registered.read(path)


@pytest.mark.parametrize(("times", "far"), [(90.0, False), (110.0, True)])
def test_a_run_a_hundred_times_the_largest_has_a_caveat(chinchilla_fit: bs.Fit, times: float, far: bool) -> None:
    flops = times * float(chinchilla_fit.runs.column("flops").max())
    found = bs.preregister(bs.forecast(chinchilla_fit, params=1e11, tokens=flops / 6e11), rests_on=chinchilla_fit)
    said = f"the run is {times:.3g} times as large as the largest fitted one"
    assert (said in found.content["caveats"]) is far


@pytest.mark.parametrize("run", [-1, 3, 100])
def test_a_run_that_is_not_on_record_is_refused(registered: bs.Registered, run: int) -> None:
    with pytest.raises(bs.errors.DataError, match=rf"run is {run}, but the forecast on record has \d+ runs?, counted"):
        registered.quantiles(run)


def test_scores_are_those_of_the_forecast(registered: bs.Registered, forecast: bs.Forecast) -> None:
    losses = forecast.quantile(0.8)
    scores = bs.score_registered(registered, losses, now=LATER)
    np.testing.assert_allclose(scores["pit"], 0.8, atol=1e-6)
    assert scores["inside_80"].all() and not scores["inside_50"].any()
    density = forecast.predictive.log_density(losses) + np.log(losses)
    np.testing.assert_allclose(scores["log_score"], density, atol=0.25)
    np.testing.assert_allclose(scores["median"], forecast.median(), rtol=1e-6)
    table = pd.DataFrame({"params": [5e8, 1e13], "tokens": [1e10, 2e14], "loss": [3.0, losses[1]]})
    found = bs.score_registered(registered, table, now=LATER)
    assert len(found) == 1 and found["run"].iloc[0] == 1
    assert found["pit"].iloc[0] == pytest.approx(0.8)


@pytest.mark.parametrize(
    "columns",
    [
        {"params": [1e9, 1e9], "flops": [6e18, 1.2e20]},
        {"params": [1e9, 1e9], "steps": [1e3, 2e4], "batch_tokens": [1e6, 1e6]},
        {"params": [1e9, 1e9], "tokens": [1e9, 2e10], "flops": [1.0, 2.0]},  # FLOPs counted in another way
    ],
)
def test_a_run_is_found_by_inputs_that_say_the_same(registered: bs.Registered, columns: dict[str, list[float]]) -> None:
    scores = bs.score_registered(registered, pd.DataFrame({**columns, "loss": [2.9, 2.5]}), now=LATER)
    assert scores["run"].tolist() == [0] and scores["loss"].tolist() == [2.5]


def test_a_run_at_rounded_sizes_is_found_and_said(registered: bs.Registered) -> None:
    table = pd.DataFrame({"params": [0.996e9, 0.994e9, 1.02e9], "tokens": [2e10, 2e10, 2e10], "loss": [2.5, 2.6, 2.7]})
    said = "row 1 of the table is taken for registered run 0, from which it differs by 0.40% in params"
    with pytest.warns(bs.errors.BayesScalingWarning, match=said):
        assert bs.score_registered(registered, table)["loss"].tolist() == [2.5]
    exact = pd.concat([table, pd.DataFrame({"params": [1e9], "tokens": [2e10], "loss": [2.4]})])
    assert bs.score_registered(registered, exact)["loss"].tolist() == [2.4]
    with pytest.raises(bs.errors.DataError, match="has none of 2 registered runs, by params, tokens to 1%"):
        bs.score_registered(registered, table[2:])


def test_measured_runs_are_spelled_like_fitted_ones(registered: bs.Registered) -> None:
    table = pd.DataFrame({"N": [1e9, 1e9], "D": [2e10, 3e10], "val_loss": [2.5, 9.0]})
    assert bs.score_registered(registered, table)["loss"].tolist() == [2.5]
    assert bs.score_registered(registered, table.assign(loss=2.6))["loss"].tolist() == [2.6]


def test_a_row_that_is_there_twice_counts_once(registered: bs.Registered) -> None:
    table = pd.DataFrame({"params": [1e9, 1e9], "tokens": 2e10, "loss": 2.5})
    assert bs.score_registered(registered, table)["loss"].tolist() == [2.5]


@pytest.mark.parametrize("rest", [("tokens", "steps"), ("tokens", "batch_tokens"), ("steps", "batch_tokens")])
def test_an_input_that_follows_from_the_others_may_be_left_out(
    registered: bs.Registered, rest: tuple[str, ...]
) -> None:
    first, inputs = registered.content["runs"][0], {"params": 1e9, "tokens": 2e10, "steps": 2e4, "batch_tokens": 1e6}
    one = bs.Registered({**registered.content, "runs": [{**first, "inputs": inputs}]})
    table = pd.DataFrame([{name: inputs[name] for name in ("params", *rest)}])
    assert len(bs.score_registered(one, table.assign(loss=2.5), now=LATER)) == 1
    with pytest.raises(bs.errors.DataError, match="needs steps too"):
        bs.score_registered(one, pd.DataFrame({"params": [1e9], "tokens": [2e10], "loss": [2.5]}))


@pytest.mark.parametrize("probability", [0.5, 0.9, 0.99, 0.9999])
def test_the_ends_of_intervals_have_the_probabilities_that_scores_give_them(
    registered: bs.Registered, probability: float
) -> None:
    ends = registered.interval(probability)
    for side, pit in ((0, (1 - probability) / 2), (1, (1 + probability) / 2)):
        np.testing.assert_allclose(bs.score_registered(registered, ends[:, side])["pit"], pit, rtol=1e-6)
    assert (np.diff(registered.interval(0.9999)) > np.diff(registered.interval(0.99))).all()


def test_a_plan_goes_on_record_from_its_json(chinchilla_fit: bs.Fit, tmp_path: Path) -> None:
    plan = bs.allocate(chinchilla_fit, 1e24)
    written = json.loads(json.dumps({"plan": plan.to_dict(), "budgets": []}))
    assert bs.preregister(written, now=THEN).content == bs.preregister(plan, now=THEN).content
    registered = bs.preregister(plan, now=THEN)
    low, _ = plan.interval(0.9)
    scores = bs.score_registered(registered, low)
    assert scores["pit"].iloc[0] == pytest.approx(0.05, abs=1e-6)
    assert registered.runs["params"].iloc[0] == plan.params
    assert registered.content["rests_on"]["extrapolation"] > 1


def test_the_conditions_of_a_plan_go_on_record(chinchilla_fit: bs.Fit) -> None:
    """A run of other conditions is not the registered one; an older file is read as far as it says its conditions."""
    plan = bs.allocate(chinchilla_fit, 1e24)
    tuned = dataclasses.replace(plan.choice, batch_tokens=1e6, peak_learning_rate=3e-4)
    fixed = {"unique_tokens": 1e9, "weight_bits": 6.0}
    written = json.loads(json.dumps(dataclasses.replace(plan, choice=tuned, given=fixed, group={"lab": "x"}).to_dict()))
    assert written["given"] == fixed and written["group"] == {"lab": "x"}
    registered = bs.preregister(written)
    run = registered.content["runs"][0]["inputs"]
    assert run == {**fixed, "params": plan.params, "tokens": plan.tokens, "batch_tokens": 1e6, "lab": "x"} | {
        "steps": plan.tokens / 1e6,
        "peak_learning_rate": 3e-4,
    }
    same = pd.DataFrame([{**run, "loss": 1.9}])
    assert len(bs.score_registered(registered, same)) == 1
    for name, other in (("unique_tokens", 1e10), ("weight_bits", 8.0), ("peak_learning_rate", 1e-3), ("lab", "y")):
        with pytest.raises(bs.errors.DataError, match="has none of 1 registered run"):
            bs.score_registered(registered, same.assign(**{name: other}))
    plenty = {**written, "given": {"unique_tokens": 1e30}}
    assert bs.preregister(plenty).runs["unique_tokens"].tolist() == [plan.tokens]


def test_a_plan_without_its_conditions_is_read_if_it_can_be_right(chinchilla_fit: bs.Fit) -> None:
    older = json.loads(json.dumps(bs.allocate(chinchilla_fit, 1e24).to_dict()))
    del older["given"], older["group"]
    assert list(bs.preregister(older).runs) == ["params", "tokens"]
    older["plan"]["epochs"], older["rests_on"]["laws"][0]["law"] = 4.0, "repeated_data"
    repeated = bs.preregister(older).runs
    assert repeated["unique_tokens"].tolist() == [older["plan"]["tokens"] / 4]
    older["rests_on"]["laws"][0]["law"] = "precision"
    with pytest.raises(bs.errors.ForecastError, match="does not say at which weight_bits, .*, which precision reads"):
        bs.preregister(older)


def test_a_record_grows_and_counts_runs_once(registered: bs.Registered, forecast: bs.Forecast, tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    assert bs.TrackRecord.read(path).verdict == "Nothing has been scored yet."
    scores = bs.score_registered(registered, forecast.median(), now=LATER)
    record = bs.TrackRecord.read(path).add(scores)
    record.save(path)
    again = bs.TrackRecord.read(path)
    pd.testing.assert_frame_equal(again.scores, scores)
    with pytest.raises(bs.errors.DataError, match="was scored before"):
        again.add(scores)
    assert (again.summary()["inside"] == 2).all()
    assert "2 of 2 measured runs lay inside" in again.verdict and "chance" not in again.verdict
    twenty = bs.TrackRecord(pd.concat([scores] * 10)).summary().set_index("band")
    assert twenty[["low", "high"]].to_numpy().tolist() == [[6, 14], [13, 19], [16, 20]]  # binomial, 5 % on each side
    far = bs.TrackRecord(bs.score_registered(registered, 100 * forecast.median(), now=LATER)).verdict
    assert "2 of them had less than one chance in 1,000 by their forecast. Mean error +9,900.00%" in far


def test_a_record_that_many_write_loses_nothing(registered: bs.Registered, tmp_path: Path) -> None:
    scores = bs.score_registered(registered, [3.0, 2.0], now=LATER)
    path = tmp_path / "record.jsonl"

    def put(i: int) -> None:
        if i % 2:
            bs.TrackRecord.append(path, scores.assign(digest=str(i)))
        else:
            bs.TrackRecord.read(path).add(scores.assign(digest=str(i))).save(path)

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(put, range(20)))
    kept = bs.TrackRecord.read(path)
    assert set(kept.scores["digest"]) == set(map(str, range(20))) and len(kept.scores) == 40
    with pytest.raises(bs.errors.DataError, match="was scored before"):
        bs.TrackRecord.append(path, scores.assign(digest="7"))
    kept.save(path)  # all of it is there
    assert len(path.read_text().splitlines()) == 40


def test_lines_that_are_no_scores_are_named_and_stay(registered: bs.Registered, tmp_path: Path) -> None:
    scores = bs.score_registered(registered, [3.0, 2.0], now=LATER)
    path = bs.TrackRecord(scores).save(tmp_path / "record.jsonl")
    whole = path.read_text()
    row = json.loads(whole.splitlines()[0])
    flipped = json.dumps({**row, "digest": "x"})
    del row["sha256"]  # as in a line that was written by hand
    spoiled = [
        ("[1, 2]", "it is not an object"),
        (whole[:80], "it is not JSON, perhaps cut off"),
        ("[" * 10**5, "it is not JSON"),
        ("\x00\x01", "it is not JSON"),
        (json.dumps(row), f"run 0 of forecast {row['digest']} is on line 1 already"),
        (json.dumps({**row, "digest": "x", "pit": "0.5"}), "its pit is '0.5', expected a number"),
        (json.dumps({**row, "digest": "x", "loss": math.nan}), "its loss is nan, expected a number"),
        (json.dumps({**row, "digest": "x", "run": True}), "its run is True, expected a whole number"),
        (json.dumps({**row, "digest": 3}), "its digest is 3, expected text"),
        (json.dumps({**row, "digest": "x", "inside_50": 1}), "its inside_50 is 1, expected true or false"),
        (json.dumps({"digest": "x"}), "it has no run"),
        (flipped, "it was changed since it was written"),
    ]
    path.write_text(whole + "\n".join(line for line, _ in spoiled))
    kept = bs.TrackRecord.append(path, scores.assign(digest="new"))
    assert len(kept.scores) == 4 and len(kept.unread) == len(spoiled)
    for number, ((_, says), unread) in enumerate(zip(spoiled, kept.unread, strict=True), 3):
        assert unread.startswith(f"record.jsonl, line {number}: {says}") and len(unread) < 200
    assert path.read_text().split("\n")[2 : 2 + len(spoiled)] == [line for line, _ in spoiled]
    again = bs.TrackRecord.read(path)
    assert len(again.scores) == 4 and again.unread == kept.unread and "0 of 4" in again.verdict


def test_a_file_that_is_no_record_is_left_alone(registered: bs.Registered, tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text('{"params": 1e9, "loss": 3.0}\n')
    with pytest.raises(bs.errors.DataError, match="holds something else than a track record"):
        bs.TrackRecord.append(path, bs.score_registered(registered, [3.0, 2.0]))
    assert path.read_text() == '{"params": 1e9, "loss": 3.0}\n'


def test_bands_that_do_not_hold_are_seen(registered: bs.Registered, forecast: bs.Forecast) -> None:
    record = bs.TrackRecord(pd.DataFrame())
    for i in range(10):
        scores = bs.score_registered(registered, forecast.median() * 1.2)
        record = record.add(scores.assign(digest=str(i)))
    assert record.summary()["inside"].sum() == 0
    assert "too few" in record.verdict
    assert (record.scores["log_score"] < -10).all()
    assert np.isfinite(record.scores["log_score"]).all()


@pytest.mark.parametrize(
    ("losses", "says"),
    [
        ([1.0], "of 2 runs, and 1 loss was given"),
        ([math.nan, 2.0], r"losses\[0\] is nan \(float\); expected a number"),
        (pd.DataFrame({"params": [1.0], "tokens": [1.0], "loss": [2.0]}), "none of 2 registered runs"),
        (
            pd.DataFrame({"params": [1.02e9], "tokens": [2e10], "loss": [2.0]}),
            "registered is params 1e\\+09, tokens 2e\\+10.* give its loss",
        ),
        (pd.DataFrame({"params": [1.0]}), "has params; it needs loss, tokens too"),
        (pd.DataFrame({"params": [1e9], "seen": [2e10], "loss": [2.0]}), "has params, seen, loss; it needs tokens too"),
        (
            pd.DataFrame({"params": [1e9, 5e8, 1e9], "tokens": 2e10, "loss": [2.31, 3.0, 2.3]}),
            "row 1, row 3 of the table are all registered run 0, with losses of 2.3 to 2.31: a forecast is of one run",
        ),
        (
            pd.DataFrame({"params": ["x", 1e9], "tokens": [1.0, 2e10], "loss": [2.0, "y"]}),
            "row 2, column loss: 'y' is not",
        ),
    ],
)
def test_bad_outcomes_are_explained(registered: bs.Registered, losses: Any, says: str) -> None:
    with pytest.raises(bs.errors.BayesScalingError, match=says):
        bs.score_registered(registered, losses)


def test_an_input_with_the_name_of_a_field_changes_no_score(registered: bs.Registered, tmp_path: Path) -> None:
    content = json.loads(json.dumps(registered.content))
    for run in content["runs"]:
        run["inputs"] |= {"digest": "another", "run": 7.0, "pit": 0.5, "name": "c4"}
    scores = bs.score_registered(bs.Registered(content), [2.0, 2.0], now=LATER)
    assert set(scores["digest"]) == {bs.Registered(content).digest} and list(scores["run"]) == [0, 1]
    record = bs.TrackRecord.append(tmp_path / "record.jsonl", scores)
    assert len(bs.TrackRecord.read(tmp_path / "record.jsonl").scores) == len(record.scores) == 2


def test_losses_far_from_their_median_are_scored(registered: bs.Registered, tmp_path: Path) -> None:
    content = json.loads(json.dumps(registered.content))
    for run in content["runs"]:
        run["quantiles"] = {"0.05": 1e290, "0.95": 1e300}
    scores = bs.score_registered(bs.Registered(content), [1e-300, 1e-300], now=LATER)
    bs.TrackRecord.append(tmp_path / "record.jsonl", scores)
    assert not bs.TrackRecord.read(tmp_path / "record.jsonl").unread


def test_a_key_that_comes_twice_is_refused(registered: bs.Registered, tmp_path: Path) -> None:
    path = registered.save(tmp_path / "forecast.json")
    path.write_text(path.read_text().replace('"name": ', '"name": "another", "name": '))
    with pytest.raises(bs.errors.DataError, match="'name' comes twice"):
        bs.Registered.read(path)


def test_other_files_are_refused(forecast: bs.Forecast, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for text in ("{", "{}", "[1]"):
        path.write_text(text)
        with pytest.raises(bs.errors.DataError, match="registered forecast"):
            bs.Registered.read(path)
    with pytest.raises(bs.errors.ForecastError, match="rests_on"):
        bs.preregister(forecast)
    with pytest.raises(bs.errors.ForecastError, match="this is not a plan"):
        bs.preregister({"plan": {}})


def set_at(place: tuple[Any, ...], value: Any) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        *above, last = place
        for step in above:
            content = content[step]
        content[last] = value

    return change


def reversed_quantiles(content: Any) -> None:
    quantiles = content["runs"][0]["quantiles"]
    content["runs"][0]["quantiles"] = dict(zip(quantiles, reversed(quantiles.values()), strict=True))


def reversed_probabilities(content: Any) -> None:
    content["runs"][1]["quantiles"] = dict(reversed(content["runs"][1]["quantiles"].items()))


QUANTILES = ("runs", 0, "quantiles")
ODD = {
    "reversed": (reversed_quantiles, "run 1: its quantiles fall where their probability rises"),
    "reversed probabilities": (reversed_probabilities, "run 2: the probabilities of its quantiles do not rise"),
    "text": (set_at((*QUANTILES, "0.5"), "2.1"), "its quantile at 0.5 is '2.1', expected a positive loss"),
    "nothing": (set_at((*QUANTILES, "0.5"), None), "its quantile at 0.5 is None"),
    "no number": (set_at((*QUANTILES, "0.5"), math.nan), "its quantile at 0.5 is nan"),
    "infinite": (set_at((*QUANTILES, "0.995"), math.inf), "its quantile at 0.995 is inf"),
    "huge": (set_at((*QUANTILES, "0.995"), 10**400), "its quantile at 0.995 is 1000"),
    "negative": (set_at((*QUANTILES, "0.005"), -1.0), "its quantile at 0.005 is -1"),
    "a truth value": (set_at((*QUANTILES, "0.5"), True), "its quantile at 0.5 is True"),
    "percent": (set_at(QUANTILES, {"5": 2.0, "50": 2.1, "95": 2.2}), "a probability '5', expected a number between 0"),
    "probabilities in words": (set_at(QUANTILES, {"low": 2.0, "high": 2.1}), "a probability 'low'"),
    "too few": (set_at(QUANTILES, {"0.4": 2.0, "0.6": 2.1}), "go from 0.4 to 0.6, expected 0.05 to 0.95 at least"),
    "no quantiles": (set_at(QUANTILES, {}), "its quantiles are {}"),
    "a list of quantiles": (set_at(QUANTILES, [1, 2]), "its quantiles are [1, 2]"),
    "no runs": (set_at(("runs",), []), "its runs are []"),
    "runs of numbers": (set_at(("runs",), [1.0]), "run 1 is 1, expected inputs and quantiles"),
    "inputs without a value": (set_at(("runs", 0, "inputs", "params"), None), "params of run 1 is None"),
    "inputs that are lists": (set_at(("runs", 0, "inputs", "params"), [1]), "params of run 1 is [1]"),
    "other inputs": (set_at(("runs", 1, "inputs"), {"flops": 1.0}), "run 2 has other inputs"),
    "no law": (set_at(("law",), ""), "its law is empty"),
    "a law that is a number": (set_at(("law",), 3), "its law is 3, expected text"),
    "a moment in words": (set_at(("registered",), "today"), "registered is 'today', expected a moment"),
    "no basis": (set_at(("rests_on",), None), "it rests on None"),
    "a weight above one": (set_at(("rests_on", "laws", 0, "weight"), 1.5), "weight of chinchilla is 1.5"),
    "problems of text": (set_at(("rests_on", "laws", 0, "problems"), "none"), "problems of chinchilla are 'none'"),
    "extrapolation of text": (set_at(("rests_on", "extrapolation"), "far"), "its extrapolation is 'far'"),
    "caveats of text": (set_at(("caveats",), "none"), "its caveats are 'none'"),
    "no number deep inside": (set_at(("rests_on", "seed"), math.nan), "it holds what JSON cannot"),
    "broken text": (set_at(("note",), "\ud800"), "it holds what JSON cannot"),
}


@pytest.mark.parametrize("name", ODD)
def test_a_forecast_that_is_none_is_refused_even_where_its_digest_fits(
    registered: bs.Registered, tmp_path: Path, name: str
) -> None:
    change, says = ODD[name]
    content = json.loads(json.dumps(registered.content))
    change(content)
    plain = json.dumps(content, sort_keys=True, ensure_ascii=False).encode(errors="surrogatepass")
    path = tmp_path / "forecast.json"
    path.write_text(json.dumps({**content, "digest": hashlib.sha256(plain).hexdigest()[:16]}))
    for call in (lambda: bs.Registered.read(path), lambda: bs.Registered(content)):
        with pytest.raises(bs.errors.DataError) as caught:
            call()
        assert says in str(caught.value) and str(caught.value).isprintable() and len(str(caught.value)) < 500


def test_a_plan_that_was_changed_is_not_registered(chinchilla_fit: bs.Fit) -> None:
    plan = bs.allocate(chinchilla_fit, 1e24).to_dict()
    for place, value, says in (
        (("loss_quantiles", "0.5"), "2.1", "its quantile at 0.5 is '2.1'"),
        (("loss_quantiles", "0.995"), 1.0, "its quantiles fall"),
        (("loss_quantiles",), {"0.01": 1.0, "0.99": 2.0}, f"it lacks some of {len(LEVELS)} quantiles"),
        (("plan", "params"), None, "its params is None"),
        (("plan", "tokens"), "many", "its tokens is 'many'"),
        (("plan",), 3, "its plan is 3"),
        (("loss_unit",), None, "its loss_unit is None"),
        (("given",), {"weight_bits": "six"}, "its given is {'weight_bits': 'six'}, expected numbers by input"),
        (("group",), ["x"], "its group is ['x'], expected names by column"),
        (("plan", "epochs"), 0.0, "its epochs are 0"),
        (("rests_on",), [], "it rests on []"),
        (("rests_on", "laws"), "chinchilla", "it rests on {"),
    ):
        changed = json.loads(json.dumps(plan))
        set_at(place, value)(changed)
        with pytest.raises(bs.errors.ForecastError) as caught:
            bs.preregister(changed)
        assert says in str(caught.value) and "bayes-scaling allocate" in str(caught.value)


def test_scores_whose_numbers_contradict_each_other_are_seen(registered: bs.Registered, forecast: bs.Forecast) -> None:
    score = bs.score_registered(registered, forecast.median(), now=LATER).to_dict(orient="records")[0]
    assert problem_of_score(score) == ""
    for name, value in (("pit", 1.5), ("loss", -1.0), ("median", 0.0), ("error", 3.0), ("inside_90", False)):
        assert problem_of_score({**score, name: value}) != ""


def test_a_score_that_contradicts_itself_does_not_count(
    registered: bs.Registered, forecast: bs.Forecast, tmp_path: Path
) -> None:
    path, scores = tmp_path / "record.jsonl", bs.score_registered(registered, forecast.median(), now=LATER)
    bs.TrackRecord.append(path, scores)
    first, second = path.read_text().splitlines()
    by_hand = {**json.loads(second), "pit": 1.5}
    by_hand.pop("sha256")
    path.write_text(f"{first}\n{json.dumps(by_hand)}\n")
    record = bs.TrackRecord.read(path)
    assert len(record.scores) == 1 and "its pit is 1.5, expected a probability" in record.unread[0]
