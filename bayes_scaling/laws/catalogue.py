"""Finding laws: by name in the catalogue, or by the path of a user's own file.

Two doors: `load_law` is for what a user typed and runs a law file; `catalogue_law` is for what stands in a file, and
knows only the names of the catalogue. Data never choose what runs.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import inspect
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import jax
import numpy as np
import numpyro.distributions as dist

from bayes_scaling.base.arguments import validated
from bayes_scaling.base.messages import listed, shown
from bayes_scaling.base.scope import jax_as_usual, refuse_unusable_jax
from bayes_scaling.errors import LawError
from bayes_scaling.laws.columns import INPUTS
from bayes_scaling.laws.files import module_at
from bayes_scaling.laws.law import Law, Origin
from bayes_scaling.laws.names import check_names
from bayes_scaling.laws.parameters import Derived, Parameter, ReferencePoint, Role, resolve
from bayes_scaling.laws.priors import prior_quantile
from bayes_scaling.laws.source import source_of


def available_laws() -> tuple[str, ...]:
    """Return the names of the laws of the catalogue, sorted."""
    from bayes_scaling import models

    files = (path for folder in models.__path__ for path in Path(folder).glob("*.py"))
    return tuple(sorted({path.stem for path in files if not path.stem.startswith("_")}))


@validated
def load_law(name_or_path: str | Path, *, priors: Mapping[str, dist.Distribution] | None = None, **options: str) -> Law:
    """Load a law by its name in the catalogue or by the path of its file.

    Parameters
    ----------
    name_or_path : ``"chinchilla"``, ``"power_law:input=tokens"`` (options after a colon) or ``"my/law.py"``
    priors : other priors, by parameter name (see `Law.with_priors`)
    options : what the law file lets one choose, for example ``input="tokens"``

    Returns
    -------
    Law
        Checked: every argument of its mean is a parameter or a column, priors are there, and the mean at the prior
        medians is finite and of the shape of its inputs.

    Raises
    ------
    LawError
        In one line, naming the law and the mistake.
    """
    return tried(read_law(name_or_path, **options), priors)


def tried(law: Law, priors: Mapping[str, dist.Distribution] | None = None) -> Law:
    """Return a law with other priors, if any, once its mean was tried at the prior medians."""
    if priors:
        law = law.with_priors(priors)
    if priors or (law.mean, law.label) not in _CHECKED:
        _check_numbers(law)
        _CHECKED.add((law.mean, law.label))
    return law


_CHECKED: set[tuple[Any, str]] = set()  # laws whose own priors were tried in this process


def read_law(name_or_path: str | Path, **options: str) -> Law:
    """Load a law as `load_law` does, without evaluating it."""
    name, spelled = split_label(str(name_or_path))
    options = {**spelled, **options}
    if is_path(name):
        return _law(*module_at(name), options)
    return catalogue_law(name, options)


def catalogue_law(label: str, options: Mapping[str, str] | None = None) -> Law:
    """Load a law of the catalogue that some file names; nothing else is found, whatever the name looks like.

    Parameters
    ----------
    label : ``"chinchilla"`` or ``"power_law:input=tokens"``
    options : more options

    Raises
    ------
    LawError
        For a name that is none of `available_laws`, the path of a law file among them.
    """
    name, spelled = split_label(label)
    if name not in available_laws():
        near = difflib.get_close_matches(name, available_laws(), 3, 0.6)
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        raise LawError(
            f"no law is called {shown(name)}; {meant}the catalogue has {', '.join(available_laws())}; "
            "a law file ends with .py"
        )
    return _law(_of_catalogue(name), name, _catalogue_text(name), {**spelled, **(options or {})})


def _law(module: ModuleType, name: str, text: str, options: Mapping[str, str]) -> Law:
    """Return the law of a module, checked."""
    every: dict[str, str] = {}
    if hasattr(module, "law"):
        known = inspect.signature(module.law).parameters
        unknown = [key for key in options if key not in known]
        if unknown:
            raise LawError(f"law {name} has no option {unknown[0]!r}; its options are {', '.join(known)}")
        for key, choices in _choices(module).items():
            if choices and key in options and options[key] not in choices:
                raise LawError(f"law {name} takes {key}={'|'.join(choices)}; got {key}={options[key]}")
        every = {**_defaults(module), **options}
        law = _built(module, tuple(sorted(options.items())))
    elif hasattr(module, "LAW"):
        if options:
            raise LawError(f"law {name} takes no options; it got {', '.join(options)}")
        law = module.LAW
    else:
        raise LawError(f"{name} defines neither LAW nor a function law(); see CONTRIBUTING, 'add a law'")
    if not isinstance(law, Law):
        raise LawError(f"{name} gives {type(law).__name__}, not a bayes_scaling.Law")
    source = source_of(text, module.__name__, tuple(sorted(every.items())))
    origin = Origin(name, tuple(sorted(options.items())), _load_again, source, law.computes)
    law = dataclasses.replace(law, origin=origin)
    _check_structure(law)
    return law


@functools.lru_cache(maxsize=256)
def _built(module: ModuleType, options: tuple[tuple[str, str], ...]) -> Any:
    """Build a law with options once, so that its compiled programs are found again."""
    with jax_as_usual(float64=False):
        return module.law(**dict(options))


def _load_again(name: str, options: tuple[tuple[str, str], ...], priors: Mapping[str, dist.Distribution]) -> Law:
    """Load a law from its origin, with the priors that a user gave."""
    return load_law(name, priors=priors, **dict(options))


def options_of(name: str) -> Mapping[str, str]:
    """Return the options of a catalogue law with their defaults; empty when it has none."""
    return _defaults(_of_catalogue(name))


def _defaults(module: ModuleType) -> dict[str, str]:
    if not hasattr(module, "law"):
        return {}
    return {key: str(value.default) for key, value in inspect.signature(module.law).parameters.items()}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A law of the catalogue with its options.

    Attributes
    ----------
    law : with default options
    options : name, default and choices of each option; no choices where any text may stand
    """

    law: Law
    options: tuple[tuple[str, str, tuple[str, ...]], ...]


