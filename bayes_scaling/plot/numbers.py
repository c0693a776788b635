"""How numbers are written in figures and reports, by kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from bayes_scaling.base.messages import computed_percent
from bayes_scaling.plot.style import short_number

SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
NOTHING = "–"


def power_of_ten(value: float, digits: int = 3) -> str:
    """Return a number with its power of ten: 5.76 × 10²³, or just 10¹⁵ if the factor is 1."""
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    power = "10" + str(int(exponent)).translate(SUPERSCRIPT)
    mantissa = mantissa.rstrip("0").rstrip(".")
    return power if mantissa == "1" else f"{mantissa} × {power}"


def plain(value: float, digits: int = 3) -> str:
    """Return a number with some significant digits, in plain form if that is short, else with its power of ten."""
    short = value == 0 or 1e-3 <= abs(value) < 1e5
    return f"{float(f'{value:.{digits}g}'):g}" if short else power_of_ten(value, digits)


def loss(value: float) -> str:
    """Return a loss with three decimals, or with two significant digits if it is small."""
    return f"{value:.3f}" if abs(value) >= 0.1 or value == 0 else plain(value, 2)


def probability(value: float) -> str:
    """Return a probability in percent; only a certain event gets 0 % or 100 %."""
    return computed_percent(value).replace("%", " %")


def odds(value: float) -> str:
    """Return a probability that is a share of draws, in percent: a tenth of one at the ends, and nothing is certain."""
    if 0.005 <= value < 0.995:
        return probability(value)
    return computed_percent(min(max(value, 1e-9), 1 - 1e-9), 1).replace("%", " %")


TINY = 1e-4  # change of the loss below which only that is said


def quantile(value: float) -> str:
    """Return the quantile of a value in words."""
    return f"at the {100 * value:.0f} % quantile"


def percent(value: float) -> str:
    """Return a share in percent with two digits; 100 % only if it is exact."""
    return "> 99 %" if 0.995 <= value < 1 else f"{plain(100 * value, 2)} %"


def factor(value: float) -> str:
    """Return a factor, as in 3 times."""
    return f"{plain(value, 2) if value < 100 else short_number(value)} ×"


def change(value: float) -> str:
    """Return a change of the loss with two digits; a tiny one is written as below a bound."""
    return "< 0.0001" if 0 < value < TINY else f"{float(f'{value:.2g}'):f}".rstrip("0").rstrip(".")


def changed(value: float) -> str:
    """Return a change of the loss as it stands in a sentence."""
    return f"less than {limit(value)}" if value < TINY else change(value)


def bound(value: float) -> str:
    """Return the largest of several changes of the loss as it stands in a sentence."""
    return changed(value) if value < TINY else f"at most {change(value)}"


def limit(value: float) -> str:
    """Return a change of the loss behind words such as below and less than."""
    return change(max(value, TINY))


def small(value: float) -> str:
    """Return a difference with two digits, however small, so that it can be compared with others."""
    return plain(value, 2)


def signed(value: float) -> str:
    """Return a difference with its sign."""
    return f"{value:+.2f}"


def over(value: float) -> str:
    """Return a ratio as what it is above or below 1, in percent with its sign."""
    percent = 100 * (value - 1)
    return f"{percent:+,.0f} %" if abs(percent) >= 10 else f"{percent:+.1f} %"


def count(value: float) -> str:
    """Return a count with one letter for its size."""
    return short_number(value) if 1e-3 <= value < 9.995e14 else plain(value)


def cost(value: float) -> str:
    """Return an amount of a budget, whatever its unit."""
    return power_of_ten(value) if value >= 1e13 else count(value)


WRITERS: Mapping[str, Callable[[float], str]] = {
    "count": count,
    "flops": power_of_ten,
    "cost": cost,
    "loss": loss,
    "change": change,
    "changed": changed,
    "bound": bound,
    "limit": limit,
    "small": small,
    "signed": signed,
    "over": over,
    "probability": probability,
    "odds": odds,
    "quantile": quantile,
    "percent": percent,
    "factor": factor,
    "integer": "{:,.0f}".format,
    "three": "{:.3f}".format,
    "plain": plain,
    "ratio": small,
}


def written(value: float | None, kind: str) -> str:
    """Return a number as text; a dash if there is none."""
    return NOTHING if value is None or math.isnan(value) else WRITERS[kind](value)
