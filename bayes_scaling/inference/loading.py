"""Fits read back from the netCDF files that `Fit.save` wrote."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling.base.arguments import FilePath, validated
from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import FitError, LawError
from bayes_scaling.inference.diagnostics import Diagnostics
from bayes_scaling.inference.result import Fit
from bayes_scaling.inference.store import FORMAT, MAGIC
from bayes_scaling.laws.catalogue import read_law
from bayes_scaling.laws.law import Law
from bayes_scaling.laws.priors import prior_from_spec
from bayes_scaling.model.composition import Composition
from bayes_scaling.model.discrepancy import Discrepancy
from bayes_scaling.model.families import FAMILIES
from bayes_scaling.model.noise import Noise
from bayes_scaling.model.pooling import Pool


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


@validated
def load_fit(path: FilePath, law: Law | None = None, *, noise: Noise | None = None) -> Fit:
    """Read a fit that `Fit.save` wrote.

    Parameters
    ----------
    path : the netCDF file
    law : the law to use, where the file names a law file that has moved or changed since
    noise : the noise model, where its family is one of your own

    Raises
    ------
    FitError
        In one line, for a file that is truncated, foreign, of a newer format, or fitted with another law.
    """
    path = Path(path)
    if not path.is_file():
        raise FitError(f"{path} is not a file; expected a fit written by Fit.save or 'bayes-scaling fit --out'")
    try:
        # xarray leaves a warnings filter of its own behind.
        with (
            warnings.catch_warnings(),
            xr.open_datatree(path, engine="h5netcdf", phony_dims="access") as tree,
        ):
            attrs = dict(tree.attrs)
            if attrs.get("created_by") != MAGIC:
                raise FitError(f"{path.name} is netCDF but not a fit of bayes_scaling; expected a file from Fit.save")
            if int(attrs["format"]) > FORMAT:
                raise FitError(
                    f"{path.name} has format {attrs['format']}, newer than {FORMAT}, the newest this version reads; "
                    "upgrade bayes-scaling"
                )
            if int(attrs["format"]) < FORMAT:
                raise FitError(f"{path.name} has format {attrs['format']}, older than {FORMAT}; fit again")
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
        noise = _noise_of(manifest["noise"], path, noise)
        discrepancy = Discrepancy(**manifest["discrepancy"])
        pooling = {name: Pool(**pool) for name, pool in manifest["pooling"].items()}
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
        drawn=int(attrs["drawn"]),
    )


def _noise_of(saved: dict[str, str], path: Path, given: Noise | None) -> Noise:
    """Return the noise model of a saved fit, and refuse one that is not what was fitted."""
    if given is None and saved["family"] not in FAMILIES:
        raise FitError(
            f"{path.name} was fitted with noise family {saved['family']}, which is not built in; "
            "pass it: noise=Noise(...)"
        )
    noise = Noise(**saved) if given is None else given
    if noise.as_dict() != saved:
        raise FitError(f"{path.name} was fitted with other noise, {saved}; the noise given is {noise.as_dict()}")
    return noise


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
