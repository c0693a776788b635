"""Commands on a fit that is pooled over groups."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from rich.text import Text

import bayes_scaling as bs
from bayes_scaling.cli._options import group_name, named
from bayes_scaling.cli.printing.layout import show, table
from tests.support import design, run


@pytest.fixture(scope="module")
def pooled_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pooled")
    tables = [
        bs.simulate("chinchilla", design(12, seed), "besiroglu2024", seed=seed).table.assign(
            lab=lab, run=lambda t, lab=lab: lab + t["run"]
        )
        for seed, lab in enumerate(["x", "y"])
    ]
    pd.concat(tables).to_csv(folder / "runs.csv", index=False)
    out = folder / "fit.nc"
    code, _, err = run(
        "fit",
        f"{folder}/runs.csv",
        "--law",
        "chinchilla",
        "--pool",
        "L_0=separate:lab",
        "--sampler",
        "laplace",
        "--out",
        str(out),
    )
    assert code in (0, 3), err
    return out


def test_a_pooled_fit_asks_for_the_group(pooled_file: Path) -> None:
    point = ("--params", "7e10", "--tokens", "1.4e12", "--unconverged")
    code, _, err = run("forecast", str(pooled_file), *point)
    assert code == 2 and "say the lab of each future run: x, y, or a new one" in err
    code, out, err = run("forecast", str(pooled_file), *point, "--at", "lab=x")
    assert code == 0, err
    assert "lab" in out


def test_a_budget_is_spent_on_one_group(pooled_file: Path) -> None:
    question = ("allocate", str(pooled_file), "--budget", "1e21", "--unconverged", "--json")
    code, _, err = run(*question)
    assert code == 2 and "say which lab is meant: x, y, or a new one" in err
    losses = []
    for lab in ("x", "y"):
        code, out, err = run(*question, "--at", f"lab={lab}")
        assert code == 0, err
        losses.append(json.loads(out)["plan"]["plan"]["expected_loss"])
        assert json.loads(out)["plan"]["group"] == {"lab": lab}
    assert losses[0] != losses[1]


def test_quantity_prints_what_a_law_says(pooled_file: Path) -> None:
    question = ("quantity", str(pooled_file), "params_opt", "--at", "flops=1e21,1e23", "--unconverged")
    code, out, err = run(*question, "--at", "lab=y")
    assert code == 0, err
    assert "median [params]" in out and "90% interval" in out
    code, out, _ = run(*question, "--at", "lab=y", "--json")
    points = json.loads(out)["points"]
    assert code == 0 and [point["flops"] for point in points] == [1e21, 1e23]
    assert all(point["low"] < point["median"] < point["high"] for point in points)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("fit", "{folder}/runs.csv", "--law", "chinchilla", "--pool", "alpha"),
            "cannot read --pool 'alpha'; expected alpha=partial:dataset",
        ),
        (
            ("fit", "{folder}/runs.csv", "--law", "chinchilla", "--pool", "alpha=partial:nothing"),
            "has no column 'nothing' to say which group",
        ),
        (
            ("fit", "{folder}/runs.csv", "--law", "chinchilla", "--pool", "B=partial:lab"),
            "'B' cannot be pooled: it follows from the others",
        ),
        (
            ("fit", "{folder}/runs.csv", "--law", "chinchilla", "--pool", "E=half:lab"),
            "pooling is 'half'; expected partial or separate",
        ),
        (
            ("fit", "{folder}/runs.csv", "--noise-rows", "some"),
            "noise rows is 'some'; expected independent or",
        ),
        (("fit", "{folder}/runs.csv", "--noise-start", "some"), "start is 'some'; expected learned, none"),
        (("fit", "{folder}/runs.csv", "--noise-start", "none"), "start is about training curves"),
        (
            ("fit", "{folder}/runs.csv", "--discrepancy-along", "tokens"),
            "along is 'tokens'; expected auto, size, params or params and batch",
        ),
        (
            ("fit", "{folder}/runs.csv", "--law", "chinchilla", "--discrepancy-along", "params and batch"),
            "the discrepancy runs along params and batch, and law chinchilla does not read batch_tokens",
        ),
        (("fit", "{folder}/runs.csv", "--after-warmup", "3"), "fraction is 3, expected a fraction"),
        (("quantity", "{folder}/fit.nc", "nothing", "--unconverged", "--at", "lab=x"), "has no quantity 'nothing'"),
        (("quantity", "{folder}/fit.nc", "params_opt", "--at", "flops"), "cannot read --at 'flops'"),
        (("forecast", "{folder}/fit.nc", "--at", "steps=1e5", "--at", "lab=x", "--unconverged"), "params is missing"),
    ],
)
def test_mistakes_with_groups_are_one_line(pooled_file: Path, arguments: tuple[str, ...], words: str) -> None:
    code, out, err = run(*(a.format(folder=pooled_file.parent) for a in arguments))
    assert code == 2 and out == "" and words in err, err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ["c4", "1", "20240101", "1.5", "a,b"])
def test_a_group_is_called_as_in_the_table(name: str) -> None:
    assert group_name(named([f"lab={name}"])["lab"]) == name


def test_names_of_data_do_nothing_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    odd = "\x1b]0;title\x07\x1b[31mred\u202e"
    show(table([odd], [[odd]], title=odd), Text(odd))
    assert capsys.readouterr().out.count("]0;title[31mred") == 4
    show(Text(odd))
    assert "\x1b" not in capsys.readouterr().out
