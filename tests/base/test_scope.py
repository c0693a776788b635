"""Where our computations run, and what they leave behind in the process."""

from __future__ import annotations

from pathlib import Path

import jax
import pytest

from bayes_scaling.base import scope as _scope


def test_programs_are_let_go_before_maps_run_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cleared: list[bool] = []
    monkeypatch.setattr(jax, "clear_caches", lambda: cleared.append(True))
    maps, most = tmp_path / "maps", tmp_path / "max_map_count"
    monkeypatch.setattr(_scope, "MAPS", maps)
    monkeypatch.setattr(_scope, "MOST_MAPS", most)
    for lines, expected in ((40, 0), (60, 1)):
        maps.write_text("a\n" * lines)
        most.write_text("100\n")
        monkeypatch.setattr(_scope, "_looked", 0.0)
        _scope.make_room()
        assert len(cleared) == expected
    _scope.make_room()  # it looked just now
    assert len(cleared) == 1
    maps.unlink()
    monkeypatch.setattr(_scope, "_looked", 0.0)
    _scope.make_room()  # where there is no such file nothing happens
    assert len(cleared) == 1


def test_float64_is_ours_alone() -> None:
    with _scope.scope():
        assert jax.numpy.ones(1).dtype == "float64"
    assert jax.numpy.ones(1).dtype == "float32"
