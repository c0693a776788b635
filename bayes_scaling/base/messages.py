"""Wording of messages: a message stays one readable line, whatever text a table or a user puts in it."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np

from bayes_scaling.errors import BayesScalingError, ForecastError


def plain(text: str, limit: int = 80) -> str:
    """Return a name unchanged if it prints on one line, else quoted and escaped; long names are cut."""
    if not text or not text.isprintable() or text != text.strip():
        return shown(text, limit)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def shown(value: Any, limit: int = 80) -> str:
    """Return a value as Python would write it, on one line, cut at about ``limit`` characters."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return f"{value:.12g}"
    try:
        text = repr(value[: limit + 1] if isinstance(value, str | bytes) else value)
    except Exception:  # an integer of thousands of digits, or an object whose own repr fails
        text = f"a {type(value).__name__}"
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def printing(text: str) -> str:
    """Return lines of text without characters that a terminal would act on: escapes, changes of direction."""
    if text.isprintable():
        return text
    seen = (c if c.isprintable() or c == "\n" or unicodedata.category(c) == "Zs" else " " * c.isspace() for c in text)
    return "".join(seen)


def listed(names: Iterable[Any], limit: int = 30) -> str:
    """Return names with commas between them, the first ``limit`` of them."""
    texts = [plain(str(name)) for name in names]
    more = f" and {len(texts) - limit} more" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + more if texts else "no columns"


def counted(number: int, one: str, several: str = "") -> str:
    """Return a number with its noun: ``1 run``, ``2 runs``; irregular plurals are given."""
    return f"{number} {one}" if number == 1 else f"{number} {several or f'{one}s'}"


def encodable(text: str) -> bool:
    """Return whether text can be written to a file: half of a surrogate pair, which JSON allows, cannot."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


def folded(name: str) -> str:
    """Return a column name in lower case, with underscores for blanks, hyphens and slashes, to compare spellings."""
    return re.sub(r"[\s/-]+", "_", name.strip().lower())


def percent(probability: float) -> str:
    """Return the probability of a band in percent, with all of its digits: 90%, 97.5% or 99.99%."""
    return f"{100 * probability:.12g}%"


def computed_percent(value: float, digits: int = 0) -> str:
    """Return a probability that was worked out in percent, with some decimals; only a certain event gets 0% or 100%."""
    share, least = 100 * value, 10.0**-digits
    if value < 1 and share >= 100 - least / 2:
        return f"> {100 - least:.{digits}f}%"
    if value > 0 and share <= least / 2:
        return f"< {least:.{digits}f}%"
    return f"{share:.{digits}f}%"


def checked_probability(
    value: float, what: str = "probability", error: type[BayesScalingError] = ForecastError
) -> float:
    """Return a number strictly between 0 and 1; the error says when it looks like a percentage."""
    if not 0 < value < 1:
        hint = f"; write {value / 100:g} for {value:g} percent" if 1 <= value < 100 else ""
        raise error(f"{what} is {value:g}, expected a fraction between 0 and 1{hint}")
    return float(value)


def equal_tails(probability: float, error: type[BayesScalingError] = ForecastError) -> tuple[float, float]:
    """Return the quantiles at the ends of the equal-tailed interval that holds a probability."""
    tail = (1 - checked_probability(probability, error=error)) / 2
    return tail, 1 - tail


def checked_loss(value: float, unit: str = "", what: str = "target loss") -> float:
    """Return a target loss, which is positive and finite."""
    if not (math.isfinite(value) and value > 0):
        raise ForecastError(f"{what} is {value:g}, expected a positive number{f' in {unit}' if unit else ''}")
    return float(value)
