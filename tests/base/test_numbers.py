"""Numbers in the terminal and in sentences."""

from __future__ import annotations

import math

import pytest

from bayes_scaling.base.numbers import alike, amount, number, span, spans


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4e6, "4M"), (2.57e9, "2.57B"), (9.6e14, "9.6e14"), (1e15, "1e15"), (1.4e12, "1.4T"), (-2e7, "-20M"),
        (6894.0, "6894"), (99_890.0, "99890"), (1.0, "1"), (1.0324, "1.032"), (0.0, "0"), (9.055e-17, "9.055e-17"),
        (math.nan, "-"), (math.inf, "inf"), (999_999.9, "1000000"),
    ],
)  # fmt: skip
def test_one_number(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1.017, 1.02, 1.196], ["1.017", "1.020", "1.196"]),  # a zero at the end stays where others have a digit
        ([0.5, 0.9], ["0.5", "0.9"]),
        ([4e6, 4e7], ["4M", "40M"]),
        ([2.57e6, 1e7, 3.238e5], ["2.57M", "10.0M", "324k"]),
        ([5e13, 1.2e15], ["5.0e13", "1.2e15"]),  # one form for all
        ([25.24, 3.782, 26020.0], ["25.24", "3.782", "26020"]),
        ([math.nan, 0.0, 1.0], ["-", "0", "1"]),
    ],
)
def test_numbers_of_a_column_are_alike(values: list[float], texts: list[str]) -> None:
    assert alike(values) == texts


def test_flops_have_powers_of_ten() -> None:
    assert amount(1.8e13, "FLOPs") == "1.8e13 FLOPs" and amount(2e6, "USD") == "2M USD"
    assert alike([3.91e12, 2e13], powers=True) == ["3.91e12", "2.00e13"]


def test_ranges() -> None:
    assert spans([0.976, 0.9633], [1.028, 1.03]) == ["0.976 to 1.028", "0.963 to 1.030"]
    assert span(1.299e6, 4.466e6) == "1.30M to 4.47M" and span(2.0, math.inf) == "2 to inf"


def test_ends_of_narrow_ranges_are_told_apart() -> None:
    assert span(2.49996, 2.50004) == "2.49996 to 2.50004" and span(1.30001e9, 1.30002e9) == "1.30001B to 1.30002B"
    assert spans([2.49996, 1.2], [2.50004, 1.3]) == ["2.49996 to 2.50004", "1.20000 to 1.30000"]
    assert span(2.5, 2.5) == "2.5 to 2.5" and span(2.5, 2.5 + 1e-9) == "2.5 to 2.5"
    assert spans([2.4, 2.5], [2.4, 2.5 + 1e-9]) == ["2.4 to 2.4", "2.5 to 2.5"]
