"""Step 2, scaling laws: the contract of a law file, priors, the catalogue. Hands on `Law`."""
