"""Priors as plain data: how they are written in TOML files, manifests and listings."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpyro.distributions as dist
import scipy.special

from bayes_scaling._errors import LawError

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "Beta": ("concentration1", "concentration0"),
    "Exponential": ("rate",),
    "Gamma": ("concentration", "rate"),
    "HalfCauchy": ("scale",),
    "HalfNormal": ("scale",),
    "InverseGamma": ("concentration", "rate"),
    "LogNormal": ("loc", "scale"),
    "Normal": ("loc", "scale"),
    "StudentT": ("df", "loc", "scale"),
    "TruncatedNormal": ("loc", "scale", "low", "high"),
    "Uniform": ("low", "high"),
}
"""Families that can be written as data, with their arguments in NumPyro's names."""

_OPTIONAL = ("low", "high")


def prior_from_spec(name: str, spec: Any) -> dist.Distribution:
    """Build a prior from ``{"distribution": "LogNormal", "loc": -1.4, "scale": 0.5}``.

    Parameters
    ----------
    name : parameter, for messages
    spec : mapping with ``distribution`` and that family's arguments
    """
    if not isinstance(spec, Mapping) or "distribution" not in spec:
        raise LawError(f"prior of {name} is {spec!r}; expected a table like {{distribution = 'LogNormal', loc = 0, scale = 1}}")
    family = spec["distribution"]
    if family not in FAMILIES:
        raise LawError(f"prior of {name}: no distribution {family!r}; known are {', '.join(FAMILIES)}")
    arguments = {key: value for key, value in spec.items() if key != "distribution"}
    optional = _OPTIONAL if family == "TruncatedNormal" else ()
    wrong = set(arguments) - set(FAMILIES[family]) or set(FAMILIES[family]) - set(arguments) - set(optional)
    if wrong:
        raise LawError(f"prior of {name}: {family} takes {', '.join(FAMILIES[family])}; it got {', '.join(arguments) or 'none'}")
    for key, value in arguments.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise LawError(f"prior of {name}: {key} is {value!r}, not a number")
    try:
        return getattr(dist, family)(**{key: float(value) for key, value in arguments.items()}, validate_args=True)
    except ValueError as error:
        raise LawError(f"prior of {name}: {str(error).splitlines()[0]}") from error


def prior_to_spec(prior: dist.Distribution) -> dict[str, Any]:
    """Write a prior as data; the inverse of `prior_from_spec`."""
    family = type(prior).__name__
    truncated = {"LeftTruncatedDistribution", "RightTruncatedDistribution", "TwoSidedTruncatedDistribution"}
    if family in truncated and isinstance(prior.base_dist, dist.Normal):
        bounds = {key: float(getattr(prior, key)) for key in _OPTIONAL if hasattr(prior, key)}
        base = prior.base_dist
        return {"distribution": "TruncatedNormal", "loc": float(base.loc), "scale": float(base.scale), **bounds}
    if family not in FAMILIES:
        raise LawError(f"a {family} prior cannot be written to a file; known are {', '.join(FAMILIES)}")
    return {"distribution": family, **{key: float(getattr(prior, key)) for key in FAMILIES[family]}}


def describe_prior(prior: dist.Distribution) -> str:
    """Return a prior as one would write it: ``LogNormal(loc=-1.39, scale=0.5)``."""
    try:
        spec = prior_to_spec(prior)
    except LawError:
        return type(prior).__name__
    arguments = ", ".join(f"{key}={value:.4g}" for key, value in spec.items() if key != "distribution")
    return f"{spec['distribution']}({arguments})"


_QUANTILES: Mapping[str, Callable[..., float]] = {
    "Beta": lambda q, concentration1, concentration0: scipy.special.betaincinv(concentration1, concentration0, q),
    "Exponential": lambda q, rate: -math.log1p(-q) / rate,
    "Gamma": lambda q, concentration, rate: scipy.special.gammaincinv(concentration, q) / rate,
    "HalfCauchy": lambda q, scale: scale * math.tan(math.pi * q / 2),
    "HalfNormal": lambda q, scale: scale * scipy.special.ndtri((1 + q) / 2),
    "InverseGamma": lambda q, concentration, rate: rate / scipy.special.gammainccinv(concentration, q),
    "LogNormal": lambda q, loc, scale: math.exp(loc + scale * scipy.special.ndtri(q)),
    "Normal": lambda q, loc, scale: loc + scale * scipy.special.ndtri(q),
    "StudentT": lambda q, df, loc, scale: loc + scale * scipy.special.stdtrit(df, q),
    "Uniform": lambda q, low, high: low + q * (high - low),
}


def prior_quantile(prior: dist.Distribution, q: float) -> float:
    """Return a quantile of a prior, without compiling anything for the families above."""
    family = type(prior).__name__
    if family in _QUANTILES:
        arguments = {key: value for key, value in prior_to_spec(prior).items() if key != "distribution"}
        return float(_QUANTILES[family](q, **arguments))
    with jax.enable_x64(True):
        return float(np.quantile(prior.sample(jax.random.key(0), (20_001,)), q))


def read_priors(path: str | Path) -> dict[str, dist.Distribution]:
    """Read the ``[priors]`` table of a TOML file: ``alpha = {distribution = "LogNormal", loc = -1.4, scale = 0.5}``."""
    path = Path(path)
    if not path.is_file():
        raise LawError(f"{path} is not a file; expected TOML with a table [priors]")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LawError(f"{path.name} is not TOML ({error})") from error
    table = content.get("priors")
    if not isinstance(table, dict) or not table:
        raise LawError(f"{path.name} has no table [priors]")
    return {name: prior_from_spec(name, spec) for name, spec in table.items()}
