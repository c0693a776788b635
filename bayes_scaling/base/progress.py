"""One progress bar per long piece of work, only on a terminal: what is being done, how much is, when it may end.

Work inside of other work has no bar of its own: it moves that of the outermost.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import sys
import threading
import time
from collections.abc import Callable, Iterator

PATIENCE = 2.0  # seconds before a bar is shown
WIDE = 100  # columns of a terminal from which on there is room for a bar beside its words
INSIDE = 0.95  # share of a part that work inside of it may fill: the last of it is for what comes after

type Progress = Callable[[str, float], None]
"""Called with a stage and the fraction of it that is done."""

_OUTER: contextvars.ContextVar[Progress | None] = contextvars.ContextVar("progress of the work around", default=None)


def silent(stage: str, fraction: float) -> None:
    """Show nothing."""


@contextlib.contextmanager
def progress_bar(title: str, shown: bool | None = None) -> Iterator[Progress]:
    """Yield a callback ``(stage, fraction)`` that updates a bar on standard error.

    Parameters
    ----------
    title : what is being done
    shown : True or False; by default only when standard error is a terminal. Work inside of other work moves the bar
        of that, if it has one
    """
    outer = _OUTER.get()
    if outer is not None:
        yield outer
        return
    if shown is False or (shown is None and not sys.stderr.isatty()):
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
    from rich.table import Column
    from rich.text import Text

    pace = Pace(time.monotonic())

    class Left(ProgressColumn):
        """When it may end; rich asks about ten times a second."""

        def render(self, task: Task) -> Text:
            return Text(pace.words(time.monotonic()))

    console = Console(stderr=True)
    words = TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1))
    columns: list[ProgressColumn] = [SpinnerColumn(), words]
    columns += [BarColumn()] if console.width >= WIDE else []
    columns += [TimeElapsedColumn(table_column=Column(no_wrap=True)), Left(table_column=Column(no_wrap=True))]
    bar = Progress(*columns, console=console, transient=True, expand=True)
    row = bar.add_task(title, total=None)
    timer = threading.Timer(PATIENCE, bar.start)
    timer.daemon = True
    timer.start()

    def update(stage: str, fraction: float) -> None:
        pace.reached(fraction, time.monotonic())
        bar.update(row, description=f"{title}: {stage}", total=1.0, completed=fraction)

    try:
        yield update
    finally:
        timer.cancel()
        timer.join()
        bar.stop()


@contextlib.contextmanager
def part_of(report: Progress, stage: str, begin: float, end: float) -> Iterator[None]:
    """Let progress of the work inside move a bar between two fractions, never back."""
    furthest = begin

    def inside(what: str, fraction: float) -> None:
        nonlocal furthest
        furthest = max(furthest, begin + INSIDE * fraction * (end - begin))
        report(f"{stage}: {what}" if stage else what, furthest)

    token = _OUTER.set(inside)
    try:
        yield
    finally:
        _OUTER.reset(token)


@dataclasses.dataclass
class Pace:
    """How fast work goes, and so how long the rest takes.

    The first part often compiles what the others only run, so the pace is that since the first part was done.

    Attributes
    ----------
    begun : when it began, in seconds
    first, last : when the first part was done, and the last one so far: seconds and fraction
    """

    begun: float
    first: tuple[float, float] = (0.0, 0.0)
    last: tuple[float, float] = (0.0, 0.0)

    def reached(self, fraction: float, now: float) -> None:
        """Note that a fraction is done; a smaller one than before begins anew."""
        if fraction < self.last[1]:
            self.begun, self.first, self.last = now, (0.0, 0.0), (0.0, 0.0)
        if fraction > self.last[1]:
            self.last = (now, fraction)
            self.first = self.first if self.first[1] else self.last

    def left(self, now: float) -> float | None:
        """Return about how many seconds the rest takes; None before anything is done."""
        (since, part), (then, done) = self.first, self.last
        if not done:
            return None
        if done == part:
            since, part = self.begun, 0.0
        return max((1 - done) * (then - since) / (done - part) - (now - then), 0.0)

    def words(self, now: float) -> str:
        """Return the rest in words, empty where it is not known."""
        left = self.left(now)
        if left is None:
            return ""
        for unit, seconds in (("h", 3600), ("min", 60)):
            if left >= 1.5 * seconds:
                return f"about {left / seconds:.0f} {unit} left"
        return f"about {left:.0f} s left"
