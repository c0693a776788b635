"""Hamiltonian Monte Carlo whose trajectories have one length for all chains: a program without a tree to build.

One compiled program warms up and samples one posterior. Its chains share step size, trajectory length and mass matrix,
which are learned from all of them. The length is that of the ChEES criterion (Hoffman, Radul and Sountsov 2021,
https://proceedings.mlr.press/v130/hoffman21a.html): the one that moves squared distances from the mean the most. It is
jittered by a sequence that is the same for every posterior, so that posteriors that are sampled side by side take
about as many steps.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy.linalg
import numpy as np

from bayes_scaling.inference.chains import PIECE
from bayes_scaling.inference.nuts import Whitening
from bayes_scaling.laws.arithmetic import Array

DIVERGENT = 1000.0  # error of the energy above which a trajectory has diverged, as of NUTS
KNOWN = 10  # draws that the normal approximation counts for in a mass matrix
FIRST_STEP = 0.5  # in standard deviations of the normal approximation, like lengths
FIRST_LENGTH = math.pi  # moves draws of a normal posterior as far as they go
SHORTEST = 1.0


@dataclasses.dataclass(frozen=True)
class HmcSettings:
    """How long and how carefully to sample.

    Attributes
    ----------
    draws, warmup : iterations that are kept and those before them, in multiples of `PIECE`
    target_accept : mean acceptance that the step size is tuned to
    most_steps : leapfrog steps of a trajectory, at most
    """

    draws: int
    warmup: int = 600
    target_accept: float = 0.9
    most_steps: int = 64

    @property
    def shares(self) -> np.ndarray:
        """Share of the trajectory length that each iteration goes: a van der Corput sequence, by piece."""
        digits = [f"{i + 1:b}"[::-1] for i in range(self.warmup + self.draws)]
        return np.array([int(each, 2) / 2 ** len(each) for each in digits]).reshape(-1, PIECE)

    @property
    def windows(self) -> np.ndarray:
        """What begins with each piece: 1 a window whose draws count, 2 one with the mass matrix of the last."""
        pieces = self.warmup // PIECE
        begins = np.zeros(len(self.shares), int)
        begins[1] = 1
        begins[[1 + pieces // 3, pieces - 1]] = 2
        return begins


class _Place(NamedTuple):
    """Where chains are: whitened coordinates ``(chain, site)``, potential and gradient."""

    z: Array
    value: Array
    gradient: Array


class _Tuning(NamedTuple):
    """Dual averaging of the log step size (Hoffman and Gelman 2014), and Adam's ascent of the log length."""

    count: Any
    centre: Any
    error: Any
    log_step: Any
    log_mean_step: Any
    log_length: Any
    log_mean_length: Any
    slope: Any
    square: Any
    ascents: Any


class _Moments(NamedTuple):
    """Of the draws of a window, relative to the mode."""

    count: Any
    total: Any
    squares: Any


class _State(NamedTuple):
    place: _Place
    tuning: _Tuning
    moments: _Moments
    whitening: Whitening


type Moving = tuple[Array, Array, Array]
"""Positions, momenta and gradients of the potential, ``(chain, site)`` each."""


def leapfrog(gradients: Callable[[Array], Array], start: Moving, step: Array, steps: Array) -> Moving:
    """Return where trajectories end after some steps of a length.

    Parameters
    ----------
    gradients : of the potential, from ``(chain, site)`` to ``(chain, site)``
    step : one for all chains, or ``(chain, 1)``
    """

    def leap(_: Any, state: Moving) -> Moving:
        z, p, gradient = state
        p = p - 0.5 * step * gradient
        z = z + step * p
        gradient = gradients(z)
        return z, p - 0.5 * step * gradient, gradient

    end: Moving = jax.lax.fori_loop(0, steps, leap, start)
    return end


def judged(before: Array, after: Array) -> tuple[Array, Array]:
    """Return the error of the energy of trajectories and the probability of their acceptance, ``(chain,)`` each."""
    error = jnp.where(jnp.isfinite(after), after - before, jnp.inf)
    return error, jnp.exp(-jnp.maximum(error, 0.0))


