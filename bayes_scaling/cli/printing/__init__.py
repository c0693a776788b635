"""What the terminal prints, one module for each kind of result."""
