"""The picture of what a fit costs: slopes of what is drawn, and a small measurement of it."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

GENERATE = Path(__file__).parents[2] / "docs" / "generate"


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, imported as it is run."""
    monkeypatch.syspath_prepend(str(GENERATE))
    return importlib.import_module("costs")


def test_slopes_are_those_of_the_largest_sizes(costs: ModuleType) -> None:
    assert costs.slope([(100, 4.0), (1, 1.0), (10, 1.0)]) == pytest.approx(0.602, abs=0.001)
    figure = costs.draw({"rows": [(10, 1.0), (100, 10.0)], "laws": [(1, 2.0), (4, 2.0)]})
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["rows: slope 1.00", "laws: slope 0.00"]


@pytest.mark.slow
def test_it_measures_prints_and_draws(costs: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    costs.main(tmp_path, {"rows": (16, 24), "curves": (3, 4)})
    said = capsys.readouterr().out
    assert said.count(" s\n") == 4 and said.count(": slope ") == 2
    assert (tmp_path / "costs.png").stat().st_size > 5000
