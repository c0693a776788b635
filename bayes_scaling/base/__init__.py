"""What every step uses: wording of messages, whole-or-nothing files, progress, our own JAX scope."""
