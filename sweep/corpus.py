"""The text that the sweeps train and score on: the standard library of the running interpreter."""

from __future__ import annotations

import dataclasses
import hashlib
import sysconfig
from pathlib import Path

import numpy as np

CONTEXT = 64  # tokens
EVALUATION_TOKENS = 2**19
HELD_OUT_FRACTION = 1 / 32  # of files, chosen by the hash of their path
PROSE = ("LICENSE.txt", "idlelib/HISTORY.txt", "idlelib/NEWS.txt", "idlelib/NEWS2x.txt", "idlelib/README.txt")


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Bytes of the standard library, split by file.

    Attributes
    ----------
    train, held_out : (n_bytes,) uint8
        Concatenated source files, each ended by a zero byte.
    prose : (n_bytes,) uint8
        English text that comes with the interpreter and that nothing trains on; empty where it is not installed.
    sha256 : digest of training and held-out bytes, so that a row says exactly what it was trained on.
    prose_sha256 : digest of the prose.
    """

    train: np.ndarray
    held_out: np.ndarray
    prose: np.ndarray
    sha256: str
    prose_sha256: str


def read_corpus(root: Path | None = None) -> Corpus:
    """Read every ``.py`` file of the running interpreter's standard library, and its licence and release notes."""
    root = Path(sysconfig.get_path("stdlib")) if root is None else root
    parts: dict[bool, list[bytes]] = {True: [], False: []}
    paths = sorted(p.relative_to(root).as_posix() for p in root.rglob("*.py"))
    for name in paths:
        if "site-packages" in name or "dist-packages" in name:
            continue
        digest = hashlib.sha256(name.encode()).digest()
        is_held_out = int.from_bytes(digest[:8]) / 2**64 < HELD_OUT_FRACTION
        parts[is_held_out].append((root / name).read_bytes() + b"\0")
    # Training files are put in an order that does not follow the alphabet; each run shuffles windows again.
    parts[False].sort(key=lambda text: hashlib.sha256(text).digest())
    train, held_out = (b"".join(parts[key]) for key in (False, True))
    prose = b"".join((root / name).read_bytes() + b"\0" for name in PROSE if (root / name).exists())
    return Corpus(
        train=np.frombuffer(train, np.uint8),
        held_out=np.frombuffer(held_out, np.uint8),
        prose=np.frombuffer(prose, np.uint8),
        sha256=hashlib.sha256(train + held_out).hexdigest(),
        prose_sha256=hashlib.sha256(prose).hexdigest(),
    )


def windows(text: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Cut windows of ``CONTEXT + 1`` bytes, ``starts.shape + (CONTEXT + 1,)``."""
    return text[starts[..., None] + np.arange(CONTEXT + 1)].astype(np.int32)


def first_windows(text: np.ndarray, tokens: int = EVALUATION_TOKENS) -> np.ndarray:
    """Cut the first ``tokens`` bytes into windows that do not overlap."""
    return windows(text, np.arange(0, min(tokens, text.size - 1) - CONTEXT + 1, CONTEXT))


def spread_windows(text: np.ndarray, tokens: int) -> np.ndarray:
    """Cut ``tokens`` bytes into windows that lie evenly over the whole text."""
    starts = np.arange(0, text.size - CONTEXT, CONTEXT)
    count = min(tokens // CONTEXT, len(starts))
    return windows(text, starts[np.linspace(0, len(starts) - 1, count).astype(int)])
