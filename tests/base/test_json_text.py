"""JSON as the standard has it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from bayes_scaling.base.files import write_table
from bayes_scaling.base.json_text import json_text
from bayes_scaling.base.numbers import number


def strict(text: str) -> object:
    """Read JSON that has no NaN and no Infinity."""

    def refuse(word: str) -> object:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_numbers_that_are_missing_or_infinite_are_null() -> None:
    content = {"a": float("nan"), "b": [np.float64("inf"), 1, True, "x", None], "c": (np.array([1.5, np.nan]),), 4: {}}
    assert strict(json_text(content)) == {"a": None, "b": [None, 1, True, "x", None], "c": [[1.5, None]], "4": {}}


def test_lines_of_a_table_have_null_for_infinity(tmp_path: Path) -> None:
    path = write_table(pd.DataFrame({"loss": [2.0, np.inf, np.nan]}), tmp_path / "t.jsonl")
    assert [strict(line) for line in path.read_text().splitlines()] == [{"loss": 2.0}, {"loss": None}, {"loss": None}]


def test_a_missing_number_prints_as_a_dash() -> None:
    assert number(float("nan")) == "-"
    assert number(float("inf")) == "inf"
