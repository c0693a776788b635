"""Fitting without a law: the laws that suit the columns, what each weighs and why, and what is left out."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.evaluate import fitting as _fitting
from bayes_scaling.evaluate import refits as _refits
from bayes_scaling.evaluate.candidates import FAST
from bayes_scaling.evaluate.defaults import NoiseAsked

LAWS = ["power_law:input=tokens", "delayed_power_law:input=tokens"]
QUICK = bs.Sampler(draws=500)


def curve(rows: int = 24) -> bs.Runs:
    truth = {"E": 2.0, "alpha": 0.4, "X_c": 1e10, "sigma": 0.004}
    grid = bs.grid(tokens=np.logspace(8.5, 11.5, 24)[:rows])
    return bs.simulate("power_law:input=tokens", grid, truth, noise=bs.Noise("normal"), seed=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("refits")


@pytest.fixture(scope="module")
def together(folder: Path) -> bs.Ensemble:
    """Two laws without a discrepancy to be quick."""
    return bs.fit(LAWS, curve(), discrepancy="none", noise="normal", sampler=QUICK, folder=folder)


def test_one_law_is_fitted_as_ever() -> None:
    from bayes_scaling.inference.fit import fit_law

    options: dict[str, Any] = {"noise": "normal", "discrepancy": "none", "sampler": bs.Sampler("laplace", draws=100)}
    ours, below = bs.fit(LAWS[0], curve(), **options), fit_law(LAWS[0], curve(), **options)
    np.testing.assert_array_equal(ours.unconstrained, below.unconstrained)


def test_several_laws_weigh_what_they_would_have_forecast(together: bs.Ensemble) -> None:
    table = together.to_frame()
    assert set(table["member"]) == set(LAWS) == set(together.weights) and table["refits"].tolist() == [3, 3]
    assert table["weight"].sum() == pytest.approx(1.0) and table["weight"].is_monotonic_decreasing
    assert together.evidence is not None and len(together.evidence.cuts) == 3
    assert together.evidence.why.startswith("fitted to tokens <= ") and "mean log score" in together.evidence.why
    assert table["why"][0] == "best"
    lower = table["log_score"][0] - table["log_score"][1]
    assert table["why"][1] == (f"scored {lower:.1f} nats lower" if lower >= 0.05 else "about as good")
    ahead = bs.forecast(together, tokens=[1e12, 1e13])
    assert set(ahead.members) == set(LAWS) and (ahead.median() > 1.9).all()


def test_refits_are_found_again(together: bs.Ensemble, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit_again(*_: Any, **__: Any) -> Any:
        raise AssertionError("nothing needs to be fitted")

    monkeypatch.setattr(_refits, "fit_law", fit_again)
    again = bs.fit(LAWS, curve(), discrepancy="none", noise="normal", sampler=QUICK, folder=folder)
    assert again.weights == together.weights
    points = again.points(tokens=1e12)
    np.testing.assert_array_equal(again.new_run(points).losses(0), together.new_run(points).losses(0))


def stopped(monkeypatch: pytest.MonkeyPatch, together: bs.Ensemble, bad: list[str]) -> list[Any]:
    """Let fits be those of an ensemble, some of which did not converge; return what was asked for."""
    asked: list[Any] = []

    def made(tasks: Any, _: Any) -> _refits.Measured:
        candidates = list({task.candidate.label: task.candidate for task in tasks}.values())
        cuts = tuple(dict.fromkeys(task.cut for task in tasks if isinstance(task, _refits.BelowCut)))
        asked.append(([one.label for one in candidates], [one.discrepancy for one in candidates], cuts))
        fits = {}
        for one in candidates:
            fit = together.fits[LAWS[0]] if one.label.startswith("power") else together.fits[LAWS[1]]
            far = dataclasses.replace(fit.diagnostics, rhat=1.5)
            fits[one.label] = dataclasses.replace(fit, diagnostics=far) if one.label in bad else fit
        return _refits.Measured(_refits.pd.DataFrame(), _refits.pd.DataFrame(), fits)

    monkeypatch.setattr(_fitting, "carried_out", lambda tasks, *_: [None] * len(tasks))
    monkeypatch.setattr(_fitting, "measured", made)
    return asked


def test_rough_refits_are_counted_beside_the_weight(
    together: bs.Ensemble, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one law all refits fail, of the other one of three; their weights stay what they are."""
    whole = _fitting.measured

    def rough(*given: Any) -> _refits.Measured:
        found = whole(*given)
        law = found.refits["candidate"] == LAWS[0]
        return dataclasses.replace(found, refits=found.refits.assign(converged=~law & (found.refits.index != 4)))

    monkeypatch.setattr(_fitting, "measured", rough)
    found = bs.fit(LAWS, curve(), discrepancy="none", noise="normal", sampler=QUICK, folder=folder)
    assert found.weights == together.weights
    why = found.to_frame().set_index("member")["why"]
    assert why[LAWS[0]].endswith(", 3 of 3 refits rough") and why[LAWS[1]].endswith(", 1 of 3 refits rough")


