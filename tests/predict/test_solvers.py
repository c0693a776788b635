"""Roots of functions of one number: the first one, whatever comes after it."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_scaling.base.scope import scope
from bayes_scaling.predict.solvers import first_met

TOP = 90.0
places = st.floats(2.0, 80.0)


@given(lowest=places, depth=st.floats(0.1, 5.0), rise=st.booleans())
def test_the_first_x_is_found_where_the_function_rises_again(lowest: float, depth: float, rise: bool) -> None:
    """A parabola, or one that stays at its lowest value, is met at ``lowest - sqrt(depth)``."""

    def valley(x: jax.Array) -> jax.Array:
        left = jax.numpy.minimum(x - lowest, 0.0)
        return (x - lowest) ** 2 if rise else left**2

    target = max(depth, 1.5)  # the valley is wider than a step of the search
    with scope():
        assert float(first_met(valley, target, TOP)) == pytest.approx(max(lowest - np.sqrt(target), 0.0), abs=1e-8)


def test_what_is_never_met_is_the_end_and_what_is_met_at_once_the_beginning() -> None:
    with scope():
        assert float(first_met(lambda x: 1 + x, 0.5, TOP)) == TOP
        assert float(first_met(lambda x: x - 1, 0.5, TOP)) == 0.0
        assert float(first_met(lambda x: TOP - x, 0.0, TOP)) == pytest.approx(TOP, abs=1e-8)


def test_every_draw_has_its_own() -> None:
    with scope():
        targets = np.linspace(0.1, 80.0, 7)
        found = jax.vmap(lambda target: first_met(lambda x: TOP - x, target, TOP))(targets)
    np.testing.assert_allclose(found, TOP - targets, atol=1e-8)
