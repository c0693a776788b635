"""Read files of runs as DataFrames; every error is one line that names the file."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.base.messages import encodable, folded, plain, shown
from bayes_scaling.data.validation import number
from bayes_scaling.errors import DataError

_FOREIGN: Mapping[bytes, str] = {
    b"PAR1": "a Parquet file",
    b"PK\x03\x04": "an Excel workbook or another zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x89HDF": "an HDF5 file",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}
"""First bytes of formats whose files often have a wrong ending."""

READ_ENDINGS = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")
"""Endings of files that hold tables; a ``.json`` may hold anything, so it is read as one only where it is named."""

_ARRAY = (
    'expected an array of flat objects, one per run, like [{"loss": 2.1}]; what a tracker exported goes through '
    "bayes-scaling import wandb"
)

_WHOLE = frozenset("0123456789-")
_DECIMAL = _WHOLE | frozenset(".eE+")


def read_table(path: Path, text: Collection[str] = ()) -> pd.DataFrame:
    """Read a file by its ending, one of `READ_ENDINGS` or ``.json``; ``text`` as in `read_csv`."""
    ending = path.suffix.lower()
    if ending in (".csv", ".tsv"):
        return read_csv(path, text, COMMAS if ending == ".csv" else TABS)
    if ending == ".parquet":
        return read_parquet(path)
    if ending in (".jsonl", ".ndjson"):
        return read_json_lines(path)
    if ending == ".json":
        return _read_json(path)
    raise DataError(
        f"{plain(str(path), 200)} ends in {plain(ending) if ending else 'nothing'}; expected one of "
        f"{', '.join((*READ_ENDINGS, '.json'))}"
    )


@dataclasses.dataclass(frozen=True)
class Separator:
    """What stands between the cells of a line, what it is called, and the ending of files that have it."""

    mark: str | None
    name: str
    ending: str = ""


COMMAS, TABS = Separator(",", "commas", ".csv"), Separator("\t", "tabs", ".tsv")
_SEPARATORS = (COMMAS, TABS, Separator(";", "';'"), Separator("|", "'|'"), Separator(None, "spaces"))


def read_csv(path: Path, text: Collection[str] | None = (), by: Separator = COMMAS) -> pd.DataFrame:
    """Read a file of separated cells with a header line.

    The file is not read by pandas, which silently renames duplicate columns, fills short rows, turns the run ids
    ``007`` and ``1e5`` into numbers and ``NA`` into a missing value.

    Parameters
    ----------
    path : UTF-8 text, with or without a byte order mark
    text : folded names of columns that stay text even if they look like numbers; None for all
    by : what separates the cells
    """
    kind = by.ending[1:].upper()
    name, content = plain(path.name), _text(path, f"a {kind} file")
    lines = io.StringIO(content, newline="")
    reader = csv.reader(lines, delimiter=by.mark or " ", skipinitialspace=True, strict=True)
    header: list[str] | None = None
    rows: list[list[str]] = []
    try:
        for cells in reader:
            if not cells or (len(cells) == 1 and not cells[0].strip()):
                continue
            if header is None:
                header = _header(cells, name, by)
            elif len(cells) != len(header):
                raise DataError(
                    f"{name}, row {len(rows) + 1} (line {reader.line_num}): {len(cells)} cell(s), but the header has "
                    f"{len(header)}; check the {by.name}, and quote cells that contain one"
                )
            else:
                rows.append(cells)
    except csv.Error as error:
        long = f"a cell of more than {csv.field_size_limit():,} characters"
        why = long if "field limit" in str(error) else plain(str(error))
        raise DataError(f"{name}, line {reader.line_num}: this is not {kind} ({why}); check its quotes") from error
    if header is None:  # only empty quotes
        raise DataError(f"{name} is blank: expected one row per training run")
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(header)
    named = [(title, cells) for title, cells in zip(header, columns, strict=True) if title or any(cells)]
    titles = [title or f"Unnamed: {i}" for i, (title, _) in enumerate(named)]
    frame = pd.DataFrame({i: _typed(c, text is None or folded(titles[i]) in text) for i, (_, c) in enumerate(named)})
    return frame.set_axis(titles, axis="columns")


def _header(cells: list[str], name: str, by: Separator) -> list[str]:
    """Return the column names; the error says what the first line is if it is not a header."""
    cells = [cell.strip() for cell in cells]
    if len(cells) == 1:
        for other in _SEPARATORS:
            if len(cells[0].split(other.mark)) > 1:
                change = f"separate its cells by {by.name}, with a point as the decimal mark"
                raise DataError(
                    f"{name} seems to be separated by {other.name} (its header is {shown(cells[0])}); "
                    + (f"let its name end in {other.ending}" if other.ending else change)
                )
    if all(number(cell) is not None for cell in cells):
        raise DataError(f"{name} has no header: its first line is {shown(','.join(cells))}; expected column names")
    filled = [cell for cell in cells if cell]
    doubled = [cell for cell in filled if filled.count(cell) > 1]
    if doubled:
        raise DataError(f"{name} has two columns named {shown(doubled[0])}; rename or drop one")
    return cells


def _typed(cells: Sequence[str], as_text: bool) -> pd.Series:
    """Return numbers if every filled cell is one, booleans likewise, else text; empty cells are missing."""
    if not as_text:
        characters = set("".join(cells))
        values = _quickly(cells) if characters <= _DECIMAL else None
        values = [number(cell) for cell in cells] if values is None else values
        # A label such as None means a missing number only in a column of numbers.
        if None not in values and (any(value == value for value in values) or not any(map(str.strip, cells))):
            if characters <= _WHOLE and cells and all(0 < len(cell) <= 18 for cell in cells):
                return pd.Series([int(cell) for cell in cells], dtype=np.int64)
            return pd.Series(values, dtype=np.float64)
        if set(cells) <= {"True", "False"}:
            return pd.Series([cell == "True" for cell in cells], dtype=bool)
    return pd.Series([cell if cell.strip() else None for cell in cells], dtype=object)


def _quickly(cells: Sequence[str]) -> Sequence[float | None] | None:
    """Return a column of plain decimals without gaps; for those characters, `float` and `number` agree."""
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        return None


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a Parquet file."""
    content = io.BytesIO(_content(path, "a Parquet file"))
    try:
        return pd.read_parquet(content)
    except ImportError as error:
        raise DataError(f"reading {plain(path.name)} needs pyarrow: pip install 'bayes-scaling[parquet]'") from error
    except Exception as error:  # on a damaged file pyarrow raises whatever its decoders raise, of many types
        reason = plain(str(error).strip().split("\n")[0] or type(error).__name__, 160)
        raise DataError(f"{plain(path.name)} is not a readable Parquet file ({reason})") from error


