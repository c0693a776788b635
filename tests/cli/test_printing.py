"""How tables are printed: no number is broken, however narrow the terminal."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console, RenderableType

import bayes_scaling as bs
from bayes_scaling.base.numbers import spans
from bayes_scaling.cli.printing.fits import fit_summary
from bayes_scaling.cli.printing.laws import law_list
from bayes_scaling.cli.printing.layout import headed, table, unit_of
from bayes_scaling.laws.catalogue import catalogue

ROWS = [["chinchilla, law alone", 2.57e6, 1.017, "0.964 to 1.039", "scored 1.2 nats lower"],
        ["nesting", 4e7, 1.02, "0.963 to 1.030", "best"]]  # fmt: skip
HEADERS = ("law", "params", "median [nats/byte]", "90% one new run", "why")


def printed(sheet: RenderableType, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    console.print(sheet)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_a_table_that_fits_is_a_table() -> None:
    lines = printed(table(HEADERS, ROWS, title="two laws"), 120)
    assert lines[0] == "two laws" and all(header in lines[2] for header in HEADERS)
    assert "chinchilla, law alone    2.57M                1.017   0.964 to 1.039" in lines[4]
    assert "40.0M" in lines[5] and "1.020" in lines[5]


@pytest.mark.parametrize("width", range(40, 121, 4))
def test_no_number_and_no_range_is_broken(width: int) -> None:
    lines = printed(table(HEADERS, ROWS), width)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= width
    for whole in ("2.57M", "40.0M", "1.017", "1.020", "0.964 to 1.039", "0.963 to 1.030", "chinchilla,", "[nats/byte"):
        assert whole in text or (whole == "[nats/byte" and "nats/byte" in text), (width, whole)


def test_what_is_wider_than_the_terminal_is_a_paragraph_for_each_row() -> None:
    lines = printed(table(HEADERS, ROWS, title="two laws"), 50)
    assert lines[:2] == ["two laws", "chinchilla, law alone"]
    assert lines[2] == "  params 2.57M, median 1.017 nats/byte,"
    assert lines[3] == "  90% one new run 0.964 to 1.039,"
    planned = table(("params", "tokens", "loss"), [[4e6, 4e7, 1.0]], keys=2)
    assert printed(planned, 18) == ["params 4M,", "tokens 40M", "  loss 1", ""]


def test_what_is_not_there_is_left_out_of_a_paragraph() -> None:
    assert printed(table(("run", "loss", "a remark"), [["a", None, ""]]), 8) == ["a", ""]


def test_units_in_words() -> None:
    assert headed("median", "1") == "median" and headed("cost", "USD") == "cost [USD]"
    assert unit_of("loss", "nats/byte") == "nats/byte" and unit_of("1", "nats/byte") == "" and unit_of("B", "x") == "B"
    assert spans([], []) == []


def test_the_catalogue_is_whole_on_a_narrow_terminal() -> None:
    found = catalogue()
    lines = printed(law_list(found), 80)
    assert "…" not in "".join(lines) and max(map(len, lines)) <= 80
    assert all(any(line.lstrip().startswith(entry.law.name) for line in lines) for entry in found)


@pytest.mark.parametrize("groups", [3, 14])
def test_a_fit_of_many_groups_is_summed_up(groups: int) -> None:
    rng = np.random.default_rng(0)
    size, group = np.exp(rng.uniform(np.log(1e7), np.log(1e10), 6 * groups)), np.arange(6 * groups) % groups
    level = 1 + 0.02 * group
    loss = level * (1.8 + 400 / size**0.35) * np.exp(0.003 * rng.standard_normal(len(size)))
    frame = pd.DataFrame({"params": size, "loss": loss, "corpus": [f"c{i:02d}" for i in group]})
    pooling = {"L_0": bs.partial("corpus")}
    fit = bs.fit(
        "power_law:input=params", bs.Runs.from_frame(frame), pooling=pooling, sampler=bs.Sampler("laplace", draws=500),
        discrepancy="none", progress=False,
    )  # fmt: skip
    lines = printed(fit_summary(fit), 160)
    problems = [i for i, line in enumerate(lines) if line.startswith("NOT CONVERGED")]
    (header,) = (i for i, line in enumerate(lines) if line.split()[:2] == ["parameter", "median"] and "5%" in line)
    assert len(problems) == len(fit.problems) and all(i < header for i in problems)
    named = [line.split()[0] for line in lines[header + 2 :] if line.strip()]
    assert named.index("L_0_sd") < len(fit.law_names) and named.index("alpha") < named.index("sigma")
    assert any(name.startswith("E[") for name in named) == (groups == 3)
    if groups == 14:
        (said,) = (line for line in lines if line.split()[:2] == ["E", "14"])
        assert "(c00)" in said and said.index("(c00)") < said.index("(c13)")
        assert "--json has the posterior of every group" in lines
    else:
        assert named.index("L_0_sd") < named.index("E[c00]")