type Sample = Callable[[Array, Array, Whitening], tuple[Array, dict[str, Array]]]


def hmc(potential: Callable[[Array], Array], settings: HmcSettings) -> Sample:
    """Return the function that warms up and samples one posterior.

    Parameters
    ----------
    potential : minus the log density of an unconstrained vector, ``(site,)``

    Returns
    -------
    from a key, starts ``(chain, site)`` and a normal approximation to draws ``(chain, draw, site)``, all in
    unconstrained coordinates, and statistics ``(chain, draw)``
    """

    def at(z: Array, whitening: Whitening) -> _Place:
        def local(z: Array) -> Array:
            return potential(whitening.location + whitening.factor @ z)

        return _Place(z, *jax.vmap(jax.value_and_grad(local))(z))

    def trajectory(start: _Place, momentum: Array, step: Array, steps: Array, whitening: Whitening) -> Any:
        def local(z: Array) -> Array:
            return potential(whitening.location + whitening.factor @ z)

        z, p, gradient = leapfrog(jax.vmap(jax.grad(local)), (start.z, momentum, start.gradient), step, steps)
        return _Place(z, jax.vmap(local)(z), gradient), p

    def iterate(key: Array, share: Array, adapting: Array, state: _State) -> tuple[_State, dict[str, Array]]:
        here, tuning, whitening = state.place, state.tuning, state.whitening
        for_momentum, for_choice = jax.random.split(key)
        momentum = jax.random.normal(for_momentum, here.z.shape)
        step = jnp.exp(jnp.where(adapting, tuning.log_step, tuning.log_mean_step))
        length = jnp.where(adapting, tuning.log_length, tuning.log_mean_length)
        steps = jnp.clip(jnp.ceil(share * jnp.exp(length) / step), 1, settings.most_steps).astype(int)
        there, after = trajectory(here, momentum, step, steps, whitening)
        before = here.value + 0.5 * jnp.sum(momentum**2, axis=1)
        energy = there.value + 0.5 * jnp.sum(after**2, axis=1)
        error, accept = judged(before, energy)
        taken = jax.random.uniform(for_choice, accept.shape) < accept
        z, gradient = (
            jnp.where(taken[:, None], new, old) for new, old in ((there.z, here.z), (there.gradient, here.gradient))
        )
        place = _Place(z, jnp.where(taken, there.value, here.value), gradient)
        tuning = _choose(adapting, _tuned(tuning, settings, accept, here.z, there.z, after, share), tuning)
        stats = {
            "diverging": error > DIVERGENT,
            "n_steps": jnp.broadcast_to(steps, accept.shape),
            "energy": jnp.where(taken, energy, before),
            "acceptance_rate": accept,
        }
        return state._replace(place=place, tuning=tuning), stats

    def sample(key: Array, starts: Array, known: Whitening) -> tuple[Array, dict[str, Array]]:
        chains, dim = starts.shape
        nothing = _Moments(jnp.zeros(()), jnp.zeros(dim), jnp.zeros((dim, dim)))

        def one(state: _State, what: Any) -> tuple[_State, Any]:
            number, share, adapting = what
            state, stats = iterate(jax.random.fold_in(key, number), share, adapting, state)
            u = _outside(state.place.z, state.whitening)
            away, seen = u - known.location, state.moments
            moments = _Moments(seen.count + chains, seen.total + away.sum(0), seen.squares + away.T @ away)
            return state._replace(moments=moments), (u, stats)

        def piece(carried: Any, what: Any) -> tuple[Any, Any]:
            u, tuning, moments, whitening = carried
            begins, numbers, shares, adapting = what
            whitening = _choose(begins == 2, _learned(moments, known), whitening)
            tuning = _choose(begins == 2, _afresh(tuning), tuning)
            moments = _choose(begins > 0, nothing, moments)
            # Placed anew whether or not the whitening is: one gradient, where a branch would be compiled besides.
            state = _State(at(_inside(u, whitening), whitening), tuning, moments, whitening)
            over = (numbers, shares, jnp.broadcast_to(adapting, numbers.shape))
            state, (draws, stats) = jax.lax.scan(one, state, over)
            return (draws[-1], state.tuning, state.moments, state.whitening), (draws, stats)

        shares = jnp.asarray(settings.shares)
        numbers = jnp.arange(shares.size).reshape(shares.shape)
        over = (jnp.asarray(settings.windows), numbers, shares, numbers[:, 0] < settings.warmup)
        _, (draws, stats) = jax.lax.scan(piece, (starts, _untuned(), nothing, known), over)

        def kept(values: Array) -> Array:
            return jnp.moveaxis(values.reshape(-1, *values.shape[2:])[settings.warmup :], 0, 1)

        return kept(draws), {name: kept(values) for name, values in stats.items()}

    return sample


