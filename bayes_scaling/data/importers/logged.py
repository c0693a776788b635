"""The data model that trackers share: runs with metrics along steps, and values that a run has once."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bayes_scaling.base.messages import plain, shown
from bayes_scaling.errors import DataError

ByStep = dict[int, float]
"""Values of a metric by the tracker's step; NaN and infinity are kept."""

LARGEST_STEP = 2**63 - 1
DEEPEST = 100  # of nested mappings, far below what Python's own stack takes
MOST_PARTS = 1_000_000  # of a YAML file; one of a few lines can repeat its parts without end

PLANS = ("config", "params", "hparams", "columns")
"""Kinds of values that may have been set before training, so that an unfinished run may not have reached them."""


@dataclasses.dataclass(frozen=True)
class Logged:
    """One run as the tracker wrote it.

    Attributes
    ----------
    run : a name that no other run of the import has
    id : the tracker's own id
    metrics : points by metric
    once : values that a run has once, by kind (``config``, ``summary``, ``tags``, ...) and key, nested keys with dots
    status : how the run ended, in the tracker's word; empty if unknown
    overwritten : number of values of a metric that were replaced by a later one at the same step
    notes : oddities found while reading
    """

    run: str
    id: str
    metrics: Mapping[str, ByStep]
    once: Mapping[str, Mapping[str, Any]]
    status: str = ""
    overwritten: Mapping[str, int] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def finished(self) -> bool | None:
        """Whether the run ended normally; None if the tracker does not say."""
        return self.status.lower() == "finished" if self.status else None


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """A run that is not in the table, and why."""

    run: str
    why: str

    def __str__(self) -> str:
        return f"left out: run {plain(self.run)}: {self.why}"


@dataclasses.dataclass
class Series:
    """Metrics of a run while its file is read."""

    metrics: dict[str, ByStep] = dataclasses.field(default_factory=dict)
    overwritten: Counter[str] = dataclasses.field(default_factory=Counter)
    void_from: int | None = None  # what earlier files of the run logged from this step on does not count

    def add(self, key: str, step: int, value: float) -> None:
        """Add one value; at one step the last value counts."""
        points = self.metrics.setdefault(key, {})
        self.overwritten[key] += step in points
        points[step] = value

    def purge(self, start: int) -> None:
        """Drop what was logged from a step on, for a run that was resumed there."""
        for key, points in self.metrics.items():
            self.metrics[key] = {step: value for step, value in points.items() if step < start}
        self.void_from = start if self.void_from is None else min(start, self.void_from)

    def extend(self, later: Series) -> list[str]:
        """Add what a later file of the run logged; return the metrics that it begins before their last step here."""
        if later.void_from is not None:
            self.purge(later.void_from)
        ends = {key: max(points) for key, points in self.metrics.items() if points}
        for key, points in later.metrics.items():
            for step, value in points.items():
                self.add(key, step, value)
        self.overwritten.update(later.overwritten)
        return [key for key, points in later.metrics.items() if points and min(points) < ends.get(key, min(points))]


def step_of(value: Any) -> int:
    """Return a step as a whole number of 64 bits, which tables and trackers count with."""
    try:
        step = int(value)
    except (TypeError, ValueError, OverflowError):
        step = LARGEST_STEP + 1
    if abs(step) > LARGEST_STEP:
        raise DataError(f"a step is {shown(value, 40)}; expected a whole number of at most 64 bits")
    return step


def flat(content: Mapping[Any, Any], above: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested mappings with dotted keys."""
    if depth > DEEPEST:
        raise DataError(f"{plain(above, 40)} is nested more than {DEEPEST} deep; expected values by name")
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{key}.", depth + 1)
        else:
            yield f"{above}{key}", value


def named_apart(runs: Iterable[Logged | LeftOut]) -> list[Logged | LeftOut]:
    """Append the id to the name of runs that share a name."""
    found = list(runs)
    names = Counter(one.run for one in found)
    return [
        dataclasses.replace(one, run=f"{one.run} ({one.id})" if one.run else one.id)
        if isinstance(one, Logged) and (names[one.run] > 1 or not one.run)
        else one
        for one in found
    ]


def local(path: str | Path, what: str) -> Path:
    """Return a path that exists."""
    if not isinstance(path, str | Path):
        raise DataError(f"expected the path of {what}, got {type(path).__name__}")
    if "://" in str(path):
        raise DataError(
            f"{plain(str(path), 200)} is an address; expected {what} on this machine: export or copy it first"
        )
    path = Path(path)
    if not path.exists():
        raise DataError(f"{plain(str(path), 200)} does not exist; expected {what}")
    return path


def content_of(path: Path) -> bytes:
    """Return the bytes of a file; of a pipe or a device no end may come."""
    try:
        if path.exists() and not path.is_file():
            raise DataError(f"{plain(str(path), 200)} is not a file")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{plain(str(path), 200)} cannot be read: {error.strerror}") from error


def yaml_of(path: Path, extra: str) -> dict[str, Any]:
    """Return the mapping in a YAML file; only plain YAML is read."""
    name = plain(path.name)
    try:
        import yaml
    except ImportError as error:
        raise DataError(f"reading {name} needs PyYAML: pip install 'bayes-scaling[{extra}]'") from error
    try:
        content = yaml.safe_load(content_of(path))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{name} is not plain YAML ({plain(str(error).splitlines()[0], 120)})") from error
    if _parts_of(content, {}) > MOST_PARTS:
        raise DataError(f"{name} repeats its parts within each other; expected names and values")
    if not isinstance(content, dict):
        raise DataError(f"{name} is damaged: expected names and values")
    return content


def _parts_of(value: Any, known: dict[int, int]) -> int:
    """Return how many parts a value has when it is written out; beyond all counting where it is a part of itself."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = MOST_PARTS + 1  # what is met again before it is counted holds itself
        inner = value if isinstance(value, list) else [*value, *value.values()]
        known[id(value)] = 1 + sum(_parts_of(one, known) for one in inner)
    return known[id(value)]
