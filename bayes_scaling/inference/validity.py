"""What a saved fit must hold to be believed: fields of the right kind, and draws that agree with each other.

A digest that fits says only that a file is as it was written. These checks ask whether it can have been written by a
fit, so that nothing of the wrong shape, sign or size reaches a forecast. Each problem is one phrase.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling.base.json_text import is_number
from bayes_scaling.base.messages import listed, shown
from bayes_scaling.base.scope import scope
from bayes_scaling.data.naming import SPELLINGS
from bayes_scaling.inference.compiled import in_groups
from bayes_scaling.inference.draws import device_draws, flattened, posterior_of
from bayes_scaling.inference.result import Fit
from bayes_scaling.inference.sampler import METHODS
from bayes_scaling.laws.priors import describe_prior
from bayes_scaling.model.composition import INCREMENTS, spelled_out
from bayes_scaling.model.discrepancy import AXES
from bayes_scaling.model.geometry import Geometry
from bayes_scaling.model.observations import rows_read

ROUNDING = 1e-6  # relative difference between machines, far below what matters and far above what rounding does


class Unbelievable(Exception):
    """A saved fit that cannot have been written by a fit; the message is a phrase."""


# --- fields ---------------------------------------------------------------------------------------------------------


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_real(value: Any) -> bool:
    """Return whether a value is a number that a float can be, NaN and infinity included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, float) or abs(value) <= sys.float_info.max


def _is_size(value: Any) -> bool:
    """Return whether a value is a number from zero on, or NaN where it could not be computed."""
    return _is_real(value) and not value < 0


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _table(of: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(of, value.values()))


def _record(
    may: Mapping[str, Callable[[Any], bool]] | None = None, **must: Callable[[Any], bool]
) -> Callable[[Any], bool]:
    """Whether a value is a dict with all fields that must be there, and no others but those that may."""
    of = {**must, **(may or {})}
    return lambda value: (
        isinstance(value, dict) and set(must) <= set(value) <= set(of) and all(of[key](value[key]) for key in value)
    )


_START = _record(along=_is_text, by=_texts, share=is_number)
_NOISE = _record(
    {"start": lambda value: value in (None, "none") or _START(value)},  # left out where it is the default
    family=_is_text,
    scale=_is_text,
    rows=_is_text,
    rows_per_curve=lambda value: value is None or _is_count(value),
)
_DISCREPANCY = _record({"along": lambda value: value in AXES}, kind=_is_text, smoothness=is_number, scale=is_number)


Fields = Mapping[str, tuple[Callable[[Any], bool], str]]

MANIFEST: Fields = {
    "law": (_is_text, "the name of a law"),
    "law_options": (_table(_is_text), "options as text"),
    "law_source_sha256": (_is_text, "a hash"),
    "posterior_names": (_texts, "names"),
    "priors": (_table(_is_text), "priors in words"),
    "priors_given": (_table(lambda value: isinstance(value, dict)), "priors by parameter"),
    "noise": (
        _NOISE,
        "family, scale, rows and rows per curve of the noise, and the start of curves where it is learned",
    ),
    "discrepancy": (
        _DISCREPANCY,
        "kind, smoothness and scale of the discrepancy, and what it runs along where that is not the size",
    ),
    "pooling": (_table(_record(by=_is_text, mode=_is_text)), "column and mode of pooling by parameter"),
    "runs": (
        _record(
            source=_is_text,
            rows=_is_count,
            rows_read=_is_count,
            sha256=_is_text,
            params_convention=_is_text,
            loss_unit=_is_text,
        ),
        "source, rows, hash and units of the runs",
    ),
    "sampler": (_is_text, "the name of a sampler"),
    "sampler_used": (_is_text, "the name of a sampler"),
    "seed": (_is_count, "a whole number from 0 on"),
    "chains": (_is_count, "a whole number from 0 on"),
    "draws": (_is_count, "a whole number from 0 on"),
    "seconds": (is_number, "a number"),
    "created": (_is_text, "a date"),
    "versions": (_table(_is_text), "versions by package"),
}
DIAGNOSTICS: Fields = {
    "rhat": (_is_size, "a number from 0 on"),
    "ess_bulk": (_is_size, "a number from 0 on"),
    "ess_tail": (_is_size, "a number from 0 on"),
    "divergences": (_is_count, "a whole number from 0 on"),
    "bfmi": (_is_size, "a number from 0 on"),
    "worst": (_is_text, "the name of a parameter"),
    "k_hat": (_is_real, "a number"),
}
RUNS: Fields = {
    "params_convention": (_is_text, "text"),
    "loss_unit": (_is_text, "text"),
    "source": (_is_text, "text"),
    "notes": (_texts, "sentences"),
    "warnings": (_texts, "sentences"),
    "table": (_table(lambda value: isinstance(value, list)), "columns of equal length"),
}
ENSEMBLE: Fields = {
    "labels": (_texts, "names"),
    "weights": (lambda value: isinstance(value, list) and all(map(is_number, value)), "numbers"),
    "seed": (_is_count, "a whole number from 0 on"),
    "group": (_table(_is_text), "a name by column"),
    "evidence": (lambda value: value is None or isinstance(value, dict), "a table, or nothing"),
    "taken": (lambda value: isinstance(value, bool), "true or false"),
}
EVIDENCE: Fields = {
    "cuts": (_texts, "words"),
    "held_out": (_is_count, "a whole number from 0 on"),
    "why": (_is_text, "a sentence"),
    "laws": (lambda value: isinstance(value, list), "a list"),
}
EVIDENCE_OF_LAW: Fields = {
    "member": (_is_text, "a name"),
    "law": (_is_text, "the name of a law"),
    **{name: (lambda value: value is None or _is_real(value), "a number") for name in ("log_score", "error")},
    "inside_90": (lambda value: value is None or _is_size(value), "a share"),
    "refits": (_is_count, "a whole number from 0 on"),
    "unconverged": (_is_count, "a whole number from 0 on"),
    "why": (_is_text, "a sentence"),
}


