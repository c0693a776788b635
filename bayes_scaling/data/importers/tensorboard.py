"""Runs from TensorBoard event files: a folder of runs, each a folder of ``events.out.tfevents.*``.

The files are read here, without TensorBoard: TFRecord frames around Event messages (event.proto, summary.proto and
tensor.proto of TensorFlow; plugin hparams). Values of a run come from its hparams plugin and from ``hparams.yaml``.
"""

from __future__ import annotations

import dataclasses
import functools
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Unpack

from bayes_scaling.base.arguments import FilePath, validated
from bayes_scaling.base.messages import listed, plain
from bayes_scaling.data.importers.assembling import ImportOptions, assemble
from bayes_scaling.data.importers.logged import LeftOut, Logged, Series, content_of, flat, local, yaml_of
from bayes_scaling.data.importers.protobuf import fields, last, part, real, text, whole
from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import DataError

_EVENTS = "*tfevents*"
_TRAINING, _VALIDATION = "train", ("validation", "val", "valid", "eval")
_UNPACKED = {1: 5, 2: 6}
"""Element types of a tensor, float and double, and the field of values that are not in tensor_content (4)."""


@validated
def import_tensorboard(
    path: FilePath,
    columns: Mapping[str, str],
    **options: Unpack[ImportOptions],
) -> Runs:
    """Read runs from a folder of TensorBoard event files.

    Parameters
    ----------
    path : a folder of runs, a folder of one run, or one event file
    columns : from canonical names to scalar tags or hyperparameters: ``{"params": "n_params", "loss": "val/loss"}``;
        ``_step`` is the step of an event, ``metrics.KEY`` and ``hparams.KEY`` say which is meant if both exist
    options : `ImportOptions`: last, groups, params_convention, loss_unit

    Returns
    -------
    Runs
        The notes name every run that was left out, with the reason.

    Raises
    ------
    DataError
        When there are no event files, or no run has the mapped keys.
    """
    path = local(path, "a folder of TensorBoard event files")
    return assemble(_runs(path), columns, path.name or str(path), **options)


def _runs(path: Path) -> list[Logged | LeftOut]:
    files = [path] if path.is_file() else sorted(file for file in path.rglob(_EVENTS) if file.is_file())
    if not files:
        raise DataError(f"{plain(str(path), 200)} holds no TensorBoard event files (events.out.tfevents.*)")
    folders: dict[Path, list[Path]] = {}
    for file in files:
        folders.setdefault(file.parent, []).append(file)
    found: dict[Path, Logged | LeftOut] = {}
    for folder, inside in folders.items():
        name = folder.relative_to(path).as_posix() if path.is_dir() else folder.name
        name = path.resolve().name if name == "." else name
        try:
            found[folder] = _run(name, folder, inside)
        except (DataError, ValueError) as error:
            found[folder] = LeftOut(name, str(error))
    for folder, run in list(found.items()):
        # SummaryWriter.add_hparams writes hyperparameters into a subfolder of the run's folder.
        above = found.get(folder.parent)
        if isinstance(run, Logged) and run.once["hparams"] and isinstance(above, Logged) and not above.once["hparams"]:
            found[folder.parent] = dataclasses.replace(above, metrics={**run.metrics, **above.metrics}, once=run.once)
            del found[folder]
    return [
        dataclasses.replace(run, notes=(*run.notes, *_parts(folder, found))) if isinstance(run, Logged) else run
        for folder, run in found.items()
    ]


def _parts(folder: Path, found: Mapping[Path, Logged | LeftOut]) -> list[str]:
    """Return a note on a folder of training beside one of validation, into which Keras writes a single run."""
    beside = [found[other].run for name in _VALIDATION if (other := folder.with_name(name)) in found]
    if folder.name != _TRAINING or not beside:
        return []
    names = " and ".join(map(plain, (found[folder].run, *beside)))
    return [f"{names} are read as separate runs: if they are parts of one run, as of Keras, import one of the folders"]


