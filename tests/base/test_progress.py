"""The progress bar: on a terminal and only after a while; nothing anywhere else."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

import bayes_scaling as bs
from bayes_scaling.base import progress as _progress
from tests.support import fit_exact

SCRIPT = """
import time
from bayes_scaling.base import progress as _progress
_progress.PATIENCE = 0.2
with _progress.progress_bar("work") as report:
    for i in range(8):
        report("counting", i / 8)
        time.sleep(0.1)
"""


def on_a_terminal(script: str, **environment: str) -> str:
    """Run a script whose errors go to a terminal, and return what that shows."""
    reader, writer = pty.openpty()
    subprocess.run([sys.executable, "-c", script], stderr=writer, check=True, env={**os.environ, **environment})
    os.close(writer)
    shown = b""
    try:
        while piece := os.read(reader, 4096):
            shown += piece
    except OSError:  # the other end of the terminal is closed
        pass
    return shown.decode()


def test_nothing_is_shown_off_a_terminal(chinchilla_runs: bs.Runs, capsys: pytest.CaptureFixture[str]) -> None:
    fit_exact("chinchilla", chinchilla_runs, seed=0)
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == ""


def test_a_bar_is_shown_on_a_terminal() -> None:
    shown = on_a_terminal(SCRIPT)
    assert "work: counting" in shown and "s left" in shown


@pytest.mark.parametrize(("columns", "bar"), [(80, False), (120, True)])
def test_a_narrow_terminal_gets_one_line_without_the_bar(columns: int, bar: bool) -> None:
    script = SCRIPT.replace('"counting"', "'a stage whose name is ' + 8 * 'much too long '")
    text = on_a_terminal(script, COLUMNS=str(columns))
    assert ("━" in text) == bar and "s left" in text
    assert text.count("\x1b[1A") == 1  # at the end: a second line would be erased by going up each time


def test_short_work_shows_nothing() -> None:
    reader, writer = pty.openpty()
    subprocess.run([sys.executable, "-c", SCRIPT.replace("0.2", "60.0")], stderr=writer, check=True)
    os.close(writer)
    os.set_blocking(reader, False)
    try:
        shown = os.read(reader, 4096)
    except OSError:
        shown = b""
    assert b"counting" not in shown


def test_an_error_inside_leaves_no_bar_behind() -> None:
    with pytest.raises(ZeroDivisionError), _progress.progress_bar("work", shown=True):
        raise ZeroDivisionError


def test_every_picture_is_reported(chinchilla_fit: bs.Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import contextlib

    from bayes_scaling.plot import gallery as _pictures

    stages = []

    @contextlib.contextmanager
    def recorded(title: str, shown: bool | None = None):  # type: ignore[no-untyped-def]
        yield lambda stage, fraction: stages.append((stage, fraction))

    monkeypatch.setattr(_pictures, "progress_bar", recorded)
    paths = bs.plot.save_all(chinchilla_fit, tmp_path)
    assert [stage for stage, _ in stages] == [path.stem for path in paths]
    assert all(0 <= fraction < 1 for _, fraction in stages)


def test_what_remains_follows_from_the_pace_since_the_first_part() -> None:
    pace = _progress.Pace(100.0)
    assert pace.left(130.0) is None and pace.words(130.0) == ""
    pace.reached(0.25, 140.0)  # with compiling, 40 seconds
    assert pace.left(140.0) == pytest.approx(120.0) and pace.words(140.0) == "about 2 min left"
    pace.reached(0.5, 150.0)
    assert pace.left(150.0) == pytest.approx(20.0)
    assert pace.left(155.0) == pytest.approx(15.0) and pace.left(999.0) == 0.0
    pace.reached(0.1, 160.0)  # begins anew, as where a sampler tries again
    pace.reached(0.2, 170.0)
    assert pace.left(170.0) == pytest.approx(80.0)
    assert _progress.Pace(0.0, (1.0, 0.1), (7201.0, 0.6)).words(7201.0) == "about 2 h left"


def test_work_inside_of_other_work_moves_its_bar() -> None:
    told: list[tuple[str, float]] = []
    with _progress.part_of(lambda *what: told.append(what), "2 of 4 done, this", 0.5, 0.75):
        for stages in (("sampling", 0.0), ("sampling", 0.8), ("sampling", 0.4)):  # once more, with stronger settings
            with _progress.progress_bar("fit", False) as report:
                report(*stages)
    assert [stage for stage, _ in told] == ["2 of 4 done, this: sampling"] * 3
    assert [fraction for _, fraction in told] == pytest.approx([0.5, 0.69, 0.69])
    with _progress.progress_bar("fit", False) as report:
        assert report is _progress.silent
