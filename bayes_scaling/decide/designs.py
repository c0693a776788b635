"""Designs: sets of pilot runs worth considering, found by greedy steps and exchanges.

What a set explains follows from the linear approximation of `information`, in which one more run costs one product. A
greedy step takes the run that explains most per power of its price. Several powers are tried, since cheap runs win for
one power and large ones for another. Exchanges then replace single runs for as long as that helps.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from bayes_scaling.decide.information import Joint, shifts_of

POWERS = (0.0, 0.4, 1.0)  # of the price
STARTS = 12  # runs from which greedy steps start
MOST_EXCHANGED = 24  # runs of the largest set that exchanges still improve
ROUNDS = 4  # of exchanges
LENGTHS = (1, 2, 3, 5, 8, 13, 21)  # of the sets that are taken from the beginning of an order
NOTHING = 1e-9  # share of a variance that is too little for a run
BETTER = 1e-6  # relative gain for which a run is exchanged


@dataclasses.dataclass(frozen=True, eq=False)
class Offer:
    """The runs on offer, and the budget for them.

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


def best_set(joint: Joint, offer: Offer) -> list[int]:
    """Return the set within the budget that leaves the least total variance of the quantities."""
    return _exchanged(max(_orders(joint, offer), key=lambda chosen: _explained(joint, chosen)), joint, offer)


def beginnings(joint: Joint, offer: Offer) -> list[list[int]]:
    """Return sets within the budget, short and long, of runs that explain most for their price."""
    orders = [_greedy(joint, offer, power, most=max(LENGTHS)) for power in POWERS]
    found = {tuple(order[:length]) for order in orders for length in LENGTHS if length <= len(order)}
    return [list(chosen) for chosen in sorted(found, key=lambda chosen: (len(chosen), chosen))]


def _orders(joint: Joint, offer: Offer) -> list[list[int]]:
    singles = np.argsort(-np.where(offer.open([]), _gains(joint), -np.inf))[:STARTS]
    starts = [[], *([int(first)] for first in singles if offer.open([])[first])]
    return [_greedy(joint, offer, power, start) for power in POWERS for start in starts]


def _gains(joint: Joint) -> np.ndarray:
    """Return how much variance of the quantities one more run of each candidate explains, ``(c,)``."""
    return np.asarray((joint.shifts**2).sum(axis=0))


def _explained(joint: Joint, chosen: Sequence[int]) -> float:
    return float((shifts_of(joint, chosen)[0] ** 2).sum())


def _greedy(joint: Joint, offer: Offer, power: float, start: Sequence[int] = (), most: float = math.inf) -> list[int]:
    """Add the run that explains most for a power of its price, until there is no money or nothing left to explain.

    Parameters
    ----------
    most : runs of the set, at which it is long enough
    """
    chosen = list(start)
    joint = shifts_of(joint, chosen)[1]
    least = NOTHING * float(_gains(joint).max())
    while len(chosen) < most and (room := offer.open(chosen)).any():
        gains = np.where(room, _gains(joint), 0.0)
        candidate = int(np.argmax(gains / offer.prices**power))
        if gains[candidate] <= least:
            break
        chosen.append(candidate)
        joint = joint.given(candidate)
    return chosen


def _exchanged(chosen: list[int], joint: Joint, offer: Offer) -> list[int]:
    """Replace runs of a set one by one, and add affordable ones, for as long as that explains more."""
    if not 0 < len(chosen) <= MOST_EXCHANGED:
        return chosen
    for _ in range(ROUNDS):
        changed = False
        for place in range(len(chosen)):
            others = chosen[:place] + chosen[place + 1 :]
            gains = np.where(offer.open(others), _gains(shifts_of(joint, others)[1]), 0.0)
            better = int(np.argmax(gains))
            if gains[better] > gains[chosen[place]] * (1 + BETTER):
                chosen, changed = [*others, better], True
        room = offer.open(chosen)
        gains = np.where(room, _gains(shifts_of(joint, chosen)[1]), 0.0)
        if gains.max() > NOTHING * _explained(joint, chosen):
            chosen, changed = [*chosen, int(np.argmax(gains))], True
        if not changed:
            break
    return chosen
