"""Identities and limits that tie the laws to one another."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_scaling as bs

KAPLAN = bs.load_law("kaplan_joint")
CHINCHILLA = bs.load_law("chinchilla")
LOG_PARAMS = st.floats(np.log(1e5), np.log(1e13))
LOG_TOKENS = st.floats(np.log(1e7), np.log(1e14))
EXPONENT = st.floats(0.03, 0.8)


@settings(max_examples=40, deadline=None)
@given(LOG_PARAMS, LOG_TOKENS, EXPONENT, EXPONENT)
def test_kaplan_joint_has_the_single_laws_as_limits(log_n: float, log_d: float, a: float, b: float) -> None:
    constants = {"alpha_N": a, "alpha_D": b, "N_c": 6.4e13, "D_c": 1.8e13}
    params, tokens = [np.exp(log_n)], [np.exp(log_d)]
    both = KAPLAN.evaluate(constants, params=params, tokens=tokens)
    pure = {c: bs.load_law("power_law", input=c, form="pure") for c in ("params", "tokens")}
    of_params = pure["params"].evaluate({"alpha": a, "X_c": 6.4e13}, params=params)
    of_tokens = pure["tokens"].evaluate({"alpha": b, "X_c": 1.8e13}, tokens=tokens)
    assert both >= np.maximum(of_params, of_tokens) * (1 - 1e-12)
    np.testing.assert_allclose(KAPLAN.evaluate(constants, params=params, tokens=[1e300]), of_params, rtol=1e-9)
    np.testing.assert_allclose(KAPLAN.evaluate(constants, params=[1e300], tokens=tokens), of_tokens, rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(LOG_PARAMS, LOG_TOKENS, st.floats(0.01, 5), EXPONENT, EXPONENT)
def test_chinchilla_stays_above_its_floor(log_n: float, log_d: float, floor: float, a: float, b: float) -> None:
    constants = {"E": floor, "A": 400.0, "B": 2000.0, "alpha": a, "beta": b}
    assert CHINCHILLA.evaluate(constants, params=[np.exp(log_n)], tokens=[np.exp(log_d)]) >= floor


@settings(max_examples=40, deadline=None)
@given(LOG_PARAMS, LOG_TOKENS, EXPONENT, EXPONENT, st.floats(1e-3, 1e9))
def test_rescaling_inputs_rescales_constants(log_n: float, log_d: float, a: float, b: float, unit: float) -> None:
    constants = {"E": 1.7, "A": 400.0, "B": 2000.0, "alpha": a, "beta": b}
    other = constants | {"A": 400.0 * unit**-a}
    here = CHINCHILLA.evaluate(constants, params=[np.exp(log_n)], tokens=[np.exp(log_d)])
    there = CHINCHILLA.evaluate(other, params=[np.exp(log_n) / unit], tokens=[np.exp(log_d)])
    np.testing.assert_allclose(here, there, rtol=1e-9)


def test_irreducible_power_law_without_floor_is_the_pure_one() -> None:
    flops = np.logspace(15, 25, 30)
    pure = bs.load_law("power_law", form="pure").evaluate({"alpha": 0.05, "X_c": 1e27}, flops=flops)
    floored = bs.load_law("power_law").evaluate({"alpha": 0.05, "X_c": 1e27, "E": 0.0}, flops=flops)
    np.testing.assert_array_equal(pure, floored)
