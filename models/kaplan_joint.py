"""Kaplan's joint law: two bottlenecks, a finite model and finite data, in one formula.

    L(N, D) = [ (N_c / N)^(alpha_N / alpha_D) + D_c / D ]^alpha_D

N non-embedding parameters, D distinct tokens of the training set (early-stopped, possibly many epochs), L loss. With
unlimited D it is (N_c / N)^alpha_N, with unlimited N (D_c / D)^alpha_D; there is no irreducible loss. The
overfitting L(N, D) / L(N, inf) - 1 depends only on N^(alpha_N / alpha_D) / D.

Kaplan et al. 2020 (arXiv 2001.08361), eq 1.5 and 4.1 to 4.4.
"""

from math import log

import jax.numpy as jnp
import numpyro.distributions as dist

from bayes_scaling.laws import LOSS_AT_CENTRE, Array, Derived, Law, Parameter, Published, Quantity, power


def mean(params: Array, tokens: Array, N_c: Array, D_c: Array, alpha_N: Array, alpha_D: Array) -> Array:
    """L(N, D) = [ (N_c / N)^(alpha_N / alpha_D) + D_c / D ]^alpha_D."""
    return power(power(N_c / params, alpha_N / alpha_D) + D_c / tokens, alpha_D)


def unlimited(params: Array, N_c: Array, alpha_N: Array) -> Array:
    """L(N, inf) = (N_c / N)^alpha_N."""
    return power(N_c / params, alpha_N)


def overfitting(params: Array, tokens: Array, N_c: Array, D_c: Array, alpha_N: Array, alpha_D: Array) -> Array:
    """L(N, D) / L(N, inf) - 1 = [ 1 + (N / N_c)^(alpha_N / alpha_D) D_c / D ]^alpha_D - 1."""
    return jnp.expm1(alpha_D * jnp.log1p(power(params / N_c, alpha_N / alpha_D) * D_c / tokens))


def data_requirement(params: Array, excess: Array, N_c: Array, D_c: Array, alpha_N: Array, alpha_D: Array) -> Array:
    """D = (N / N_c)^(alpha_N / alpha_D) D_c / ((1 + excess)^(1 / alpha_D) - 1)."""
    return power(params / N_c, alpha_N / alpha_D) * D_c / jnp.expm1(jnp.log1p(excess) / alpha_D)


LAW = Law(
    name="kaplan_joint",
    title="two bottlenecks, parameters and data, without an irreducible loss",
    formula="L(N, D) = [ (N_c / N)^(alpha_N / alpha_D) + D_c / D ]^alpha_D",
    mean=mean,
    decreasing_in=("params", "tokens"),
    parameters=(
        LOSS_AT_CENTRE,
        Parameter(
            "alpha_N",
            dist.LogNormal(log(0.08), 0.5),
            unit="1",
            meaning="exponent of parameters",
            role="exponent",
            source="pure power laws of language models: 0.037 to 0.10",
        ),
        Parameter(
            "alpha_D",
            dist.LogNormal(log(0.10), 0.5),
            unit="1",
            meaning="exponent of data",
            role="exponent",
            source="Kaplan et al. 2020: 0.095 alone, 0.103 jointly",
        ),
        Parameter(
            "N_c",
            dist.Beta(3.4, 2.9),
            unit="params",
            meaning="scale of parameters (depends on tokeniser and data, has no meaning by itself)",
            role="scale",
            source="population of 10 public tables from 7 sources (benchmarks/population.py); 80 % in 0.29 to 0.78",
            quantity="share of the parameter term in the bracket at the centre of the data",
            value=lambda draw, at, L_0, alpha_N, alpha_D: (
                at.params * power(draw, alpha_D / alpha_N) * power(L_0, 1 / alpha_N)
            ),
        ),
        Derived(
            "D_c",
            unit="tokens",
            meaning="scale of data (depends on tokeniser and data, has no meaning by itself)",
            role="scale",
            value=lambda at, L_0, alpha_N, alpha_D, N_c: (
                at.tokens * (power(L_0, 1 / alpha_D) - power(N_c / at.params, alpha_N / alpha_D))
            ),
        ),
    ),
    published=(
        Published(
            "kaplan2020",
            {"alpha_N": 0.076, "alpha_D": 0.103, "N_c": 6.4e13, "D_c": 1.8e13},
            source="Kaplan et al. 2020, table 2",
            note="WebText2, non-embedding parameters, nats/token; no standard errors are given",
        ),
    ),
    quantities=(
        Quantity("unlimited", "loss", "loss with unlimited data", "Kaplan et al. 2020, eq 4.1", unlimited),
        Quantity(
            "overfitting",
            "1",
            "relative increase of the loss from finite data, L(N, D) / L(N, inf) - 1",
            "Kaplan et al. 2020, eq 4.2 and 4.3",
            overfitting,
        ),
        Quantity(
            "data_requirement",
            "tokens",
            "distinct tokens at which overfitting is the share ``excess`` (the paper rounds 0.02 to 5e3 N^0.74)",
            "inverse of eq 4.3 of Kaplan et al. 2020; eq 4.4",
            data_requirement,
        ),
    ),
    holds="WebText2, 768 to 1.5e9 non-embedding parameters, 22M to 23B distinct tokens, early stopping",
    fails="very small data (2e7 tokens: 40 updates an epoch); curves that flatten towards an irreducible loss",
    references=("Kaplan et al. 2020, Scaling Laws for Neural Language Models, arXiv 2001.08361",),
)