def refuse_odd_fields(what: str, found: Any, fields: Fields) -> None:
    """Refuse a part of a file that lacks a field, or whose field is of another kind."""
    if not isinstance(found, dict):
        raise Unbelievable(f"its {what} is {shown(found)}, expected {listed(fields)}")
    for name, (fits, expected) in fields.items():
        if name not in found:
            raise Unbelievable(f"its {what} lacks {name}")
        if not fits(found[name]):
            raise Unbelievable(f"{name} of its {what} is {shown(found[name])}, expected {expected}")
    stray = [name for name in found if name not in fields]
    if stray:
        raise Unbelievable(f"its {what} has {shown(stray[0])}, which no fit writes")


# --- draws ----------------------------------------------------------------------------------------------------------


def refuse_contradictions(fit: Fit, sites: list[str]) -> None:
    """Refuse a fit whose parts do not belong together.

    Parameters
    ----------
    sites : names of the unconstrained coordinates in the file
    """
    _refuse_other_words(fit)
    _refuse_shapes(fit, sites)
    _refuse_diagnostics(fit)
    _refuse_draws(fit)


def _refuse_other_words(fit: Fit) -> None:
    """Refuse a manifest that says something else than law and table do."""
    manifest, runs = fit.manifest, fit.runs
    if manifest["posterior_names"] != list(fit.composition.names):
        raise Unbelievable(
            f"it has the parameters {listed(manifest['posterior_names'])}, and {fit.law.label} has "
            f"{listed(fit.composition.names)}"
        )
    for row in fit.composition.sampled:
        said, is_now = manifest["priors"].get(row.site), describe_prior(row.prior)
        if said != is_now:
            raise Unbelievable(f"it was fitted with the prior {said} of {row.site}, which here is {is_now}")
    said = manifest["runs"]
    reads = [*fit.law.inputs, *(pool.by for pool in fit.pooling.values())]
    # Columns that only the law reads may have changed their type on the way, but not the canonical ones.
    other = set(reads) <= set(SPELLINGS) and said["sha256"] != runs.hash_of(reads)
    if other or (said["rows"], said["loss_unit"]) != (len(runs), runs.loss_unit):
        raise Unbelievable(f"its runs are not those that were fitted ({said['rows']} rows, hash {said['sha256']})")
    if said["rows_read"] != (read := len(rows_read(fit.composition, runs))):
        raise Unbelievable(f"it says that {said['rows_read']} rows were read, and its noise model reads {read}")


