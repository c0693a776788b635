"""The command line, as a module: ``python -m bayes_scaling``."""

from bayes_scaling.cli import main

main()
