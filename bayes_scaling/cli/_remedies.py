"""How the command line spells the arguments that errors ask for."""

from __future__ import annotations

from bayes_scaling.errors import Remedy

OPTIONS = {"given": "--at", "constraints": "--limit", "quantile": "--cost-quantile", "laws": "--law"}


def as_option(remedy: Remedy) -> str:
    """Spell a remedy as an option."""
    option = OPTIONS.get(remedy.argument, f"--{remedy.argument.replace('_', '-')}")
    if remedy.value is True:
        return option
    words = remedy.value if isinstance(remedy.value, tuple) else (str(remedy.value),)
    value = ":".join(word.upper() for word in words)
    return f"{option} {remedy.key}={value}" if remedy.key else f"{option} {value}"
