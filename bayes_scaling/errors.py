"""Errors that a user can act on: what came, what was expected, what to try."""

from __future__ import annotations


class BayesScalingError(Exception):
    """Base of every error raised on purpose by this package; its message is one readable line."""


class DataError(BayesScalingError):
    """A table of runs that cannot be used as it is."""


class LawError(BayesScalingError):
    """A law file, a prior or a set of constants that breaks the contract of a law."""


class FitError(BayesScalingError):
    """A saved fit that cannot be read, or that does not match the law it names."""


class ConvergenceError(BayesScalingError):
    """A posterior whose sampler did not converge, asked for a forecast."""


class ForecastError(BayesScalingError):
    """A question that the fit cannot answer: a missing input, an impossible target, a bad probability."""


class PlanError(BayesScalingError):
    """A plan that cannot be made: an impossible budget, constraints that leave nothing, a cost that makes no sense."""


class StudyError(BayesScalingError):
    """A study file that cannot be read: an unknown word, a missing number, data that are not there."""
