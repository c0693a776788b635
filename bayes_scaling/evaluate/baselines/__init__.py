"""What the field does today, as predictive distributions on the same footing; baselines are shown without a weight."""
