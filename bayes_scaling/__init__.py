"""Scaling laws as Bayesian generative models: credible forecasts before a big training run.

The flow, one folder a step: data, laws, model, inference, predict, evaluate, decide, report. Public names are those of
``__init__.pyi``; each is imported when it is first used.
"""

from bayes_scaling.base.exports import lazily

__getattr__, __dir__, __all__ = lazily(__name__, __file__)
