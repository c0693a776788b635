"""Wording: every message says what came, once, in the singular where there is one."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.base.messages import computed_percent, counted, percent
from bayes_scaling.laws import read_priors
from tests.support import THREE, believed, run


def test_a_count_has_its_noun_in_the_right_number() -> None:
    assert [counted(n, "run") for n in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]
    assert counted(1, "loss", "losses") == "1 loss" and counted(2, "loss", "losses") == "2 losses"


def test_what_cannot_be_told_apart_is_said_once() -> None:
    tokens = np.geomspace(1e9, 1e11, 12)
    table = pd.DataFrame({"params": 1e9, "tokens": tokens, "loss": 2 + 400 * tokens**-0.3})
    said = bs.evaluate.identifiability(bs.load_law("chinchilla"), bs.Runs.from_frame(table))
    assert len(set(said)) == len(said)
    assert any("cannot be told apart" in one for one in said)


def test_only_a_loss_is_infinite_because_a_run_diverged() -> None:
    table = {"params": ["1e309", "1e9"], "tokens": ["1e9", "1e10"], "loss": ["3", "2"]}
    with pytest.raises(bs.errors.DataError, match="column params: inf is infinite or too large: check the cell"):
        bs.Runs.from_frame(pd.DataFrame(table))
    table = {"params": ["1e8", "1e9"], "tokens": ["1e9", "1e10"], "loss": ["inf", "2"]}
    with pytest.raises(bs.errors.DataError, match="drop the row if the run diverged"):
        bs.Runs.from_frame(pd.DataFrame(table))


def test_a_run_to_compare_with_that_costs_too_little_is_named() -> None:
    ensemble = believed("chinchilla", {"E": 1.7, "A": 400.0, "B": 400.0, "alpha": 0.34, "beta": 0.28})
    with pytest.raises(bs.errors.PlanError, match="the run 'X' to compare with: a budget of 12 FLOPs"):
        bs.allocate(ensemble, 1e22, compare_with={"X": (1, 2)})


@pytest.mark.parametrize("amount", [10**24, 10**22, np.float64(1e22), np.int64(10**18)])
def test_a_budget_may_be_a_whole_number_of_any_length(amount: float) -> None:
    ensemble = believed("chinchilla", {"E": 1.7, "A": 400.0, "B": 400.0, "alpha": 0.34, "beta": 0.28})
    assert bs.allocate(ensemble, amount).budget == pytest.approx(float(amount))


SEEDS = [
    (-1, r"seed is -1 \(int\); expected a whole number from 0 to 2\*\*32 - 1"),
    (2**70, r"expected a whole number from 0 to 2\*\*32 - 1"),
    ("0", r"seed is '0' \(str\); expected a whole number"),
    (1.0, r"seed is 1 \(float\); expected a whole number"),
    (None, "seed is None; expected a whole number"),
    (True, r"seed is True \(bool\); expected a whole number"),
]


@pytest.mark.parametrize(("seed", "says"), SEEDS)
def test_a_seed_is_checked_in_one_place(seed: object, says: str) -> None:
    runs = bs.datasets.load()
    for call in (
        lambda: bs.fit("chinchilla", runs, seed=seed),  # type: ignore[arg-type]
        lambda: bs.simulate("chinchilla", runs, seed=seed),  # type: ignore[arg-type]
        lambda: bs.compare(["chinchilla"], runs, seed=seed),  # type: ignore[arg-type]
        lambda: bs.allocate(believed("three_term", THREE), 1e22, seed=seed),  # type: ignore[arg-type]
    ):
        with pytest.raises(bs.errors.ArgumentError, match=says):
            call()


@pytest.mark.parametrize("runs", [pd.DataFrame({"params": [1e9]}), "runs.csv", Path("runs.csv")])
def test_a_table_given_as_runs_says_how_to_read_it(runs: object) -> None:
    with pytest.raises(bs.errors.ArgumentError, match=r"expected Runs, as from Runs.from_frame\(frame\) or Runs.read"):
        bs.fit("chinchilla", runs)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("prior", "says"),
    [
        (
            dist.Normal(0.3, 0.1),
            r"Normal\(loc=0.3, scale=0.1\), allows all numbers, but alpha must be positive: ",
        ),
        (dist.Uniform(-1.0, 1.0), "allows numbers from -1 to 1, but alpha must be positive"),
        (dist.TruncatedNormal(0.3, 0.1, low=-0.1), "allows numbers from -0.1 to inf"),
        (dist.Poisson(3.0), "one of whole numbers; expected one of a number"),
        (dist.LogNormal(np.zeros(2), 1.0), r"one of arrays of shape \(2,\)"),
    ],
)
def test_a_prior_that_reaches_where_its_parameter_cannot_be_is_refused(prior: dist.Distribution, says: str) -> None:
    with pytest.raises(bs.errors.LawError, match=says):
        bs.load_law("chinchilla", priors={"alpha": prior})
    with pytest.raises(bs.errors.LawError, match="E .as E / L_0. lies between 0 and 1: take Beta"):
        bs.load_law("chinchilla").with_priors({"E": dist.LogNormal(0.0, 1.0)})


def test_priors_within_the_support_are_taken() -> None:
    for prior in (
        dist.LogNormal(-1.0, 0.3),
        dist.Gamma(2.0, 6.0),
        dist.Uniform(0.1, 0.9),
        dist.TruncatedNormal(0.3, 0.1, low=0.0),
        dist.HalfNormal(0.5),
    ):
        assert bs.load_law("chinchilla", priors={"alpha": prior}).overridden == ("alpha",)


def test_a_stray_key_in_a_priors_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "priors.toml"
    path.write_text(
        'beta = 1\n[priors]\nalpha = {distribution = "LogNormal", loc = -1.0, scale = 0.3}\n[prior]\nbeta = 2\n'
    )
    with pytest.raises(bs.errors.LawError, match=r"priors.toml has 'beta' outside of its table \[priors\]"):
        read_priors(path)
    path.write_text('[priors]\nalpha = {distribution = "Normal", loc = 0.3, scale = 0.1}\n')
    table = tmp_path / "runs.csv"
    bs.datasets.load().table.to_csv(table, index=False)
    code, _, said = run("fit", table, "--law", "chinchilla", "--priors", path)
    assert code == 2 and "allows all numbers, but alpha must be positive" in said
    study = {
        "data": {"file": str(table)},
        "laws": {"priors": {"chinchilla": {"alpha": {"distribution": "Normal", "loc": 0.3, "scale": 0.1}}}},
        "budget": {"amount": 1e22},
    }
    with pytest.raises(bs.errors.LawError, match="but alpha must be positive"):
        bs.Study.of(study).candidates(bs.datasets.load(), True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--law", "a", "--law", "b"], "--law is given twice; give it once"),
        (["--seed", "1", "--seed", "2"], "--seed is given twice"),
        (["--columns", ""], "--columns is empty; give a value, or leave it out"),
        (["--law", "../../etc/passwd"], "is not a file|no law file"),
    ],
)
def test_an_option_that_would_be_lost_is_refused(options: list[str], says: str, tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    bs.datasets.load().table.to_csv(table, index=False)
    code, _, said = run("fit", table, *options)
    assert code == 2
    assert re.search(says, said)


def test_only_a_certain_event_gets_a_hundred_percent() -> None:
    """Of a plan, the terminal said 100% where the report said > 99 %."""
    said = {0: "0%", 1e-9: "< 1%", 0.3: "30%", 0.994: "99%", 1 - 1e-15: "> 99%", 1: "100%"}
    assert {value: computed_percent(value) for value in said} == said
    assert [computed_percent(value, 1) for value in (1e-9, 0.9994, 0.9996, 1)] == [
        "< 0.1%",
        "99.9%",
        "> 99.9%",
        "100.0%",
    ]
    assert [percent(value) for value in (0.9, 0.07, 0.975, 0.9999)] == ["90%", "7%", "97.5%", "99.99%"]
