"""Parameters of laws and of noise models: priors, units, roles, and how they follow from what is sampled."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import numpyro.distributions as dist

from bayes_scaling.laws.priors import beta

type Role = Literal["level", "irreducible", "exponent", "coefficient", "scale", "other"]
"""What a parameter is to its law, for whoever asks a law that they do not know.

``level`` is the loss at the centre of the data, ``irreducible`` the loss that no input removes (at most one, whose
prior is on its share of the level), ``exponent`` a power of an input or of the loss, ``coefficient`` what multiplies a
power, ``scale`` an input over which a power is taken.
"""


@dataclasses.dataclass(frozen=True)
class ReferencePoint:
    """The centre of a table of runs, at which priors on power terms are stated.

    Attributes
    ----------
    loss : median loss of the runs, in the table's loss unit
    inputs : geometric mean of each input column (arithmetic, where it may be zero) and of each feature of the law, in
        raw units; read as attributes (``at.params``)
    """

    loss: Any
    inputs: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self.inputs:
            raise AttributeError(f"the reference point has no {name!r}, only loss, {', '.join(self.inputs)}")
        return self.inputs[name]


jax.tree_util.register_dataclass(ReferencePoint, data_fields=["loss", "inputs"], meta_fields=[])


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter of a law or of a noise model, with its prior.

    A constant such as A in A / N^alpha has no natural scale of its own: a prior can sensibly be put only on
    what the whole term is worth somewhere inside the data. Such a parameter names a ``quantity``, which is what the
    prior describes and what is sampled, and a function ``value`` that turns the quantity into the parameter.

    Attributes
    ----------
    name : the argument of the law's mean that it fills, in the notation of the paper
    prior : NumPyro distribution of the parameter, or of ``quantity`` where there is one
    unit, meaning, source : shown by ``bayes-scaling laws show``; the source says where the prior comes from
    quantity : in words, what ``prior`` describes, when that is not the parameter itself
    value : ``value(draw, ...) -> parameter``; further arguments may be ``at`` (the `ReferencePoint`) and the names
        of parameters listed above this one
    role : what it is to the law; pictures of exponents and priors of the irreducible loss are found by it
    """

    name: str
    prior: dist.Distribution
    unit: str
    meaning: str
    source: str
    quantity: str = ""
    value: Callable[..., Any] | None = None
    role: Role = "other"

    @property
    def site(self) -> str:
        """Name of the sampled NumPyro site: the parameter itself, or its quantity, ``E.quantity``.

        Names of users are identifiers, so nothing of theirs can hold the point.
        """
        return self.name if self.value is None else f"{self.name}.quantity"

    @property
    def needs(self) -> tuple[str, ...]:
        """Names that ``value`` takes besides the draw."""
        return () if self.value is None else tuple(inspect.signature(self.value).parameters)[1:]


@dataclasses.dataclass(frozen=True)
class Derived:
    """A parameter that follows from the others and so has no prior of its own.

    Attributes
    ----------
    name, unit, meaning, role : as in `Parameter`
    value : ``value(...) -> parameter``; arguments may be ``at`` and the names of rows listed above this one
    """

    name: str
    unit: str
    meaning: str
    value: Callable[..., Any]
    role: Role = "other"

    @property
    def needs(self) -> tuple[str, ...]:
        """Names that ``value`` takes."""
        return tuple(inspect.signature(self.value).parameters)


LOSS_AT_CENTRE = Parameter(
    "L_0",
    dist.LogNormal(0.0, 0.2),
    unit="loss",
    meaning="loss at the centre of the data",
    role="level",
    source="the law passes near the middle of its own data",
    quantity="L_0 / median loss of the runs",
    value=lambda draw, at: draw * at.loss,
)
"""The level of a law where its data lie, which even a few runs fix.

Laws sample this level and the shares of it that their terms make up. The terms themselves trade off against one
another along curved ridges that a sampler follows badly.
"""


IRREDUCIBLE: Parameter
"""What no model of the family can learn, as a share of the loss at the centre; for laws that list `LOSS_AT_CENTRE`."""


E_OF_LANGUAGE: Parameter
"""The same for language models in parameters and tokens, for laws that were fitted to that population."""


def __getattr__(name: str) -> Parameter:
    if name not in ("IRREDUCIBLE", "E_OF_LANGUAGE"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _irreducible()[name]


@functools.cache
def _irreducible() -> Mapping[str, Parameter]:
    """Return the rows whose priors start JAX when they are made, which an import must not do."""
    usual = Parameter(
        "E",
        beta(1.5, 1.5),
        unit="loss",
        meaning="irreducible loss",
        role="irreducible",
        source="published E over the loss at the centre of the data: 0.16 to 0.72",
        quantity="E / L_0",
        value=lambda draw, L_0: draw * L_0,
    )
    of_language = dataclasses.replace(
        usual,
        prior=beta(3.3, 3.1),
        source="population of 10 public tables from 7 sources (benchmarks/population.py); 80 % in 0.27 to 0.76",
    )
    return {"IRREDUCIBLE": usual, "E_OF_LANGUAGE": of_language}


def resolve(rows: tuple[Parameter | Derived, ...], draws: Mapping[str, Any], at: ReferencePoint) -> dict[str, Any]:
    """Turn draws of the sampled sites into the value of every row.

    Parameters
    ----------
    rows : in order; a row may use the values of rows above it
    draws : value of each sampled row's ``site``
    at : the reference point of the table
    """
    values: dict[str, Any] = {}
    for row in rows:
        known = {"at": at, **values}
        needed = {name: known[name] for name in row.needs}
        if isinstance(row, Derived):
            values[row.name] = row.value(**needed)
        else:
            draw = draws[row.site]
            values[row.name] = draw if row.value is None else row.value(draw, **needed)
    return values
