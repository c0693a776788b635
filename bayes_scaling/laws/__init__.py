"""Step 2, scaling laws: the contract of a law file, priors, the catalogue. Hands on `Law`."""

from bayes_scaling.base.exports import lazily

__getattr__, __dir__, __all__ = lazily(__name__, __file__)
