"""Errors that a user can act on: what came, what was expected, what to try."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

_LONG = re.compile(r"\S{300,}")  # a word that no reader reads; its ends say which it is
REMEDY = "{remedy}"  # stands in a message where the remedies go


@dataclasses.dataclass(frozen=True)
class Remedy:
    """An argument that would mend an error; Python, the command line and study files each spell it their own way.

    Attributes
    ----------
    argument : its name in Python
    key : the entry of it that is missing, where it is a mapping or an object
    value : what to give, as a placeholder: one word, the words of a range, or True for a switch
    """

    argument: str
    key: str = ""
    value: str | tuple[str, ...] | bool = "value"

    def in_python(self) -> str:
        """Spell it as an argument of a Python call."""
        if self.value is True:
            return f"{self.argument}=True"
        value = f"({', '.join(self.value)})" if isinstance(self.value, tuple) else "..." if self.value else "''"
        if not self.key:
            return f"{self.argument}={value}"
        if self.argument == "constraints":
            return f"constraints=Constraints({self.key}={value})"
        return f"{self.argument}={{{self.key!r}: {value}}}"


class BayesScalingError(Exception):
    """Base of every error raised on purpose by this package; its message is one readable line.

    Parameters
    ----------
    message : with ``{remedy}`` where the remedies go, if there are any
    remedies : arguments that would mend it
    """

    def __init__(self, message: str = "", *remedies: Remedy) -> None:
        super().__init__(message, *remedies)
        self.remedies = remedies

    def worded(self, spell: Callable[[Remedy], str]) -> str:
        """Return the message with its remedies in the spelling of one place, on one line that prints."""
        message = str(self.args[0]).replace(REMEDY, " and ".join(map(spell, self.remedies)))
        message = "".join(c if c.isprintable() else " " for c in message)
        return _LONG.sub(lambda word: f"{word[0][:40]}...{word[0][-40:]}", message)

    def __str__(self) -> str:
        return self.worded(Remedy.in_python)


class ArgumentError(BayesScalingError):
    """An argument of the wrong kind: text for a number, a path for a table, a seed below zero."""


class DataError(BayesScalingError):
    """A table or another file that cannot be used as it is, or not for what is asked: a cell, a column, a cut."""


class WriteError(BayesScalingError):
    """A file that the machine did not let us write: no room, no permission, a failing disk."""


class WorkerError(BayesScalingError):
    """Workers that were lost and cannot be replaced, or that a task cannot be sent to."""


class LawError(BayesScalingError):
    """A law file, a prior or a set of constants that breaks the contract of a law."""


class FitError(BayesScalingError):
    """A fit that cannot be made as asked, such as with an unknown sampler; or a saved one that cannot be read.

    Also a saved fit of another law or noise than the one that is given, and a group that a fit does not know.
    """


class ConvergenceError(BayesScalingError):
    """A posterior whose sampler did not converge, asked for a forecast."""


class ForecastError(BayesScalingError):
    """A question that fits cannot answer: a missing input or law, an impossible target, a bad probability."""


class PlanError(BayesScalingError):
    """A plan that cannot be made: an impossible budget, constraints that leave nothing, a cost that makes no sense."""


class StudyError(BayesScalingError):
    """A study file that cannot be read: an unknown word, a missing number, data that are not there."""


class BayesScalingWarning(UserWarning):
    """Something that was mended or left out, and that the user should know."""
