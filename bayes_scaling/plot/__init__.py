"""Figures for every step, in one style."""

from bayes_scaling.base.exports import lazily

__getattr__, __dir__, __all__ = lazily(__name__, __file__)
