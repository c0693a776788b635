"""Provenance: which laws, data and versions an answer rests on, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayes_scaling.data.columns import derive_missing
from bayes_scaling.evaluate.comparison import Comparison
from bayes_scaling.inference.result import Fit
from bayes_scaling.predict.ensemble import Ensemble, used
from bayes_scaling.predict.forecast import DISAGREEMENT, OWN_ERROR, OWN_ERRORS, contents

LEVELS = (
    *(0.005, 0.01, 0.025, 0.05),
    *(round(0.1 + 0.05 * i, 2) for i in range(17)),
    *(0.95, 0.975, 0.99, 0.995),
)
"""Probabilities of the quantiles of a registered forecast."""


def provenance(source: Fit | Comparison | Ensemble) -> dict[str, Any]:
    """Say which laws a fit, a comparison or an ensemble rests on, with which weights, and on which data.

    Returns
    -------
    dict
        ``laws`` (a list: ``law``, ``weight``, ``source_sha256``, ``noise``, ``discrepancy``, ``problems``), ``data``
        (``source``, ``rows``, ``sha256``, ``params_convention``, ``loss_unit``), ``largest_flops`` of its runs (None
        where they are not known), ``seed`` and ``versions``
    """
    if isinstance(source, Fit):
        return of_members({source.law.label: (1.0, source)})
    return of_members({name: (weight, source.fits[name]) for name, weight in used(source.weights).items()})


def of_members(members: dict[str, tuple[float, Fit]]) -> dict[str, Any]:
    """Say the same of laws with weights."""
    first = next(iter(members.values()))[1]
    manifest, known = first.manifest, [name for name in ("params", "tokens", "flops") if name in first.runs]
    sizes, _ = derive_missing({name: first.runs.column(name) for name in known})
    return {
        "laws": [
            {
                "law": name,
                "weight": float(weight),
                "source_sha256": fit.manifest["law_source_sha256"],
                "noise": fit.noise.label,
                "discrepancy": fit.discrepancy.kind,
                "problems": list(fit.problems),
            }
            for name, (weight, fit) in members.items()
        ],
        "data": dict(manifest["runs"]),
        "largest_flops": float(sizes["flops"].max()) if "flops" in sizes else None,
        "seed": int(manifest["seed"]),
        "versions": dict(manifest["versions"]),
    }


def contained(rests_on: Mapping[str, Any]) -> str:
    """Say what the band of one new run contains, by the laws that it rests on, as of `provenance`."""
    laws = rests_on["laws"]
    wrong = any(law["discrepancy"] != "none" for law in laws)
    if len(laws) == 1:
        return contents(("parameters",), (OWN_ERROR,) if wrong else ())["new_run"]
    return contents(("parameters", DISAGREEMENT), (OWN_ERRORS,) if wrong else ())["new_run"]
