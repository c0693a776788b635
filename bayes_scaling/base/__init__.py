"""What every step uses: wording of messages, atomic file writes, progress bars, a JAX scope of our own."""
