"""The folder of compiled programs: wherever it is said to be, a command goes on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bayes_scaling.base.disk_cache import Programs, _made, cache_folder


@pytest.mark.parametrize("place", ["~nobody-of-this-name/x", "/tmp/\udcff"])
def test_a_folder_that_cannot_be_is_not_used(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAYES_SCALING_CACHE", place)
    assert not _made(cache_folder())


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes with names")
def test_a_pipe_in_the_place_of_a_program_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key.program")
    assert Programs(tmp_path).get("key") is None
