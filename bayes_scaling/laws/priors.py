"""Priors as plain data: how they are written in TOML files, manifests and listings."""

from __future__ import annotations

import dataclasses
import math
import numbers
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import scipy.special

from bayes_scaling.base.arguments import validated
from bayes_scaling.base.files import text_of
from bayes_scaling.base.scope import jax_as_usual, refuse_unusable_jax
from bayes_scaling.errors import LawError

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

_BOUNDS = ("low", "high")
_POSITIVE = frozenset({"concentration", "concentration0", "concentration1", "df", "rate", "scale"})


def prior_from_spec(name: str, spec: Any) -> dist.Distribution:
    """Build a prior from ``{"distribution": "LogNormal", "loc": -1.4, "scale": 0.5}``.

    Parameters
    ----------
    name : parameter, for messages
    spec : mapping with ``distribution`` and that family's arguments

    Raises
    ------
    LawError
        In one line: for a distribution that is not in `FAMILIES`, and for arguments that it does not take.
    """
    prior_of = f"prior of {_shown(name)}" if not str(name).isidentifier() else f"prior of {name}"
    if not isinstance(spec, Mapping) or "distribution" not in spec:
        raise LawError(
            f"{prior_of} is {_shown(spec)}; expected a table like {{distribution = 'LogNormal', loc = 0, scale = 1}}"
        )
    family = spec["distribution"]
    if not isinstance(family, str) or family not in FAMILIES:
        raise LawError(f"{prior_of}: no distribution {_shown(family)}; known are {', '.join(FAMILIES)}")
    given = {key: value for key, value in spec.items() if key != "distribution"}
    optional = set(_BOUNDS) if family == "TruncatedNormal" else set()
    if set(given) - set(FAMILIES[family]) or set(FAMILIES[family]) - set(given) - optional:
        got = _shown(", ".join(map(str, given))) if given else "none"
        raise LawError(f"{prior_of}: {family} takes {', '.join(FAMILIES[family])}; it got {got}")
    arguments = {key: _finite(value, f"{prior_of}: {key}") for key, value in given.items()}
    # NumPyro does not check this pair: its draws would lie between the bounds in the wrong order.
    if "low" in arguments and "high" in arguments and not arguments["low"] < arguments["high"]:
        raise LawError(f"{prior_of}: low is {arguments['low']:g}, which is not below high, {arguments['high']:g}")
    for key in _POSITIVE & set(arguments):
        if not arguments[key] > 0:
            raise LawError(f"{prior_of}: {key} is {arguments[key]:g}; expected a positive number")
    with jax_as_usual(float64=jax.config.jax_enable_x64):
        return getattr(dist, family)(**arguments, validate_args=True)


def _finite(value: Any, what: str) -> float:
    try:
        number = float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else None
    except OverflowError:
        number = math.inf
    if number is None:
        raise LawError(f"{what} is {_shown(value)}, not a number")
    if not math.isfinite(number):
        raise LawError(f"{what} is {number:g}; expected a finite number")
    return number


def _shown(value: Any) -> str:
    """Return a value as Python would write it, on one line, cut at about 80 characters."""
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        text = f"a very large {type(value).__name__}"
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= 80 else f"{text[:77]}..."


def prior_to_spec(prior: dist.Distribution) -> dict[str, Any]:
    """Write a prior as data; the inverse of `prior_from_spec`.

    Raises
    ------
    LawError
        For a prior that is not a scalar of one of the `FAMILIES`.
    """
    family = type(prior).__name__
    if getattr(prior, "batch_shape", ()) or getattr(prior, "event_shape", ()):
        raise LawError(
            f"a {family} prior of shape {prior.batch_shape + prior.event_shape} is not the prior of one number"
        )
    truncated = {"LeftTruncatedDistribution", "RightTruncatedDistribution", "TwoSidedTruncatedDistribution"}
    if family in truncated and isinstance(prior.base_dist, dist.Normal):
        base, bounds = prior.base_dist, {key: float(getattr(prior, key)) for key in _BOUNDS if hasattr(prior, key)}
        # A bound at infinity is none, and could not be read back.
        bounds = {key: bound for key, bound in bounds.items() if math.isfinite(bound)}
        return {"distribution": "TruncatedNormal", "loc": float(base.loc), "scale": float(base.scale), **bounds}
    if type(prior) is not getattr(dist, family, None) or family not in FAMILIES:
        raise LawError(f"a {family} prior cannot be written to a file; known are {', '.join(FAMILIES)}")
    return {"distribution": family, **{key: float(getattr(prior, key)) for key in FAMILIES[family]}}


def span(prior: dist.Distribution) -> tuple[float, float]:
    """Return the least and the most value of a prior's support."""
    support = getattr(prior.support, "base_constraint", prior.support)
    ends = [getattr(support, end, None) for end in ("lower_bound", "upper_bound")]
    low, high = (
        default if end is None else float(end) for end, default in zip(ends, (-math.inf, math.inf), strict=True)
    )
    return low, high


