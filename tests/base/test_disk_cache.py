"""The folder of compiled programs: wherever it is said to be, a command goes on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bayes_scaling.base.disk_cache import Programs, _made, cache_folder, trim


@pytest.mark.parametrize("place", ["~nobody-of-this-name/x", "/tmp/\udcff"])
def test_a_folder_that_cannot_be_is_not_used(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAYES_SCALING_CACHE", place)
    assert not _made(cache_folder())


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes with names")
def test_a_pipe_in_the_place_of_a_program_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key.program")
    assert Programs(tmp_path).get("key") is None


def test_programs_that_nobody_used_for_longest_are_removed(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "used", "old", "oldest")):
        (tmp_path / f"{name}.program").write_bytes(bytes(100))
        os.utime(tmp_path / f"{name}.program", (1e9 - age, 1e9 - age))
    (tmp_path / "notes.txt").write_bytes(bytes(1000))
    kept = Programs(tmp_path / "other")
    kept.put("key", b"program")
    (tmp_path / "other" / "key.program").rename(tmp_path / "used.program")
    os.utime(tmp_path / "used.program", (1.0, 1.0))
    assert Programs(tmp_path).get("used") == b"program"
    trim(tmp_path, most=400)
    assert len(list(tmp_path.glob("*.program"))) == 4
    trim(tmp_path, most=250)
    assert {path.name for path in tmp_path.iterdir()} == {"new.program", "used.program", "notes.txt", "other"}