def catalogue() -> list[Entry]:
    """Return every law of the catalogue, by what it takes as input."""
    entries = []
    for name in available_laws():
        choices = choices_of(name)
        options = tuple((key, default, choices[key]) for key, default in options_of(name).items())
        entries.append(Entry(read_law(name), options))
    return sorted(entries, key=lambda entry: (len(entry.law.inputs) > 1, entry.law.inputs, entry.law.name))


def choices_of(name: str) -> Mapping[str, tuple[str, ...]]:
    """Return the values that each option of a law may take, as its ``Literal`` says; empty where any text may stand."""
    return _choices(_of_catalogue(name))


def _choices(module: ModuleType) -> dict[str, tuple[str, ...]]:
    if not hasattr(module, "law"):
        return {}
    hints = get_type_hints(module.law)
    return {
        key: get_args(hints[key]) if get_origin(hints.get(key)) is Literal else ()
        for key in inspect.signature(module.law).parameters
    }


def is_path(name: str) -> bool:
    """Return whether a name means a file rather than a law of the catalogue; options come off first (`split_label`)."""
    return name.endswith(".py") or "/" in name or "\\" in name


def split_label(text: str) -> tuple[str, dict[str, str]]:
    """Split ``name:key=value,key=value`` into name and options; a path keeps its drive letter."""
    if text.endswith(".py"):
        return text, {}
    name, colon, rest = text.rpartition(":")
    if not colon or len(name) < 2:
        return text, {}
    pairs = [[part.strip() for part in item.partition("=")] for item in rest.split(",")]
    if any(not key or not value for key, _, value in pairs):
        raise LawError(f"cannot read the options of {text!r}; expected name:key=value,key=value")
    keys = [key for key, _, _ in pairs]
    if len(set(keys)) < len(keys):
        raise LawError(f"the options of {text!r} give {max(keys, key=keys.count)} twice; give each once")
    return name, {key: value for key, _, value in pairs}


def _of_catalogue(name: str) -> ModuleType:
    """Import the module of a law of the catalogue; its priors may be arrays, the first that are made."""
    refuse_unusable_jax()
    with jax_as_usual(float64=False):
        return importlib.import_module(f"bayes_scaling.models.{name}")


@functools.cache
def _catalogue_text(name: str) -> str:
    return Path(str(_of_catalogue(name).__file__)).read_text(encoding="utf-8")


