"""Warnings of many tasks: each text is said once, at once, and nothing is swallowed."""

from __future__ import annotations

import warnings

import pytest

from bayes_scaling.base.warned import each_warning_once
from bayes_scaling.errors import BayesScalingWarning


def test_each_text_is_said_once() -> None:
    with pytest.warns() as said, each_warning_once():
        for _ in range(3):
            warnings.warn("the same", BayesScalingWarning, stacklevel=1)
            warnings.warn("the same", RuntimeWarning, stacklevel=1)
        warnings.warn("another", BayesScalingWarning, stacklevel=1)
    assert [(one.category, str(one.message)) for one in said] == [
        (BayesScalingWarning, "the same"),
        (RuntimeWarning, "the same"),
        (BayesScalingWarning, "another"),
    ]
    assert {one.filename for one in said} == {__file__}


def test_what_was_said_before_an_error_is_not_lost() -> None:
    before = pytest.warns(BayesScalingWarning, match="what came before it")
    with before, pytest.raises(ValueError, match="inside"), each_warning_once():
        warnings.warn("what came before it", BayesScalingWarning, stacklevel=1)
        raise ValueError("inside")


def test_filters_of_the_caller_hold() -> None:
    with pytest.raises(BayesScalingWarning, match="an error here"), each_warning_once():
        warnings.warn("an error here", BayesScalingWarning, stacklevel=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with each_warning_once():
            warnings.warn("nobody asked", BayesScalingWarning, stacklevel=1)
