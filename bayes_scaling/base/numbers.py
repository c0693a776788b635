"""How numbers are written in the terminal and in sentences: sizes as in pictures, numbers of one column alike."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

MISSING = "-"  # for a number that is not there
MOST_DIGITS = 7  # of the ends of a narrow range
POWERS_FROM = 1e14  # values from here on are written with a power of ten instead of a letter
LETTERS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
FLOPS = "FLOPs"
LETTERS_FROM = 1e6  # where no value of a column is larger, no letter


def number(value: float, digits: int = 4, powers: bool = False) -> str:
    """Write a number with some significant digits, large ones with a letter or a power of ten; a dash if there is none.

    Trailing zeros are left out: 4M, 2.57B, 9.6e14.
    """
    return alike([value], digits, powers)[0]


def amount(value: float, unit: str, digits: int = 3) -> str:
    """Write an amount with its unit: 2M USD, and 1.8e13 FLOPs, which have no letter."""
    return f"{number(value, digits, unit == FLOPS)} {unit}"


def alike(values: Sequence[float], digits: int = 4, powers: bool = False) -> list[str]:
    """Write the numbers of one column: with as many decimals if they are of one size, without zeros that all end in.

    Parameters
    ----------
    powers : whether large numbers have a power of ten whatever their size, as FLOPs do
    """
    known = [abs(value) for value in values if value != 0 and math.isfinite(value)]
    if not known:
        return [_odd(value) for value in values]
    most, least = max(known), min(known)
    if 1e-4 <= most < 1e6 and most < 100 * least:
        decimals = max(digits - 1 - math.floor(math.log10(most)), 0)
        texts = [f"{float(f'{value:.{digits}g}'):.{decimals}f}" for value in known]
        while decimals and all(text.endswith("0") for text in texts):
            decimals, texts = decimals - 1, [text[:-1] for text in texts]
        return [_odd(v) if _is_odd(v) else f"{float(f'{v:.{digits}g}'):.{decimals}f}" for v in values]
    if most < LETTERS_FROM:
        return [_odd(value) if _is_odd(value) else _small(value, digits) for value in values]
    digits = digits if digits <= 3 else digits - 1
    kept = max(_significant(value, digits) for value in known if value >= 1e3)
    return [
        _odd(value) if _is_odd(value) else _large(value, digits, kept, powers or most >= POWERS_FROM)
        for value in values
    ]


def spans(lows: Iterable[float], highs: Iterable[float], digits: int = 4) -> list[str]:
    """Write the ranges of one column: 0.964 to 1.039; with more digits, up to seven, where those tell ends apart."""
    low, high = [float(value) for value in lows], [float(value) for value in highs]
    written = [_ends(low, high, more) for more in range(digits, max(digits, MOST_DIGITS) + 1)]
    told = [sum(a != b for a, b in pairs) for pairs in written]
    return [f"{a} to {b}" for a, b in written[told.index(max(told))]]


def _ends(low: Sequence[float], high: Sequence[float], digits: int) -> list[tuple[str, str]]:
    texts = alike([*low, *high], digits)
    return list(zip(texts[: len(low)], texts[len(low) :], strict=True))


def span(low: float, high: float, digits: int = 4) -> str:
    """Write one range."""
    return spans([low], [high], digits)[0]


def _is_odd(value: float) -> bool:
    return value == 0 or not math.isfinite(value)


def _odd(value: float) -> str:
    return MISSING if math.isnan(value) else f"{value:g}"


def _significant(value: float, digits: int) -> int:
    """Return how many significant digits a number has, up to some."""
    mantissa = f"{abs(value):.{digits - 1}e}".partition("e")[0]
    return len(mantissa.rstrip("0").replace(".", "")) or 1


def _large(value: float, digits: int, kept: int, powers: bool) -> str:
    """Write a number of a column of large ones, with ``kept`` significant digits, zeros at the end included."""
    size, sign = float(f"{abs(value):.{digits}g}"), "-" if value < 0 else ""
    if powers and size >= LETTERS_FROM:
        mantissa, _, exponent = f"{size:.{kept - 1}e}".partition("e")
        return f"{sign}{mantissa}e{int(exponent)}"
    for scale, letter in LETTERS:
        if size >= scale:
            scaled = size / scale
            return f"{sign}{scaled:.{max(kept - 1 - math.floor(math.log10(scaled)), 0)}f}{letter}"
    return _small(value, digits)


def _small(value: float, digits: int) -> str:
    """Write a number with some significant digits, without zeros at the end."""
    size, sign = float(f"{abs(value):.{digits}g}"), "-" if value < 0 else ""
    if size < 1e-4:
        mantissa, _, exponent = f"{size:.{digits - 1}e}".partition("e")
        return f"{sign}{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    text = f"{size:.{max(digits - 1 - math.floor(math.log10(size)), 0)}f}"
    return sign + (text.rstrip("0").rstrip(".") if "." in text else text)