def _refuse_shapes(fit: Fit, sites: list[str]) -> None:
    """Refuse arrays of other names and shapes than the model has."""
    if sites != list(fit.model.sites):
        raise Unbelievable(f"it has the coordinates {listed(sites, 8)}, and its model {listed(fit.model.sites, 8)}")
    u, shape = fit.unconstrained, fit.unconstrained.shape[:2]
    if u.ndim != 3 or 0 in u.shape or u.shape[2] != len(sites):
        raise Unbelievable(f"its unconstrained draws have the shape {u.shape}, expected (chain, draw, {len(sites)})")
    names = [key for keys in spelled_out(fit.composition, fit.groups).values() for key, _ in keys]
    for what, draws in (("posterior", fit.draws), ("prior", fit.prior)):
        if set(draws) != set(names):
            missing, stray = set(names) - set(draws), set(draws) - set(names)
            raise Unbelievable(
                f"its {what} lacks {sorted(missing)[0]}" if missing else f"its {what} has {shown(min(stray))}"
            )
    of_prior = next(iter(fit.prior.values())).shape
    for what, draws, expected in (
        ("posterior", fit.draws, shape),
        ("statistics", fit.stats, shape),
        ("prior", fit.prior, of_prior),
    ):
        for name, values in draws.items():
            if values.shape != expected or values.dtype.kind not in "fiub" or not values.size:
                raise Unbelievable(f"{name} of its {what} is {values.dtype} of shape {values.shape}, not {expected}")
    if not np.isfinite(u).all():
        raise Unbelievable("some of its unconstrained draws are not finite")


def _refuse_diagnostics(fit: Fit) -> None:
    """Refuse diagnostics that the draws contradict, or that this way of sampling cannot have left out."""
    said, kept = fit.diagnostics, int(np.prod(fit.unconstrained.shape[:2]))
    drawn = fit.drawn or kept
    if drawn < kept:
        raise Unbelievable(f"it says that it has {drawn} draws, and holds {kept}")
    if "diverging" not in fit.stats:
        raise Unbelievable("its statistics lack diverging")
    diverging = int(np.sum(fit.stats["diverging"]))
    if said.divergences > drawn or diverging > said.divergences or (drawn == kept and diverging != said.divergences):
        raise Unbelievable(f"it says that {said.divergences} draws diverged, and {diverging} of its draws did")
    # A sampler of one's own has no Hamiltonian, and only the normal approximation has weights.
    if math.isnan(said.bfmi) and fit.manifest["sampler"] in METHODS:
        raise Unbelievable("the BFMI of its diagnostics is missing")
    if math.isnan(said.k_hat) and fit.sampler_used == "Laplace":
        raise Unbelievable("the k-hat of its diagnostics is missing")


def _refuse_draws(fit: Fit) -> None:
    """Refuse parameters that are not what the unconstrained draws say: scrambled, negative, not finite."""
    for name, values in named_draws(fit).items():
        found = fit.draws[name]
        # What overflowed in the fit overflows again.
        usual = float(np.median(np.abs(values)))
        close = np.isclose(found, values, rtol=ROUNDING, atol=ROUNDING * usual if math.isfinite(usual) else 0.0)
        close |= (found == values) | (np.isnan(found) & np.isnan(values))
        if not close.all():
            wrong, first = int((~close).sum()), float(found[~close][0])
            raise Unbelievable(
                f"{wrong} of the {found.size} draws of {name} are not what its unconstrained draws say, like {first:g}"
            )
    for row in fit.composition.sampled:
        if row.value is None and row.name in fit.prior:
            with scope():
                inside = np.asarray(row.prior.support(jnp.asarray(fit.prior[row.name])))
            if not inside.all():
                raise Unbelievable(f"some prior draws of {row.name} lie where its prior has none")
    for name, values in fit.prior.items():
        if np.isnan(values).any():
            raise Unbelievable(f"some prior draws of {name} are not numbers")


def named_draws(fit: Fit) -> dict[str, np.ndarray]:
    """Return the draws of every parameter, ``(chain, draw)``, as the unconstrained draws give them."""
    model, shape = fit.model, fit.unconstrained.shape
    u = fit.unconstrained.reshape(-1, shape[2])
    unused = {site: np.zeros(len(u)) for site, count in model.blocks.items() if count and site != INCREMENTS}
    with scope():
        _, data, priors = posterior_of(fit.composition, fit.runs)
        # Only groups and reference point are read: rows would make programs for every size of table.
        geometry = Geometry.standard(data.geometry.centring, 0, 0)
        where = dataclasses.replace(data, columns={}, log_loss=None, weight=None, geometry=geometry)
        values = in_groups(model)(jnp.asarray(u), device_draws(unused), where, priors)
    named = flattened(jax.tree.map(np.asarray, values), spelled_out(fit.composition, fit.groups))
    return {name: values.reshape(shape[:2]) for name, values in named.items()}
