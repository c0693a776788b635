"""Memory that does not grow with draws times rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayes_scaling.inference import compiled


def test_many_draws_of_a_large_table_are_taken_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    def distance(draw: jax.Array, shared: jax.Array) -> jax.Array:
        return jnp.sum((shared - draw) ** 2)

    draws, shared = np.arange(50.0), np.arange(40.0)
    expected = ((shared - draws[:, None]) ** 2).sum(axis=1)
    together = jax.make_jaxpr(compiled.over_draws(distance, 1))(draws, shared)
    monkeypatch.setattr(compiled, "AT_ONCE", 400)
    over_draws = compiled.over_draws(distance, 1)
    batches = jax.make_jaxpr(over_draws)(draws, shared)
    assert "[50,40]" in str(together)
    assert "[50,40]" not in str(batches)
    assert "[10,40]" in str(batches)
    np.testing.assert_allclose(over_draws(draws, shared), expected, rtol=1e-5)
