"""Step 5, what a posterior says of runs that were not trained. Hands on `Ensemble` and `Forecast`."""
