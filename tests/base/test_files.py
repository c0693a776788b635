"""Files: whole or not at all, on a disk that is full too; lines that several processes add."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from bayes_scaling.base import files
from bayes_scaling.base.files import append_lines, writable, write_new, write_table, write_text, write_whole
from bayes_scaling.errors import DataError, WriteError
from tests.support import filled


def process_that_ended() -> int:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def partial_of(name: str) -> str:
    """Return the name under which a file of this process is written."""
    return files._partial(Path(name)).name


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    here = partial_of("fit.nc").split(".")[-3]
    dead = [tmp_path / f".{name}.{here}.{process_that_ended()}-0.partial" for name in ("fit.nc", "other.csv")]
    old = tmp_path / ".fit.nc.00000000.1-0.partial"  # of another machine, which would take no day for it
    kept = [
        tmp_path / f".fit.nc.{here}.{os.getppid()}-0.partial",
        tmp_path / f".fit.nc.00000000.{process_that_ended()}-0.partial",
        tmp_path / ".notes.partial",
    ]
    for path in (*dead, old, *kept):
        path.write_text("half")
    os.utime(old, (time.time() - 2 * 24 * 3600,) * 2)
    write_text("whole", tmp_path / "fit.nc")
    assert {path.name for path in tmp_path.iterdir()} == {"fit.nc", *(path.name for path in kept)}


def test_a_process_that_is_killed_while_it_writes_leaves_the_old_file(tmp_path: Path) -> None:
    path = write_text("the old file", tmp_path / "x.csv")
    script = (
        "import os, signal, sys; from pathlib import Path; from bayes_scaling.base.files import write_whole;"
        "write_whole(Path(sys.argv[1]), lambda at: (at.write_text('half'), os.kill(os.getpid(), signal.SIGKILL)))"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert killed.returncode == -9 and path.read_text() == "the old file" and len(list(tmp_path.iterdir())) == 2
    write_text("the new file", tmp_path / "y.csv")
    assert {one.name for one in tmp_path.iterdir()} == {"x.csv", "y.csv"}


def test_a_link_stays_and_the_file_that_it_leads_to_is_written(tmp_path: Path) -> None:
    elsewhere = tmp_path / "disk"
    link, waiting = tmp_path / "fit.nc", tmp_path / "new.nc"
    write_text("old", elsewhere / "fit.nc")
    link.symlink_to("disk/fit.nc")
    waiting.symlink_to(elsewhere / "later" / "new.nc")  # leads to nothing yet
    for path in (link, waiting):
        assert write_text("new", writable(path)) == path and path.is_symlink() and path.resolve().read_text() == "new"
    assert sorted(path.name for path in elsewhere.rglob("*")) == ["fit.nc", "later", "new.nc"]


def test_files_that_are_being_written_can_be_dropped(tmp_path: Path) -> None:
    def write(partial: Path) -> None:
        partial.write_text("half")
        files.drop_partial_files()
        assert not list(tmp_path.iterdir())
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(WriteError, match=r"cannot write .*x\.csv: No space left"):
        write_whole(tmp_path / "x.csv", write)


def test_a_place_is_tried_before_the_work(tmp_path: Path) -> None:
    assert writable(tmp_path / "new" / "deep" / "x.csv") and not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    for path, says in (
        (tmp_path, "is a folder"),
        (Path("/dev/null"), "is a device"),
        (tmp_path / "file" / "x.csv", "cannot write"),
    ):
        with pytest.raises((DataError, WriteError), match=says):
            writable(path)
        with pytest.raises((DataError, WriteError), match=says):
            write_text("x", path)
        with pytest.raises((DataError, WriteError), match=says):
            append_lines(path, lambda _: ["x"])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_keeps_what_is_there(small_disk: Path) -> None:
    path = write_text("the old file", small_disk / "x.csv")
    record = write_text("one\n", small_disk / "record.jsonl")
    with pytest.raises(WriteError, match="No space left"):
        write_text("x" * 10**6, path)
    with pytest.raises(WriteError, match="No space left"):
        append_lines(record, lambda _: ["x" * 10**6])  # begins to write, and goes back
    assert record.read_text() == "one\n"
    filled(small_disk)
    with pytest.raises(WriteError, match="No space left"):
        writable(small_disk / "new.csv")
    assert path.read_text() == "the old file" and record.read_text() == "one\n"
    assert {one.name for one in small_disk.iterdir()} == {"x.csv", "record.jsonl", "filled"}


def test_a_record_is_never_overwritten_by_whoever_comes_second(tmp_path: Path) -> None:
    def put(text: str) -> bool:
        try:
            write_new(text, tmp_path / "forecast.json")
        except DataError as error:
            assert "never overwritten" in str(error)
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(put, [str(i) for i in range(32)]))
    assert sum(written) == 1 and (tmp_path / "forecast.json").read_text() == str(written.index(True))
    assert [path.name for path in tmp_path.iterdir()] == ["forecast.json"]


def test_lines_of_several_processes_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    script = (
        "import sys; from pathlib import Path; from bayes_scaling.base.files import append_lines\n"
        "sys.stdin.read(1)\n"  # all at once
        "for i in range(50): append_lines(Path(sys.argv[1]), lambda text: [f'{sys.argv[2]} {text.count(chr(10))}'])"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script, str(path), name], stdin=subprocess.PIPE) for name in "abcd"
    ]
    for process in started:
        process.communicate(b"x")
    lines = [line.split() for line in path.read_text().splitlines()]
    # Each saw every line before its own: nobody wrote between its reading and its writing.
    assert [int(count) for _, count in lines] == list(range(200))
    assert all([name for name, _ in lines].count(one) == 50 for one in "abcd")


def test_a_line_that_was_cut_off_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    path.write_text('{"a": 1}\n{"b"')
    append_lines(path, lambda text: ["new"] if text.endswith('{"b"') else [])
    assert path.read_text() == '{"a": 1}\n{"b"\nnew\n'


def test_lines_that_do_not_all_fit_are_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record.jsonl"
    path.write_text("one\n")
    write = os.write
    monkeypatch.setattr(files.os, "write", lambda file, data: write(file, data[:3]))
    with pytest.raises(WriteError, match="No space left"):
        append_lines(path, lambda _: ["a second line"])
    assert path.read_text() == "one\n"


def test_lines_end_alike_on_every_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "linesep", "\r\n")  # as on Windows, where files opened as text would add another return
    write_table(pd.DataFrame({"run": ["a", "b"], "loss": [1.0, 2.0]}), tmp_path / "runs.csv")
    assert (tmp_path / "runs.csv").read_bytes() == b"run,loss\na,1.0\nb,2.0\n"
