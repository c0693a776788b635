"""Results of refits in a folder: each under a name that holds all it depends on, whole, or made again."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bayes_scaling.base.files import write_text
from bayes_scaling.base.json_text import json_text
from bayes_scaling.base.warned import warn_caller
from bayes_scaling.data.runs import Runs
from bayes_scaling.evaluate.candidates import Candidate


@dataclasses.dataclass(frozen=True, eq=False)
class Kept:
    """A result of a refit and its place in a folder.

    Attributes
    ----------
    folder : None keeps nothing
    candidate, runs, seed : what was fitted to what
    what : which result of that it is
    columns : of the table on which it depends, beside those that the law reads
    """

    folder: Path | None
    candidate: Candidate
    runs: Runs
    seed: int
    what: str
    columns: tuple[str, ...] = ()

    @functools.cached_property
    def key(self) -> str:
        """Everything that it depends on, as a name."""
        one = self.candidate
        priors = [(row.name, str(row.prior.__class__.__name__), _numbers(row.prior)) for row in one.law.sampled]
        parts = (
            *(one.law.label, one.law.source_hash, priors, one.method, str(one.sampler)),
            *(str(one.discrepancy), str(one.noise), self.runs.hash_of([*one.law.inputs, *self.columns])),
            *(self.seed, self.what),
            *(
                Kept(None, member, self.runs, self.seed, f"{member.label}, {member.held_out_sampler}").key
                for member in one.members
            ),
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:20]

    def path(self, ending: str) -> Path | None:
        """Return its file; None without a folder."""
        return None if self.folder is None else self.folder / "refits" / f"{self.key}{ending}"

    def found(self) -> dict[str, Any] | None:
        """Return what is kept there; None without anything that is whole."""
        path = self.path(".json")
        if path is None or not path.is_file():
            return None
        found = _whole(path, self.key)
        if found is None:
            warn_and_remove(path)
        return found

    def or_made(self, make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """Return what is kept there, or make it and keep it, whole or not at all."""
        path = self.path(".json")
        if path is None:
            return dict(make())
        found = self.found()
        if found is not None:
            return found
        content = json_text(make())
        write_text(json_text({"refit": self.key, "sha256": _digest(self.key, content), "content": content}), path)
        kept: dict[str, Any] = json.loads(content)
        return kept


def _numbers(prior: Any) -> list[tuple[str, str]]:
    return [(name, str(getattr(prior, name))) for name in sorted(prior.arg_constraints)]


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


def warn_and_remove(path: Path) -> None:
    """Warn that a file is not what was kept there, and remove it: the warning comes once."""
    with contextlib.suppress(OSError):
        path.unlink()
    warn_caller(f"{path} is not the refit that was kept there; fitting again")
