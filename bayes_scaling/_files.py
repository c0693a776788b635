"""Files: written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from bayes_scaling._errors import DataError


def write_text(text: str, path: Path) -> Path:
    """Write a file whole: a temporary file beside it, then a rename.

    Raises
    ------
    DataError
        When it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error
    return path
