"""Constraints: what a plan must keep to, and which sizes that leaves."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from bayes_scaling.base.arguments import check_fields, validated
from bayes_scaling.decide.surfaces import Surface
from bayes_scaling.errors import REMEDY, PlanError, Remedy

SECONDS_PER_HOUR = 3600.0
SLACK = 1e-12  # relative, for limits that meet


@dataclasses.dataclass(frozen=True)
class Constraints:
    """What a plan must keep to. Ranges are (least, most); equal ends fix a number.

    Attributes
    ----------
    params, tokens, tokens_per_param : ranges of N, D and D / N
    tokens_available : upper limit of D
    batch_tokens, steps : ranges of B and S, where D = B S. With a law that reads the batch, the smallest fitted batch
        is the default lower limit: below it such laws predict what no run has shown
    deadline_hours, step_seconds : S steps, each of so many seconds, must end within the deadline
    memory_bytes, bytes_per_param : N parameters, each of so many bytes, must fit into memory
    """

    params: tuple[float, float] = (1.0, math.inf)
    tokens: tuple[float, float] = (1.0, math.inf)
    tokens_per_param: tuple[float, float] = (0.0, math.inf)
    tokens_available: float = math.inf
    batch_tokens: tuple[float, float] = (1.0, math.inf)
    steps: tuple[float, float] = (1.0, math.inf)
    deadline_hours: float = math.inf
    step_seconds: float | None = None
    memory_bytes: float = math.inf
    bytes_per_param: float | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("params", "tokens", "tokens_per_param", "batch_tokens", "steps"):
            given = getattr(self, name)
            if not (isinstance(given, tuple | list) and len(given) == 2):
                raise PlanError(f"constraint {name} is {given!r}, expected a range (least, most)")
            low, high = given
            if not 0 <= low <= high or math.isinf(low) or not high > 0:
                raise PlanError(f"constraint {name} is ({low:g}, {high:g}), expected 0 <= least <= most")
        if not self.tokens_available >= 1:
            raise PlanError(f"tokens_available is {self.tokens_available:g}, expected a number of tokens")
        for limit, share, words in (
            ("deadline_hours", "step_seconds", "how many seconds one step takes"),
            ("memory_bytes", "bytes_per_param", "how many bytes one parameter takes, optimiser included"),
        ):
            most, each = getattr(self, limit), getattr(self, share)
            if not most > 0:
                raise PlanError(f"{limit} is {most:g}, expected a positive number")
            if each is not None and not (math.isfinite(each) and each > 0):
                raise PlanError(f"{share} is {each:g}, expected a positive number")
            if most < math.inf and each is None:
                raise PlanError(
                    f"{limit} is {most:g}, but nothing says {words}: give {REMEDY} too",
                    Remedy("constraints", share, "value"),
                )

    @property
    def most_steps(self) -> tuple[float, str]:
        """The largest number of steps, and which constraint sets it."""
        until = self.deadline_hours * SECONDS_PER_HOUR / (self.step_seconds or 1.0)
        if until < self.steps[1]:
            return until, f"a deadline of {self.deadline_hours:g} hours at {self.step_seconds:g} s a step"
        return self.steps[1], f"steps at most {self.steps[1]:g}"

    @property
    def of_batch(self) -> Constraints:
        """The part that limits batch, steps and time."""
        return Constraints(
            batch_tokens=self.batch_tokens,
            steps=self.steps,
            deadline_hours=self.deadline_hours,
            step_seconds=self.step_seconds,
        )

    @property
    def log_batch(self) -> np.ndarray:
        """Logarithms of the least and most batch, and of the least and most steps, ``(4,)``."""
        with np.errstate(divide="ignore"):
            return np.log([*self.batch_tokens, max(self.steps[0], 1.0), self.most_steps[0]])

    @validated
    def allows(self, params: float, tokens: float) -> bool:
        """Say whether some batch lets a run keep to all constraints."""
        if not params > 0:
            raise PlanError(f"params is {params:g}, expected a positive number")
        batch = self.batch_tokens
        ranges = (
            (params, *self.params),
            (tokens, *self.tokens),
            (tokens / params, *self.tokens_per_param),
            (tokens, 0.0, self.tokens_available),
            (params, 0.0, self.memory_bytes / (self.bytes_per_param or 1.0)),
            (tokens, batch[0] * self.steps[0], batch[1] * self.most_steps[0]),
        )
        return all(low * (1 - 1e-9) <= value <= high * (1 + 1e-9) for value, low, high in ranges)

    def range(self, surface: Surface) -> tuple[float, float]:
        """Return the range of N on a budget surface that the constraints leave.

        Raises
        ------
        PlanError
            When they leave nothing; the message names the two constraints that exclude each other.
        """
        least, most = self._least(surface), self._most(surface)
        low, high = max(least, key=lambda name: least[name]), min(most, key=lambda name: most[name])
        if least[low] > most[high] * (1 + SLACK):
            raise PlanError(
                f"constraints leave no plan that spends {surface.flops:.4g} FLOPs: {low} needs N >= {least[low]:.4g}, "
                f"but {high} needs N <= {most[high]:.4g}; relax one of the two or change the budget"
            )
        return least[low], max(least[low], most[high])

    def _least(self, surface: Surface) -> dict[str, float]:
        """Return the smallest N that each constraint allows: those that limit D from above."""
        steps, why = self.most_steps
        tokens = {
            f"tokens at most {self.tokens[1]:g}": self.tokens[1],
            f"{self.tokens_available:g} tokens available": self.tokens_available,
            f"{why} with batch_tokens at most {self.batch_tokens[1]:g}": steps * self.batch_tokens[1],
        }
        ratio = self.tokens_per_param[1]
        return {
            "at least 1 parameter": 1.0,
            f"params at least {self.params[0]:g}": self.params[0],
            f"tokens_per_param at most {ratio:g}": surface.params_of_ratio(ratio) if ratio < math.inf else 0.0,
            **{name: surface.params_of_tokens(most) if most < math.inf else 0.0 for name, most in tokens.items()},
        }

    def _most(self, surface: Surface) -> dict[str, float]:
        """Return the largest N that each constraint allows: those that limit D from below, and memory."""
        ratio = self.tokens_per_param[0]
        least = self.batch_tokens[0] * self.steps[0]
        return {
            "the budget, with one token to train on,": surface.most_params,
            f"params at most {self.params[1]:g}": self.params[1],
            f"{self.memory_bytes:g} bytes of memory": self.memory_bytes / (self.bytes_per_param or 1.0),
            f"tokens at least {self.tokens[0]:g}": surface.params_of_tokens(max(self.tokens[0], 1.0)),
            f"batch_tokens at least {self.batch_tokens[0]:g} in at least {self.steps[0]:g} steps": (
                surface.params_of_tokens(max(least, 1.0))
            ),
            f"tokens_per_param at least {ratio:g}": surface.params_of_ratio(ratio) if ratio > 0 else math.inf,
        }
