"""JSON as the standard has it: a number that is missing or infinite is null."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeGuard


def json_text(content: Any, *, indent: int | None = None, separators: tuple[str, str] | None = None) -> str:
    """Return plain values as JSON text; numbers that are not finite become null."""
    return json.dumps(nulled(content), indent=indent, separators=separators, ensure_ascii=False, allow_nan=False)


def nulled(value: Any) -> Any:
    """Return plain values as JSON can hold them: None for a number that is not finite, lists for tuples and arrays."""
    if hasattr(value, "tolist"):  # an array or a number of NumPy, which is not imported for this
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): nulled(one) for key, one in value.items()}
    return [nulled(one) for one in value] if isinstance(value, list | tuple) else value


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether a value is a finite number, no text and no truth value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False
