"""Results of refits in a folder: each under a name that holds all it depends on, whole, or made again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bayes_scaling.base.files import write_text
from bayes_scaling.base.json_text import json_text
from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import BayesScalingWarning
from bayes_scaling.evaluate.candidates import Candidate


def key_of(candidate: Candidate, runs: Runs, seed: int, what: str) -> str:
    """Name a refit by everything that it depends on."""
    priors = [(row.name, str(row.prior.__class__.__name__), _numbers(row.prior)) for row in candidate.law.sampled]
    parts = (
        *(candidate.law.label, candidate.law.source_hash, priors, candidate.method, str(candidate.sampler)),
        *(str(candidate.discrepancy), str(candidate.noise), runs.hash_of(candidate.law.inputs), seed, what),
        *(key_of(one, runs, seed, f"{one.label}, {one.held_out_sampler}") for one in candidate.members),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:20]


def _numbers(prior: Any) -> list[tuple[str, str]]:
    return [(name, str(getattr(prior, name))) for name in sorted(prior.arg_constraints)]


def found_in(folder: Path | None, key: str) -> dict[str, Any] | None:
    """Return what is kept under a key; None without anything that is whole."""
    path = None if folder is None else folder / "refits" / f"{key}.json"
    if path is None or not path.is_file():
        return None
    found = _whole(path, key)
    if found is None:
        say_again(path)
    return found


def kept_in(folder: Path | None, key: str, measure: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """Return what is kept under a key, or measure it and keep it, whole or not at all."""
    if folder is None:
        return dict(measure())
    found = found_in(folder, key)
    if found is not None:
        return found
    content = json_text(measure())
    path = folder / "refits" / f"{key}.json"
    write_text(json_text({"refit": key, "sha256": _digest(key, content), "content": content}), path)
    kept: dict[str, Any] = json.loads(content)
    return kept


def _whole(path: Path, key: str) -> dict[str, Any] | None:
    """Return the content of a file if it is what was kept under this key, to the digit."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["refit"] != key or found["sha256"] != _digest(key, found["content"]):
            return None
        content: dict[str, Any] = json.loads(found["content"])
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    return content


def _digest(key: str, content: str) -> str:
    return hashlib.sha256(f"{key} {content}".encode()).hexdigest()


def say_again(path: Path) -> None:
    """Say that a file is not what was kept there, and remove it, so that it is said once."""
    with contextlib.suppress(OSError):
        path.unlink()
    warnings.warn(f"{path} is not the refit that was kept there; fitting again", BayesScalingWarning, stacklevel=3)
