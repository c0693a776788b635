"""Report: one study file becomes one page that can be signed, with the numbers behind it."""
