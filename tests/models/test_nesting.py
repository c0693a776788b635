"""The nesting family and its members: Chinchilla, Kaplan's joint law, the largest term; and the product."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_scaling as bs
from tests.support import close

NESTING = bs.load_law("nesting")
WITH_COMPUTE = bs.load_law("nesting:terms=ndc")
MAX_FORM = bs.load_law("max_form")
CHINCHILLA = bs.load_law("chinchilla")
KAPLAN = bs.load_law("kaplan_joint")
LOG_PARAMS = st.floats(np.log(1e5), np.log(1e13))
LOG_TOKENS = st.floats(np.log(1e7), np.log(1e14))
EXPONENT = st.floats(0.03, 0.8)


def constants(alpha: float, beta: float, q: float) -> dict[str, float]:
    return {"E": 1.7, "A": 400.0, "B": 2000.0, "alpha": alpha, "beta": beta, "q": q}


@pytest.mark.parametrize(("q", "expected"), [(1.0, 2.200), (0.103, 2.001), (1e-3, 2.000)])
def test_g41_limits(q: float, expected: float) -> None:
    terms = {"E": 1.7, "A": 0.3, "B": 0.2, "alpha": 0.3, "beta": 0.3, "q": q}
    close(NESTING.evaluate(terms, params=[1.0], tokens=[1.0]), expected)


@settings(max_examples=40, deadline=None)
@given(LOG_PARAMS, LOG_TOKENS, EXPONENT, EXPONENT)
def test_q_of_one_is_chinchilla(log_n: float, log_d: float, a: float, b: float) -> None:
    inputs = {"params": [np.exp(log_n)], "tokens": [np.exp(log_d)]}
    here = NESTING.evaluate(constants(a, b, 1.0), **inputs)
    np.testing.assert_allclose(here, CHINCHILLA.evaluate(constants(a, b, 1.0), **inputs), rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(LOG_PARAMS, LOG_TOKENS, EXPONENT, EXPONENT)
def test_no_floor_and_q_of_alpha_d_is_kaplan(log_n: float, log_d: float, a: float, b: float) -> None:
    kaplan = {"alpha_N": a, "alpha_D": b, "N_c": 6.4e13, "D_c": 1.8e13}
    same = {"E": 0.0, "A": 6.4e13**a, "B": 1.8e13**b, "alpha": a, "beta": b, "q": b}
    inputs = {"params": [np.exp(log_n)], "tokens": [np.exp(log_d)]}
    np.testing.assert_allclose(NESTING.evaluate(same, **inputs), KAPLAN.evaluate(kaplan, **inputs), rtol=1e-10)


def test_g06_as_a_member() -> None:
    params, tokens = [1.5e9, 1e8, 1e9, 1e9], [2.2e10, 2.2e10, 2.2e7, 1e9]
    close(NESTING.at("kaplan2020")(params=params, tokens=tokens), [2.313, 2.774, 4.066, 2.794])


@settings(max_examples=40, deadline=None)
@given(LOG_PARAMS, LOG_TOKENS, EXPONENT, EXPONENT, st.floats(1e-3, 1.0))
def test_the_family_lies_between_the_largest_term_and_the_sum(
    log_n: float, log_d: float, a: float, b: float, q: float
) -> None:
    inputs = {"params": [np.exp(log_n)], "tokens": [np.exp(log_d)]}
    terms = 400.0 * np.exp(-a * log_n), 2000.0 * np.exp(-b * log_d)
    loss = NESTING.evaluate(constants(a, b, q), **inputs)
    assert 1.7 + max(terms) * (1 - 1e-9) <= loss <= 1.7 + sum(terms) * (1 + 1e-9)
    np.testing.assert_allclose(NESTING.evaluate(constants(a, b, 1e-3), **inputs), 1.7 + max(terms), rtol=1e-3)


@settings(max_examples=40, deadline=None)
@given(LOG_PARAMS, LOG_TOKENS, EXPONENT, EXPONENT)
def test_max_form_is_the_sharp_member_and_below_chinchilla(log_n: float, log_d: float, a: float, b: float) -> None:
    inputs = {"params": [np.exp(log_n)], "tokens": [np.exp(log_d)]}
    sharp = {"L_inf": 1.7, "N_c": 400.0 ** (1 / a), "D_c": 2000.0 ** (1 / b), "alpha_N": a, "alpha_D": b}
    loss = MAX_FORM.evaluate(sharp, **inputs)
    np.testing.assert_allclose(loss, NESTING.evaluate(constants(a, b, 0.03), **inputs), rtol=1e-9)
    assert loss <= CHINCHILLA.evaluate(constants(a, b, 1.0), **inputs) * (1 + 1e-12)
    largest = max(400.0 * np.exp(-a * log_n), 2000.0 * np.exp(-b * log_d))
    assert largest * (1 - 1e-9) <= loss - 1.7 + 1e-12 and loss - 1.7 <= largest * 1.0211 + 1e-12


@settings(max_examples=20, deadline=None)
@given(LOG_PARAMS, LOG_TOKENS, EXPONENT, EXPONENT, st.floats(0.03, 1.2))
def test_a_compute_term_without_weight_changes_nothing(
    log_n: float, log_d: float, a: float, b: float, q: float
) -> None:
    inputs = {"params": [np.exp(log_n)], "tokens": [np.exp(log_d)]}
    here = NESTING.evaluate(constants(a, b, q), **inputs)
    there = WITH_COMPUTE.evaluate(constants(a, b, q) | {"K": 1e-300, "gamma": 0.1}, **inputs, flops=[1e22])
    np.testing.assert_allclose(here, there, rtol=1e-9)


def test_kaplans_constants_in_the_other_form() -> None:
    loss = bs.load_law("max_form:terms=ndc").at("kaplan_constants_not_kaplans_form")
    assert not loss.constants.verified
    alone = [4.016, 1.638, 1.882]  # G01 at 1e6 parameters, G02 at 3e11 tokens, G03 at 1e3 PF-days
    close(loss(params=[1e6], tokens=[3e11], flops=[8.64e22]), max(alone))


@settings(max_examples=20, deadline=None)
@given(EXPONENT, EXPONENT, st.floats(0.03, 1.4), st.floats(np.log(1e18), np.log(1e26)))
def test_frontier_of_the_family(a: float, b: float, q: float, log_flops: float) -> None:
    c = constants(a, b, q)
    flops = np.exp(log_flops)
    best = float(NESTING.quantity("params_opt", c, flops=flops))
    params = best * np.exp([0.0, -0.05, 0.05, -1.0, 1.0])
    assert np.argmin(NESTING.evaluate(c, params=params, tokens=flops / (6 * params))) == 0


def test_product_form_is_linear_in_logarithms() -> None:
    law = bs.load_law("product_form")
    runs = {"params": np.array([1e8, 1e9]), "tokens": np.array([1e9, 1e11]), "flops": np.array([6e17, 6e20])}
    one, two = law.evaluate({"K": 100.0, "a": 0.04, "b": 0.05, "c": 0.02}, **runs)
    np.testing.assert_allclose(np.log(one / two), 0.04 * np.log(10) + 0.05 * np.log(100) + 0.02 * np.log(1000))
    without = bs.load_law("product_form:terms=nd").evaluate(
        {"K": 100.0, "a": 0.04, "b": 0.05}, params=runs["params"], tokens=runs["tokens"]
    )
    zero = law.evaluate({"K": 100.0, "a": 0.04, "b": 0.05, "c": 0.0}, **runs)
    np.testing.assert_allclose(zero, without)
