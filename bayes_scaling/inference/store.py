"""Fits as ArviZ data trees and as netCDF files, written whole or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_scaling.base.files import write_bytes
from bayes_scaling.data.naming import NUMERIC
from bayes_scaling.errors import BayesScalingError, FitError, WriteError
from bayes_scaling.model.composition import spelled_out
from bayes_scaling.model.pooling import varies_over

if TYPE_CHECKING:
    from bayes_scaling.inference.result import Fit

ENDING = ".nc"


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of file that we write.

    Attributes
    ----------
    name : what it holds
    format : number of the format
    written_by, read_by : how, in words
    """

    name: str
    format: int
    written_by: str
    read_by: str

    @property
    def magic(self) -> str:
        """What a file says that it was created by."""
        return f"bayes_scaling {self.name}"

    @property
    def article(self) -> str:
        """A or an."""
        return "an" if self.name[0] in "aeiou" else "a"


FIT = Kind("fit", 4, "Fit.save or 'bayes-scaling fit --out'", "load_fit")
ENSEMBLE = Kind("ensemble", 1, "Ensemble.save or 'bayes-scaling fit --out'", "Ensemble.load")
KINDS = (FIT, ENSEMBLE)


def to_datatree(fit: Fit) -> xr.DataTree:
    """Return a fit as a ``DataTree`` with ArviZ's groups.

    Groups: ``posterior`` (papers' names), ``unconstrained_posterior``, ``sample_stats``, ``log_likelihood`` (per unit
    of the loss), ``log_prior``, ``posterior_predictive`` (a new run at each fitted point), ``prior``,
    ``prior_predictive``, ``observed_data``, ``constant_data``. Dimensions: ``chain``, ``draw``, ``row`` (one per row of
    the table), ``site``.
    """
    coords = _coords(fit)
    kept = {**coords, "draw": fit.kept.reshape(len(coords["chain"]), -1)[0]}
    rows = {"row": np.arange(len(fit.runs)), "run": ("row", np.array(fit.runs.labels, dtype=str))}
    columns = [name for name in NUMERIC if name in fit.runs and name != "loss"]
    groups = {
        **_essential(fit),
        "log_likelihood": xr.Dataset({"loss": (("chain", "draw", "row"), fit.log_likelihood)}, {**kept, **rows}),
        "log_prior": xr.Dataset(_sampled(fit.log_prior, _units(fit)), coords),
        "posterior_predictive": xr.Dataset({"loss": (("chain", "draw", "row"), fit.replicated)}, {**kept, **rows}),
        "prior_predictive": xr.Dataset(
            {"loss": (("chain", "draw", "row"), fit.prior_predictive[None])},
            {"chain": [0], "draw": np.arange(len(fit.prior_predictive)), **rows},
        ),
        "observed_data": xr.Dataset({"loss": ("row", fit.runs.loss, {"unit": fit.runs.loss_unit})}, rows),
        "constant_data": xr.Dataset({name: ("row", fit.runs.column(name)) for name in columns}, rows),
    }
    return _signed(fit, groups)


def to_lean_datatree(fit: Fit) -> xr.DataTree:
    """Return only what a fit is read back from: a fifth of the size; the other groups follow from it."""
    return _signed(fit, _essential(fit))


def _coords(fit: Fit) -> dict[str, Any]:
    chains, draws = fit.unconstrained.shape[:2]
    return {"chain": np.arange(chains), "draw": np.arange(draws)}


def _units(fit: Fit) -> dict[str, str]:
    return {row.name: row.unit for row in fit.composition.rows}


def _sampled(values: Mapping[str, np.ndarray], units: Mapping[str, str]) -> dict[str, Any]:
    return {name: (("chain", "draw"), v, {"unit": units[name]} if name in units else {}) for name, v in values.items()}


def _essential(fit: Fit) -> dict[str, xr.Dataset]:
    """Return the groups that a fit is read back from."""
    coords, units = _coords(fit), _units(fit)
    return {
        "posterior": _by_group(fit, fit.draws, ("chain", "draw"), units).assign_coords(coords),
        "unconstrained_posterior": xr.Dataset(
            {"u": (("chain", "draw", "site"), fit.unconstrained)},
            {**coords, "site": np.array(fit.model.sites, dtype=str)},
        ),
        "sample_stats": xr.Dataset(_sampled(fit.stats, units), coords),
        "prior": _by_group(
            fit, {name: values[None] for name, values in fit.prior.items()}, ("chain", "draw"), units
        ).assign_coords({"chain": [0], "draw": np.arange(len(next(iter(fit.prior.values()))))}),
    }


