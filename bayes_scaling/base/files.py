"""Files are written whole or not at all, and lines are added to a file in one step.

A file is written under another name in its folder, ``.NAME.HOST.PROCESS.partial``, and renamed once it is on the disk;
through a link, in the folder of the file that the link leads to. What a killed process leaves under such a name is
removed by the next process that writes into the folder.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import itertools
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bayes_scaling.base.json_text import json_text
from bayes_scaling.errors import DataError, WriteError

if TYPE_CHECKING:
    import pandas as pd

WRITTEN_ENDINGS = (".csv", ".parquet", ".jsonl")
"""Endings that `write_table` knows."""

PROBE = 4096  # bytes written to see whether a place takes any
ABANDONED = 24 * 3600.0  # seconds after which a partial file is nobody's, on whichever host it was begun
PARTIAL = re.compile(r"\..*\.([0-9a-f]{8})\.([0-9]+)-[0-9]+\.partial", re.DOTALL)

_BEING_WRITTEN: set[Path] = set()
_COUNT = itertools.count()


# --- whole files ----------------------------------------------------------------------------------------------------


def writable(path: Path) -> Path:
    """Return a path if a file can be written there: a small one is, and removed again. Folders are not made.

    For use before work whose result would have no place.

    Raises
    ------
    WriteError
        When the folder takes no file, or no more of them.
    DataError
        When the path is that of a folder, a device or a read-only file.
    """
    _refuse_unusual(path)
    place = _place(path)
    folder = place.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    probe = _partial(folder / place.name)
    try:
        with _noted(probe):
            probe.write_bytes(bytes(PROBE))
    except OSError as error:
        raise _failed(path, error) from error
    return path


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Call ``write`` with a temporary path in the same folder, then rename the file; return the final path.

    Raises
    ------
    WriteError
        When it cannot be written; an existing file is left unchanged.
    DataError
        When the path is that of a folder, a device or a read-only file.
    """
    with _written(path, write) as partial:
        partial.replace(_place(path))
    return path


def write_new(text: str, path: Path) -> Path:
    """Write a file as `write_whole` does, but never over an existing one, whoever writes it at the same time.

    Raises
    ------
    WriteError
        When it cannot be written.
    DataError
        When there is a file already.
    """
    refuse_taken(path)
    with _written(path, lambda partial: partial.write_bytes(text.encode())) as partial:
        try:
            _link(partial, path)
        except FileExistsError:
            refuse_taken(path)
            raise
    return path


def refuse_taken(path: Path) -> None:
    """Refuse the path of a file that is there: what is on record is never replaced."""
    if os.path.lexists(path):
        raise DataError(f"{path} already exists, and a record is never overwritten: choose another name")


def write_bytes(content: bytes | memoryview, path: Path) -> Path:
    """Write bytes as `write_whole` does."""
    return write_whole(path, lambda partial: partial.write_bytes(content))


def write_text(text: str, path: Path) -> Path:
    """Write text as `write_whole` does, with its ends of lines as they are, on every system."""
    return write_bytes(text.encode(), path)


def write_table(table: pd.DataFrame, path: Path) -> Path:
    """Write a table as `write_whole` does, in the format of the file's ending: ``.csv``, ``.parquet`` or ``.jsonl``.

    Raises
    ------
    WriteError
        When the file cannot be written.
    DataError
        When the ending is unknown.
    """
    ending = path.suffix.lower()
    if ending == ".csv":
        return write_text(csv_text(table), path)
    if ending == ".jsonl":
        cells = table.astype(object).where(table.notna(), None).to_dict("records")
        return write_text("".join(json_text(row) + "\n" for row in cells), path)
    if ending != ".parquet":
        raise DataError(
            f"cannot write {path}: its ending is {ending or 'missing'}; expected one of {', '.join(WRITTEN_ENDINGS)}"
        )
    try:
        return write_whole(path, lambda partial: table.to_parquet(partial, index=False))
    except ImportError as error:
        raise DataError(f"writing {path.name} needs pyarrow: pip install 'bayes-scaling[parquet]'") from error


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV, with quotes around bare returns and leading blanks of cells, or readers lose them."""
    texts = [cell for name in table for cell in (name, *table[name]) if isinstance(cell, str)]
    lost = any("\r" in text or text[:1].isspace() for text in texts)
    return str(
        table.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC if lost else csv.QUOTE_MINIMAL, lineterminator="\n")
    )


def drop_partial_files() -> None:
    """Remove the files that this process is writing; for a process that ends now."""
    for partial in tuple(_BEING_WRITTEN):
        with contextlib.suppress(OSError):
            partial.unlink()


@contextlib.contextmanager
def _written(path: Path, write: Callable[[Path], object]) -> Iterator[Path]:
    """Write a partial file, hand it on, and leave nothing of it."""
    _refuse_unusual(path)
    place = _place(path)
    partial = _partial(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _sweep(place.parent)
        with _noted(partial):
            write(partial)
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            yield partial
    except OSError as error:
        raise _failed(path, error) from error


def _link(partial: Path, path: Path) -> None:
    """Give a partial file its name, if that is free."""
    if sys.platform == "win32":
        partial.rename(path)  # there it does not replace
        return
    try:
        path.hardlink_to(partial)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        path.touch(exist_ok=False)  # a file system without links: take the name, then fill it
        partial.replace(path)


@contextlib.contextmanager
def _noted(partial: Path) -> Iterator[None]:
    """Note a partial file while it is one, and remove what could not be finished."""
    _BEING_WRITTEN.add(partial)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
        _BEING_WRITTEN.discard(partial)


def _place(path: Path) -> Path:
    """Return where a path leads: a link stays a link, as with any program that opens it to write."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{_host()}.{os.getpid()}-{next(_COUNT)}.partial")


