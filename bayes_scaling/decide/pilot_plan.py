"""Pilot plans: the runs to buy, what they would bring, and what every other run on offer would bring."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.base.arguments import validated
from bayes_scaling.base.messages import equal_tails
from bayes_scaling.base.numbers import amount
from bayes_scaling.errors import PlanError


@dataclasses.dataclass(frozen=True)
class Value:
    """What a set of runs would bring.

    Attributes
    ----------
    cost : of all of them, in the unit of the budget
    uncertainty_left : standard deviation of the big run's expected log loss after them, over that before
    gain : expected value of sample information, in the unit of the decision
    gain_se : its Monte-Carlo standard error
    price : by how much their cost lowers the payoff of the decision, in the same unit
    method : ``weights`` (draws weighted by drawn outcomes), or ``regression`` (learned on half of the draws, tested on
        the other half: a lower bound of the gain) where weights fail
    unreliable : share of outcomes whose weights rest on too few draws
    """

    cost: float
    uncertainty_left: float
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
    label : laws that it rests on
    decision, unit : what the runs are to inform, and the unit of its payoff
    budget, budget_unit : for pilots, and its unit
    runs : what to buy, a row each: the inputs, ``copies``, ``cost`` of all copies; empty to buy nothing
    chosen : the same runs as row numbers of the candidates, one for each copy
    value : of these runs
    offers : every candidate: inputs, and its `Value` when bought alone
    big : the runs whose forecast is wanted
    log_losses : (n_draw, n_big) expected log loss of each of them, now
    now : payoff of the decision with nothing learned; NaN where only a forecast is wanted
    perfect : expected gain from knowing the truth for free, if it is one of the draws: what every law gets wrong, such
        as how it trades N for D, is not in it
    unranked : why every pilot is worth 0: the objective ranks nothing; empty where it does
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
    log_losses: np.ndarray
    now: float
    perfect: float
    unranked: str = ""

    @property
    def buys(self) -> bool:
        """Whether any run is worth its price."""
        return len(self.runs) > 0

    @property
    def half_width(self) -> np.ndarray:
        """Half-width of the central 68 % of the expected log loss of each big run, ``(n_big,)``, now."""
        return np.asarray(np.diff(np.quantile(self.log_losses, [0.16, 0.84], axis=0), axis=0)[0] / 2)

    @property
    def verdict(self) -> str:
        """The answer in one or two sentences."""
        value = self.value
        if self.unranked:
            return f"No recommendation: every pilot is worth 0, because {self.unranked}."
        if not self.buys:
            perfect = f" Knowing the truth would add {self.perfect:.2g} {self.unit}, if the laws are right."
            limit = "" if math.isnan(self.perfect) else perfect
            return f"Buy nothing: no run on offer is worth its price to decide {self.decision}.{limit}"
        count = int(self.runs["copies"].sum())
        text = f"Buy {count} run{'s' if count > 1 else ''} for {amount(value.cost, self.budget_unit)}."
        if not math.isnan(self.now):
            text += (
                f" They should gain {value.gain:.2g} {self.unit} for a price of {value.price:.2g} (knowing the truth "
                f"would gain {self.perfect:.2g}, if the laws are right) and"
            )
        else:
            text += " They should"
        return f"{text} leave {value.uncertainty_left:.0%} of today's uncertainty of the big run's expected loss."

    @validated
    def interval(self, probability: float = 0.9) -> np.ndarray:
        """Return the equal-tailed interval of the expected loss of each big run, ``(n_big, 2)``, before any pilot."""
        return np.asarray(np.exp(np.quantile(self.log_losses, equal_tails(probability, PlanError), axis=0)).T)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per candidate: its inputs, its value when bought alone, and how often the plan buys it."""
        counts = np.bincount(np.asarray(self.chosen, int), minlength=len(self.offers))
        return self.offers.assign(bought=counts)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but draws as plain values, for JSON."""

        def plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
            return [{str(k): v for k, v in row.items()} for row in frame.to_dict(orient="records")]

        return {
            "law": self.label,
            "decision": self.decision,
            "unit": self.unit,
            "pilot_budget": self.budget,
            "budget_unit": self.budget_unit,
            "verdict": self.verdict,
            "buys": self.buys,
            "unranked": self.unranked or None,
            "runs": plain(self.runs),
            "value": self.value.to_dict(),
            "big_runs": plain(self.big),
            "half_width": self.half_width.tolist(),
            "worth_now": None if math.isnan(self.now) else self.now,
            "value_of_perfect_information": None if math.isnan(self.perfect) else self.perfect,
            "offers": plain(self.offers),
        }

    def __repr__(self) -> str:
        return f"<PilotPlan: {int(self.runs['copies'].sum()) if self.buys else 'no'} runs, {self.label}>"
