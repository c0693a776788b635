"""The cells of a run table: every one that is impossible gets one clear line."""

from __future__ import annotations

import csv
import datetime
import decimal
import fractions
import io
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_scaling import Runs
from bayes_scaling.data.naming import NUMERIC, SPELLINGS
from bayes_scaling.errors import DataError
from tests.data.run_tables import spoiled, table
from tests.support import refusal

NOT_NUMBERS: list[tuple[Any, str, str]] = [
    ("abc", "'abc' is not a number", "expected a plain number"),
    ("1,000,000", "'1,000,000' is not a number", "without separators"),
    ("1_000_000", "'1_000_000' is not a number", "without separators"),
    ("1 000 000", "'1 000 000' is not a number", "without separators"),
    ("3,5", "'3,5' is not a number", "decimal point"),
    ("70B", "'70B' is not a number", "raw units"),
    ("1.4 T", "'1.4 T' is not a number", "raw units"),
    ("70 billion", "'70 billion' is not a number", "raw units"),
    ("1e", "'1e' is not a number", "expected"),
    ("0x10", "'0x10' is not a number", "expected"),
    ("１２", "'１２' is not a number", "expected"),
    ("a\nb\x1b[31m", r"'a\nb\x1b[31m' is not a number", "expected"),
    ("\ud800", r"'\ud800' is not a number", "expected"),
    ("x" * 5000, "xxx... is not a number", "expected"),
    (True, "True is not a number", "expected"),
    (np.True_, "True is not a number", "expected"),
    (1 + 2j, "(1+2j) is not a number", "expected"),
    ([1.0], "[1.0] is not a number", "expected"),
    ({"a": 1}, "{'a': 1} is not a number", "expected"),
    (b"1", "b'1' is not a number", "expected"),
    (datetime.date(2025, 1, 1), "datetime.date(2025, 1, 1) is not a number", "expected"),
    (pd.Timestamp("2025-01-01"), "is not a number", "expected"),
    (pd.Timedelta("1s"), "is not a number", "expected"),
    (np.timedelta64(1, "s"), "is not a number", "expected"),
]
MISSING: list[Any] = [
    None,
    float("nan"),
    np.nan,
    pd.NA,
    pd.NaT,
    decimal.Decimal("NaN"),
    "",
    "  ",
    "nan",
    "NA",
    "N/A",
    "null",
    "-",
]
INFINITE: list[Any] = [float("inf"), float("-inf"), "inf", "-Infinity", "1e400", 10**400, np.longdouble("1e4000")]


@pytest.mark.parametrize(("cell", "what", "remedy"), NOT_NUMBERS, ids=lambda value: ascii(value)[:20])
def test_cells_that_are_no_number(cell: Any, what: str, remedy: str) -> None:
    message = refusal(lambda: Runs.from_frame(spoiled("tokens", cell)))
    assert message.startswith("the table, row 2, column tokens: ")
    assert what in message and remedy in message
    assert len(message) < 250


@pytest.mark.parametrize("cell", MISSING, ids=ascii)
def test_missing_cells(cell: Any) -> None:
    message = refusal(lambda: Runs.from_frame(spoiled("tokens", cell)))
    assert message.startswith("the table, row 2, column tokens: the value is missing: fill the cell or drop the row")


@pytest.mark.parametrize("cell", MISSING, ids=ascii)
def test_rows_without_a_loss_are_left_out_and_named(cell: Any) -> None:
    runs = Runs.from_frame(spoiled("loss", cell))
    assert runs.labels == ["run 0", "run 2", "run 3"]
    assert runs.warnings[0] == "1 row without a loss left out: row 2 of 4"
    assert runs.where(runs.loss < 4).warnings[0] == runs.warnings[0]


