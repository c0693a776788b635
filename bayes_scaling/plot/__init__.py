"""Pictures of every step, in one style."""
