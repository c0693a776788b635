"""The loss curve that a study asks for, as plain numbers."""

from __future__ import annotations

from typing import Any

from bayes_scaling.base.json_text import nulled
from bayes_scaling.errors import ForecastError, StudyError
from bayes_scaling.predict.trajectory import trajectory
from bayes_scaling.report.decision import Context

OUTER, INNER = 0.9, 0.5  # probabilities of the bands


def curve(context: Context) -> dict[str, Any] | None:
    """Return the whole loss curve of the run in ``[trajectory]``; None where the study asks for none.

    Raises
    ------
    StudyError
        When the laws of the study describe no such curve.
    """
    asked = context.study.trajectory
    if asked is None:
        return None
    inputs: dict[str, Any] = {**context.study.given, **asked.inputs}
    try:
        found = trajectory(
            context.comparison, run=asked.run, seed=context.study.seed, unconverged=context.unconverged, **inputs
        )
    except ForecastError as error:
        raise StudyError(f"trajectory: {error}") from error
    low, high = found.interval(OUTER, "new_run").T
    lower, upper = found.interval(INNER, "new_run").T
    whole_low, whole_high = found.simultaneous(OUTER, "new_run").T
    beside = found.beside_frame(OUTER)
    so_far = found.so_far
    return {
        "name": found.name,
        "along": found.along,
        "contains": found.contains["new_run"],
        "cautions": list(found.forecast.cautions),
        "positions": found.positions.tolist(),
        "median": found.median().tolist(),
        "low": low.tolist(),
        "lower": lower.tolist(),
        "upper": upper.tolist(),
        "high": high.tolist(),
        "whole_low": whole_low.tolist(),
        "whole_high": whole_high.tolist(),
        "so_far": {name: so_far[name].astype(float).tolist() for name in (found.along, "loss") if len(so_far)},
        "reached": [found.reached(loss, OUTER) for loss in asked.targets],
        "beside": nulled(beside[beside[found.along] == found.positions[-1]].to_dict(orient="records")),
    }
