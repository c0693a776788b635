"""Pilot plans: the runs to buy, what they would bring, and what every other run on offer would."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd


@dataclasses.dataclass(frozen=True)
class Value:
    """What a set of runs would bring.

    Attributes
    ----------
    cost : of all of them, in the unit of the budget
    spread_left : half-width of the central 68 % of the big run's expected log loss after them, over that before
    gain : expected value of sample information, in the unit of the decision
    gain_se : its Monte-Carlo standard error
    price : what the decision is worth less because of their cost, in the same unit
    method : ``weights`` (draws weighed by drawn outcomes), or ``regression`` (learned on half of the draws, tried on
        the other half: a lower bound of the gain) where weights fail
    unreliable : share of outcomes whose weights rest on too few draws
    """

    cost: float
    spread_left: float
    gain: float
    gain_se: float
    price: float
    method: str
    unreliable: float

    @property
    def net(self) -> float:
        """Gain less price, in the unit of the decision."""
        return self.gain - self.price

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**dataclasses.asdict(self), "net": self.net}


@dataclasses.dataclass(frozen=True, eq=False)
class PilotPlan:
    """The pilot runs to buy.

    Attributes
    ----------
    label : whose beliefs it rests on
    decision, unit : what the runs are to inform, and the unit of its worth
    budget, budget_unit : for pilots, and what it is counted in
    runs : what to buy, a row each: the inputs, ``copies``, ``cost`` of all copies; empty to buy nothing
    chosen : the same runs as places in the table of candidates, one for each copy
    value : of these runs
    offers : every candidate: inputs, and its own `Value`, bought alone
    big : the runs whose forecast is wanted
    spread : half-width of the central 68 % of the expected log loss of each of them, now
    now : worth of the decision with nothing learned; NaN where only a forecast is wanted
    perfect : expected worth of knowing the truth for nothing, over that
    """

    label: str
    decision: str
    unit: str
    budget: float
    budget_unit: str
    runs: pd.DataFrame
    chosen: tuple[int, ...]
    value: Value
    offers: pd.DataFrame
    big: pd.DataFrame
    spread: np.ndarray
    now: float
    perfect: float

    @property
    def buys(self) -> bool:
        """Whether any run is worth its price."""
        return len(self.runs) > 0

    @property
    def verdict(self) -> str:
        """The answer in one or two sentences."""
        value = self.value
        if not self.buys:
            ceiling = (
                "" if math.isnan(self.perfect) else f"; knowing the truth would add {self.perfect:.2g} {self.unit}"
            )
            return f"Buy nothing, spend it now: no run on offer is worth its price to decide {self.decision}{ceiling}."
        count = int(self.runs["copies"].sum())
        text = (
            f"Buy {count} run{'s' if count > 1 else ''} for {value.cost:.3g} {self.budget_unit}: the spread of the big "
            f"run's expected loss is expected to fall to {value.spread_left:.0%} of what it is"
        )
        if math.isnan(self.now):
            return f"{text}."
        return (
            f"{text}, and the decision to gain {value.gain:.2g} {self.unit} for a price of {value.price:.2g} "
            f"(at most {self.perfect:.2g}, if the truth were known)."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""

        def plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
            return [{str(k): v for k, v in row.items()} for row in frame.to_dict(orient="records")]

        return {
            "beliefs": self.label,
            "decision": self.decision,
            "unit": self.unit,
            "pilot_budget": self.budget,
            "budget_unit": self.budget_unit,
            "verdict": self.verdict,
            "buys": self.buys,
            "runs": plain(self.runs),
            "value": self.value.to_dict(),
            "big_runs": plain(self.big),
            "spread": self.spread.tolist(),
            "worth_now": None if math.isnan(self.now) else self.now,
            "value_of_perfect_information": None if math.isnan(self.perfect) else self.perfect,
            "offers": plain(self.offers),
        }

    def __repr__(self) -> str:
        return f"<PilotPlan: {int(self.runs['copies'].sum()) if self.buys else 'no'} runs, {self.label}>"
