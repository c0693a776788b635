"""A progress bar that appears only on a terminal, and only for work that takes a while."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

PATIENCE = 2.0  # seconds before a bar is shown


type Progress = Callable[[str, float], None]
"""Called with a stage and the fraction of it that is done."""


def silent(stage: str, fraction: float) -> None:
    """Show nothing."""


@contextlib.contextmanager
def progress_bar(title: str, shown: bool | None = None) -> Iterator[Callable[[str, float], None]]:
    """Yield a callback ``(stage, fraction)`` that updates a bar on standard error.

    Parameters
    ----------
    title : what is being done
    shown : True or False; by default only when standard error is a terminal
    """
    if shown is False or (shown is None and not sys.stderr.isatty()):
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task(title, total=None)
    timer = threading.Timer(PATIENCE, bar.start)
    timer.daemon = True
    timer.start()

    def update(stage: str, fraction: float) -> None:
        bar.update(task, description=f"{title}: {stage}", total=1.0, completed=fraction)

    try:
        yield update
    finally:
        timer.cancel()
        timer.join()
        bar.stop()
