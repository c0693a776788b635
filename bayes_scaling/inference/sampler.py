"""How a posterior is to be sampled: the method, how much of it, and on what device."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from bayes_scaling.base.arguments import check_fields
from bayes_scaling.base.messages import shown
from bayes_scaling.base.names import SamplerName
from bayes_scaling.errors import FitError
from bayes_scaling.inference.batched import sample_batched, sample_many, with_good_geometries
from bayes_scaling.inference.chains import PIECE, Progress, Settings
from bayes_scaling.inference.coordinates import with_good_geometry
from bayes_scaling.inference.methods import sample_auto, sample_laplace, sample_nuts
from bayes_scaling.inference.problem import Problem, Sampled, SamplingMethod
from bayes_scaling.inference.tempering import sample_tempered

type SamplerChoice = SamplerName | Sampler

METHODS: Mapping[SamplerName, SamplingMethod] = {
    "auto": sample_auto,
    "nuts": sample_nuts,
    "batched": sample_batched,
    "tempered": sample_tempered,
    "laplace": sample_laplace,
}


@dataclasses.dataclass(frozen=True)
class Sampler:
    """How a posterior is sampled.

    Attributes
    ----------
    method : ``auto`` (fast NUTS, once more in coordinates that its draws whiten where its diagnostics are not good, and
        then the safe one), ``nuts`` (the safe one; where its chains do not meet, ``tempered``), ``batched`` (HMC of one
        trajectory length for all chains, which suits many tables at once; the safe one where its diagnostics are not
        good), ``tempered`` (parallel tempering: for posteriors of several modes and at most some dozens of parameters),
        ``laplace`` (importance-resampled normal approximation, which learns from its draws and is judged by its Pareto
        k-hat), or a function of your own that takes a `Problem` and returns a `Sampled`
    chains : number of chains
    draws : kept draws per chain
    device : ``auto`` (CPU unless the table is very large), ``cpu`` or ``gpu``
    like_rows : compile for a table of this many rows, so that fits to parts of one table share a program
    """

    method: SamplerName | SamplingMethod = "auto"
    chains: int = 4
    draws: int = 1000
    device: str = "auto"
    like_rows: int | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if not callable(self.method) and self.method not in METHODS:
            raise FitError(
                f"sampler is {shown(self.method)}; expected one of {', '.join(METHODS)}, or a function of a Problem"
            )
        if self.chains < 2 or self.draws < 100:
            raise FitError(
                f"{self.chains} chains of {self.draws} draws are too few to judge convergence; take at least 2 of 100"
            )

    @property
    def function(self) -> SamplingMethod:
        """The method as a function."""
        return self.method if callable(self.method) else METHODS[self.method]

    @property
    def settings(self) -> Settings:
        """How many chains and draws a method is asked for: draws in whole pieces of a chain."""
        return Settings(chains=self.chains, draws=-(-self.draws // PIECE) * PIECE)

    @property
    def name(self) -> str:
        """Name of the method, for manifests."""
        return getattr(self.method, "__name__", type(self.method).__name__) if callable(self.method) else self.method


def chosen_sampler(choice: SamplerChoice) -> Sampler:
    """Return the sampler that a choice means."""
    if isinstance(choice, Sampler):
        return choice
    if isinstance(choice, str):
        return Sampler(choice)
    raise FitError(f"sampler is {shown(choice)}; expected one of {', '.join(METHODS)}, or a bayes_scaling.Sampler")


def sample_all(sampler: Sampler, problems: Sequence[Problem], progress: Progress) -> list[tuple[Problem, Sampled]]:
    """Sample posteriors; return each in the coordinates of its draws, and them."""
    if sampler.method == "batched":
        problems = with_good_geometries(problems)
        return list(zip(problems, sample_many(problems, progress), strict=True))
    found = []
    for done, problem in enumerate(problems):
        progress("sampling", done / len(problems))
        problem = with_good_geometry(problem)
        found.append((problem, sampler.function(problem)))
    return found
