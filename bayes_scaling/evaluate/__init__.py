"""Step 6, how good forecasts are: scores, checks, calibration, baselines, comparison of laws. Hands on `Comparison`."""

from bayes_scaling.base.exports import lazily

__getattr__, __dir__, __all__ = lazily(__name__, __file__)
