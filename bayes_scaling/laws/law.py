"""A scaling law as a value: a pure mean function, priors on its parameters, and where they come from."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpy.typing import ArrayLike

from bayes_scaling.base.arguments import validated
from bayes_scaling.base.messages import shown
from bayes_scaling.base.scope import jax_as_usual
from bayes_scaling.errors import LawError
from bayes_scaling.laws.columns import INPUTS, Column
from bayes_scaling.laws.parameters import Derived, Parameter
from bayes_scaling.laws.priors import refuse_unsuitable
from bayes_scaling.laws.source import fingerprint

type Constants = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Published:
    """Constants of a law as a paper printed them.

    Attributes
    ----------
    name : how to ask for the set, for example ``besiroglu2024``
    values : every parameter of the law's mean
    source : paper and equation or table
    note : units and conventions (which N, which data), caveats
    standard_error : by parameter, where the paper gives one
    verified : False for numbers that were not read in the paper or its code; they are shown as unverified
    """

    name: str
    values: Mapping[str, float]
    source: str
    note: str = ""
    verified: bool = True
    standard_error: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Quantity:
    """Something else that a law says, besides the loss: a critical batch size, a frontier, a data requirement.

    Attributes
    ----------
    name : how to ask for it: ``quantity(fit, "critical_batch", loss=2.5)``
    unit, meaning, source : shown by ``bayes-scaling laws show``; the source is paper and equation
    value : ``value(<parameters>, <inputs>) -> quantity``, elementwise and in closed form or in JAX. Arguments that
        are no parameters of the law are asked of the caller
    """

    name: str
    unit: str
    meaning: str
    source: str
    value: Callable[..., Any]

    @property
    def needs(self) -> tuple[str, ...]:
        """Names that ``value`` takes."""
        return tuple(inspect.signature(self.value).parameters)


@dataclasses.dataclass(frozen=True)
class Features:
    """What a law reads of a whole run rather than of a row: the history of its learning rate, for example.

    Attributes
    ----------
    names : arguments of the law's mean that are computed here
    value : ``value(<columns>) -> {name: (n_row, ...) array}`` in numpy. Arguments are columns of the table; ``run``
        gives an integer per run, all zero for a table without run ids
    """

    names: tuple[str, ...]
    value: Callable[..., Mapping[str, np.ndarray]]

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns that ``value`` takes."""
        return tuple(inspect.signature(self.value).parameters)


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a law came from.

    Attributes
    ----------
    name : name in the catalogue, or path of a file
    options : in the order of their names
    load : ``load(name, options, priors)`` finds the law again in another process
    source : hash of the text it was read from, with all options, see `bayes_scaling.laws.source`
    computes : what the law computed when it was read (`Law.computes`); another law must not pass for this one
    """

    name: str
    options: tuple[tuple[str, str], ...] = ()
    load: Callable[..., Law] | None = None
    source: str = ""
    computes: tuple[Any, ...] = ()


@dataclasses.dataclass(frozen=True)
class Law:
    """A scaling law: loss as a function of the inputs of a training run.

    Attributes
    ----------
    name : the name of its file
    title : one line
    formula : the mean, in the notation of the paper
    mean : ``mean(<inputs>, <parameters>) -> (n_run,) loss``, pure JAX, elementwise in the inputs
    parameters : rows in order; every argument of ``mean`` that is not an input has one. A row that is no argument of
        ``mean`` (like ``LOSS_AT_CENTRE``) only helps to state the priors of others
    published : constant sets of papers
    holds, fails : where the law was established, and where it is known to break
    decreasing_in, increasing_in : inputs in which the mean never rises, never falls
    references : papers, one line each
    quantities : what else the law says, as functions of its parameters
    weakly_identified : parameters that tables of the usual span tell little about
    reads : argument of ``mean`` to the column it reads, where the two differ (``{"X": "tokens"}``)
    columns : columns of its own that the law reads
    features : arguments of ``mean`` that are computed from whole runs
    response : what the loss column holds, where it is not a loss
    recipe : the papers' own way to estimate the constants, ``recipe(runs) -> {parameter: value}``: points without
        uncertainty, to compare the posterior with
    origin : where the law came from; set when it is loaded
    """

    name: str
    title: str
    formula: str
    mean: Callable[..., Any]
    parameters: tuple[Parameter | Derived, ...]
    references: tuple[str, ...]
    published: tuple[Published, ...] = ()
    holds: str = ""
    fails: str = ""
    decreasing_in: tuple[str, ...] = ()
    increasing_in: tuple[str, ...] = ()
    quantities: tuple[Quantity, ...] = ()
    weakly_identified: tuple[str, ...] = ()
    reads: Mapping[str, str] = dataclasses.field(default_factory=dict)
    columns: Mapping[str, Column] = dataclasses.field(default_factory=dict)
    features: Features | None = None
    response: str = "loss"
    recipe: Callable[..., Mapping[str, float]] | None = None
    origin: Origin = Origin("")
    overridden: tuple[str, ...] = ()
    EXPECTED: ClassVar[str] = "a Law, as from load_law(name)"

    @functools.cached_property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the parameters that the mean takes, in the order of the law file."""
        arguments = inspect.signature(self.mean).parameters
        return tuple(row.name for row in self.parameters if row.name in arguments)

    @functools.cached_property
    def sampled(self) -> tuple[Parameter, ...]:
        """Rows that have a prior."""
        return tuple(row for row in self.parameters if isinstance(row, Parameter))

    @property
    def exponents(self) -> tuple[str, ...]:
        """Names of the exponents."""
        return tuple(row.name for row in self.parameters if row.role == "exponent")

    @property
    def irreducible(self) -> Parameter | None:
        """Row of the irreducible loss, whose prior is on its share of the level; None where the law has none."""
        return next((row for row in self.sampled if row.role == "irreducible"), None)

    @functools.cached_property
    def inputs(self) -> tuple[str, ...]:
        """Columns of the run table that the law reads, in the order of the mean's arguments, then of its features."""
        computed = self.features.names if self.features else ()
        read = [column for name, column in self.arguments if name not in computed]
        of_runs = [name for name in (self.features.needs if self.features else ()) if name != "run"]
        return tuple(dict.fromkeys([*read, *of_runs]))

    @functools.cached_property
    def arguments(self) -> tuple[tuple[str, str], ...]:
        """Arguments of the mean that are not parameters, each with the column or feature it reads."""
        names = inspect.signature(self.mean).parameters
        return tuple((name, self.reads.get(name, name)) for name in names if name not in self.parameter_names)

    @validated
    def column(self, name: str) -> Column:
        """Return what an input is: one of the law's own columns, or one that any law may take."""
        known = {**INPUTS, **self.columns}
        if name not in known:
            raise LawError(f"law {self.name} reads no column {shown(name)}; it reads {', '.join(self.inputs)}")
        return known[name]

    @functools.cached_property
    def may_be_zero(self) -> tuple[str, ...]:
        """Inputs that may be zero."""
        return tuple(name for name in self.inputs if self.column(name).low == 0)

    def arrays(self, table: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return what the mean takes of a table, by column or feature, ``(n_row, ...)`` each.

        Parameters
        ----------
        table : the law's inputs in raw units, ``(n_row,)`` each, and ``run`` as integers where there are run ids
        """
        if self.features is None:
            return {column: np.asarray(table[column], float) for _, column in self.arguments}
        rows = len(table[self.inputs[0]])
        table = {"run": np.zeros(rows, int), **table}
        known = {**table, **self.features.value(**{name: table[name] for name in self.features.needs})}
        return {column: np.asarray(known[column], float) for _, column in self.arguments}

    @property
    def computes(self) -> tuple[Any, ...]:
        """What the law computes, whatever its priors: its functions, and the names that they go by."""
        rows = tuple((type(row).__name__, row.name, row.role, row.value) for row in self.parameters)
        reads = tuple(sorted(self.reads.items()))
        return self.mean, rows, reads, self.features, tuple(self.columns), self.quantities, self.recipe

    @property
    def as_loaded(self) -> bool:
        """Whether it computes what it computed when it was loaded; never so for a law put together in memory."""
        return self.origin.load is not None and self.origin.computes == self.computes

    @property
    def source_hash(self) -> str:
        """SHA-256 of what the law is computed from, 16 hex digits, see `bayes_scaling.laws.source`; without priors."""
        if self.as_loaded:
            return self.origin.source
        _, rows, reads, features, columns, quantities, recipe = self.computes
        functions = [self.mean, *(row.value for row in self.parameters), *(one.value for one in self.quantities)]
        functions += [features.value if features else None, recipe]
        names = [(*row[:3],) for row in rows]
        of = (names, reads, features.names if features else (), columns, [one.name for one in quantities])
        return fingerprint(functions, map(repr, of))

    @property
    def label(self) -> str:
        """Name with options, as the command line takes it: ``power_law:input=tokens``."""
        suffix = ",".join(f"{key}={value}" for key, value in self.origin.options)
        return f"{self.name}:{suffix}" if suffix else self.name

    @validated
    def evaluate(self, constants: Constants, **inputs: ArrayLike) -> np.ndarray:
        """Return the mean loss for given constants.

        Parameters
        ----------
        constants : value of every parameter
        inputs : (n,) or scalar, the law's inputs in raw units; for a law of whole runs also ``run``, an integer per
            row, because rows without it are one run

        Returns
        -------
        (n,) loss, float64; for scalars (), or (1,) of a law of whole runs

        Raises
        ------
        LawError
            When a constant or an input is missing, or an input is not one of the law's.
        """
        missing = [name for name in (*self.parameter_names, *self.inputs) if name not in {**constants, **inputs}]
        if missing:
            raise LawError(f"law {self.name} needs {', '.join(missing)}; it got {', '.join({**constants, **inputs})}")
        unknown = [name for name in inputs if name not in (*self.inputs, "run")]
        if unknown:
            raise LawError(f"law {self.name} does not take {', '.join(unknown)}; its inputs are {self.inputs}")
        with jax_as_usual():
            read = self.arrays(self._broadcast(inputs))
            arrays = {name: jnp.asarray(read[column]) for name, column in self.arguments}
            theta = {name: jnp.asarray(constants[name], float) for name in self.parameter_names}
            return np.asarray(self.mean(**arrays, **theta))

    def _broadcast(self, inputs: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
        """Return inputs of one shape; of at least one dimension where features are computed from runs of rows."""
        try:
            arrays = np.broadcast_arrays(*inputs.values())
        except ValueError as error:
            shapes = ", ".join(f"{name} of shape {np.shape(values)}" for name, values in inputs.items())
            raise LawError(f"law {self.name} got {shapes}; expected arrays of one length, or scalars") from error
        return {name: np.atleast_1d(one) if self.features else one for name, one in zip(inputs, arrays, strict=True)}

    @validated
    def at(self, published: str) -> Curve:
        """Return the curve of a paper: ``load_law("chinchilla").at("besiroglu2024")(params=7e10, tokens=1.4e12)``.

        Raises
        ------
        LawError
            When the law has no published constants of this name.
        """
        for constants in self.published:
            if constants.name == published:
                return Curve(self, constants)
        names = ", ".join(c.name for c in self.published) or "none"
        raise LawError(f"law {self.name} has no published constants {published!r}; it has: {names}")

    @validated
    def quantity(self, name: str, constants: Constants, **inputs: ArrayLike) -> np.ndarray:
        """Return a `Quantity` of the law for given constants.

        Parameters
        ----------
        name : one of ``law.quantities``
        constants : value of every parameter that the quantity takes; scalars, or draws of shape (n_draw, 1)
        inputs : (n_point,) or scalar, what the quantity takes besides

        Returns
        -------
        array of the broadcast shape of constants and inputs, float64

        Raises
        ------
        LawError
            When the law has no such quantity, or the quantity takes other inputs.
        """
        found = {row.name: row for row in self.quantities}
        if name not in found:
            names = ", ".join(found) or "none"
            raise LawError(f"law {self.label} has no quantity {name!r}; it has: {names}")
        row = found[name]
        wanted = [need for need in row.needs if need not in self.parameter_names]
        if set(inputs) != set(wanted):
            raise LawError(
                f"{name} of law {self.label} takes {', '.join(wanted) or 'no inputs'}; "
                f"got {', '.join(inputs) or 'none'}"
            )
        known = {**constants, **inputs}
        missing = [need for need in row.needs if need not in known]
        if missing:
            raise LawError(f"{name} of law {self.label} needs the constants {', '.join(missing)} too")
        with jax_as_usual():
            value = row.value(**{need: jnp.asarray(known[need], float) for need in row.needs})
            return np.asarray(value, float)

    @validated
    def with_priors(self, priors: Mapping[str, dist.Distribution]) -> Law:
        """Return the same law with other priors, by parameter name.

        A prior replaces the one of the parameter's row, so for a parameter with a ``quantity`` it describes that
        quantity.

        Raises
        ------
        LawError
            When the law samples no such parameter, or a prior has another support than the parameter.
        """
        unknown = [name for name in priors if name not in {row.name for row in self.sampled}]
        if unknown:
            raise LawError(
                f"law {self.name} has no prior on {', '.join(unknown)}; it has priors on "
                f"{', '.join(row.name for row in self.sampled)}"
            )
        for row in self.sampled:
            if row.name in priors:
                refuse_unsuitable(row.name, row.quantity, row.prior, priors[row.name])
        rows = tuple(
            dataclasses.replace(row, prior=priors[row.name], source="given by the user")
            if isinstance(row, Parameter) and row.name in priors
            else row
            for row in self.parameters
        )
        overridden = tuple(sorted({*self.overridden, *priors}))
        return dataclasses.replace(self, parameters=rows, overridden=overridden)

    def __repr__(self) -> str:
        priors = f" with priors of {', '.join(self.overridden)}" if self.overridden else ""
        return f"<Law {self.label}: {self.formula}{priors}>"

    def __hash__(self) -> int:
        return hash((self.label, self.mean, self.overridden))  # what equal laws share

    def __reduce__(self) -> tuple[Any, ...]:
        # A mean function of a law file cannot be pickled by value; another process loads the file again.
        changed = {row.name: row.prior for row in self.sampled if row.name in self.overridden}
        if self.origin.load is None or not self.as_loaded:
            raise TypeError(f"law {self.name} is not as load_law gives it, which another process would need to find it")
        return (self.origin.load, (self.origin.name, self.origin.options, changed))


@dataclasses.dataclass(frozen=True)
class Curve:
    """A law at the constants of a paper; call it with the law's inputs."""

    law: Law
    constants: Published

    def __call__(self, **inputs: Any) -> np.ndarray:
        """Return the loss at ``inputs``, in the unit of the paper."""
        return self.law.evaluate(self.constants.values, **inputs)

    @validated
    def quantity(self, name: str, **inputs: Any) -> np.ndarray:
        """Return a quantity of the law at these constants: ``curve.quantity("critical_batch", loss=2.5)``."""
        return self.law.quantity(name, self.constants.values, **inputs)
