"""Curves in one variable: shifted, sigmoidal and broken power laws, their limits and golden numbers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_scaling as bs
from bayes_scaling.base.scope import scope
from tests.support import close

POWER = bs.load_law("power_law:input=tokens")
SHIFTED = bs.load_law("shifted_power_law")
SIGMOIDAL = bs.load_law("sigmoidal_power_law")
DESCENT = bs.load_law("double_descent:input=tokens")
BROKEN = {n: bs.load_law(f"broken_power_law:breaks={n}") for n in range(4)}
LOG_TOKENS = st.floats(np.log(1e2), np.log(1e14))
EXPONENT = st.floats(0.03, 0.8)


@settings(max_examples=40, deadline=None)
@given(LOG_TOKENS, EXPONENT)
def test_shifted_power_law_has_a_power_law_and_a_constant_as_limits(log_x: float, c: float) -> None:
    tokens = [np.exp(log_x)]
    far = SHIFTED.evaluate({"b": 50.0, "c": c, "X_s": 1e40}, tokens=tokens)
    np.testing.assert_allclose(far, 50.0 * np.exp(-c * log_x), rtol=1e-9)
    near = SHIFTED.evaluate({"b": 50.0, "c": c, "X_s": 1e-20}, tokens=tokens)
    np.testing.assert_allclose(near, SHIFTED.quantity("floor", {"b": 50.0, "c": c, "X_s": 1e-20}), rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(LOG_TOKENS, st.floats(0.05, 1.0), st.floats(0.05, 8.0), st.floats(0.1, 0.9))
def test_sigmoidal_power_law_solves_its_equation(log_x: float, c: float, a: float, level: float) -> None:
    centre, floor, top = 1e8, 1.5, 11.0
    middle = floor + level * (top - floor)
    constants = {"E": floor, "L_max": top, "a": a, "c": c, "b": (middle - floor) / (top - middle) ** a * centre**c}
    loss = SIGMOIDAL.evaluate(constants, tokens=[np.exp(log_x)])[0]
    assert floor <= loss <= top
    if floor + 1e-6 < loss < top - 1e-6:
        left = np.log(loss - floor) - a * np.log(top - loss)
        np.testing.assert_allclose(left, np.log(constants["b"]) - c * log_x, rtol=1e-6, atol=1e-6)
        back = SIGMOIDAL.quantity("input_for_loss", constants, loss=loss)
        np.testing.assert_allclose(np.log(back), log_x, rtol=1e-6)


def test_sigmoidal_power_law_without_an_upper_end_is_the_power_law() -> None:
    tokens = np.logspace(8, 13, 20)
    constants = {"E": 1.7, "L_max": 1e6, "a": 1e-9, "b": 100.0, "c": 0.2}
    power = POWER.evaluate({"E": 1.7, "alpha": 0.2, "X_c": 100.0**5}, tokens=tokens)
    np.testing.assert_allclose(SIGMOIDAL.evaluate(constants, tokens=tokens), power, rtol=1e-6)


def test_sigmoidal_power_law_has_the_right_gradient() -> None:
    with scope():
        theta = {name: jnp.asarray(x) for name, x in {"E": 1.7, "L_max": 10.0, "a": 0.7, "b": 50.0, "c": 0.2}.items()}
        X = jnp.asarray([1e6, 1e9, 1e12])

        def total(theta: dict[str, jax.Array]) -> jax.Array:
            return SIGMOIDAL.mean(X, **theta).sum()

        gradient = jax.grad(total)(theta)
        for name, value in theta.items():
            step = 1e-6 * value
            up, down = total(theta | {name: value + step}), total(theta | {name: value - step})
            np.testing.assert_allclose(gradient[name], (up - down) / (2 * step), rtol=1e-5)


def test_g38_broken_power_law() -> None:
    constants = {"E": 0.5, "b": 10.0, "c_0": 0.1, "c_1": 0.3, "d_1": 1e5, "f_1": 0.2}
    close(BROKEN[1].evaluate(constants, tokens=[1e2, 1e4, 1e6, 1e8]), [6.810, 4.481, 1.759, 0.6995])
    for x, slope in ((10.0, -0.1), (1e9, -0.4)):
        y = BROKEN[1].evaluate(constants, tokens=[x, x * 1.001]) - 0.5
        close(np.log(y[1] / y[0]) / np.log(1.001), slope, 1e-6)


@settings(max_examples=30, deadline=None)
@given(LOG_TOKENS, EXPONENT)
def test_broken_power_law_without_breaks_is_the_power_law(log_x: float, c: float) -> None:
    constants = {"E": 1.7, "b": 30.0, "c_0": c}
    power = POWER.evaluate({"E": 1.7, "alpha": c, "X_c": 30.0 ** (1 / c)}, tokens=[np.exp(log_x)])
    for n, law in BROKEN.items():
        flat = {f"{k}_{i}": v for i in range(1, n + 1) for k, v in (("c", 0.0), ("d", 10.0**i), ("f", 0.3))}
        np.testing.assert_allclose(law.evaluate(constants | flat, tokens=[np.exp(log_x)]), power, rtol=1e-9)


@pytest.mark.parametrize("n", [2, 3])
def test_sharp_breaks_give_the_slopes_between_them(n: int) -> None:
    constants = {"E": 0.0, "b": 10.0, "c_0": 0.1} | {
        f"{k}_{i}": v for i in range(1, n + 1) for k, v in (("c", 0.1 * i), ("d", 10.0 ** (3 * i)), ("f", 0.05))
    }
    for piece in range(n + 1):
        x = 10.0 ** (3 * piece + 1.5)
        y = BROKEN[n].evaluate(constants, tokens=[x, x * 1.001])
        close(-np.log(y[1] / y[0]) / np.log(1.001), 0.1 + sum(0.1 * i for i in range(1, piece + 1)), 1e-6)


@settings(max_examples=40, deadline=None)
@given(LOG_TOKENS, EXPONENT)
def test_double_descent_without_a_peak_is_the_power_law(log_x: float, alpha: float) -> None:
    constants = {"E": 1.7, "alpha": alpha, "X_c": 1e8}
    flat = DESCENT.evaluate({**constants, "h": 0.0, "X_p": 1e9, "w": 0.5}, tokens=[np.exp(log_x)])
    np.testing.assert_allclose(flat, POWER.evaluate(constants, tokens=[np.exp(log_x)]), rtol=1e-12)


def test_double_descent_rises_by_h_and_falls_again_as_a_power() -> None:
    constants = {"E": 2.0, "alpha": 0.3, "X_c": 1e-40, "h": 0.4, "X_p": 1e9, "w": 0.5}
    at_peak, before, after = DESCENT.evaluate(constants, tokens=[1e9, 1e7, 1e11])
    np.testing.assert_allclose(at_peak, 2.0 * 1.4, rtol=1e-6)
    np.testing.assert_allclose(DESCENT.quantity("at_peak", constants), at_peak, rtol=1e-6)
    np.testing.assert_allclose([before, after], 2.0 * (1 + 2 * 0.4 * 100**-2.0 / (1 + 100**-4.0)), rtol=1e-6)
    far = DESCENT.evaluate({**constants, "w": 1e-3}, tokens=[1.0, 1e30])
    np.testing.assert_allclose(far, [2.0, 2.0], rtol=1e-6)  # a very narrow peak overflows nothing
