"""The command that spends a budget: what it prints, what it refuses."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import bayes_scaling as bs
from bayes_scaling.cli.printing.plans import plan_table
from tests.support import THREE, believed, run


@pytest.fixture(scope="module")
def folder(chinchilla_fit: bs.Fit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deciding")
    few = {name: getattr(chinchilla_fit, name) for name in ("draws", "stats")}
    dataclasses.replace(
        chinchilla_fit,
        unconstrained=chinchilla_fit.unconstrained[:, ::10],
        **{name: {key: values[:, ::10] for key, values in group.items()} for name, group in few.items()},
    ).save(folder / "fit.nc")
    chinchilla_fit.runs.table.to_csv(folder / "runs.csv", index=False)
    return folder


def test_a_plan_is_printed_with_what_it_may_lose(folder: Path) -> None:
    code, out, _ = run(
        "allocate", folder / "fit.nc", "--budget", "1e23", "--target", "2.0", "--limit", "params=1e9:2e10",
        "--compare-with", "Gopher=280e9:300e9",
    )  # fmt: skip
    words = " ".join(out.split())
    assert code == 0
    for part in (
        "maximise expected improvement over the incumbent", "plan 20.0B", "Train 20B parameters on",
        "twenty_tokens (*)", "Gopher (*)",
        "P(loss <= 2) =", "both by the laws' own trade-off of N for D;",
        "over draws, 90%, if the laws trade N for D rightly: params", "lose no more than", "5.04 times the budget",
    ):  # fmt: skip
        assert part in words, part


def test_everything_is_in_the_json(folder: Path) -> None:
    code, out, _ = run(
        "allocate", folder / "fit.nc", "--budget", "1e5", "--cost", "money", "--peak-flops", "989e12",
        "--utilisation", "0.3,0.4,0.5", "--price-per-gpu-hour", "2.5", "--serving-tokens", "1e12",
        "--serving-utilisation", "0.1", "--cost-quantile", "0.9", "--objective", "cvar:0.1", "--target", "2.3",
        "--candidates", "1e9,3e9,7e9", "--budgets", "5e4,1e5", "--json",
    )  # fmt: skip
    assert code == 0
    content = json.loads(out)
    plan = content["plan"]
    assert plan["plan"]["params"] in (1e9, 3e9, 7e9) and plan["plan"]["cost"] == pytest.approx(1e5)
    assert plan["unit"] == "USD" and plan["objective"] == "mean loss of the worst 0.1"
    assert [row["budget"] for row in content["budgets"]] == [5e4, 1e5]
    assert {row["params"] for row in content["budgets"]} <= {1e9, 3e9, 7e9}
    fit = bs.load_fit(folder / "fit.nc")
    cost = bs.costs.money(989e12, [0.3, 0.4, 0.5], 2.5, serving_tokens=1e12, serving_utilisation=0.1, quantile=0.9)
    same = bs.allocate(fit, 1e5, cost=cost, objective=bs.objectives.cvar(0.1), candidates=[1e9, 3e9, 7e9])
    assert plan["plan"]["params"] == same.params and plan["plan"]["value"] == same.value


def test_several_runs_probabilities_ladders_and_shapes(folder: Path) -> None:
    question = ("allocate", folder / "fit.nc", "--budget", "1e22")
    code, out, _ = run(
        *question, "--shapes", "24x3072,32x4096", "--context", "2048", "--ladder", "0.1", "--reserve", "0.05"
    )
    assert code == 0 and "recommended: 32 layers, width 4096" in out
    assert "A ladder for" in out and "reserve" in out
    code, out, _ = run(*question, "--runs", "2", "--target", "2.3", "--probabilities", "0.5,0.9", "--json")
    content = json.loads(out)
    assert code == 0 and [row["probability"] for row in content["smallest_budgets"]] == [0.5, 0.9]
    assert len(content["runs"]["runs"]) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--budget", "-1"), "the budget is -1 FLOPs"),
        (
            ("--budget", "1e22", "--utilisation", "0.4"),
            "flops does not take --utilisation VALUE; use it with gpu_hours or money",
        ),
        (("--budget", "1e22", "--serving-price", "2"), "flops does not take --serving-price VALUE; use it with money"),
        (("--budget", "1e5", "--cost", "hours"), "expected one of flops, gpu_hours, money, lifetime"),
        (
            ("--budget", "1e5", "--cost", "money"),
            "needs --peak-flops VALUE and --utilisation VALUE and --price-per-gpu-hour VALUE",
        ),
        (
            ("--budget", "1e5", "--cost", "gpu_hours", "--peak-flops", "989e12", "--utilisation", "40"),
            "write 0.4 for 40 percent",
        ),
        (
            (
                "--budget",
                "1",
                "--cost",
                "gpu_hours",
                "--peak-flops",
                "1e15",
                "--utilisation",
                "0.4",
                "--price-per-gpu-hour",
                "2",
            ),
            "does not take --price-per-gpu-hour VALUE; use it with money",
        ),
        (
            ("--budget", "1e22", "--objective", "luck"),
            "the objective is 'luck', expected one of expected_improvement, expected_loss",
        ),
        (("--budget", "1e22", "--objective", "loss_quantile"), "expected loss_quantile:PROBABILITY"),
        (("--budget", "1e22", "--objective", "cvar:5"), "write 0.05 for 5 percent"),
        (("--budget", "1e22", "--objective", "probability_of_target"), "give --target LOSS"),
        (("--budget", "1e22", "--probabilities", "0.5"), "--target LOSS"),
        (("--budget", "1e22", "--target", "2", "--probabilities", "50"), "write 0.5 for 50 percent"),
        (("--budget", "1e22", "--reserve", "0.5"), "add --ladder FRACTION"),
        (("--budget", "1e22", "--reserve", "0"), "add --ladder FRACTION"),
        (("--budget", "1e22", "--ladder", "5"), "write 0.05 for 5 percent"),
        (("--budget", "1e22", "--limit", "size=3"), "cannot read --limit 'size=3'"),
        (("--budget", "1e22", "--limit", "params=1e9:7B"), "'7B' is not a number"),
        (("--budget", "1e22", "--limit", "deadline_hours=5"), "give --limit step_seconds=VALUE too"),
        (("--budget", "1e22", "--limit", "params=:1e6", "--limit", "tokens=:1e9"), "relax one of the two"),
        (("--budget", "1e22", "--candidates", "1e9", "--shapes", "2x64"), "not both"),
        (
            ("--budget", "1e22", "--candidates", "1e9", "--target", "2", "--probabilities", "0.5"),
            "--probabilities does not choose among --candidates, only among any sizes: ask without --candidates",
        ),
        (("--budget", "1e22", "--shapes", "2x64", "--runs", "2"), "--runs does not choose among --shapes"),
        (("--budget", "1e22", "--compare-with", "Gopher"), "expected NAME=PARAMS:TOKENS"),
        (("--budget", "1e22", "--at", "weight_bits=8"), "weight_bits, which no law reads"),
        (("--budget", "1e22", "--at", "lab=x"), "expected one number"),
    ],
)
def test_mistakes_are_one_line(folder: Path, arguments: tuple[str, ...], says: str) -> None:
    code, out, err = run("allocate", folder / "fit.nc", *arguments)
    assert code == 2 and out == "" and len(err.strip().splitlines()) == 1
    assert says in err


def test_help_has_an_example_and_says_that_several_values_are_paired(folder: Path) -> None:
    code, out, _ = run("allocate", "--help")
    said = " ".join(out.replace("│", " ").split())
    assert code == 0 and "Example: bayes-scaling allocate" in said
    assert said.count("paired by position") == 1 and said.count("*") == 6  # five options, and what the mark means
    paired = ("--cost", "money", "--peak-flops", "989e12", "--utilisation", "0.2,0.4", "--price-per-gpu-hour", "2,4")
    code, out, _ = run("allocate", folder / "fit.nc", "--budget", "1e5", *paired, "--json")
    assert code == 0 and json.loads(out)["plan"]["cost_90"] == pytest.approx([1e5, 1e5])


@pytest.mark.slow
def test_runs_are_fitted_first(folder: Path) -> None:
    asked = ("--law", "chinchilla", "--budget", "1e21", "--objective", "expected_loss", "--json")
    code, out, err = run("allocate", folder / "runs.csv", *asked)
    assert code == 0, err
    low, high = json.loads(out)["plan"]["optimum_params_90"]
    assert 1e9 < low < high < 1e10


def printed(plan: bs.Plan) -> str:
    console = Console(width=200, file=io.StringIO())
    console.print(plan_table(plan))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_the_printed_median_is_that_of_the_json(chinchilla_fit: bs.Fit) -> None:
    plan = bs.allocate(chinchilla_fit, 1e23)
    choice = dataclasses.replace(plan.choice, wasted=np.array([0.1, 0.2, 0.4, 0.9]))
    assert choice.to_dict()["wasted_flops"] == pytest.approx(0.3)
    assert "30.0% (" in printed(dataclasses.replace(plan, choice=choice))


def test_batches_and_epochs_are_shown() -> None:
    text = printed(bs.allocate(believed("three_term", THREE), 1e21))
    assert "batch [tokens]" in text and "steps" in text and "batch_tokens" in text and "epochs" not in text


def test_a_ladder_holds_back_what_it_does_in_python(folder: Path) -> None:
    code, out, _ = run("allocate", folder / "fit.nc", "--budget", "1e22", "--ladder", "0.1", "--json")
    assert code == 0 and json.loads(out)["ladder"]["reserve"] == pytest.approx(0.05 * 1e22)


def test_a_target_that_takes_far_more_than_any_fitted_run_is_cautioned(folder: Path) -> None:
    arguments = ("forecast", folder / "fit.nc", "--params", "7e9", "--tokens", "1.4e11", "--target", "1.86")
    code, out, _ = run(*arguments)
    assert code == 0 and re.search(r"caution: flops \S+ is \S+ times the largest of the fitted runs", out)
    (said,) = json.loads(run(*arguments, "--json")[1])["required"]["cautions"]
    assert said in " ".join(out.split())
