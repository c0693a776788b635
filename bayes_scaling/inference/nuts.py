"""NUTS in whitened coordinates.

Coordinates are whitened with a normal approximation at the mode. Where the posterior is nearly normal, NUTS then needs
a short warm-up and few gradients per draw; elsewhere a dense mass matrix is learned on top in a long warm-up. Chains
are advanced in short compiled pieces, by one thread per core: a piece compiles in about a second, progress can be
shown, and an interrupt takes effect.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import NUTS
from numpyro.infer.util import ParamInfo

from bayes_scaling.base.programs import Once, compiled
from bayes_scaling.inference.chains import PIECE, Chains, Progress, Settings, of_each
from bayes_scaling.inference.compiled import Posterior, value_and_gradient
from bayes_scaling.laws.arithmetic import Array
from bayes_scaling.model.composition import Priors
from bayes_scaling.model.observations import Observations
from bayes_scaling.model.program import Model

TOO_LONG = 1e9  # a step, in coordinates of unit scale, after which no density is left


@dataclasses.dataclass(frozen=True)
class Whitening:
    """Affine map from sampler coordinates to unconstrained ones: ``u = location + factor @ z``."""

    location: Any
    factor: Any


jax.tree_util.register_dataclass(Whitening, data_fields=["location", "factor"], meta_fields=[])


def _kernel(potential: Callable[[Array], Array], settings: Settings, accept: Any) -> NUTS:
    return NUTS(
        potential_fn=potential,
        dense_mass=settings.adapt_mass,
        adapt_mass_matrix=settings.adapt_mass,
        target_accept_prob=accept,
        max_tree_depth=settings.max_tree_depth,
    )


@functools.cache
def _start(settings: Settings) -> Any:
    """Return the compiled first state of a chain, which knows of the model only energy and gradient at ``z``."""
    kernel = _kernel(lambda z: jnp.sum(z), settings, settings.target_accept)

    @jax.jit
    def start(seed: Array, chain: Array, z: Array, energy: Array, gradient: Array) -> Any:
        key = jax.random.fold_in(jax.random.PRNGKey(seed), chain)
        return kernel.init(key, settings.warmup, ParamInfo(z, energy, gradient), (), {})

    return start


@compiled
def _advance(model: Model, settings: Settings) -> Any:
    @jax.jit
    def advance(state: Any, data: Observations, priors: Priors, whitening: Whitening, accept: Array) -> Any:
        def potential(z: Array) -> Array:
            return model.potential(whitening.location + whitening.factor @ z, data, priors)

        kernel = _kernel(potential, settings, accept)
        # Only an initialised kernel knows its adaptation schedule; what this computes is dropped by the compiler.
        kernel.init(jax.random.PRNGKey(0), settings.warmup, ParamInfo(state.z, state.potential_energy, state.z), (), {})

        def step(state: Any, _: None) -> tuple[Any, Any]:
            state = kernel.sample(state, (), {})
            return state, (state.z, state.diverging, state.num_steps, state.energy, state.accept_prob)

        return jax.lax.scan(step, state, None, length=PIECE)

    return advance


def normal_whitening(location: np.ndarray, covariance: np.ndarray) -> Whitening:
    """Return the map that gives a normal posterior approximation unit covariance."""
    return Whitening(location, np.linalg.cholesky(covariance))


def whitening_of(chains: Chains) -> Whitening:
    """Return the map that gives the draws of chains, together, unit covariance."""
    draws = chains.u.reshape(-1, chains.u.shape[-1])
    return normal_whitening(draws.mean(0), np.atleast_2d(np.cov(draws.T)))


@compiled
def _compiling(model: Model, program: Settings) -> Once:
    return Once()


def compile_chains(posterior: Posterior, settings: Settings) -> None:
    """Compile what `run_chains` needs for tables of this size, by running one piece that is dropped.

    Steps of that piece are so long that each trajectory ends after the first.
    """
    (model, data, priors), program = posterior, _program(settings)

    def run_one_piece() -> None:
        origin = np.zeros(len(model.sites))
        nowhere = Whitening(origin, np.eye(len(origin)))
        state = _start(program)(0, 0, origin, 0.0, origin)
        adapted = state.adapt_state._replace(step_size=jnp.full_like(state.adapt_state.step_size, TOO_LONG))
        state = state._replace(i=jnp.full_like(state.i, program.warmup), adapt_state=adapted)
        _advance(model, program)(state, data, priors, nowhere, settings.target_accept)

    _compiling(model, program).do(len(data.log_loss), run_one_piece)


def _program(settings: Settings) -> Settings:
    """Return settings without what is no part of the compiled pieces, as the key under which they are found."""
    return dataclasses.replace(settings, chains=0, draws=0, target_accept=0.0)


def run_chains(
    posterior: Posterior,
    whitening: Whitening,
    starts: np.ndarray,
    settings: Settings,
    seed: int,
    progress: Progress,
) -> Chains:
    """Run NUTS from ``starts``, ``(chain, site)`` in sampler coordinates.

    The same seed on the same machine gives the same draws, whatever the number of threads.
    """
    model, data, priors = posterior
    start, advance = _start(_program(settings)), _advance(model, _program(settings))
    climb = value_and_gradient(posterior)
    pieces = -(-(settings.warmup + settings.draws) // PIECE)
    done = [0] * settings.chains

    def chain(index: int) -> list[Any]:
        energy, gradient = climb(whitening.location + whitening.factor @ starts[index])
        state = start(seed, index, starts[index], energy, whitening.factor.T @ gradient)
        kept = []
        for piece in range(pieces):
            state, collected = advance(state, data, priors, whitening, settings.target_accept)
            if piece * PIECE >= settings.warmup:
                kept.append(jax.tree.map(np.asarray, collected))
            done[index] = piece + 1
            progress("sampling", sum(done) / (pieces * settings.chains))
        return [np.concatenate(parts) for parts in zip(*kept, strict=True)]

    z, diverging, n_steps, energy, accept = (
        np.stack(parts) for parts in zip(*of_each(chain, settings.chains), strict=True)
    )
    u = whitening.location + z @ np.asarray(whitening.factor).T
    stats = {"diverging": diverging, "n_steps": n_steps, "energy": energy, "acceptance_rate": accept}
    return Chains(u, stats)
