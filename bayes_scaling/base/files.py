"""Files: written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bayes_scaling.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

TABLES = (".csv", ".parquet", ".jsonl")
"""Endings that `write_table` knows."""


def write_text(text: str, path: Path) -> Path:
    """Write a file whole: a temporary file beside it, then a rename.

    Raises
    ------
    DataError
        When it cannot be written.
    """
    return write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_table(table: pd.DataFrame, path: Path) -> Path:
    """Write a table whole, in the form that the ending says: ``.csv``, ``.parquet`` or ``.jsonl``.

    Raises
    ------
    DataError
        When the ending is another one, or the file cannot be written.
    """
    ending = path.suffix.lower()
    if ending == ".csv":
        return write_text(table.to_csv(index=False), path)
    if ending == ".jsonl":
        cells = table.astype(object).where(table.notna(), None).to_dict("records")
        return write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in cells), path)
    if ending != ".parquet":
        raise DataError(
            f"cannot write {path}: its ending is {ending or 'missing'}; expected one of {', '.join(TABLES)}"
        )
    try:
        return write_whole(path, lambda partial: table.to_parquet(partial, index=False))
    except ImportError as error:
        raise DataError(f"writing {path.name} needs pyarrow: pip install 'bayes-scaling[parquet]'") from error


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Let ``write`` make a file: a temporary one in the same folder, which is then renamed; return the path.

    Raises
    ------
    DataError
        When it cannot be written; what was there before is there still.
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
