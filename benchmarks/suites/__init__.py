"""The suites of the scoreboard, one module each."""
