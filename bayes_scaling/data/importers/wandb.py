"""Runs from Weights & Biases: offline run folders and exports, read without its library.

A run folder holds ``run-ID.wandb``: the LevelDB log format (doc/log_format.md of LevelDB, with its own header and plain
CRC-32) around Record messages (wandb_internal.proto).
"""

from __future__ import annotations

import dataclasses
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from bayes_scaling.base.arguments import FilePath, validated
from bayes_scaling.base.messages import plain
from bayes_scaling.data.importers.assembling import ImportOptions, assemble
from bayes_scaling.data.importers.logged import LeftOut, Logged, Series, content_of, flat, local, named_apart, step_of
from bayes_scaling.data.importers.protobuf import fields, last, part, real, text, whole
from bayes_scaling.data.importers.wandb_exports import ENDINGS, exported
from bayes_scaling.data.runs import Runs
from bayes_scaling.data.validation import number
from bayes_scaling.errors import DataError

_HEADER = b":W&B\xe1\xbe\x00"
_BLOCK = 32768
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


@validated
def import_wandb(
    path: FilePath,
    columns: Mapping[str, str],
    **options: Unpack[ImportOptions],
) -> Runs:
    """Read runs of Weights & Biases from local files.

    Parameters
    ----------
    path : a ``wandb`` folder, a run folder or its ``run-ID.wandb``; or an export (CSV, Parquet, JSON, JSON lines): the
        runs table, run histories, or objects ``{"name": "a", "config": {}, "summary": {}, "history": []}``; or a
        folder of exports
    columns : canonical names to metrics or config keys, nested ones with dots: ``{"params": "model.n_params", "loss":
        "val/loss"}``; ``_step`` is the step of a row, ``metrics.KEY``, ``config.KEY`` and ``summary.KEY`` say which is
        meant if several exist
    options : `ImportOptions`: last, groups, params_convention, loss_unit

    Returns
    -------
    Runs
        The notes name every run that was left out, with the reason.

    Raises
    ------
    DataError
        When there is nothing to read, or no run has the mapped keys.
    """
    path = local(path, "a wandb folder or an export")
    asked = {**{key: key for key in options.get("groups", ())}, **columns}
    return assemble(named_apart(_runs(path, asked)), columns, path.name or str(path), **options)


def _runs(path: Path, columns: Mapping[str, str]) -> list[Logged | LeftOut]:
    if path.is_file():
        return _from_logs([path]) if path.suffix == ".wandb" else exported(path, columns)
    # Not Path.resolve(), which fails for a link to itself; such a file is named as one that cannot be read.
    logs = sorted({Path(os.path.realpath(file)) for file in path.rglob("run-*.wandb")})
    if logs:
        return _from_logs(logs)
    files = [file for file in sorted(path.iterdir()) if file.suffix.lower() in ENDINGS]
    if not files:
        raise DataError(f"{plain(str(path), 200)} holds neither run-*.wandb files nor exports ({', '.join(ENDINGS)})")
    found: list[Logged | LeftOut] = []
    for file in files:
        try:
            found += exported(file, columns)
        except DataError as error:
            found.append(LeftOut(file.name, str(error).removeprefix(f"{plain(file.name)} ")))
    return found


# --- run-ID.wandb ---


@dataclasses.dataclass
class _Run:
    """A run while its file, or the files of its resumed parts, are being read."""

    id: str
    series: Series = dataclasses.field(default_factory=Series)
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    summary: dict[str, Any] = dataclasses.field(default_factory=dict)
    about: dict[str, Any] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)

    def logged(self) -> Logged:
        status = self.about.setdefault("status", "running or killed")
        once = {"config": self.config, "summary": self.summary, "run": self.about}
        name = str(self.about.get("name", ""))
        return Logged(name, self.id, self.series.metrics, once, status, self.series.overwritten, tuple(self.notes))


