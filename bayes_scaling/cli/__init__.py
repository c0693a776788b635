"""The command line: reads options, calls the package, prints. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys

from bayes_scaling.cli.stopping import stoppable


def main() -> None:
    """Run the command line; Ctrl-C ends it from here on, while modules are imported too."""
    with stoppable():
        from bayes_scaling.cli.commands import run

        code = run()
    sys.exit(code)
