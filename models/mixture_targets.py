"""Data mixture, several target domains: each is exponential in the shares of the training mixture, and they add up.

    L(r, v) = sum_i v_i (c_i + k_i exp(sum_j t_ij r_j)),  v_i = w_i / sum_k w_k

r_j share of domain j in the training tokens, w_i weight of domain i in what the loss is measured on, L loss, at one
size and one number of tokens. A loss on the text of one domain has weight 1 there and 0 elsewhere, so that a table may
hold losses on several domains, and on mixtures of them. ``domains=web+code+books`` names the shares, of which the last
needs no column; weights are ``on_web``, ``on_code``, ``on_books``.

Ye et al. 2024 (arXiv 2403.16952), eq 1 for each domain and their sum with the domains' weights.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist
from bayes_scaling.models.mixture import opposite, taking

from bayes_scaling.errors import LawError
from bayes_scaling.laws import Array, Column, Derived, Law, Parameter


@functools.cache
def mean_of(domains: tuple[str, ...]) -> Callable[..., Array]:
    """Return the mean with one argument per share, weight and parameter, cached per tuple of domains."""
    free = domains[:-1]

    def mean(**given: Array) -> Array:
        """L(r, v) = sum_i v_i (c_i + k_i exp(sum_j t_ij r_j))."""
        total = sum(given[f"on_{name}"] for name in domains)
        losses = (
            given[f"on_{i}"]
            * (given[f"c_{i}"] + given[f"k_{i}"] * jnp.exp(sum(given[f"t_{i}_{j}"] * given[j] for j in free)))
            for i in domains
        )
        return sum(losses) / total  # type: ignore[return-value]

    of_domains = [f"{name}_{i}" for i in domains for name in ("c", "k")]
    slopes = [f"t_{i}_{j}" for i in domains for j in free]
    found: Callable[..., Array] = taking((*free, *(f"on_{i}" for i in domains), *of_domains, *slopes), mean)
    return found


@functools.cache
def coefficient(target: str, free: tuple[str, ...]) -> Callable[..., Array]:
    """Return k of a target from its level at the centre of the data."""

    def value(at: Any, **given: Array) -> Array:
        t = sum(given[f"t_{target}_{j}"] * at.inputs[j] for j in free)
        return (given[f"L_{target}"] - given[f"c_{target}"]) * jnp.exp(-t)

    needs = ("at", f"L_{target}", f"c_{target}", *(f"t_{target}_{j}" for j in free))
    found: Callable[..., Array] = taking(needs, value)
    return found


@functools.cache
def share_of(level: str) -> Callable[..., Array]:
    """Return the function that multiplies a draw by a level."""

    def value(draw: Array, **given: Array) -> Array:
        return draw * given[level]

    value.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("draw", level)]
    )
    return value


def slope(target: str, domain: str, last: str) -> Parameter:
    """Return the row of t: negative for a domain's own text, positive where it is the one that others replace."""
    own, replaced = target == domain, target == last
    known = dist.LogNormal(0.0, 0.6) if own or replaced else dist.Normal(0.0, 0.7)
    return Parameter(
        f"t_{target}_{domain}",
        known,
        unit="1",
        meaning=f"what {domain} instead of {last} changes in the log of the reducible loss on {target}",
        source="weakly informative: a factor of 1.3 to 30 between none and all of the tokens"
        if own or replaced
        else "weakly informative: either may be closer to the target",
        quantity=f"- t_{target}_{domain}: a domain's own text lowers its loss" if own else "",
        value=opposite if own else None,
    )


def rows(target: str, free: tuple[str, ...], last: str) -> tuple[Parameter | Derived, ...]:
    """Return the rows of one target."""
    return (
        Parameter(
            f"L_{target}",
            dist.LogNormal(0.0, 0.3),
            unit="loss",
            meaning=f"loss on {target} at the centre of the data",
            source="the domains are near one another; code and mathematics are easier",
            quantity=f"L_{target} / median loss of the runs",
            value=lambda draw, at: draw * at.loss,
        ),
        Parameter(
            f"c_{target}",
            dist.Beta(2.0, 1.5),
            unit="loss",
            meaning=f"loss on {target} that no mixture can remove",
            source="weakly informative: most of the loss does not depend on the mixture",
            quantity=f"c_{target} / L_{target}",
            value=share_of(f"L_{target}"),
        ),
        *(slope(target, domain, last) for domain in free),
        Derived(f"k_{target}", "loss", f"reducible loss on {target} of {last} alone", coefficient(target, free)),
    )


def law(domains: str = "web+code+books") -> Law:
    """Choose the domains; the last one's share is the rest."""
    names = tuple(domains.split("+"))
    if len(set(names)) < len(names) or len(names) < 2 or not all(n.isidentifier() for n in names):
        raise LawError(
            f"mixture_targets takes two or more different column names, domains=web+code+books; got {domains!r}"
        )
    free = names[:-1]
    shares = {name: Column(f"share of {name} in the training tokens", 0, 1) for name in free}
    weights = {f"on_{name}": Column(f"weight of {name} in what the loss is measured on", 0, 1) for name in names}
    return Law(
        name="mixture_targets",
        title=f"loss on {', '.join(names)} and mixtures of them, from the shares in training",
        formula="L(r, v) = sum_i v_i (c_i + k_i exp(sum_j t_ij r_j)),  v_i = w_i / sum_k w_k",
        mean=mean_of(names),
        columns={**shares, **weights},
        parameters=tuple(row for name in names for row in rows(name, free, names[-1])),
        weakly_identified=tuple(f"{letter}_{name}" for name in names for letter in "ck"),
        holds="one size and one number of tokens, shares within the range of the fitted mixtures",
        fails="domains so small that their data repeat; losses on mixtures whose weights are not known",
        references=("Ye et al. 2024, Data Mixing Laws, arXiv 2403.16952",),
    )
