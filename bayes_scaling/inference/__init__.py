"""Step 4, sampling a posterior: NUTS, its fast path, the normal approximation, diagnostics, saving. Hands on `Fit`."""