def test_what_else_is_missing_there_does_not_matter_and_later_rows_keep_their_numbers() -> None:
    frame = table(n=9, loss=[3.0, "N/A", 2.9, "-", None, 2.8, "nan", "", "null"], tokens=[1e9, None, 2e9] + [3e9] * 6)
    runs = Runs.from_frame(frame)
    assert len(runs) == 3 and runs.warnings[0] == "6 rows without a loss left out: rows 2, 4, 5, 7, 8 and 1 more of 9"
    bad = frame.assign(params=[1e7, 2e7, 4e7, 8e7, 1e8, "70M", 1e9, 1e9, 1e9])
    assert refusal(lambda: Runs.from_frame(bad)).startswith("the table, row 6, column params: '70M' is not a number")
    twice = pd.concat([frame, frame[:1]])
    assert "row 10 repeats row 1" in refusal(lambda: Runs.from_frame(twice))
    assert "row 1, column loss: the value is missing" in refusal(lambda: Runs.from_frame(table(loss=np.nan)))


@pytest.mark.parametrize("cell", INFINITE, ids=lambda cell: ascii(cell)[:12])
def test_infinite_cells(cell: Any) -> None:
    message = refusal(lambda: Runs.from_frame(spoiled("loss", cell)))
    assert "row 2, column loss: " in message and "infinite or too large" in message and "drop the row" in message


@pytest.mark.parametrize("name", NUMERIC)
@pytest.mark.parametrize(
    ("cell", "what"), [(0, "0 is zero"), (-2.5, "-2.5 is negative"), (1e60, "1e+60 is above 1e+50")]
)
def test_numbers_that_no_run_has(name: str, cell: float, what: str) -> None:
    message = refusal(lambda: Runs.from_frame(spoiled(name, cell, row=3)))
    assert f"row 4, column {name}: {what}" in message


@pytest.mark.parametrize("name", ["params", "tokens", "unique_tokens", "steps", "batch_tokens"])
def test_counts_below_one_are_in_another_unit(name: str) -> None:
    message = refusal(lambda: Runs.from_frame(spoiled(name, 0.07)))
    assert f"column {name}: 0.07 is below one: expected a count in raw units" in message


def test_further_bad_rows_are_counted() -> None:
    tokens = [1e9, np.nan, np.nan, np.nan]
    assert "row 2, column tokens" in refusal(lambda: Runs.from_frame(table(tokens=tokens)))
    assert "(and 2 more rows)" in refusal(lambda: Runs.from_frame(table(tokens=tokens)))
    assert "(and 1 more row)" in refusal(lambda: Runs.from_frame(table(loss=[3.0, -1, -1, 2.0])))


@pytest.mark.parametrize(
    "cells",
    [
        pd.Series([1, 2, 3, 4], dtype="Int64") * 10**7,
        pd.Series([1e7, 2e7, 3e7, 4e7], dtype="Float64"),
        pd.Series([10**7, 2 * 10**7, 3 * 10**7, 4 * 10**7], dtype="int64[pyarrow]"),
        pd.Series([1e7, 2e7, 3e7, 4e7], dtype="double[pyarrow]"),
        pd.Series([decimal.Decimal(i * 10**7) for i in range(1, 5)], dtype=pd.ArrowDtype(pa.decimal128(12))),
        pd.Series([1e7, 2e7, 3e7, 4e7], dtype="Sparse[float]"),
        pd.Series([1e7, 2e7, 3e7, 4e7], dtype=np.float32),
        pd.Series([1e7, 2e7, 3e7, 4e7], dtype=np.longdouble),
        pd.Series([1e7, 2e7, 3e7, 4e7]).astype("category"),
        pd.Series(["1e7", " 2E7 ", "+30000000", "40000000."], dtype="string"),
        pd.Series(["1e7", "2e7", "3e7", "4e7"]).astype("category"),
        pd.Series([10**7, "2e7", decimal.Decimal("3e7"), fractions.Fraction(40_000_000)], dtype=object),
        pd.Series([np.float32(1e7), np.int64(2e7), np.uint64(3e7), 4e7], dtype=object),
    ],
    ids=lambda cells: str(cells.dtype),
)
def test_every_kind_of_numeric_column(cells: pd.Series) -> None:
    runs = Runs.from_frame(table(params=cells))
    assert runs.table["params"].dtype == np.float64
    assert runs.column("params").tolist() == [1e7, 2e7, 3e7, 4e7]


