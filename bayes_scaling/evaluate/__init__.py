"""Step 6, how good forecasts are: scores, checks, calibration, baselines, comparison of laws. Hands on `Comparison`."""
