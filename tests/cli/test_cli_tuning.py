"""The command that chooses learning rate and batch, and what ``check`` says of tuning."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import bayes_scaling as bs
from tests.support import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the bundled search for rates as a table, and a fit of it."""
    path = tmp_path_factory.mktemp("tune")
    table = bs.datasets.load("stdlib_rates").table.rename(columns={"learning_rate": "peak_lr"})
    table.to_csv(path / "sweep.csv", index=False)
    sampler = ("--sampler", "laplace", "--discrepancy", "none")
    code, _, _ = run("fit", path / "sweep.csv", "--law", "tuning", *sampler, "--out", path / "fit.nc")
    assert code in (0, 3)
    return path


RUN = ("--params", "1e5", "--tokens", "5e6", "--unconverged")


def test_tune_prints_the_choice_and_published_rules(folder: Path) -> None:
    code, out, _ = run("tune", folder / "fit.nc", *RUN)
    assert code == 0 and out.startswith("Train with a peak learning rate of")
    for word in ("recommended", "steplaw2025", "rate x 2", "The best of several runs", "how far sizes lie off"):
        assert word in out
    code, out, _ = run("tune", folder / "fit.nc", *RUN, "--batch-tokens", "2048", "--json")
    content = json.loads(out)
    assert code == 0 and content["fixed_batch"] and content["batch_tokens"] == 2048
    assert content["rate_90"][0] < content["rate"] < content["rate_90"][1]


def test_tune_refuses_what_it_cannot_answer(folder: Path) -> None:
    code, _, err = run("tune", folder / "fit.nc", *RUN, "--at", "steps=3")
    assert code == 2 and "--at steps is no group of this fit" in err
    code, _, err = run("tune", folder / "fit.nc", *RUN, "--within", "5")
    assert code == 2 and "write 0.05 for 5 percent" in err
    plain = folder / "plain.csv"
    bs.datasets.load("stdlib_rates").table.drop(columns="learning_rate").to_csv(plain, index=False)
    code, _, err = run("tune", plain, *RUN)
    assert code == 2 and "plain.csv has no peak_learning_rate" in err and "\n" not in err.strip()


def test_check_says_what_tuning_does_to_a_table(folder: Path) -> None:
    code, out, _ = run("check", folder / "sweep.csv", "--law", "tuning")
    assert code == 0 and "9 of 9 cells of params and tokens have runs with several learning rates" in " ".join(
        out.split()
    )
    _, out, _ = run("check", folder / "sweep.csv", "--json")
    content = json.loads(out)
    assert content["tuning"]["several"] == 9 and content["tuning"]["best_of"]["1"] > content["tuning"]["best_of"]["2"]


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        ({"peak_lr": 1e-3}, (), "all fitted runs have the peak learning rate 0.001"),
        ({"batch_tokens": 128, "steps": 2000, "tokens": 256_000}, (), "fix it, --batch-tokens TOKENS"),
        ({"peak_lr": "high"}, (), "(read as peak_learning_rate): 'high' is not a number"),
        ({"peak_lr": -1}, (), "-1 is negative"),
        ({}, ("--law", "chinchilla"), "no law here has a best learning rate (chinchilla reads params, tokens)"),
        ({}, ("--within", "5"), "write 0.05 for 5 percent"),
        ({}, ("--batch-tokens", "1e9"), "more than the 5e+06 tokens of the run"),
        ({}, ("--batch-tokens", "0.1"), "batch_tokens is 0.1, expected a count in raw units, at least 1"),
    ],
)
def test_a_table_that_cannot_say_is_refused_before_it_is_fitted(
    folder: Path, tmp_path: Path, change: dict[str, object], options: tuple[str, ...], says: str
) -> None:
    table = pd.read_csv(folder / "sweep.csv").drop(columns="flops").assign(**change)
    table.assign(run=range(len(table))).to_csv(tmp_path / "sweep.csv", index=False)
    code, _, err = run("tune", tmp_path / "sweep.csv", *RUN, *options)
    assert code == 2 and says in err and "\n" not in err.strip()


@pytest.mark.parametrize(("size", "says"), [("1e-9", "expected a count in raw units"), ("1e300", "more than any run")])
def test_sizes_that_no_run_has_are_refused(folder: Path, size: str, says: str) -> None:
    code, _, err = run("tune", folder / "fit.nc", "--params", size, "--tokens", "5e6", "--unconverged")
    assert code == 2 and says in err
    code, _, err = run("tune", folder / "fit.nc", *RUN, "--law", "chinchilla")
    assert code == 2 and "fit.nc was fitted with tuning, not with chinchilla: leave out --law" in err