def _from_logs(files: Sequence[Path]) -> list[Logged | LeftOut]:
    runs: dict[str, _Run] = {}
    left = []
    for file in files:
        name = file.stem.removeprefix("run-")
        run = runs.setdefault(name, _Run(name))
        run.about.pop("status", None)
        try:
            for record in _records(content_of(file)):
                _take(dict(fields(record)), run)
        except EOFError:
            run.notes.append(
                f"{plain(file.name)} ends within a record, as if the run was stopped; the records before it were read"
            )
        except (DataError, ValueError, RecursionError) as error:
            left.append(LeftOut(name, f"{plain(file.name)} is damaged ({plain(str(error), 120)})"))
    damaged = {one.run for one in left}
    return [*(run.logged() for name, run in runs.items() if name not in damaged), *left]


def _records(content: bytes) -> Iterator[bytes]:
    """Yield the records of a LevelDB log; `EOFError` where the last is cut off."""
    if not content.startswith(_HEADER):
        raise ValueError("it does not start like a run file of wandb")
    at, parts = len(_HEADER), b""
    while at < len(content):
        left = _BLOCK - at % _BLOCK
        if left < 7:  # too few bytes for another header: the rest of the block is padding
            at += left
            continue
        if at + 7 > len(content):
            raise EOFError
        check, size, kind = struct.unpack_from("<IHB", content, at)
        if kind == 0 and size == 0:
            at += left
            continue
        data = content[at + 7 : at + 7 + size]
        if len(data) < size:
            raise EOFError
        if zlib.crc32(data, zlib.crc32(bytes([kind]))) != check:
            raise ValueError(f"wrong checksum at byte {at}")
        parts = data if kind in (_FULL, _FIRST) else parts + data
        if kind in (_FULL, _LAST):
            yield parts
        at += 7 + size


def _take(record: Mapping[int, int | bytes], run: _Run) -> None:
    """Read a Record: history 2, summary 3, config 5, run 17, exit 18."""
    if 2 in record:
        _take_history(part(record[2]), run)
    if 3 in record:
        _update(part(record[3]), run.summary)
    if 5 in record:
        _update(part(record[5]), run.config)
    if 17 in record:
        content = dict(fields(part(record[17])))
        _update(part(content.get(4)), run.config)
        _update(part(content.get(5)), run.summary)
        for number_, name in ((3, "project"), (6, "group"), (7, "job_type"), (8, "name"), (12, "sweep")):
            if number_ in content:
                run.about[name] = text(content[number_])
    if 18 in record:
        code = whole(last(part(record[18]), 1))
        run.about["status"] = "finished" if code == 0 else f"failed with exit code {code}"


def _take_history(content: bytes, run: _Run) -> None:
    row: dict[str, Any] = {}
    step = None
    for kind, value in fields(content):
        if kind == 1:
            row.update(_item(part(value)))
        elif kind == 2:
            step = whole(last(part(value), 1))
    step = step_of(row.get("_step", 0)) if step is None else step
    for key, value in flat(row):
        reading = None if value is None else number(value)
        if reading is not None:
            run.series.add(key, step, reading)


def _update(content: bytes, known: dict[str, Any]) -> None:
    """Read a ConfigRecord or SummaryRecord: update 1, remove 2."""
    for kind, value in fields(content):
        if kind == 1:
            for key, leaf in flat(_item(part(value))):
                if not key.startswith("_wandb"):
                    known[key] = leaf
        elif kind == 2:
            for key in _item(part(value)):
                known.pop(key, None)


def _item(content: bytes) -> dict[str, Any]:
    """Return key 1 or nested_key 2 with the value: value_json 16, or one that is typed (3 to 8, in histories)."""
    keys: list[str] = []
    found: Any = None
    for kind, value in fields(content):
        if kind in (1, 2):
            keys.append(text(value))
        elif kind in (8, 16):
            found = json.loads(text(value))
        elif kind == 4:
            found = bool(value)
        elif kind == 5:
            coded = whole(value) & (2**64 - 1)
            found = coded >> 1 if coded % 2 == 0 else -(coded >> 1) - 1
        elif kind == 6:
            found = real(value)
        elif kind == 7:
            found = text(value)
    return {".".join(keys): found}
