"""Designs: sets of pilot runs worth looking at, by greedy steps and exchanges.

What a set tells is asked of the linear answer of `information`, in which a run more is one product. A greedy step takes
the run that tells most for some power of its price; steps for several powers are tried, since cheap runs win for one
power and large ones for another. Exchanges then replace single runs for as long as that helps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from bayes_scaling.decide.information import Joint, shifts_of

POWERS = (0.0, 0.4, 1.0)  # of the price
STARTS = 12  # runs from which the steps set out
MOST_EXCHANGED = 24  # runs of a set that is still improved by exchanges
ROUNDS = 4  # of exchanges
LENGTHS = (1, 2, 3, 5, 8, 13, 21)  # of beginnings of an order that are judged
NOTHING = 1e-9  # share of a stake's variance that is no longer worth a run
BETTER = 1e-6  # relative gain for which a run is exchanged


@dataclasses.dataclass(frozen=True, eq=False)
class Market:
    """What is on offer.

    Attributes
    ----------
    prices : (c,) of one run of each candidate
    copies : (c,) how often each may be run
    budget : for all of them
    """

    prices: np.ndarray
    copies: np.ndarray
    budget: float

    def spent(self, chosen: Sequence[int]) -> float:
        """Return the price of a set."""
        return float(self.prices[list(chosen)].sum())

    def open(self, chosen: Sequence[int]) -> np.ndarray:
        """Say which candidates can still be added, ``(c,)``."""
        counts = np.bincount(np.asarray(chosen, int), minlength=len(self.prices))
        left = self.budget - self.spent(chosen)
        return np.asarray((counts < self.copies) & (self.prices <= left * (1 + 1e-9)))


def best_set(joint: Joint, market: Market) -> list[int]:
    """Return the set within the budget that leaves the least variance of the stakes, added up."""
    return _exchanged(max(_orders(joint, market), key=lambda chosen: _told(joint, chosen)), joint, market)


def beginnings(joint: Joint, market: Market) -> list[list[int]]:
    """Return sets within the budget, short and long, each of runs that tell most of the stakes for their price."""
    orders = [_greedy(joint, market, power) for power in POWERS]
    found = {tuple(order[:length]) for order in orders for length in LENGTHS if length <= len(order)}
    return [list(chosen) for chosen in sorted(found, key=lambda chosen: (len(chosen), chosen))]


def _orders(joint: Joint, market: Market) -> list[list[int]]:
    singles = np.argsort(-np.where(market.open([]), _gains(joint), -np.inf))[:STARTS]
    starts = [[], *([int(first)] for first in singles if market.open([])[first])]
    return [_greedy(joint, market, power, start) for power in POWERS for start in starts]


def _gains(joint: Joint) -> np.ndarray:
    """Return how much variance of the stakes one more run of each candidate explains, ``(c,)``."""
    return np.asarray((joint.shifts**2).sum(axis=0))


def _told(joint: Joint, chosen: Sequence[int]) -> float:
    return float((shifts_of(joint, chosen)[0] ** 2).sum())


def _greedy(joint: Joint, market: Market, power: float, start: Sequence[int] = ()) -> list[int]:
    """Add the run that tells most for its price to a power, until there is no room or nothing left to tell."""
    chosen = list(start)
    joint = shifts_of(joint, chosen)[1]
    least = NOTHING * float(_gains(joint).max())
    while (room := market.open(chosen)).any():
        gains = np.where(room, _gains(joint), 0.0)
        candidate = int(np.argmax(gains / market.prices**power))
        if gains[candidate] <= least:
            break
        chosen.append(candidate)
        joint = joint.given(candidate)
    return chosen


def _exchanged(chosen: list[int], joint: Joint, market: Market) -> list[int]:
    """Replace runs of a set one by one, and add what there is room for, for as long as that tells more."""
    if not 0 < len(chosen) <= MOST_EXCHANGED:
        return chosen
    for _ in range(ROUNDS):
        changed = False
        for place in range(len(chosen)):
            others = chosen[:place] + chosen[place + 1 :]
            gains = np.where(market.open(others), _gains(shifts_of(joint, others)[1]), 0.0)
            better = int(np.argmax(gains))
            if gains[better] > gains[chosen[place]] * (1 + BETTER):
                chosen, changed = [*others, better], True
        room = market.open(chosen)
        gains = np.where(room, _gains(shifts_of(joint, chosen)[1]), 0.0)
        if gains.max() > NOTHING * _told(joint, chosen):
            chosen, changed = [*chosen, int(np.argmax(gains))], True
        if not changed:
            break
    return chosen
