"""Golden numbers of the papers, by the id under which the project's reference lists them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.optimize

import bayes_scaling as bs
from bayes_scaling.base.scope import scope
from tests.support import PF_DAY, close, optimum, public_table, pure

CHINCHILLA = bs.load_law("chinchilla")
KAPLAN = bs.load_law("kaplan_joint").at("kaplan2020")


def test_g01_kaplan_loss_of_params() -> None:
    close(pure("params")(params=[1e6, 1e8, 1e9, 1.5e9, 1.75e11]), [4.016, 2.830, 2.376, 2.304, 1.604])


def test_g02_kaplan_loss_of_tokens() -> None:
    close(pure("tokens")(tokens=[2.2e7, 2.2e10, 3e11]), [4.046, 2.099, 1.638])


def test_g03_kaplan_loss_of_minimum_compute() -> None:
    close(pure("flops", "kaplan2020_minimum")(flops=np.array([1e-3, 1, 1e3]) * PF_DAY), [3.755, 2.658, 1.882])


def test_g04_kaplan_loss_of_naive_compute() -> None:
    close(pure("flops", "kaplan2020_naive")(flops=[PF_DAY]), [2.574])


def test_g05_factors_per_doubling() -> None:
    for curve, column, factor in (
        (pure("params"), "params", 0.9487),
        (pure("tokens"), "tokens", 0.9363),
        (pure("flops", "kaplan2020_minimum"), "flops", 0.9659),
    ):
        one, two = curve(**{column: [1e9, 2e9]})
        close(two / one, factor)


def test_g06_kaplan_joint() -> None:
    params, tokens = [1.5e9, 1e8, 1e9, 1e9], [2.2e10, 2.2e10, 2.2e7, 1e9]
    close(KAPLAN(params=params, tokens=tokens), [2.313, 2.774, 4.066, 2.794])


def test_g07_kaplan_joint_without_a_data_limit() -> None:
    close(KAPLAN(params=[1.5e9], tokens=[1e300]), [2.248])


def test_g08_data_needed_for_eight_times_the_parameters() -> None:
    def overfit(params: float, tokens: float) -> float:
        return float(KAPLAN(params=[params], tokens=[tokens])[0] / KAPLAN(params=[params], tokens=[1e300])[0])

    wanted = overfit(1e9, 2e10)
    root = scipy.optimize.brentq(lambda x: overfit(8e9, 2e10 * x) - wanted, 1.0, 50.0, xtol=1e-9)
    close(root, 4.638)


def test_g23_besiroglu_optimum() -> None:
    found = np.array([optimum("besiroglu2024", c) for c in (1e21, 5.76e23, 3.8e25)])
    close(found[:, 0], [2.778e9, 7.225e10, 6.187e11])
    close(found[:, 1], [5.999e10, 1.329e12, 1.024e13])
    close(found[:, 1] / found[:, 0], [21.59, 18.39, 16.55])
    close(found[:, 2], [2.306, 1.974, 1.892])


def test_g24_hoffmann_optimum() -> None:
    found = np.array([optimum("hoffmann2022", c) for c in (1e21, 5.76e23)])
    close(found[:, 0], [2.217e9, 4.036e10])
    close(found[:, 1], [7.518e10, 2.379e12])
    close(found[:, 2], [2.295, 1.918])


def test_g25_hoffmann_rounded_optimum() -> None:
    params, tokens, loss = optimum("hoffmann2022_rounded", 5.76e23)
    close([params, tokens, tokens / params, loss], [3.219e10, 2.982e12, 92.65, 1.931])


@pytest.mark.parametrize(
    ("name", "a", "gamma"),
    [
        ("hoffmann2022_rounded", 0.4516, 0.1535),
        ("hoffmann2022", 0.4565, 0.1548),
        ("besiroglu2024", 0.5126, 0.1783),
    ],
)
def test_g26_frontier_exponents(name: str, a: float, gamma: float) -> None:
    irreducible = CHINCHILLA.at(name).constants.values["E"]
    (n1, _, l1), (n2, _, l2) = optimum(name, 1e20), optimum(name, 1e24)
    close(np.log(n2 / n1) / np.log(1e4), a)
    close(-np.log((l2 - irreducible) / (l1 - irreducible)) / np.log(1e4), gamma)


def test_g27_first_order_condition() -> None:
    constants = CHINCHILLA.at("besiroglu2024").constants.values
    params, tokens, loss = optimum("besiroglu2024", 5.76e23)
    of_params = constants["A"] * params ** -constants["alpha"]
    of_tokens = constants["B"] * tokens ** -constants["beta"]
    close([constants["alpha"] * of_params, constants["beta"] * of_tokens], [0.02803, 0.02803])
    close(loss - constants["E"], 0.1572)
    close(of_params / (loss - constants["E"]), 0.5126)


def test_g28_loss_of_chinchilla_and_gopher() -> None:
    runs = {"params": [7e10, 2.8e11], "tokens": [1.4e12, 3e11]}
    close(CHINCHILLA.at("hoffmann2022_rounded")(**runs), [1.937, 1.993])
    close(CHINCHILLA.at("hoffmann2022")(**runs), [1.921, 1.967])
    close(CHINCHILLA.at("besiroglu2024")(**runs), [1.974, 2.000])


def huber(residual: np.ndarray, delta: float = 1e-3) -> float:
    inside = np.abs(residual) <= delta
    return float(np.where(inside, residual**2 / 2, delta * (np.abs(residual) - delta / 2)).sum())


def test_g42_huber_objective_on_the_public_table() -> None:
    table = pd.read_csv(public_table("chinchilla_svg.csv")).query("in_epoch_fit == 1")
    assert len(table) == 240
    inputs = {"params": table["params"].to_numpy(), "tokens": table["tokens"].to_numpy()}
    for name, value in (("besiroglu2024", 0.001023), ("hoffmann2022", 0.001231), ("hoffmann2022_rounded", 0.004121)):
        residual = np.log(CHINCHILLA.at(name)(**inputs)) - np.log(table["loss"].to_numpy())
        close(huber(residual), value)


def test_g43_units() -> None:
    close(1e15 * 86400, PF_DAY, 1e-12)
    runs = bs.Runs.from_frame(pd.DataFrame({"params": [7e10], "tokens": [1.4e12], "loss": [1.97]}))
    close(runs.column("flops"), 5.88e23)
    close(runs.column("flops") / PF_DAY, 6806)


def test_g44_constants_come_back_from_noiseless_points() -> None:
    truth = CHINCHILLA.at("besiroglu2024").constants.values
    params, ratio = np.meshgrid(np.logspace(8, 10, 10), np.logspace(np.log10(5), np.log10(200), 6))
    inputs = {"params": params.ravel(), "tokens": (params * ratio).ravel()}
    log_loss = np.log(CHINCHILLA.at("besiroglu2024")(**inputs))
    names = ("E", "A", "B", "alpha", "beta")
    with scope():

        def residual(x: jax.Array) -> jax.Array:
            return jnp.log(CHINCHILLA.mean(**inputs, **dict(zip(names, jnp.exp(x), strict=True)))) - log_loss

        compiled, jacobian = jax.jit(residual), jax.jit(jax.jacfwd(residual))
        starts = [np.log([e, a, b, 0.3, 0.3]) for e in (1.0, 2.0) for a in (100.0, 1000.0) for b in (300.0, 3000.0)]
        options = {"jac": lambda x: np.asarray(jacobian(x)), "xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15}
        found = [scipy.optimize.least_squares(lambda x: np.asarray(compiled(x)), s, **options) for s in starts]
    best = min(found, key=lambda result: float(result.cost))
    np.testing.assert_allclose(np.exp(best.x), [truth[name] for name in names], rtol=1e-6)
