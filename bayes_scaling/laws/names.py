"""Names that a law may give to its parameters, columns and features, so that nothing of it is ever overwritten."""

from __future__ import annotations

import keyword
from collections.abc import Mapping

from bayes_scaling.base.messages import shown
from bayes_scaling.errors import LawError
from bayes_scaling.laws.law import Law

RESERVED_PARAMETERS: Mapping[str, str] = {
    "at": "the reference point",
    "chain": "a dimension of posterior draws",
    "draw": "a dimension of posterior draws",
}
RESERVED_COLUMNS: Mapping[str, str] = {
    "loss": "what the law predicts",
    "run": "the id of a run, which only features may read",
    "inputs": "all columns of the reference point",
}


def check_names(law: Law) -> None:
    """Refuse a law with a name that is reserved, no identifier, or that stands for two things."""
    parameters = [row.name for row in law.parameters]
    features = law.features.names if law.features else ()
    owner = f"law {law.name}"
    for name in parameters:
        refuse_illegal(owner, "parameter", name, RESERVED_PARAMETERS)
        if parameters.count(name) > 1:
            raise LawError(f"{owner} lists parameter {name} twice")
    for name in features:
        refuse_illegal(owner, "feature", name, RESERVED_COLUMNS)
        if name in law.inputs:
            raise LawError(f"{owner} calls a feature and a column {name}: rename the feature")
    for name in law.inputs:
        refuse_illegal(owner, "column", name, RESERVED_COLUMNS)
    for name in (*law.inputs, *features):
        if name in parameters:
            raise LawError(f"{owner} calls a parameter and a column {name}: rename the parameter")


def refuse_illegal(owner: str, kind: str, name: str, reserved: Mapping[str, str]) -> None:
    """Refuse a name that is no identifier, starts with an underscore, or is reserved."""
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        raise LawError(
            f"{owner}: {shown(name)} cannot name a {kind}; take letters, digits and underscores, with a letter first"
        )
    if name in reserved:
        raise LawError(f"{owner}: a {kind} cannot be called {name}, which is {reserved[name]}; rename it")
