"""Step 7, what to train: costs, objectives, constraints, plans, pilot runs, forecasts on record. Hands on `Plan`."""
