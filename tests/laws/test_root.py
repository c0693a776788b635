"""Newton's method of laws that are implicit in the loss."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from bayes_scaling.base.scope import scope
from bayes_scaling.laws.arithmetic import Array, root


def test_a_row_without_a_root_leaves_the_others_alone() -> None:
    def residual(x: Array, wanted: Array) -> Array:
        return jnp.log(x) - wanted

    with scope():
        wanted = jnp.array([0.0, 1.0, jnp.nan, 2.0, 5.0])
        found = np.asarray(root(residual, jnp.full(5, 0.5), wanted))
    np.testing.assert_allclose(found[[0, 1, 3, 4]], np.exp([0.0, 1.0, 2.0, 5.0]), rtol=1e-12)
    assert np.isnan(found[2])
