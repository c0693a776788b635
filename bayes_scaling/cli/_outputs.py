"""What a command writes: checked before the work starts, and named when it is stopped."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from bayes_scaling.base.arguments import FilePath, misfit_of
from bayes_scaling.base.files import writable
from bayes_scaling.base.names import listed_as_choice
from bayes_scaling.cli.stopping import keeping
from bayes_scaling.errors import ArgumentError, DataError

GOES_ON = "finished refits are kept in {folder}, and the same command goes on from there"
WOULD_GO_ON = "with {option} FOLDER finished refits are kept, and the same command goes on from there"


@dataclasses.dataclass(frozen=True)
class Output:
    """A file that a command writes, or a folder with such files.

    Attributes
    ----------
    option : that names it
    path : of the file or folder; None where the option was not given
    endings : that the file may have
    holds : names of the files, where it is a folder
    refits : whether refits are kept in it too
    """

    option: str
    path: Path | None
    endings: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    refits: bool = False

    @property
    def is_folder(self) -> bool:
        """Whether it is one."""
        return bool(self.holds) or self.refits

    @property
    def files(self) -> list[Path]:
        """What is written, as far as the names are known."""
        if self.path is None:
            return []
        return [self.path / name for name in self.holds] if self.is_folder else [self.path]

    def check(self) -> None:
        """Refuse a path of the wrong kind, or a place that takes no file."""
        path = self.path
        if path is None:
            return
        if self.is_folder:
            if path.exists() and not path.is_dir():
                raise DataError(f"{self.option} {path} is a file; give the name of a folder")
            writable(path / self.holds[0] if self.holds else path / "refits" / "refit.json")
            return
        if path.is_dir():
            example = path / f"name{self.endings[0]}"
            raise DataError(f"{self.option} {path} is a folder; give the name of a file, like {example}")
        if path.suffix.lower() not in self.endings:
            expected = listed_as_choice(self.endings) if len(self.endings) > 1 else self.endings[0]
            raise DataError(f"{self.option} {path} ends in {path.suffix or 'nothing'}; expected {expected}")
        writable(path)


def check_outputs(outputs: Iterable[Output], inputs: Mapping[str, Path | Iterable[Path] | None]) -> None:
    """Check every place that a command writes to, before it does any work.

    Parameters
    ----------
    outputs : what it writes
    inputs : what it reads, by how the user calls it

    Raises
    ------
    ArgumentError
        When a path is none that a file system can have.
    DataError
        When an output is an input or another output, through links too, or of the wrong kind.
    WriteError
        When a place takes no file.
    """
    given = list(outputs)
    for output in given:
        if output.path is not None and (wrong := misfit_of(str(output.path), FilePath, output.option)):
            raise ArgumentError(str(wrong))
    read = [
        (name, path)
        for name, paths in inputs.items()
        for path in ([] if paths is None else [paths] if isinstance(paths, Path) else paths)
    ]
    written: list[tuple[str, Path]] = []
    for output in given:
        for path in output.files:
            for name, other in read:
                if _same(path, other):
                    raise DataError(f"{output.option} would overwrite {other}, which is {name}; choose another name")
            for option, other in written:
                if _same(path, other):
                    raise DataError(f"{output.option} and {option} are both {path}; choose different names")
            written.append((output.option, path))
    for output in given:
        output.check()
    before = {path: _state(path) for _, path in written}
    folders = [output.path for output in given if output.refits and output.path is not None]

    nowhere = [output.option for output in given if output.refits and output.path is None]

    def kept() -> str:
        done = [str(path) for path, state in before.items() if _state(path) != state]
        parts = [GOES_ON.format(folder=folder) for folder in folders if any((folder / "refits").glob("[!.]*"))]
        said = [*parts, *([f"written before: {', '.join(done)}"] if done else [])] or ["nothing was written"]
        return "; ".join([*said, *(WOULD_GO_ON.format(option=option) for option in nowhere)])

    keeping(kept)


def _same(one: Path, other: Path) -> bool:
    """Return whether two paths are one file, or would be."""
    if one.exists() and other.exists():
        return one.samefile(other)
    return _place(one) == _place(other)


def _place(path: Path) -> str:
    """Return where a path leads; not by `Path.resolve`, which fails for a link to itself."""
    return os.path.normcase(os.path.realpath(path))


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
