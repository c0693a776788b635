"""Step 8, the report: turn a study file into one page for sign-off, with the numbers behind it. Hands on `Report`."""
