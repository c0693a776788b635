"""From a model and a table to posterior draws: mode, whitening, NUTS, and the diagnostics that judge it.

Coordinates are whitened with a normal approximation at the mode. Where the posterior is nearly normal, NUTS then needs
a short warm-up and few gradients per draw, and a result is accepted on its diagnostics; elsewhere a dense mass matrix
is learned on top in a long warm-up. Chains are advanced in short compiled pieces, by one thread per core: the piece
compiles in about a second, progress can be shown, and an interrupt is heard.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from numpyro.infer import NUTS

from bayes_scaling.base.programs import compiled
from bayes_scaling.base.scope import carried
from bayes_scaling.laws.law import Array
from bayes_scaling.model.program import Model, Observations, Priors

PIECE = 50  # iterations in one compiled call

type Progress = Callable[[str, float], None]
"""Called with a stage and the fraction of it that is done."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How long and how carefully to sample.

    Attributes
    ----------
    chains, warmup, draws : per fit, per chain, per chain; the last two in multiples of 50
    target_accept : of NUTS' step size
    max_tree_depth : of NUTS; a trajectory has at most two to this power leapfrog steps
    adapt_mass : learn a dense mass matrix while warming up (safe path), or keep the whitening (fast path)
    """

    chains: int = 4
    warmup: int = 1000
    draws: int = 1000
    target_accept: float = 0.9
    max_tree_depth: int = 10
    adapt_mass: bool = True


@dataclasses.dataclass(frozen=True)
class Whitening:
    """Affine map from sampler coordinates to unconstrained ones: ``u = location + factor @ z``."""

    location: Any
    factor: Any


jax.tree_util.register_dataclass(Whitening, data_fields=["location", "factor"], meta_fields=[])


@dataclasses.dataclass(frozen=True)
class Chains:
    """Draws of a sampler in unconstrained coordinates.

    Attributes
    ----------
    u : (chain, draw, site)
    stats : by name, (chain, draw): ``diverging``, ``n_steps``, ``energy``, ``acceptance_rate``
    """

    u: np.ndarray
    stats: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Mode:
    """Highest point of the posterior that many starts found, with the curvature there.

    Attributes
    ----------
    u : (site,)
    covariance : (site, site) of the normal approximation
    rivals : (n_rival, site) other places where a climb ended, within 6 log units of the best
    """

    u: np.ndarray
    covariance: np.ndarray
    rivals: np.ndarray


# --- compiled pieces --------------------------------------------------------------------------------------------


@compiled
def _value_and_gradient(model: Model, structure: Any, shapes: tuple[tuple[int, ...], ...]) -> Any:
    """Return the compiled function from ``u`` and packed (table, priors) to the potential followed by its gradient.

    Called from Python it costs what is handed over, not what is computed: so one array goes in and one comes out.
    """
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1].tolist()

    def value_and_gradient(u: Array, packed: Array) -> Array:
        pieces = jnp.split(packed, ends)
        leaves = [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)]
        value, gradient = jax.value_and_grad(model.potential)(u, *jax.tree.unflatten(structure, leaves))
        return jnp.concatenate([value[None], gradient])

    return jax.jit(value_and_gradient)


@compiled
def potentials(model: Model) -> Any:
    """Return the compiled potential of unconstrained vectors, ``(n, site)`` to ``(n,)``."""
    return jax.jit(jax.vmap(model.potential, (0, None, None)))


@compiled
def placed(model: Model) -> Any:
    """Return the compiled function from draws of the sampled sites to unconstrained vectors and parameters."""
    return jax.jit(jax.vmap(model.place, (0, None, None)))


@compiled
def constrained(model: Model) -> Any:
    """Return the compiled function from unconstrained draws ``(n, site)`` to parameters."""
    return jax.jit(jax.vmap(model.constrain, (0, None, None)))


def _kernel(model: Model, data: Observations, priors: Priors, whitening: Whitening, settings: Settings) -> NUTS:
    def potential(z: Array) -> Array:
        return model.potential(whitening.location + whitening.factor @ z, data, priors)

    return NUTS(
        potential_fn=potential,
        dense_mass=settings.adapt_mass,
        adapt_mass_matrix=settings.adapt_mass,
        target_accept_prob=settings.target_accept,
        max_tree_depth=settings.max_tree_depth,
    )


@compiled
def _start(model: Model, settings: Settings) -> Any:
    @jax.jit
    def start(key: Array, z: Array, data: Observations, priors: Priors, whitening: Whitening) -> Any:
        return _kernel(model, data, priors, whitening, settings).init(key, settings.warmup, z, (), {})

    return start


@compiled
def _advance(model: Model, settings: Settings) -> Any:
    @jax.jit
    def advance(state: Any, data: Observations, priors: Priors, whitening: Whitening) -> Any:
        kernel = _kernel(model, data, priors, whitening, settings)
        # Only an initialised kernel knows its adaptation schedule; what this computes is dropped by the compiler.
        kernel.init(jax.random.PRNGKey(0), settings.warmup, jnp.zeros(len(model.sites)), (), {})

        def step(state: Any, _: None) -> tuple[Any, Any]:
            state = kernel.sample(state, (), {})
            return state, (state.z, state.diverging, state.num_steps, state.energy, state.accept_prob)

        return jax.lax.scan(step, state, None, length=PIECE)

    return advance


# --- mode and normal approximation ------------------------------------------------------------------------------


def find_mode(model: Model, data: Observations, priors: Priors, starts: np.ndarray, climbs: int) -> Mode:
    """Climb to the posterior mode with BFGS from the best of several starts, ``(n_start, site)``."""
    leaves, structure = jax.tree.flatten((data, priors))
    packed = jnp.concatenate([jnp.ravel(jnp.asarray(leaf, float)) for leaf in leaves])
    function = _value_and_gradient(model, structure, tuple(np.shape(leaf) for leaf in leaves))

    def objective(u: np.ndarray) -> tuple[float, np.ndarray]:
        out = np.asarray(function(u, packed))
        value, gradient = float(out[0]), out[1:]
        if not np.isfinite(value) or not np.all(np.isfinite(gradient)):
            return 1e30, np.zeros_like(u)
        return value, gradient

    best_first = np.argsort([objective(u)[0] for u in starts], kind="stable")
    found = [
        scipy.optimize.minimize(objective, u, jac=True, method="BFGS", options={"gtol": 1e-4})
        for u in starts[best_first[:climbs]]
    ]
    best = min(found, key=lambda result: float(result.fun))
    covariance = _curvature_covariance(lambda u: objective(u)[1], best.x)
    spread = np.sqrt(np.diag(covariance))
    rivals = [r.x for r in found if r.fun < best.fun + 6 and np.any(np.abs(r.x - best.x) > 3 * spread)]
    return Mode(best.x, covariance, np.array(rivals).reshape(len(rivals), len(best.x)))


def _curvature_covariance(gradient: Callable[[np.ndarray], np.ndarray], u: np.ndarray) -> np.ndarray:
    """Invert the Hessian at ``u``, from central differences of the gradient; flat directions get variance 4."""
    step = 1e-5
    rows = [(gradient(u + step * e) - gradient(u - step * e)) / (2 * step) for e in np.eye(len(u))]
    hessian = np.stack(rows)
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    covariance: np.ndarray = (vectors / np.maximum(values, 0.25)) @ vectors.T
    return covariance


def normal_whitening(location: np.ndarray, covariance: np.ndarray) -> Whitening:
    """Return the map that gives a normal posterior approximation unit covariance."""
    return Whitening(location, np.linalg.cholesky(covariance))


# --- chains -----------------------------------------------------------------------------------------------------


@compiled
def _compiled_rows(model: Model, program: Settings) -> set[int]:
    """Return the padded lengths of tables for which the pieces of a chain are compiled already."""
    return set()


def compile_chains(model: Model, data: Observations, priors: Priors, settings: Settings) -> None:
    """Compile what `run_chains` needs for tables of this size, by running one piece on the prior alone.

    Threads that meet an uncompiled program would each compile it; and a caller may do this beside other work.
    """
    program = _program(settings)
    rows = len(data.log_loss)
    if rows in (known := _compiled_rows(model, program)):
        return
    dim = len(model.sites)
    nowhere = Whitening(np.zeros(dim), np.eye(dim))
    no_runs = dataclasses.replace(data, weight=jnp.zeros_like(data.weight))
    state = _start(model, program)(jax.random.PRNGKey(0), jnp.zeros(dim), no_runs, priors, nowhere)
    _advance(model, program)(state, no_runs, priors, nowhere)
    known.add(rows)


def _program(settings: Settings) -> Settings:
    """Return settings without what the compiled pieces do not depend on, as the key under which they are found."""
    return dataclasses.replace(settings, chains=0, draws=0)


def run_chains(
    model: Model,
    data: Observations,
    priors: Priors,
    whitening: Whitening,
    starts: np.ndarray,
    settings: Settings,
    seed: int,
    progress: Progress,
) -> Chains:
    """Run NUTS from ``starts``, ``(chain, site)`` in sampler coordinates.

    The same seed on the same machine gives the same draws, whatever the number of threads.
    """
    start, advance = _start(model, _program(settings)), _advance(model, _program(settings))
    pieces = -(-(settings.warmup + settings.draws) // PIECE)
    done = [0] * settings.chains

    same_scope = carried()

    def chain(index: int) -> list[Any]:
        with same_scope():
            key = jax.random.fold_in(jax.random.PRNGKey(seed), index)
            state = start(key, jnp.asarray(starts[index]), data, priors, whitening)
            kept = []
            for piece in range(pieces):
                state, collected = advance(state, data, priors, whitening)
                if piece * PIECE >= settings.warmup:
                    kept.append(jax.tree.map(np.asarray, collected))
                done[index] = piece + 1
                progress("sampling", sum(done) / (pieces * settings.chains))
            return [np.concatenate(parts) for parts in zip(*kept, strict=True)]

    workers = min(settings.chains, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        z, diverging, n_steps, energy, accept = (
            np.stack(parts) for parts in zip(*pool.map(chain, range(settings.chains)), strict=True)
        )
    u = whitening.location + z @ np.asarray(whitening.factor).T
    stats = {"diverging": diverging, "n_steps": n_steps, "energy": energy, "acceptance_rate": accept}
    return Chains(u, stats)


# --- diagnostics ------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Diagnostics:
    """What the sampler's output says about itself.

    Attributes
    ----------
    rhat : worst rank-normalised split R-hat over parameters
    ess_bulk, ess_tail : smallest effective sample sizes
    divergences : number of divergent draws
    bfmi : smallest Bayesian fraction of missing information over chains
    k_hat : Pareto shape of the importance weights (normal approximation only)
    worst : parameter with the largest R-hat
    """

    rhat: float
    ess_bulk: float
    ess_tail: float
    divergences: int
    bfmi: float
    worst: str = ""
    k_hat: float = float("nan")

    def problems(self, draws: int) -> tuple[str, ...]:
        """Say which limits are broken: R-hat 1.01, ESS 400, divergences 0.1 % of ``draws``, BFMI 0.3, k-hat 0.7."""
        checks = (
            (not self.rhat < 1.01, f"R-hat {self.rhat:.3f} of {self.worst} is above 1.01"),
            (not self.ess_bulk >= 400, f"bulk ESS {self.ess_bulk:.0f} is below 400"),
            (not self.ess_tail >= 400, f"tail ESS {self.ess_tail:.0f} is below 400"),
            (self.divergences > draws / 1000, f"{self.divergences} of {draws} draws diverged"),
            (self.bfmi < 0.3, f"BFMI {self.bfmi:.2f} is below 0.3"),
            (self.k_hat > 0.7, f"Pareto k-hat {self.k_hat:.2f} is above 0.7"),
        )
        return tuple(text for broken, text in checks if broken)

    def nearly(self, draws: int) -> bool:
        """Say whether nothing is wrong but that there are up to half too few chains."""
        longer = dataclasses.replace(
            self, rhat=1 + (self.rhat - 1) / 2, ess_bulk=2 * self.ess_bulk, ess_tail=2 * self.ess_tail
        )
        return not longer.problems(draws)


def diagnose(chains: Chains, names: tuple[str, ...]) -> Diagnostics:
    """Compute the diagnostics of MCMC chains over all unconstrained coordinates, named by ``names``."""
    from arviz_stats.base import array_stats

    u = np.moveaxis(chains.u, -1, 0)
    with np.errstate(all="ignore"):
        rhat = np.array([float(array_stats.rhat(x, chain_axis=0, draw_axis=1, method="rank")) for x in u])
        bulk = [float(array_stats.ess(x, chain_axis=0, draw_axis=1, method="bulk")) for x in u]
        tail = [float(array_stats.ess(x, chain_axis=0, draw_axis=1, method="tail", prob=0.9)) for x in u]
        energy = chains.stats["energy"]
        bfmi = np.mean(np.diff(energy, axis=1) ** 2, axis=1) / np.var(energy, axis=1)
    worst = int(np.nanargmax(rhat)) if np.any(np.isfinite(rhat)) else 0
    return Diagnostics(
        rhat=float(np.max(rhat)),
        ess_bulk=float(np.min(bulk)),
        ess_tail=float(np.min(tail)),
        divergences=int(chains.stats["diverging"].sum()),
        bfmi=float(np.min(bfmi)),
        worst=names[worst],
    )


# --- normal approximation as a posterior ------------------------------------------------------------------------


def laplace_draws(
    model: Model, data: Observations, priors: Priors, mode: Mode, settings: Settings, seed: int
) -> tuple[Chains, Diagnostics]:
    """Importance-resample a heavy-tailed (t with 4 degrees of freedom) approximation at the mode.

    Weights are Pareto-smoothed; their k-hat and effective size say whether the approximation can stand in for the
    posterior. The draws carry no chain structure: they are dealt out to ``chains`` at random.
    """
    from arviz_stats.base import array_stats

    rng = np.random.default_rng(seed)
    total, dim = settings.chains * settings.draws, len(mode.u)
    factor = np.linalg.cholesky(mode.covariance)
    proposals = 2 * total
    white = rng.standard_normal((proposals, dim)) / np.sqrt(rng.chisquare(4, (proposals, 1)) / 4)
    u = mode.u + white @ factor.T
    log_target = -np.asarray(potentials(model)(u, data, priors))
    log_proposal = -(4 + dim) / 2 * np.log1p((white**2).sum(1) / 4)
    log_weight = np.where(np.isfinite(log_target), log_target - log_proposal, -np.inf)
    smoothed, k_hat = array_stats.psislw(np.minimum(log_weight.max() - log_weight, 700.0))  # it takes minus log weights
    weight = np.exp(smoothed - np.logaddexp.reduce(smoothed))
    chosen = rng.choice(proposals, total, p=weight)
    effective = float(1 / (np.sum(weight**2) + 1 / total))  # of the weights, and of drawing from them
    shape = (settings.chains, settings.draws)
    energy = -log_target[chosen].reshape(shape)
    stats = {
        "diverging": np.zeros(shape, bool),
        "n_steps": np.zeros(shape, np.int64),
        "energy": energy,
        "acceptance_rate": np.ones(shape),
    }
    report = Diagnostics(1.0, effective, effective, 0, 1.0, worst=model.sites[0], k_hat=float(k_hat))
    return Chains(u[chosen].reshape(*shape, dim), stats), report
