"""Step 5, predictions for runs that were not trained. Passes on `Ensemble` and `Forecast`."""
