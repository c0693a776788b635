"""Fits read back from the netCDF files that `Fit.save` wrote."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from bayes_scaling.base.arguments import FilePath, validated
from bayes_scaling.base.messages import plain, shown
from bayes_scaling.base.scope import scope
from bayes_scaling.data.reading import READ_ENDINGS
from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import REMEDY, BayesScalingError, FitError, LawError, Remedy
from bayes_scaling.inference.diagnostics import Diagnostics
from bayes_scaling.inference.fit import refuse_unusable_columns
from bayes_scaling.inference.result import Fit
from bayes_scaling.inference.store import FIT, KINDS, Kind, digest_of
from bayes_scaling.inference.validity import (
    DIAGNOSTICS,
    MANIFEST,
    RUNS,
    Unbelievable,
    refuse_contradictions,
    refuse_odd_fields,
)
from bayes_scaling.laws.catalogue import available_laws, catalogue_law, is_path
from bayes_scaling.laws.law import Law
from bayes_scaling.laws.priors import prior_from_spec
from bayes_scaling.model.composition import Composition
from bayes_scaling.model.discrepancy import Discrepancy
from bayes_scaling.model.families import FAMILIES
from bayes_scaling.model.noise import Noise
from bayes_scaling.model.pooling import Pool, checked_pooling

GIVE_LAW = Remedy("law", value="file")
PACKED = 1000  # times as many bytes as in the file: more, deflate does not make of them
SPARE = 2**26  # bytes beyond that


def _flat_draws(group: h5py.Group) -> dict[str, np.ndarray]:
    """Return one array, ``(chain, draw)``, per parameter and group: the inverse of `_by_group`."""
    flat = {}
    for name, variable in group.items():
        if variable.is_scale:
            continue
        values = values_of(variable)
        if values.dtype.kind not in "fiub":
            raise ValueError(f"{name} holds no numbers")
        if values.ndim == 2:
            flat[name] = values
        else:
            labels = _labels(variable, 2)
            flat |= {f"{name}[{label}]": np.ascontiguousarray(values[..., i]) for i, label in enumerate(labels)}
    return flat


def values_of(variable: h5py.Dataset) -> np.ndarray:
    """Return the numbers of a variable; netCDF has no type for true and false, and says so beside it."""
    values: np.ndarray = variable[...]
    return values.astype(bool) if variable.attrs.get("dtype") == "bool" else values


def _whole_number(tree: h5py.Group, name: str) -> int:
    """Return an attribute that is a number: an array of one, as netCDF has it."""
    return int(np.asarray(tree.attrs[name]).item())


def _labels(variable: h5py.Dataset, dimension: int) -> list[str]:
    """Return the names along a dimension of a variable."""
    return [str(label) for label in variable.dims[dimension][0].asstr()[...]]


@dataclasses.dataclass(frozen=True)
class Content:
    """What a file holds of a fit, before any of it is believed.

    Attributes
    ----------
    arrays : by group and name
    sites : names of the unconstrained coordinates
    said : attributes, most of them JSON
    digest : that the file gives
    """

    arrays: dict[str, dict[str, np.ndarray]]
    sites: list[str]
    said: dict[str, Any]
    digest: str

    @classmethod
    def of(cls, tree: h5py.Group) -> Content:
        """Read what `to_datatree` or `to_lean_datatree` made, and no group beyond that; errors are of any kind."""
        groups = {name: _flat_draws(tree[name]) for name in ("posterior", "sample_stats", "prior")}
        u = tree["unconstrained_posterior"]["u"]
        groups["prior"] = {name: values[0] for name, values in groups["prior"].items()}
        said = {name: str(tree.attrs[name]) for name in ("manifest", "diagnostics", "runs")}
        return cls(
            arrays={**groups, "u": {"u": values_of(u)}},
            sites=_labels(u, 2),
            said={**said, "drawn": _whole_number(tree, "drawn")},
            digest=str(tree.attrs["sha256"]),
        )


@validated
def load_fit(path: FilePath, law: Law | None = None, *, noise: Noise | None = None) -> Fit:
    """Read a fit that `Fit.save` wrote. Nothing in the file runs: it names a law of the catalogue, or none.

    Parameters
    ----------
    path : the netCDF file
    law : the law that was fitted, where it is one of your own: ``load_law("my_law.py")``; it is compared by its hash
    noise : the noise model, where its family is one of your own

    Raises
    ------
    FitError
        In one line, for a file that is truncated, foreign, changed, of another format, or fitted with another law.
    """
    path = Path(path)
    with scope():  # what it refuses, such as a fork, is no fault of the file
        pass
    with believed(path):
        return fit_of(_read(path), path, law, noise)


def fit_of(content: Content, path: Path, law: Law | None, noise: Noise | None, give: Remedy = GIVE_LAW) -> Fit:
    """Return the fit that a file holds, once its digest fits and everything in it agrees.

    Parameters
    ----------
    law, noise : as of `load_fit`
    give : the argument by which a law of one's own is given

    Raises
    ------
    FitError
        When it was changed, or another law is needed.
    Unbelievable
        When no fit can have written it.
    """
    refuse_changed(path, digest_of(content.arrays, content.said), content.digest)
    return _agreeing(content, path, law, noise, give)


def refuse_changed(path: Path, found: str, said: str) -> None:
    """Refuse a file whose content has another digest than it says."""
    if found != said:
        raise FitError(
            f"{path.name} was changed since it was saved, or is damaged: its digest is {found[:16]}, not {said[:16]}; "
            "fit again"
        )


@contextlib.contextmanager
def believed(path: Path) -> Iterator[None]:
    """Turn what cannot have been written by a fit into a sentence about the file."""
    try:
        yield
    except Unbelievable as problem:
        raise FitError(f"{path.name} is not as a fit leaves it: {problem}; fit again") from None


@contextlib.contextmanager
def opened(path: Path, kind: Kind) -> Iterator[h5py.File]:
    """Open a file, and refuse what is not whole or not of this kind and format.

    Raises
    ------
    FitError
        In one line, also for every error while it is open.
    """
    if not path.is_file():
        raise FitError(f"{path} is not a file; expected {kind.article} {kind.name} written by {kind.written_by}")
    if path.suffix.lower() in READ_ENDINGS:
        raise FitError(f"{path.name} is a table; expected {kind.article} {kind.name} written by {kind.written_by}")
    try:
        with h5py.File(path) as tree:
            _refuse_other_kinds(tree, path, kind)
            _refuse_odd_structure(tree, path)
            yield tree
    except (FitError, Unbelievable):
        raise
    except Exception as error:  # HDF5 raises errors of many kinds for bytes that are not as it wrote them
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FitError(
            f"{path.name} is not a whole {kind.name} file ({reason}); it may be truncated or foreign"
        ) from error


def _refuse_odd_structure(file: h5py.File, path: Path) -> None:
    """Refuse what leads out of the file or into itself, and arrays of more bytes than were ever written."""
    waiting, bytes_of_arrays = [file["/"]], 0
    seen = {h5py.h5o.get_info(file["/"].id).addr}
    while waiting:
        group = waiting.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise Unbelievable(f"{plain(name)} is a link to another place")
            part = group[name]
            if isinstance(part, h5py.Dataset):
                if part.is_virtual or part.external:
                    raise Unbelievable(f"{plain(name)} lies in another file")
                bytes_of_arrays += part.nbytes
                continue
            place = h5py.h5o.get_info(part.id).addr
            if place in seen:
                raise Unbelievable(f"its part {plain(name)} is there twice")
            seen.add(place)
            waiting += [part] if isinstance(part, h5py.Group) else []
    if bytes_of_arrays > PACKED * path.stat().st_size + SPARE:
        raise Unbelievable(f"it claims {bytes_of_arrays:.3g} bytes of arrays in a file of {path.stat().st_size:,}")


def _refuse_other_kinds(tree: h5py.File, path: Path, kind: Kind) -> None:
    """Refuse a file of another kind or format."""
    creator = tree.attrs.get("created_by")
    for other in KINDS:
        if creator == other.magic != kind.magic:
            raise FitError(f"{path.name} holds {other.article} {other.name}: read it with {other.read_by}")
    if creator != kind.magic:
        raise FitError(
            f"{path.name} is netCDF but not {kind.article} {kind.name} of bayes_scaling; expected a file from "
            f"{kind.written_by}"
        )
    written = _whole_number(tree, "format")
    if written > kind.format:
        raise FitError(
            f"{path.name} has format {written}, newer than {kind.format}, the newest this version reads; "
            "upgrade bayes-scaling"
        )
    if written < kind.format:
        raise FitError(f"{path.name} has format {written}, older than {kind.format}; fit again")


def _read(path: Path) -> Content:
    """Read the file of a fit."""
    with opened(path, FIT) as tree:
        return Content.of(tree)


def _agreeing(content: Content, path: Path, law: Law | None, noise: Noise | None, give: Remedy) -> Fit:
    """Return the fit that a file holds, once everything in it agrees."""
    manifest, diagnostics, table = (json_of(content.said, name) for name in ("manifest", "diagnostics", "runs"))
    refuse_odd_fields("manifest", manifest, MANIFEST)
    refuse_odd_fields("diagnostics", diagnostics, DIAGNOSTICS)
    refuse_odd_fields("table of runs", table, RUNS)
    law = _law_of(manifest, path, law, give)
    noise = _noise_of(manifest["noise"], path, noise)
    try:
        pooling = {name: Pool(**pool) for name, pool in manifest["pooling"].items()}
        pooling = checked_pooling(pooling, (*law.parameters, *noise.parameters))
        runs = _runs_of(table)
        refuse_unusable_columns(law, runs)
        fit = Fit(
            composition=Composition(law, noise, Discrepancy(**manifest["discrepancy"]), pooling),
            runs=runs,
            draws=content.arrays["posterior"],
            prior=content.arrays["prior"],
            unconstrained=content.arrays["u"]["u"],
            stats=content.arrays["sample_stats"],
            diagnostics=Diagnostics(**diagnostics),
            manifest=manifest,
            drawn=content.said["drawn"],
        )
        refuse_contradictions(fit, content.sites)
    except BayesScalingError as error:
        raise Unbelievable(str(error)) from error
    return fit


def json_of(said: Mapping[str, Any], name: str) -> Any:
    """Return an attribute that holds JSON."""
    try:
        return json.loads(said[name])
    except (ValueError, RecursionError):
        raise Unbelievable(f"its {name} is no JSON") from None


def _noise_of(saved: dict[str, Any], path: Path, given: Noise | None) -> Noise:
    """Return the noise model of a saved fit, and refuse one that is not what was fitted."""
    if given is None and saved["family"] not in FAMILIES:
        raise FitError(
            f"{path.name} was fitted with noise family {shown(saved['family'])}, which is not built in; "
            "pass it: noise=Noise(...)"
        )
    try:
        noise = Noise.from_dict(saved) if given is None else given
    except LawError as error:
        raise Unbelievable(str(error)) from None
    if noise.as_dict() != saved:
        raise FitError(f"{path.name} was fitted with other noise, {saved}; the noise given is {noise.as_dict()}")
    return noise


def _runs_of(saved: dict[str, Any]) -> Runs:
    """Return the table of a saved fit; it must pass what a table that a user gives must pass."""
    try:
        table = pd.DataFrame(saved["table"])
    except ValueError:
        raise Unbelievable("columns of its runs differ in length") from None
    described = {name: saved[name] for name in ("params_convention", "loss_unit", "source")}
    described["source"] = Runs.from_frame(table, **described).source  # one line that prints
    return Runs(table, **described, notes=tuple(saved["notes"]), warnings=tuple(saved["warnings"]))


def _law_of(manifest: dict[str, Any], path: Path, given: Law | None, give: Remedy) -> Law:
    """Return the law of a saved fit: the one given, or one of the catalogue. A file chooses among names, never code."""
    name, options, fitted = manifest["law"], manifest["law_options"], manifest["law_source_sha256"]
    if given is None and name not in available_laws():
        own = f"the law file {plain(name)}" if is_path(name) else "a law of your own"
        raise FitError(
            f"{path.name} was fitted with {own}, and a saved fit runs no code: give the law again with {REMEDY}",
            give,
        )
    try:
        law = catalogue_law(name, options) if given is None else given
        if law.source_hash != fitted:
            label = f"{plain(name)}{options or ''}"
            if law.name != name and not is_path(name):
                raise FitError(f"{path.name} was fitted with {label}, not with {law.label}: leave out {REMEDY}", give)
            raise FitError(
                f"{path.name} was fitted with another version of {label} than {law.label} here (hash {fitted[:16]}, "
                f"here {law.source_hash}): fit again, or give the law that was fitted with {REMEDY}",
                give,
            )
        priors = {key: prior_from_spec(key, spec) for key, spec in manifest["priors_given"].items()}
        return law.with_priors(priors) if priors and not law.overridden else law
    except LawError as error:
        raise Unbelievable(str(error)) from None
