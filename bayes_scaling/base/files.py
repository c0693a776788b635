"""Atomic file writes: a file is written completely or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bayes_scaling.base.json_text import json_text
from bayes_scaling.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

TABLES = (".csv", ".parquet", ".jsonl")
"""Endings that `write_table` knows."""


def write_text(text: str, path: Path) -> Path:
    """Write a file atomically: to a temporary file in the same folder, then rename it.

    Raises
    ------
    DataError
        When it cannot be written.
    """
    return write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_table(table: pd.DataFrame, path: Path) -> Path:
    """Write a table atomically, in the format of the file's ending: ``.csv``, ``.parquet`` or ``.jsonl``.

    Raises
    ------
    DataError
        When the ending is unknown, or the file cannot be written.
    """
    ending = path.suffix.lower()
    if ending == ".csv":
        return write_text(table.to_csv(index=False), path)
    if ending == ".jsonl":
        cells = table.astype(object).where(table.notna(), None).to_dict("records")
        return write_text("".join(json_text(row) + "\n" for row in cells), path)
    if ending != ".parquet":
        raise DataError(
            f"cannot write {path}: its ending is {ending or 'missing'}; expected one of {', '.join(TABLES)}"
        )
    try:
        return write_whole(path, lambda partial: table.to_parquet(partial, index=False))
    except ImportError as error:
        raise DataError(f"writing {path.name} needs pyarrow: pip install 'bayes-scaling[parquet]'") from error


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Call ``write`` with a temporary path in the same folder, then rename the file; return the final path.

    Raises
    ------
    DataError
        When it cannot be written; an existing file is left unchanged.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(partial)
        partial.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if partial.is_file():  # only one that could not be finished is still there
            partial.unlink()
    return path
