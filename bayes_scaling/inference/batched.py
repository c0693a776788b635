"""Many posteriors at once: their modes, their coordinates and their draws by one compiled program each.

Every posterior is judged by the same diagnostics as any other; one that fails is sampled again by NUTS, alone. What a
posterior's draws are depends on its own seed and table, not on the others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from bayes_scaling.base.programs import compiled
from bayes_scaling.base.progress import silent
from bayes_scaling.inference.chains import Chains, Progress
from bayes_scaling.inference.climbs import Climbs, climbs
from bayes_scaling.inference.coordinates import AT_MODE, BEFORE_MODE
from bayes_scaling.inference.diagnostics import diagnose
from bayes_scaling.inference.hmc import HmcSettings, hmc
from bayes_scaling.inference.methods import sample_nuts, starts_at_modes
from bayes_scaling.inference.mode import Mode
from bayes_scaling.inference.nuts import Whitening, normal_whitening
from bayes_scaling.inference.problem import CLIMBS, Problem, Sampled
from bayes_scaling.inference.side_by_side import Machine, SideBySide
from bayes_scaling.laws.arithmetic import Array
from bayes_scaling.model.composition import Priors
from bayes_scaling.model.observations import Observations
from bayes_scaling.model.program import Model

BATCHED = "batched HMC"  # how draws came about that no posterior had to be sampled alone for
UPHILL = 1e-6  # by how much the potential may still fall at a mode


def sample_many(problems: Sequence[Problem], progress: Progress = silent) -> list[Sampled]:
    """Sample many posteriors, each as its own seed and settings say.

    Parameters
    ----------
    problems : in good coordinates, see `with_good_geometries`
    progress : called with a stage and the fraction of it that is done

    Returns
    -------
    list of Sampled
        In the order of the problems; ``how`` is ``BATCHED``, or what NUTS says where a posterior was sampled alone.
    """
    problems = with_modes(problems)
    found: dict[int, Sampled] = {}
    # NUTS takes small steps through populations, and is not a hundred times slower there.
    together = [number for number, problem in enumerate(problems) if not problem.model.populations]
    for numbers, first in _alike(problems, together):
        settings = HmcSettings(first.settings.draws)

        def judged(i: int, result: tuple[np.ndarray, dict[str, np.ndarray]], numbers: list[int] = numbers) -> None:
            problem, chains = problems[numbers[i]], Chains(*result)
            found[numbers[i]] = Sampled(chains, diagnose(chains, problem.coordinates), BATCHED)
            progress("sampling", len(found) / len(problems))

        sampler = sampler_of(first.model, settings, _machine(first, len(numbers)))
        sampler([to_sample(problems[number]) for number in numbers], judged)
    for number, problem in enumerate(problems):
        if number not in found or found[number].diagnostics.problems(found[number].chains.stats["energy"].size):
            found[number] = sample_nuts(problem)
            progress("sampling alone", len(found) / len(problems))
    return [found[number] for number in range(len(problems))]


def sample_batched(problem: Problem) -> Sampled:
    """Sample one posterior as `sample_many` does."""
    return sample_many([problem], problem.progress)[0]


def with_good_geometries(problems: Sequence[Problem]) -> list[Problem]:
    """Return the same posteriors in the coordinates of `with_good_geometry`, with their modes."""
    found = list(problems)
    for step in BEFORE_MODE:
        found = [step(problem) for problem in found]
    for step in AT_MODE:
        found = [step(problem) for problem in with_modes(found)]
    return with_modes(found)


def with_modes(problems: Sequence[Problem]) -> list[Problem]:
    """Return the same posteriors with their modes; a climb that does not end at one is left to `find_mode`."""
    found = list(problems)
    unknown = [number for number, problem in enumerate(problems) if problem.known_mode is None]
    for numbers, first in _alike(problems, unknown):

        def kept(i: int, result: Climbs, numbers: list[int] = numbers) -> None:
            mode = _mode_of(result)
            number = numbers[i]
            found[number] = dataclasses.replace(found[number], known_mode=mode or found[number].mode)

        climber = _climber(first.model, _machine(first, len(numbers)))
        climber([_to_climb(problems[number]) for number in numbers], kept)
    return found


def _mode_of(climbs: Climbs) -> Mode | None:
    """Return the highest point where climbs ended, with rivals as of `find_mode`; None if it is not a mode."""
    best = int(np.argmin(climbs.value))
    ends, covariance = np.asarray(climbs.u), np.asarray(climbs.covariance)
    u, slope = ends[best], np.asarray(climbs.gradient)[best]
    fall = 0.5 * slope @ covariance @ slope
    if not fall < UPHILL:  # NaN is none either
        return None
    apart = np.any(np.abs(ends - u) > 3 * np.sqrt(np.diag(covariance)), axis=1)
    return Mode(u, covariance, ends[apart & np.asarray(climbs.value < climbs.value[best] + 6)])


def _alike(problems: Sequence[Problem], numbers: Sequence[int]) -> Iterator[tuple[list[int], Problem]]:
    """Group problems that one compiled program computes: of one model, and arrays of the same shapes."""
    groups: dict[Hashable, list[int]] = {}
    for number in numbers:
        problem = problems[number]
        leaves, structure = jax.tree.flatten((problem.data, problem.priors))
        key = (problem.model, problem.settings, structure, tuple(np.shape(leaf) for leaf in leaves))
        groups.setdefault(key, []).append(number)
    for group in groups.values():
        yield group, problems[group[0]]


def _machine(problem: Problem, count: int) -> Machine:
    return Machine.of(count, problem.settings.chains * len(problem.data.log_loss))


def _to_climb(problem: Problem) -> tuple[Any, ...]:
    return problem.climb_from, problem.prior_u.std(0), problem.data, problem.priors


@compiled
def _climber(model: Model, machine: Machine) -> SideBySide:
    def climb(starts: Array, spread: Array, data: Observations, priors: Priors) -> Climbs:
        return climbs(lambda u: model.potential(u, data, priors), CLIMBS)(starts, spread)

    return SideBySide(climb, machine)


def to_sample(problem: Problem) -> tuple[Any, ...]:
    """Return what the program of `sampler_of` takes of one posterior."""
    whitening = normal_whitening(problem.mode.u, problem.mode.covariance)
    key = jax.random.PRNGKey(problem.seed)
    return key, starts_at_modes(problem), whitening, problem.data, problem.priors


@compiled
def sampler_of(model: Model, settings: HmcSettings, machine: Machine) -> SideBySide:
    """Return the compiled sampler of posteriors of a model: draws, ``(chain, draw, site)``, and statistics of each."""

    def sample(key: Array, starts: Array, whitening: Whitening, data: Observations, priors: Priors) -> Any:
        return hmc(lambda u: model.potential(u, data, priors), settings)(key, starts, whitening)

    return SideBySide(sample, machine)
