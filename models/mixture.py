"""Data mixture: the loss on one kind of text is exponential in the shares of the training mixture.

    L(r) = c + k exp(sum_j t_j r_j)

r_j share of domain j in the training tokens, L loss on the text of the first domain named, at one size and one number
of tokens. ``domains=web+code+books`` names the columns of the shares. As shares sum to one, only differences of t_j
matter: t of the last domain is 0, and its share needs no column. The first domain's t is negative: its own text helps.

Ye et al. 2024 (arXiv 2403.16952), eq 1.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist

from bayes_scaling.errors import LawError
from bayes_scaling.laws import LOSS_AT_CENTRE, Array, Column, Derived, Law, Parameter


def taking(names: tuple[str, ...], function: Callable[..., Any]) -> Callable[..., Any]:
    """Set the argument names of a function of keywords."""
    arguments = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names]
    function.__signature__ = inspect.Signature(arguments)  # type: ignore[attr-defined]
    return function


@functools.cache
def functions(domains: tuple[str, ...]) -> tuple[Callable[..., Array], Callable[..., Array]]:
    """Return the mean and the value of k with one argument per domain, cached per tuple of domains."""

    def mean(c: Array, k: Array, **given: Array) -> Array:
        """L(r) = c + k exp(sum_j t_j r_j)."""
        return c + k * jnp.exp(sum(given[f"t_{name}"] * given[name] for name in domains))

    def k(at: Any, L_0: Array, c: Array, **t: Array) -> Array:
        return (L_0 - c) * jnp.exp(-sum(t[f"t_{name}"] * at.inputs[name] for name in domains))

    of_domains = tuple(f"t_{name}" for name in domains)
    return taking((*domains, "c", "k", *of_domains), mean), taking(("at", "L_0", "c", *of_domains), k)


def opposite(draw: Array) -> Array:
    """Return minus the absolute value."""
    return -draw


def law(domains: str = "web+code+books") -> Law:
    """Choose the domains; the first is the one whose text the loss is measured on."""
    names = tuple(domains.split("+"))
    taken = {"c", "k", "at", "L_0", "loss", "run"}
    if len(set(names)) < len(names) or len(names) < 2 or taken & {*names} or not all(n.isidentifier() for n in names):
        raise LawError(f"mixture takes two or more different column names, domains=web+code+books; got {domains!r}")
    own, free = names[0], names[:-1]
    mean, k = functions(free)
    return Law(
        name="mixture",
        title=f"loss on {own} from the shares of {' and '.join(free)} (the rest is {names[-1]})",
        formula="L(r) = c + k exp(sum_j t_j r_j)",
        mean=mean,
        decreasing_in=(own,),
        columns={name: Column(f"share of {name} in the training tokens", 0, 1) for name in free},
        parameters=(
            LOSS_AT_CENTRE,
            Parameter(
                "c",
                dist.Beta(2.0, 1.5),
                unit="loss",
                meaning="loss that no mixture can remove",
                source="weakly informative: most of the loss does not depend on the mixture",
                quantity="c / L_0",
                value=lambda draw, L_0: draw * L_0,
            ),
            Parameter(
                f"t_{own}",
                dist.LogNormal(0.0, 0.6),
                unit="1",
                meaning=f"what {own} instead of {names[-1]} changes in the log of the reducible loss",
                source="weakly informative: a factor of 1.3 to 30 between none and all of the tokens",
                quantity=f"- t_{own}: a domain's own text lowers its loss",
                value=opposite,
            ),
            *(
                Parameter(
                    f"t_{name}",
                    dist.Normal(0.0, 0.7),
                    unit="1",
                    meaning=f"what {name} instead of {names[-1]} changes in the log of the reducible loss",
                    source="weakly informative: either may be closer to the first domain",
                )
                for name in free[1:]
            ),
            Derived("k", "loss", f"reducible loss of a mixture of {names[-1]} alone", k),
        ),
        holds="one size and one number of tokens, shares within the range of the fitted mixtures",
        fails="loss on several kinds of text together (fit each and add them); domains so small that their data repeat",
        references=("Ye et al. 2024, Data Mixing Laws, arXiv 2403.16952",),
    )
