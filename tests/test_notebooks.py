"""Notebooks run, and what they claim of their own numbers holds. Fast: smaller tables, the same assertions."""

from __future__ import annotations

import runpy
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.py"))


def test_all_are_there() -> None:
    wanted = {
        "quickstart",
        "kaplan",
        "chinchilla",
        "choose_a_law",
        "budget",
        "your_own_law",
        "trajectories",
        "two_papers",
    }
    assert wanted <= set(NOTEBOOKS)


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert "# %% [markdown]" in text and "assert " in text
    monkeypatch.setenv("NOTEBOOK_FAST", "1")
    monkeypatch.setattr(plt, "show", plt.close)
    monkeypatch.chdir(tmp_path)
    with mpl.rc_context({"backend": "Agg"}):
        runpy.run_path(str(FOLDER / f"{name}.py"))
    plt.close("all")