def read_json_lines(path: Path) -> pd.DataFrame:
    """Read a file with one JSON object per line; empty lines are skipped."""
    name, rows = plain(path.name), []
    # Not splitlines(): it also splits at characters that JSON strings may contain.
    for line, content in enumerate(_text(path, "a file of JSON lines").split("\n"), start=1):
        if not content.strip():
            continue
        row = _decoded(content, f"{name}, line {line}", "expected one JSON object per line")
        if not isinstance(row, dict):
            kind = "an array" if isinstance(row, list) else shown(row, 40)
            raise DataError(f'{name}, line {line}: expected a JSON object like {{"loss": 2.1}}, not {kind}')
        rows.append(row)
    return _framed(rows, name)


def _read_json(path: Path) -> pd.DataFrame:
    """Read a JSON file that holds an array of objects of plain values, alone or as the one array of an object."""
    name = plain(path.name)
    rows = _decoded(_text(path, "a JSON file"), name, _ARRAY)
    if isinstance(rows, dict):
        arrays = [value for value in rows.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
        rows = arrays[0] if len(arrays) == 1 else rows
    if not isinstance(rows, list) or not rows:
        kind = "an object" if isinstance(rows, dict) else shown(rows, 40)
        raise DataError(f"{name} holds {kind}; {_ARRAY}")
    for place, row in enumerate(rows, start=1):
        nested = [key for key, cell in row.items() if isinstance(cell, dict | list)] if isinstance(row, dict) else []
        if nested or not isinstance(row, dict):
            kind = f"a nested {plain(nested[0])}" if nested else "an array" if isinstance(row, list) else shown(row, 40)
            raise DataError(f"{name}, row {place} is {'an object with ' if nested else ''}{kind}; {_ARRAY}")
    return _framed(rows, name)


def _decoded(content: str, place: str, expected: str) -> Any:
    """Return what JSON text holds; doubled keys and what is not text are refused, too."""
    try:
        found = json.loads(content, object_pairs_hook=without_doubles, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        reason = str(error)
        if isinstance(error, json.JSONDecodeError):
            reason = error.msg + (f" in line {error.lineno}" if error.lineno > 1 else "")
        raise DataError(f"{place}: {shown(content.strip(), 40)} is not JSON ({plain(reason)}); {expected}") from error
    if "\\ud" in content.lower() and not encodable(json.dumps(found, ensure_ascii=False)):
        raise DataError(f"{place}: half of a surrogate pair (\\ud...) is not text; correct the escape")
    return found


def _framed(rows: Sequence[Mapping[str, Any]], name: str) -> pd.DataFrame:
    """Return rows that may lack keys as a table."""
    names = list(dict.fromkeys(key for row in rows for key in row))
    if not names:
        raise DataError(f'{name} holds only empty objects: expected one run per object, like {{"loss": 2.1}}')
    # As objects: pandas would round integers in a column with gaps, and cannot hold very large ones.
    return pd.DataFrame({key: pd.Series([row.get(key) for row in rows], dtype=object) for key in names}).infer_objects()


def _whole(text: str) -> int | float:
    """Return an integer, or infinity if it has more digits than a float or Python accepts."""
    return int(text) if len(text) < 300 else float(text)


def without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON as a dict; a key that comes twice is a `ValueError`."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        doubled = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {shown(doubled, 30)} comes twice")
    return found


def _text(path: Path, kind: str) -> str:
    """Return the text of a UTF-8 file; a blank one is refused."""
    content, name = _content(path, kind), plain(path.name)
    for magic, what in _FOREIGN.items():
        if content.startswith(magic):
            raise DataError(f"{name} looks like {what}; expected {kind} in UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{name}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8 text"
        ) from error
    if "\0" in text:
        raise DataError(f"{name}, line {text[: text.index(chr(0))].count(chr(10)) + 1}: a NUL byte; this is not {kind}")
    if not text.strip():
        raise DataError(f"{name} is blank: expected one row per training run")
    return text


def _content(path: Path, kind: str) -> bytes:
    """Return the bytes of a file; an empty one is refused."""
    try:
        if path.is_dir():
            raise DataError(f"{plain(str(path), 200)} is a folder; expected {kind}")
        if not path.is_file():
            if not path.exists():
                raise DataError(f"there is no file {plain(str(path), 200)}; expected {kind}")
            raise DataError(f"{plain(str(path), 200)} is not a file; expected {kind}")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{plain(str(path), 200)} cannot be read: {error.strerror}; expected {kind}") from error
    if not content:
        raise DataError(f"{plain(path.name)} is empty: expected one row per training run")
    return content