def refuse_unsuitable(name: str, quantity: str, usual: dist.Distribution, given: Any) -> None:
    """Refuse a prior that is none of one number, or that reaches where a parameter cannot be.

    Parameters
    ----------
    name : of the parameter
    quantity : what the prior describes, where it is not the parameter itself
    usual : the law's own prior, whose support says which values are possible
    given : the prior to take instead
    """
    if not isinstance(given, dist.Distribution):
        raise LawError(f"the prior of {name} is {_shown(given)}, not a numpyro distribution")
    shape = tuple(given.batch_shape) + tuple(given.event_shape)
    if shape or given.support.is_discrete:
        of = f"arrays of shape {shape}" if shape else "whole numbers"
        raise LawError(f"the prior of {name}, {describe_prior(given)}, is one of {of}; expected one of a number")
    (least, most), (low, high) = span(usual), span(given)
    if least <= low and high <= most:
        return
    what = f"{name} (as {quantity})" if quantity else name
    inside, families = {
        (0.0, math.inf): ("must be positive", "LogNormal, Gamma, or TruncatedNormal with low = 0"),
        (0.0, 1.0): ("lies between 0 and 1", "Beta, Uniform(0, 1), or TruncatedNormal with low = 0 and high = 1"),
    }.get((least, most), (f"lies between {least:g} and {most:g}", "TruncatedNormal or Uniform between these"))
    reaches = "all numbers" if math.isinf(low) and math.isinf(high) else f"numbers from {low:g} to {high:g}"
    raise LawError(
        f"the prior of {name}, {describe_prior(given)}, allows {reaches}, but {what} {inside}: take {families}"
    )


def _written(prior: dist.Distribution) -> tuple[str, dict[str, float]] | None:
    """Return the family and the arguments of a prior; None where it is not one of the `FAMILIES`."""
    try:
        arguments = prior_to_spec(prior)
    except LawError:
        return None
    return arguments.pop("distribution"), arguments


def describe_prior(prior: dist.Distribution) -> str:
    """Return a prior as one would write it: ``LogNormal(loc=-1.39, scale=0.5)``."""
    written = _written(prior)
    if written is None:
        return type(prior).__name__
    family, arguments = written
    return f"{family}({', '.join(f'{key}={value:.4g}' for key, value in arguments.items())})"


def _truncated_normal(q: Any, loc: float, scale: float, low: float = -math.inf, high: float = math.inf) -> Any:
    a, b = (low - loc) / scale, (high - loc) / scale
    if a + b > 0:  # in the left tail probabilities keep their digits: mirror what lies to the right
        return 2 * loc - _truncated_normal(1 - q, loc, scale, 2 * loc - high, 2 * loc - low)
    log_probability = np.logaddexp(np.log1p(-q) + scipy.special.log_ndtr(a), np.log(q) + scipy.special.log_ndtr(b))
    return loc + scale * scipy.special.ndtri_exp(log_probability)


_QUANTILES: Mapping[str, Callable[..., Any]] = {
    "Beta": lambda q, concentration1, concentration0: scipy.special.betaincinv(concentration1, concentration0, q),
    "Exponential": lambda q, rate: -np.log1p(-q) / rate,
    "Gamma": lambda q, concentration, rate: scipy.special.gammaincinv(concentration, q) / rate,
    "HalfCauchy": lambda q, scale: scale * np.tan(math.pi * q / 2),
    "HalfNormal": lambda q, scale: scale * scipy.special.ndtri((1 + q) / 2),
    "InverseGamma": lambda q, concentration, rate: rate / scipy.special.gammainccinv(concentration, q),
    "LogNormal": lambda q, loc, scale: np.exp(loc + scale * scipy.special.ndtri(q)),
    "Normal": lambda q, loc, scale: loc + scale * scipy.special.ndtri(q),
    "StudentT": lambda q, df, loc, scale: loc + scale * scipy.special.stdtrit(df, q),
    "TruncatedNormal": _truncated_normal,
    "Uniform": lambda q, low, high: low + q * (high - low),
}


def prior_quantile(prior: dist.Distribution, q: float) -> float:
    """Return a quantile of a prior, exact and without compiling anything for the families above, else from draws.

    Parameters
    ----------
    prior : of one number
    q : probability, between 0 and 1, neither included
    """
    if not 0 < q < 1:
        raise LawError(f"quantile {_shown(q)} of a prior; expected a probability between 0 and 1")
    if not isinstance(prior, dist.Distribution):
        raise LawError(f"{_shown(prior)} is not a numpyro distribution")
    written = _written(prior)
    if written is None:
        with jax_as_usual():
            return float(np.quantile(prior.sample(jax.random.key(0), (20_001,)), q))
    family, arguments = written
    with np.errstate(all="ignore"):
        return float(_QUANTILES[family](q, **arguments))


