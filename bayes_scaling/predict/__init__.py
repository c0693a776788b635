"""Step 5, predictions for runs that were not trained. Hands on `Ensemble` and `Forecast`."""
