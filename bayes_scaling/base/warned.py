"""Warnings that point at whoever called this package, and those that many tasks would repeat."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bayes_scaling.errors import BayesScalingWarning

PACKAGE = str(Path(__file__).parents[1])


def warn_caller(message: str) -> None:
    """Warn at the line outside of this package that called it, however deep inside the reason was found."""
    warnings.warn(message, BayesScalingWarning, skip_file_prefixes=(PACKAGE,))


@contextlib.contextmanager
def each_warning_once() -> Iterator[None]:
    """Show each warning of what runs inside once, when it is first said, however many tasks say it."""
    shown: set[tuple[type[Warning], str]] = set()
    with warnings.catch_warnings():
        show = warnings.showwarning

        def first(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if (category, str(message)) not in shown:
                shown.add((category, str(message)))
                show(message, category, *where, **more)

        warnings.showwarning = first
        yield