def _run(name: str, folder: Path, files: list[Path]) -> Logged:
    series, hparams, notes = Series(), dict[str, Any](), []
    for file in files:
        said = f"{plain(file.name)} of run {plain(name)}"
        content, own = content_of(file), Series()
        try:
            for event in _events(content):
                _take(event, own, hparams)
        except EOFError:
            notes.append(f"{said} ends within a record, as if the run was stopped; the records before it were read")
        except (ValueError, IndexError, struct.error) as error:
            raise DataError(f"{plain(file.name)} is damaged or not an event file ({plain(str(error))})") from error
        if mixed := series.extend(own):
            notes.append(
                f"{said} begins before the last step of the files before it in {listed(mixed, 4)}, and the steps of "
                "both were kept: if the run was resumed, import each file by itself and drop the rows that it undid"
            )
    yaml_file = folder / "hparams.yaml"  # as Lightning writes it
    if yaml_file.is_file():
        hparams = {**dict(flat(yaml_of(yaml_file, "tensorboard"))), **hparams}
    return Logged(name, name, series.metrics, {"hparams": hparams}, "", series.overwritten, tuple(notes))


# --- TFRecord: length, its checksum, content, its checksum ---


def _events(content: bytes) -> Iterator[bytes]:
    """Yield the records of an event file; `EOFError` where the last is cut off."""
    at = 0
    while at < len(content):
        if at + 12 > len(content):
            raise EOFError
        head, (size, check) = content[at : at + 8], struct.unpack_from("<QI", content, at)
        if _masked(head) != check:
            raise ValueError(f"wrong checksum at byte {at}")
        start, end = at + 12, at + 12 + size
        if end + 4 > len(content):
            raise EOFError
        event = content[start:end]
        # A scalar takes about fifty bytes; images and graphs are not read, and their checksums would take long.
        if size < 4096 and _masked(event) != struct.unpack_from("<I", content, end)[0]:
            raise ValueError(f"wrong checksum at byte {start}")
        yield event
        at = end + 4


@functools.cache
def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


def _masked(content: bytes) -> int:
    """Return the masked CRC-32C that TFRecord stores."""
    crc, table = 0xFFFFFFFF, _crc_table()
    for byte in content:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


# --- Event: step 2, summary 5, session_log 7 ---


def _take(event: bytes, series: Series, hparams: dict[str, Any]) -> None:
    content = dict(fields(event))
    step = whole(content.get(2))
    if 7 in content and last(part(content[7]), 1) == 1:  # a session starts: what was logged at later steps is void
        series.purge(step)
    for number, value in fields(part(content.get(5))):
        if number == 1:
            _take_value(dict(fields(part(value))), step, series, hparams)


def _take_value(value: Mapping[int, int | bytes], step: int, series: Series, hparams: dict[str, Any]) -> None:
    tag = text(value.get(1))
    if 2 in value:
        series.add(tag, step, real(value[2]))
    elif 8 in value and (scalar := _scalar(part(value[8]))) is not None:
        series.add(tag, step, scalar)
    elif 9 in value:
        plugin = dict(fields(part(last(part(value[9]), 1))))
        if text(plugin.get(1)) == "hparams":
            hparams.update(_hparams(part(plugin.get(2))))


def _scalar(tensor: bytes) -> float | None:
    """Return the value of a tensor without dimensions, as TensorFlow 2 writes scalars; None for others."""
    content = dict(fields(tensor))
    kind = whole(content.get(1))
    if kind not in _UNPACKED or last(part(content.get(2)), 2) is not None:
        return None
    return real(content.get(4) or content.get(_UNPACKED[kind]))


def _hparams(content: bytes) -> Iterator[tuple[str, Any]]:
    """Yield hyperparameters of HParamsPluginData: session_start_info 3, its map 1 of google.protobuf.Value."""
    for number, entry in fields(part(last(content, 3))):
        if number == 1:
            pair = dict(fields(part(entry)))
            for kind, value in fields(part(pair.get(2))):
                if kind in (2, 3, 4):
                    yield text(pair.get(1)), real(value) if kind == 2 else text(value) if kind == 3 else bool(value)
