"""Warnings that many tasks would repeat."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any


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
