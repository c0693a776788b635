"""Fits as ArviZ data trees and as netCDF files: written whole or not at all, read without running any code in them."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5netcdf
import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling._catalogue import read_law
from bayes_scaling._discrepancy import Discrepancy
from bayes_scaling._errors import FitError, LawError
from bayes_scaling._law import Law
from bayes_scaling._model import Composition
from bayes_scaling._noise import Noise
from bayes_scaling._pooling import Pool, varies_over
from bayes_scaling._priors import prior_from_spec
from bayes_scaling._runs import NUMERIC, Runs
from bayes_scaling._sampling import Diagnostics

if TYPE_CHECKING:
    from bayes_scaling._fit import Fit

FORMAT = 1
MAGIC = "bayes_scaling fit"


def to_datatree(fit: Fit) -> xr.DataTree:
    """Return a fit as a ``DataTree`` with ArviZ's groups.

    Groups: ``posterior`` (papers' names), ``unconstrained_posterior``, ``sample_stats``, ``log_likelihood`` (per unit
    of the loss), ``log_prior``, ``posterior_predictive`` (a new run at each fitted point), ``prior``,
    ``prior_predictive``, ``observed_data``, ``constant_data``. Dimensions: ``chain``, ``draw``, ``row`` (one per row of
    the table), ``site``.
    """
    chains, draws = fit.unconstrained.shape[:2]
    coords = {"chain": np.arange(chains), "draw": np.arange(draws)}
    kept = {**coords, "draw": fit.kept.reshape(chains, -1)[0]}
    rows = {"row": np.arange(len(fit.runs)), "run": ("row", np.array(fit.runs.labels, dtype=str))}
    sites = fit.model.sites
    units = {row.name: row.unit for row in fit.composition.rows}

    def sampled(values: Any) -> dict[str, Any]:
        return {
            name: (("chain", "draw"), v, {"unit": units[name]} if name in units else {}) for name, v in values.items()
        }

    columns = [name for name in NUMERIC if name in fit.runs and name != "loss"]
    groups = {
        "posterior": _by_group(fit, fit.draws, ("chain", "draw"), units).assign_coords(coords),
        "unconstrained_posterior": xr.Dataset(
            {"u": (("chain", "draw", "site"), fit.unconstrained)}, {**coords, "site": np.array(sites, dtype=str)}
        ),
        "sample_stats": xr.Dataset(sampled(fit.stats), coords),
        "log_likelihood": xr.Dataset({"loss": (("chain", "draw", "row"), fit.log_likelihood)}, {**kept, **rows}),
        "log_prior": xr.Dataset(sampled(fit.log_prior), coords),
        "posterior_predictive": xr.Dataset({"loss": (("chain", "draw", "row"), fit.replicated)}, {**kept, **rows}),
        "prior": _by_group(
            fit, {name: values[None] for name, values in fit.prior.items()}, ("chain", "draw"), units
        ).assign_coords({"chain": [0], "draw": np.arange(len(next(iter(fit.prior.values()))))}),
        "prior_predictive": xr.Dataset(
            {"loss": (("chain", "draw", "row"), fit.prior_predictive[None])},
            {"chain": [0], "draw": np.arange(len(fit.prior_predictive)), **rows},
        ),
        "observed_data": xr.Dataset({"loss": ("row", fit.runs.loss, {"unit": fit.runs.loss_unit})}, rows),
        "constant_data": xr.Dataset({name: ("row", fit.runs.column(name)) for name in columns}, rows),
    }
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {
        "inference_library": "numpyro",
        "created_by": MAGIC,
        "format": FORMAT,
        "manifest": json.dumps(fit.manifest),
        "diagnostics": json.dumps(dataclasses.asdict(fit.diagnostics)),
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
    return tree


def _by_group(fit: Fit, draws: Mapping[str, np.ndarray], dims: tuple[str, ...], units: Mapping[str, str]) -> xr.Dataset:
    """Gather the entries of a parameter that varies between groups, ``alpha[c4]``, along a dimension of groups."""
    from bayes_scaling._fit import spelled_out

    over = varies_over(fit.composition.rows, fit.pooling)
    variables: dict[str, Any] = {}
    coords: dict[str, Any] = {}
    for name, keys in spelled_out(fit.composition, fit.groups).items():
        attrs = {"unit": units[name]} if name in units else {}
        values = [draws[key] for key, _ in keys]
        if not over.get(name):
            variables[name] = (dims, values[0], attrs)
            continue
        group = re.sub(r"\W", "_", "_".join(over[name])) + "_group"
        coords[group] = np.array([key[len(name) + 1 : -1] for key, _ in keys], dtype=str)
        variables[name] = ((*dims, group), np.stack(values, axis=-1), attrs)
    return xr.Dataset(variables, coords)


def _flat_draws(group: xr.Dataset) -> dict[str, np.ndarray]:
    """Return one array, ``(chain, draw)``, per parameter and group: the inverse of `_by_group`."""
    flat = {}
    for name, variable in group.data_vars.items():
        if variable.ndim == 2:
            flat[str(name)] = np.asarray(variable.values)
        else:
            labels = group.coords[variable.dims[2]].values
            flat |= {f"{name}[{label}]": np.asarray(variable.values[..., i]) for i, label in enumerate(labels)}
    return flat


def save(fit: Fit, path: Path) -> None:
    """Write a fit to ``path``: a temporary file in the same folder, then a rename."""
    if path.is_dir():
        raise FitError(f"{path} is a folder; give the name of a file, like {path / 'fit.nc'}")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    except OSError as error:
        raise FitError(f"cannot write {path}: {error.strerror}") from error
    try:
        tree = fit.idata
        compression = {"zlib": True, "complevel": 1}
        encoding = {
            node.path: {name: compression for name, v in node.data_vars.items() if v.dtype.kind in "fiu"}
            for node in tree.subtree
            if node.data_vars
        }
        tree.to_netcdf(temporary, engine="h5netcdf", encoding=encoding)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load_fit(path: str | Path, law: Law | None = None) -> Fit:
    """Read a fit that `Fit.save` wrote.

    Parameters
    ----------
    path : the netCDF file
    law : the law to use, where the file names a law file that has moved or changed since

    Raises
    ------
    FitError
        In one line, for a file that is truncated, foreign, of a newer format, or fitted with another law.
    """
    from bayes_scaling._fit import Fit

    path = Path(path)
    if not path.is_file():
        raise FitError(f"{path} is not a file; expected a fit written by Fit.save or 'bayes-scaling fit --out'")
    try:
        with xr.open_datatree(path, engine="h5netcdf", phony_dims="access") as tree:
            attrs = dict(tree.attrs)
            if attrs.get("created_by") != MAGIC:
                raise FitError(f"{path.name} is netCDF but not a fit of bayes_scaling; expected a file from Fit.save")
            if int(attrs["format"]) > FORMAT:
                raise FitError(
                    f"{path.name} has format {attrs['format']}, newer than {FORMAT}, the newest this version reads; "
                    "upgrade bayes-scaling"
                )
            groups = {name: _flat_draws(tree[name].to_dataset()) for name in ("posterior", "sample_stats", "prior")}
            unconstrained = np.asarray(tree["unconstrained_posterior"]["u"].values)
    except FitError:
        raise
    except (OSError, KeyError, ValueError, RuntimeError, h5netcdf.CompatibilityError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FitError(f"{path.name} is not a whole fit file ({reason}); it may be truncated or foreign") from error
    try:
        manifest = json.loads(attrs["manifest"])
        diagnostics = Diagnostics(**json.loads(attrs["diagnostics"]))
        runs = _runs_of(json.loads(attrs["runs"]))
        noise = Noise(**manifest["noise"])
        discrepancy = Discrepancy(**manifest.get("discrepancy", {"path": "none"}))
        pooling = {name: Pool(**pool) for name, pool in manifest.get("pooling", {}).items()}
    except (KeyError, ValueError, TypeError) as error:
        raise FitError(f"{path.name} says that it is a fit but lacks what one holds ({error}); fit again") from error
    return Fit(
        composition=Composition(_law_of(manifest, path, law), noise, discrepancy, pooling),
        runs=runs,
        draws=groups["posterior"],
        prior={name: values[0] for name, values in groups["prior"].items()},
        unconstrained=unconstrained,
        stats=groups["sample_stats"],
        diagnostics=diagnostics,
        manifest=manifest,
    )


def _runs_of(saved: dict[str, Any]) -> Runs:
    return Runs(
        table=pd.DataFrame(saved["table"]),
        params_convention=saved["params_convention"],
        loss_unit=saved["loss_unit"],
        source=saved["source"],
        notes=tuple(saved["notes"]),
        warnings=tuple(saved["warnings"]),
    )


def _law_of(manifest: dict[str, Any], path: Path, law: Law | None) -> Law:
    """Find the law of a saved fit, and refuse one whose file is not the one that was fitted."""
    name, fitted = manifest["law"], manifest["law_source_sha256"]
    if law is not None:
        return law
    if name.endswith(".py"):
        # A user's law file is code: it is run only when it is, byte for byte, the file that was fitted.
        file = Path(name)
        if not file.is_file():
            raise FitError(
                f"{path.name} was fitted with the law file {name}, which is not there; pass law=load_law(...)"
            )
        if Law.hash_of(file) != fitted:
            raise FitError(
                f"{path.name} was fitted with another version of {name}; fit again, or pass law=load_law(...)"
            )
    try:
        found = read_law(name, **manifest["law_options"])
    except LawError as error:
        raise FitError(f"{path.name} was fitted with a law that is not here: {error}") from error
    if set(found.parameter_names) - set(manifest["posterior_names"]):
        raise FitError(f"{path.name} was fitted with an older {name}, which had other parameters; fit again")
    return found.with_priors({key: prior_from_spec(key, spec) for key, spec in manifest["priors_given"].items()})