def _signed(fit: Fit, groups: Mapping[str, xr.Dataset]) -> xr.DataTree:
    """Return groups as a tree that says what they belong to, with a digest of what a fit is read back from."""
    tree = xr.DataTree.from_dict(groups)
    said = {
        "manifest": json.dumps(fit.manifest),
        "diagnostics": json.dumps(dataclasses.asdict(fit.diagnostics)),
        "drawn": fit.drawn or fit.unconstrained.shape[0] * fit.unconstrained.shape[1],
        "runs": json.dumps(
            {
                "params_convention": fit.runs.params_convention,
                "loss_unit": fit.runs.loss_unit,
                "source": fit.runs.source,
                "notes": fit.runs.notes,
                "warnings": fit.runs.warnings,
                # Python writes floats so that they read back to the same bits.
                "table": fit.runs.table.astype(object).to_dict(orient="list"),
            }
        ),
    }
    arrays = {"posterior": fit.draws, "prior": fit.prior, "sample_stats": fit.stats, "u": {"u": fit.unconstrained}}
    about = {"inference_library": "numpyro", "created_by": FIT.magic, "format": FIT.format}
    tree.attrs = {**about, **said, "sha256": digest_of(arrays, said)}
    return tree


def digest_of(arrays: Mapping[str, Mapping[str, np.ndarray]], said: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a fit is read back from; what follows from it, like the log likelihood, is left out.

    It shows accidents. It is no signature: whoever changes a file can compute it again.

    Parameters
    ----------
    arrays : by group and name
    said : attributes of the file
    """
    digest = hashlib.sha256(repr(sorted((key, str(value)) for key, value in said.items())).encode())
    for group, named in sorted(arrays.items()):
        for name, values in sorted(named.items()):
            digest.update(f"{group}.{name}{np.shape(values)}".encode())
            digest.update(np.ascontiguousarray(values, "<f8").tobytes())
    return digest.hexdigest()


def _by_group(fit: Fit, draws: Mapping[str, np.ndarray], dims: tuple[str, ...], units: Mapping[str, str]) -> xr.Dataset:
    """Gather the entries of a parameter that varies between groups, ``alpha[c4]``, along a dimension of groups."""
    over = varies_over(fit.composition.rows, fit.pooling)
    variables: dict[str, Any] = {}
    coords: dict[str, Any] = {}
    over_of: dict[str, tuple[str, ...]] = {}
    for name, keys in spelled_out(fit.composition, fit.groups).items():
        attrs = {"unit": units[name]} if name in units else {}
        values = [draws[key] for key, _ in keys]
        if not over.get(name):
            variables[name] = (dims, values[0], attrs)
            continue
        group = "group." + re.sub(r"\W", "_", "_".join(over[name]))
        while over_of.setdefault(group, over[name]) != over[name]:
            group += "_"
        coords[group] = np.array([key[len(name) + 1 : -1] for key, _ in keys], dtype=str)
        variables[name] = ((*dims, group), np.stack(values, axis=-1), attrs)
    return xr.Dataset(variables, coords)


def save(fit: Fit, path: Path) -> None:
    """Write a fit to ``path``, whole or not at all; errors as of `write_tree`."""
    write_tree(lambda: fit.idata, path, FIT)


def write_tree(tree: Callable[[], xr.DataTree], path: Path, kind: Kind) -> None:
    """Write a tree to ``path``, whole or not at all; where the disk is full, put it into the temporary folder.

    The file is made in memory first: HDF5 ends the process where the disk fills while it writes.

    Parameters
    ----------
    tree : makes it, once the name is known to be right
    kind : what it holds

    Raises
    ------
    FitError
        When the name is not that of such a file.
    WriteError
        When it cannot be written there; it says where it is, if it is anywhere.
    """
    if path.is_dir():
        raise FitError(f"{path} is a folder; give the name of a file, like {path / kind.name}{ENDING}")
    if path.suffix.lower() != ENDING:
        raise FitError(
            f"{path} is no name for {kind.article} {kind.name}; give one that ends in {ENDING}, like "
            f"{path.with_suffix(ENDING)}"
        )
    made = tree()
    image = io.BytesIO()
    compression = {"zlib": True, "complevel": 1}
    encoding = {
        node.path: {name: compression for name, v in node.data_vars.items() if v.dtype.kind in "fiu"}
        for node in made.subtree
        if node.data_vars
    }
    with _without_dask():
        made.to_netcdf(image, engine="h5netcdf", encoding=encoding)
    try:
        write_bytes(image.getbuffer(), path)
    except WriteError as error:
        instead = Path(tempfile.gettempdir()) / f"{path.stem}-{os.getpid()}{ENDING}"
        try:
            write_bytes(image.getbuffer(), instead)
        except BayesScalingError:
            raise WriteError(f"{error}; the draws were not kept, make room and fit again") from error
        raise WriteError(f"{error}; the {kind.name} was put into {instead} instead") from error


_ONE_AT_A_TIME = threading.Lock()


@contextlib.contextmanager
def _without_dask() -> Iterator[None]:
    """Keep xarray from taking a lock of a Dask cluster; inside a worker it would, and has none for a file in memory."""
    dask = sys.modules.get("dask")
    if dask is None:
        yield
        return
    with _ONE_AT_A_TIME, dask.config.set(scheduler="synchronous"):
        yield
