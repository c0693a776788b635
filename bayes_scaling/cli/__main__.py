"""Run the command line as a module."""

from bayes_scaling.cli import main

main()