def _choose[T](which: Array, one: T, other: T) -> T:
    chosen: T = jax.tree.map(lambda a, b: jnp.where(which, a, b), one, other)
    return chosen


def _outside(z: Array, whitening: Whitening) -> Array:
    """Return unconstrained coordinates of chains, ``(chain, site)``."""
    u: Array = whitening.location + z @ whitening.factor.T
    return u


def _inside(u: Array, whitening: Whitening) -> Array:
    z: Array = jax.scipy.linalg.solve_triangular(whitening.factor, (u - whitening.location).T, lower=True)
    return z.T


def _learned(moments: _Moments, known: Whitening) -> Whitening:
    """Whiten by the draws of a window; the normal approximation counts for a few more."""
    mean = moments.total / moments.count
    squares = moments.squares - moments.count * jnp.outer(mean, mean) + KNOWN * known.factor @ known.factor.T
    return Whitening(known.location + mean, jnp.linalg.cholesky(squares / (moments.count + KNOWN)))


def _untuned() -> _Tuning:
    zero, log_step = jnp.zeros(()), jnp.asarray(math.log(FIRST_STEP))
    length = jnp.asarray(math.log(FIRST_LENGTH))
    return _afresh(_Tuning(zero, zero, zero, log_step, log_step, length, length, zero, zero, zero))


def _afresh(tuning: _Tuning) -> _Tuning:
    """Begin the search for a step size again, from twice the last one; the length goes on."""
    zero, log_step = jnp.zeros(()), tuning.log_mean_step
    return tuning._replace(count=zero, centre=log_step + math.log(2.0), error=zero, log_step=log_step)


def _tuned(
    tuning: _Tuning, settings: HmcSettings, accept: Array, z: Array, there: Array, after: Array, share: Array
) -> _Tuning:
    """Learn step size and length from one trajectory of each chain, from ``z`` to ``there`` with momentum ``after``."""
    count = tuning.count + 1
    rate = 1 / (count + 10)
    error = (1 - rate) * tuning.error + rate * (settings.target_accept - jnp.mean(accept))
    log_step = tuning.centre - jnp.sqrt(count) / 0.05 * error
    weight = count**-0.75
    log_mean_step = weight * log_step + (1 - weight) * tuning.log_mean_step
    # The criterion's slope with respect to the log of the length. The mean of the posterior is where z is 0.
    further = jnp.sum(there**2, axis=1) - jnp.sum(z**2, axis=1)
    slopes = jnp.where(accept > 0, accept * further * jnp.sum(there * after, axis=1), 0.0)
    slope = share * jnp.sum(slopes) / (jnp.sum(accept) + 1e-20)
    slope = jnp.where(jnp.isfinite(slope), slope, 0.0)
    ascents = tuning.ascents + 1
    first, second = 0.9 * tuning.slope + 0.1 * slope, 0.95 * tuning.square + 0.05 * slope**2
    direction = first / (1 - 0.9**ascents) / (jnp.sqrt(second / (1 - 0.95**ascents)) + 1e-12)
    longest = jnp.maximum(log_step + math.log(settings.most_steps), math.log(SHORTEST))
    log_length = jnp.clip(tuning.log_length + 0.025 * direction, math.log(SHORTEST), longest)
    weight = ascents**-0.75
    log_mean_length = weight * log_length + (1 - weight) * tuning.log_mean_length
    steps = (log_step, log_mean_step, log_length, log_mean_length)
    return _Tuning(count, tuning.centre, error, *steps, first, second, ascents)
