"""The names of costs and objectives, as Python, the command line and study files write them.

This is the one list: help texts and error messages are made from it. A name is that of the function in `costs` or
`objectives`. Nothing heavy is imported here, so that help is fast.
"""

from __future__ import annotations

from collections.abc import Mapping

COSTS = ("flops", "gpu_hours", "money", "lifetime")

OBJECTIVES: Mapping[str, str] = {
    "expected_improvement": "",
    "expected_loss": "",
    "probability_of_target": "",
    "loss_quantile": ":PROBABILITY",
    "cvar": "[:WORST]",
    "mean_and_cvar": ":WEIGHT[,WORST]",
    "utility": ":LOSS=VALUE,LOSS=VALUE",
}
"""How each objective's arguments are written after its name; those in brackets may be left out."""


def cost_names() -> str:
    """List the costs."""
    return ", ".join(COSTS)


def objective_names() -> str:
    """List the objectives with their arguments."""
    return ", ".join(f"{name}{arguments}" for name, arguments in OBJECTIVES.items())
