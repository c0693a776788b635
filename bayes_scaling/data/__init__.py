"""Step 1, the table of runs: reading, validation, units and counting, importers, bundled tables. Hands on `Runs`."""
