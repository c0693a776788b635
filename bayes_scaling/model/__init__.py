"""Step 3, the generative model: law, noise, discrepancy and pooling as one NumPyro program. Hands on `Model`."""
