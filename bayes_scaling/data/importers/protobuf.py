"""The part of the Protocol Buffers wire format that event files and run files need, without schema or dependency."""

from __future__ import annotations

import struct
from collections.abc import Iterator


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the fields of a message in order.

    Returns
    -------
    field number, and the value: an unsigned int of a varint, the 4 or 8 bytes of a fixed number, or the bytes of
    text, bytes and nested messages

    Raises
    ------
    ValueError
        When the bytes are not a message (wire format: protobuf.dev/programming-guides/encoding).
    """
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if kind == 2:
            size, at = _varint(message, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at + size > end:
            raise ValueError("a field beyond the end")
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        if at >= len(message):
            raise ValueError("a number beyond the end")
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than ten bytes")


def last(message: bytes, number: int) -> int | bytes | None:
    """Return the value of a field that occurs once; None if it is absent."""
    found: int | bytes | None = None
    for name, value in fields(message):
        if name == number:
            found = value
    return found


def part(value: int | bytes | None) -> bytes:
    """Return a nested message; an absent one is empty."""
    if isinstance(value, int):
        raise ValueError("a number where a message was expected")
    return value or b""


def text(value: int | bytes | None) -> str:
    """Return text; absent text is empty."""
    return part(value).decode("utf-8")


def whole(value: int | bytes | None) -> int:
    """Return a signed 64-bit integer; an absent one is zero."""
    if isinstance(value, bytes):
        raise ValueError("bytes where a number was expected")
    value = (value or 0) & (2**64 - 1)
    return value - 2**64 if value >= 2**63 else value


def real(value: int | bytes | None) -> float:
    """Return a float or double; an absent one is zero."""
    content = part(value)
    if len(content) not in (0, 4, 8):
        raise ValueError(f"{len(content)} bytes where a float was expected")
    return float(struct.unpack("<f" if len(content) == 4 else "<d", content)[0]) if content else 0.0