def _check_structure(law: Law) -> None:
    """Refuse a law whose names do not fit together."""
    names = [row.name for row in law.parameters]
    if not law.parameter_names:
        raise LawError(f"law {law.name}: no argument of its mean has a Parameter row, so nothing has a prior")
    check_names(law)
    for name in law.inputs:
        if name not in INPUTS and name not in law.columns:
            raise LawError(
                f"law {law.name}: argument {name!r} of its mean is neither a parameter (no prior for it) nor a column "
                f"of runs ({', '.join(INPUTS)}); add a Parameter row, list it in columns, or compute it in features"
            )
    for name in (*law.decreasing_in, *law.increasing_in):
        if name not in law.inputs:
            raise LawError(
                f"law {law.name} is called monotone in {name!r}, which is not one of its inputs {law.inputs}"
            )
    used = set(law.parameter_names).union(*(row.needs for row in law.parameters))
    for name in names:
        if name not in used:
            raise LawError(
                f"law {law.name}: parameter {name} is neither an argument of its mean nor used by another row"
            )
    known = {"at"}
    for row in law.parameters:
        _check_row(law, row)
        missing = [name for name in row.needs if name not in known]
        if missing:
            raise LawError(
                f"law {law.name}: the value of {row.name} needs {missing[0]}, which is no parameter listed above it"
            )
        known.add(row.name)
    for quantity in law.quantities:
        if not (quantity.unit and quantity.meaning and quantity.source):
            raise LawError(f"law {law.name}: quantity {quantity.name} lacks a unit, a meaning or a source")
    for name in law.weakly_identified:
        if name not in names:
            raise LawError(f"law {law.name} calls {name!r} weakly identified, which is none of its parameters")
    for constants in law.published:
        absent = [name for name in law.parameter_names if name not in constants.values]
        if absent:
            raise LawError(f"law {law.name}: published constants {constants.name} lack {', '.join(absent)}")


def _check_row(law: Law, row: Parameter | Derived) -> None:
    """Refuse a row that does not say what a reader or the sampler needs."""
    words = ("unit", "meaning") if isinstance(row, Derived) else ("unit", "meaning", "source")
    for text in words:
        if not getattr(row, text):
            raise LawError(f"law {law.name}: parameter {row.name} has no {text}")
    if row.role not in get_args(Role.__value__):
        raise LawError(
            f"law {law.name}: parameter {row.name} has role {row.role!r}; choose {', '.join(get_args(Role.__value__))}"
        )
    if isinstance(row, Derived):
        return
    if not isinstance(row.prior, dist.Distribution):
        raise LawError(f"law {law.name}: the prior of {row.name} is {row.prior!r}, not a numpyro distribution")
    if row.value is not None and not row.quantity:
        raise LawError(f"law {law.name}: parameter {row.name} has a value function but no word for its quantity")
    if row.role == "irreducible":
        others = [other.name for other in law.sampled if other.role == "irreducible" and other is not row]
        if others:
            raise LawError(f"law {law.name} calls both {row.name} and {others[0]} irreducible; only one can be")


def _check_numbers(law: Law) -> None:
    """Refuse a law whose mean is not finite, positive and elementwise at the prior medians."""
    loss = np.asarray(_at_medians(law, (), lambda losses, *at: jax.jit(losses)(*at)))
    if not np.all(np.isfinite(loss)) or not np.all(loss > 0):
        raise LawError(f"law {law.name}: its mean at the prior medians is {loss[0]:g}; it must be finite and positive")


def check_groups(law: Law, pooled: Collection[str]) -> None:
    """Refuse a law that cannot be computed where parameters, by name, differ between rows."""
    try:
        _at_medians(law, pooled, jax.eval_shape)
    except LawError as error:
        raise LawError(
            f"law {law.name} cannot be pooled over {listed(pooled)} ({error}); its values and its mean must take a "
            "number for each row: stack arrays behind jnp.broadcast_arrays, or fit without pooling"
        ) from error


def _at_medians(law: Law, pooled: Collection[str], carry_out: Callable[..., Any]) -> Any:
    """Return the losses of three runs at the prior medians, or their shape; pooled parameters have one for each run."""
    table = {name: np.full(3, law.column(name).middle) for name in law.inputs}
    columns = law.arrays({**table, "run": np.arange(3)})
    at = ReferencePoint(3.0, {name: float(np.ravel(values)[0]) for name, values in {**table, **columns}.items()})
    medians = {row.site: prior_quantile(row.prior, 0.5) for row in law.sampled}
    draws = {row.site: np.full(3 if row.name in pooled else (), medians[row.site]) for row in law.sampled}

    def losses(draws: dict[str, Any], columns: dict[str, Any]) -> Any:
        inputs = {name: columns[column] for name, column in law.arguments}
        theta = resolve(law.parameters, draws, at)
        return law.mean(**inputs, **{name: theta[name] for name in law.parameter_names})

    with jax_as_usual():
        try:
            loss = carry_out(losses, draws, columns)
        except LawError:
            raise
        except Exception as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
            raise LawError(
                f"law {law.name}: its mean fails at the prior medians: {type(error).__name__}: {reason}"
            ) from error
    if loss.shape != (3,):
        raise LawError(
            f"law {law.name}: its mean returns shape {loss.shape} for inputs of shape (3,); it must be elementwise"
        )
    return loss