def draw_prior(prior: dist.Distribution, rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw from a prior of one number, ``(n,)``; for the families above without compiling a sampler."""
    written = _written(prior)
    if written is None:
        return np.asarray(prior.sample(jax.random.key(int(rng.integers(2**31))), (n,)), float)
    family, arguments = written
    return np.asarray(_QUANTILES[family](rng.uniform(size=n), **arguments), float)


def beta(concentration1: float, concentration0: float) -> dist.Distribution:
    """Return a Beta prior. NumPyro makes arrays for it, the first of which starts JAX: never at import.

    The same wherever it is made: with arrays of float32, as outside of our scopes.
    """
    refuse_unusable_jax()
    with jax_as_usual(float64=False):
        return dist.Beta(concentration1, concentration0)


class LateBetas(Mapping[str, dist.Distribution]):
    """Beta priors by name, each made when it is first asked for.

    Parameters
    ----------
    concentrations : ``concentration1`` and ``concentration0`` of each
    """

    def __init__(self, concentrations: Mapping[str, tuple[float, float]]) -> None:
        self._concentrations = concentrations
        self._made: dict[str, dist.Distribution] = {}

    def __getitem__(self, name: str) -> dist.Distribution:
        """Return a prior, always the same object."""
        return self._made.setdefault(name, beta(*self._concentrations[name]))

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(self._concentrations)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._concentrations)

    def __repr__(self) -> str:
        """Return the priors as one would write them."""
        betas = (f"{name!r}: Beta{concentrations}" for name, concentrations in self._concentrations.items())
        return f"{{{', '.join(betas)}}}"


@dataclasses.dataclass(frozen=True)
class WrittenPrior:
    """A prior of a known family as an argument of compiled programs.

    NumPyro lists the numbers inside a distribution in an order that changes from process to process, and with it
    the key under which a compiled program is kept on disk. Here the order is that of `FAMILIES`.
    """

    family: str
    names: tuple[str, ...]
    values: tuple[Any, ...]

    def distribution(self) -> dist.Distribution:
        """Return the prior as a NumPyro distribution."""
        return getattr(dist, self.family)(**dict(zip(self.names, self.values, strict=True)))


jax.tree_util.register_dataclass(WrittenPrior, data_fields=["values"], meta_fields=["family", "names"])


def as_argument(prior: dist.Distribution) -> WrittenPrior | dist.Distribution:
    """Return a prior as an argument of a compiled program; a family that is not known goes as it is."""
    written = _written(prior)
    if written is None:
        return prior
    family, arguments = written
    return WrittenPrior(family, tuple(arguments), tuple(arguments.values()))


def as_distribution(argument: WrittenPrior | dist.Distribution) -> dist.Distribution:
    """Return the distribution behind an argument."""
    return argument.distribution() if isinstance(argument, WrittenPrior) else argument


@validated
def read_priors(path: str | Path) -> dict[str, dist.Distribution]:
    """Read the ``[priors]`` table of a TOML file: ``alpha = {distribution = "LogNormal", loc = -1.4, scale = 0.5}``.

    Raises
    ------
    LawError
        In one line, for a file that is not TOML and for the first prior in it that cannot be built.
    """
    path = Path(path)
    name = path.name if path.name.isprintable() and len(path.name) <= 80 else _shown(path.name)
    try:
        content = tomllib.loads(text_of(path))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, tomllib.TOMLDecodeError):
            reason = f"is not TOML: {error}"
        elif isinstance(error, UnicodeDecodeError):
            reason = f"is not TOML: byte 0x{error.object[error.start]:02x} is not UTF-8"
        else:
            reason = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        reason = "".join(c if c.isprintable() else " " for c in reason)
        raise LawError(f"{name} {reason[:200]}; expected TOML with a table [priors]") from error
    table = content.get("priors")
    if not isinstance(table, dict) or not table:
        raise LawError(f"{name} has no table [priors]; expected lines like alpha = {{distribution = 'LogNormal', ...}}")
    stray = [key for key in content if key != "priors"]
    if stray:
        raise LawError(
            f"{name} has {_shown(stray[0])} outside of its table [priors], where nothing reads it; move it there"
        )
    return {parameter: prior_from_spec(parameter, spec) for parameter, spec in table.items()}


class _BetaShape(dist.Beta):  # type: ignore[misc]  # NumPyro's classes have no types
    def log_prob(self, value: Any) -> Any:
        return (self.concentration1 - 1) * jnp.log(value) + (self.concentration0 - 1) * jnp.log1p(-value)


class _GammaShape(dist.Gamma):  # type: ignore[misc]
    def log_prob(self, value: Any) -> Any:
        return (self.concentration - 1) * jnp.log(value) - self.rate * value


def without_constant(prior: dist.Distribution) -> dist.Distribution:
    """Return a prior whose log density may lack a constant, where that constant takes long to compile."""
    if type(prior) is dist.Beta:
        return _BetaShape(prior.concentration1, prior.concentration0)
    if type(prior) is dist.Gamma:
        return _GammaShape(prior.concentration, prior.rate)
    return prior