def test_a_law_of_one_input_is_fitted_with_a_rough_and_a_smooth_discrepancy(
    together: bs.Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = stopped(monkeypatch, together, [])
    found = bs.fit(curve(3))
    labels, kinds, cuts = asked[0]
    assert labels == [LAWS[0], f"{LAWS[0]}, trend", LAWS[1], f"{LAWS[1]}, trend"]
    assert kinds == ["brownian", "trend"] * 2 and cuts == ()
    assert found.label == f"ensemble of {LAWS[0]} 50%, {LAWS[1]} 50%" and set(found.weights.values()) == {0.25}
    assert found.evidence is not None and "too few runs to hold any out" in found.evidence.why


def test_other_laws_and_curves_of_many_runs_are_also_taken_to_be_exact() -> None:
    table = bs.grid(params=[1e8, 1e9], tokens=[1e9, 1e10, 1e11]).assign(loss=3.0)
    runs = bs.Runs.from_frame(table.assign(run=np.repeat(["a", "b"], 3)))
    for law in ("chinchilla", LAWS[0]):
        members = _fitting.members([law], "auto", "brownian", "auto", runs)
        assert [one.label for one in members] == [law, f"{law}, law alone"]
        assert [one.discrepancy for one in members] == ["brownian", "none"]
    assert len(_fitting.members([LAWS[0]], "auto", "none", "auto", runs)) == 1


def test_a_fit_that_did_not_converge_is_left_out(together: bs.Ensemble, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(monkeypatch, together, [LAWS[0]])
    with pytest.warns(bs.errors.BayesScalingWarning, match=rf"{LAWS[0]} did not converge \(R-hat 1\.5.*is left out"):
        found = bs.fit(curve(3))
    assert LAWS[0] not in found.weights and sum(found.weights.values()) == pytest.approx(1.0)
    table = found.to_frame().set_index("member")
    assert table["weight"][LAWS[0]] == 0 and table["why"][LAWS[0]].startswith("left out: it did not converge")


def test_where_nothing_converges_there_is_no_answer(together: bs.Ensemble, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(monkeypatch, together, [name + beside for name in LAWS for beside in ("", ", trend")])
    with pytest.raises(bs.errors.ConvergenceError, match="none of 4 fits converged, that of power_law"):
        bs.fit(curve(3))


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((LAWS,), {}, "there are no runs to fit; give the table"),
        (("power_law", "runs"), {"folder": "there"}, "folder keeps the refits of several laws; one law has none"),
        ((LAWS, "runs"), {"pooling": {"alpha": bs.partial("lab")}}, "pooling names parameters of one law"),
        (("runs", "runs"), {}, "law is a table of runs, and runs is another one"),
        (([], "runs"), {}, "no law to compare; name one or more"),
        ((["chinchilla"], "runs"), {}, "law chinchilla reads params, tokens, but "),
        ((LAWS, "runs"), {"priors": {}}, "there is no option priors; options are"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[Any, ...], options: dict[str, Any], words: str) -> None:
    given = [curve() if one == "runs" else one for one in arguments]
    with pytest.raises(bs.BayesScalingError) as caught:
        bs.fit(*given, **options)
    assert words in str(caught.value)


def test_a_baseline_is_no_member() -> None:
    huber = bs.evaluate.Candidate("point fit", bs.load_law(LAWS[0]), method="huber")
    with pytest.raises(bs.errors.LawError, match="point fit is a baseline, which has no posterior; compare"):
        bs.fit([huber], curve())


def test_a_sampler_object_and_noise_left_open_mean_what_their_names_mean(chinchilla_runs: bs.Runs) -> None:
    """As `fit` of the command line gives them, where `forecast` gives names."""
    laws = ["chinchilla", "power_law:input=tokens"]
    named = _fitting.members(laws, "auto", "brownian", "auto", chinchilla_runs)
    given = _fitting.members(laws, NoiseAsked(), bs.Discrepancy(), bs.Sampler(), chinchilla_runs)
    assert [one.label for one in named] == [one.label for one in given]
    for one, other in zip(named, given, strict=True):
        assert one.noise == other.noise
        assert other.held_out_sampler == bs.Sampler(FAST) and one.held_out_sampler == FAST
    assert [one.noise.scale for one in named[::2]] == ["growing", "constant"]
    asked = _fitting.members(laws, NoiseAsked(scale="constant"), "brownian", bs.Sampler("nuts"), chinchilla_runs)
    assert {one.noise.scale for one in asked} == {"constant"} and {one.held_out_sampler for one in asked} == {None}