def _host() -> str:
    """Name the machine, and on Linux the container, within which a process has its number."""
    try:
        numbers = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        numbers = ""
    return hashlib.sha256(f"{platform.node()} {numbers}".encode()).hexdigest()[:8]


def _sweep(folder: Path) -> None:
    """Remove partial files whose process has ended."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = PARTIAL.fullmatch(entry.name)
            if match and Path(entry.path) not in _BEING_WRITTEN:
                with contextlib.suppress(OSError):
                    old = time.time() - entry.stat().st_mtime > ABANDONED
                    if old or (match[1] == _host() and not _alive(int(match[2]))):
                        Path(entry.path).unlink()


def _alive(process: int) -> bool:
    if process == os.getpid() or sys.platform == "win32":  # there, the signal 0 would end the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _refuse_unusual(path: Path) -> None:
    if path.is_dir():
        raise DataError(f"{path} is a folder; give the name of a file in it")
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is a device or a pipe, which a file cannot replace; give the name of a file")
    if path.exists() and not os.access(path, os.W_OK):
        raise DataError(f"{path} is read-only; choose another name")


def _failed(path: Path, error: OSError) -> WriteError:
    return WriteError(f"cannot write {path}: {error.strerror or error}")


def text_of(path: Path) -> str:
    """Return the text of a file in UTF-8; a pipe, which would be waited for, is an `OSError`."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "it is a device or a pipe, expected a file", str(path))
    return path.read_text(encoding="utf-8-sig")


# --- lines ----------------------------------------------------------------------------------------------------------


def append_lines(path: Path, lines: Callable[[str], Sequence[str]]) -> None:
    """Add lines to a file in one step, while every other process that would add to it waits.

    A last line that was cut off is ended first, so that it spoils none of the new ones.

    Parameters
    ----------
    path : the file, which is made if it is missing
    lines : called with the text that is there, returns the lines to add; what it raises leaves the file as it is

    Raises
    ------
    WriteError
        When the lines do not all fit; the file is then as before.
    DataError
        When the path is that of a folder, a device or a read-only file.
    """
    _refuse_unusual(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path) as file:
            present = _content(file)
            added = "".join(f"{line}\n" for line in lines(present.decode(errors="replace"))).encode()
            if added:
                _append(file, b"\n" + added if present and not present.endswith(b"\n") else added, len(present))
    except OSError as error:
        raise _failed(path, error) from error


def _append(file: int, added: bytes, length: int) -> None:
    """Add bytes in one call and bring them to the disk; if not all fit, go back to the former length."""
    try:
        if os.write(file, added) < len(added):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file)
    except OSError:
        os.ftruncate(file, length)
        raise


def _content(file: int) -> bytes:
    os.lseek(file, 0, os.SEEK_SET)
    pieces = []
    while piece := os.read(file, 1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Open a file for appending, with a lock that ends with the process at the latest."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        try:
            _lock(file)
            if not _is_at(file, path):  # replaced or removed while we waited
                continue
            yield file
            return
        finally:
            os.close(file)


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    FAR = 1 << 62  # of a byte that no file has: the lock of a byte keeps others from reading it

    def _lock(file: int) -> None:
        while True:
            os.lseek(file, FAR, os.SEEK_SET)
            try:
                return msvcrt.locking(file, msvcrt.LK_LOCK, 1)
            except OSError as error:
                if error.errno != errno.EDEADLK:  # raised after ten seconds of waiting
                    raise

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX)