@pytest.mark.parametrize(
    ("cells", "what"),
    [
        (pd.Series([True, False, True, True]), "row 1, column params: True is not a number"),
        (pd.Series([True, None, True, True], dtype="boolean"), "row 1, column params: True is not a number"),
        (pd.Series([1, 2, 3, 4], dtype=complex), "row 1, column params: (1+0j) is not a number"),
        (pd.Series(pd.date_range("2025-01-01", periods=4)), "row 1, column params: Timestamp"),
        (pd.Series([1, 2, 3, 4], dtype="timedelta64[s]"), "row 1, column params: Timedelta"),
        (pd.Series([1, None, 3, 4], dtype="Int64"), "row 2, column params: the value is missing"),
        (pd.Series([1.0, None, 3, 4], dtype="double[pyarrow]"), "row 2, column params: the value is missing"),
        (pd.Series(["1e7", "2e7", None, "4e7"], dtype="string"), "row 3, column params: the value is missing"),
        (pd.Series(["1e7", "2e7", "x", "4e7"]).astype("category"), "row 3, column params: 'x' is not a number"),
        (
            pd.Series([[1], [2], [3], [4]], dtype=pd.ArrowDtype(pa.list_(pa.int64()))),
            "row 1, column params: array([1])",
        ),
    ],
    ids=lambda value: str(getattr(value, "dtype", "")),
)
def test_kinds_of_columns_that_hold_no_numbers(cells: pd.Series, what: str) -> None:
    assert what in refusal(lambda: Runs.from_frame(table(params=cells)))


MISSING_TEXT = ["", " ", "nan", "NA"]
BAD_TEXT = [
    *MISSING_TEXT,
    "abc",
    "inf",
    "-inf",
    "-1",
    "0",
    "1,000",
    "7,5",
    "70B",
    "1e60",
    "1e400",
    "True",
    "0x1F",
]
BAD_TEXT += ["１２", "1_0", "--1", "1.2.3", "a\nb", "\x1b[31m", "'", '"', "\u2028", "=1+1", "1e-400"]


def bad_text(data: st.DataObject, name: str) -> str:
    """Draw a cell that is refused: a row without a loss is left out."""
    return data.draw(
        st.sampled_from([text for text in BAD_TEXT if name != "loss" or (text.strip() and text not in MISSING_TEXT)])
    )


@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_any_spoiled_cell_is_reported_with_its_own_row_and_column(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 12))
    row, name = data.draw(st.integers(0, n - 1)), data.draw(st.sampled_from(NUMERIC))
    cell = bad_text(data, name)
    frame = spoiled(name, cell, row, n)
    place = f"row {row + 1}, column {name}: "
    assert refusal(lambda: Runs.from_frame(frame)).startswith(f"the table, {place}")
    index = data.draw(st.permutations(range(100, 100 + n)))  # rows are counted, whatever the index says
    assert place in refusal(lambda: Runs.from_frame(frame.set_axis(index, axis="index")))


@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_any_spoiled_cell_of_a_csv_is_reported(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 12))
    row, name = data.draw(st.integers(0, n - 1)), data.draw(st.sampled_from(NUMERIC))
    path = tmp_path_factory.getbasetemp() / "spoiled.csv"
    buffer = io.StringIO()
    frame = spoiled(name, bad_text(data, name), row, n)
    csv.writer(buffer).writerows([list(frame), *frame.to_numpy().tolist()])
    path.write_bytes(buffer.getvalue().encode())
    assert refusal(lambda: Runs.read(path)).startswith(f"spoiled.csv, row {row + 1}, column {name}: ")


@settings(deadline=None, max_examples=80)
@given(
    source=st.text(max_size=300),
    name=st.text(max_size=200),
    cell=st.text(max_size=200) | st.floats() | st.integers() | st.none() | st.binary(max_size=200) | st.booleans(),
    read_as=st.sampled_from(list(SPELLINGS)),
)
def test_whatever_comes_the_message_is_one_line(source: str, name: str, cell: Any, read_as: str) -> None:
    frame = spoiled(read_as, cell).rename(columns={read_as: name})
    for columns in ({read_as: name}, {read_as: name + "?"}, None):
        try:
            runs = Runs.from_frame(frame, columns=columns, source=source)
        except DataError as error:
            assert str(error).isprintable() and len(str(error)) < 900
        else:
            assert all(line.isprintable() for line in (runs.source, *runs.notes, *runs.warnings))
