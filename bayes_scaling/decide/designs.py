"""Designs: the set of pilot runs to buy, by greedy steps and exchanges.

What a set brings is asked of the linear answer of `information`, in which a run more is one product. A greedy step
takes the run that brings most for some power of its price; steps for several powers are tried, since cheap runs win for
one power and large ones for another. Exchanges then replace single runs for as long as that helps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from bayes_scaling.decide.information import Joint, shifts_of
from bayes_scaling.decide.stakes import Stakes

POWERS = (0.0, 0.4, 1.0)  # of the price
MOST_EXCHANGED = 24  # runs of a set that is still improved by exchanges
ROUNDS = 4  # of exchanges
MOST_CHOSEN = 16  # steps of the search by worth
SAMPLES = 512  # outcomes of a set, and their mirror images
ROUNDING = 1e-12

type Gains = Callable[[Joint, Sequence[int]], np.ndarray]


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


def by_spread(joint: Joint, targets: int, market: Market) -> list[int]:
    """Choose the set that leaves the least variance of the targets, the first stakes of the joint covariance."""

    def gains(state: Joint, chosen: Sequence[int]) -> np.ndarray:
        return np.asarray((state.shifts[:targets] ** 2).sum(axis=0))

    def told(chosen: Sequence[int]) -> float:
        return float((shifts_of(joint, chosen)[0][:targets] ** 2).sum())

    paths = [_greedy(joint, market, gains, power) for power in POWERS]
    best = max(paths, key=told)
    return _exchanged(best, joint, market, gains)


@dataclasses.dataclass(frozen=True, eq=False)
class Worth:
    """Expected worth of the best option after a set of runs, paid out of the budget, in the linear answer.

    Attributes
    ----------
    joint : of candidates and stakes: targets first, then the options at each level
    stakes : what is decided
    market : what is on offer
    price : worth of one unit of cost where pilots are paid from elsewhere; 0 where the budget pays
    noise : (n_outcome, n_option) standard normals
    """

    joint: Joint
    stakes: Stakes
    market: Market
    price: float
    noise: np.ndarray

    def of(self, chosen: Sequence[int], shifts: np.ndarray | None = None) -> float:
        """Return the expected worth after some runs, less what they cost."""
        if shifts is None:
            shifts, _ = shifts_of(self.joint, chosen)
        spent = self.market.spent(chosen)
        targets, (levels, _, options) = self.stakes.targets.shape[1], self.stakes.worth.shape
        moved = self.stakes.between(shifts[targets:].reshape(levels, options, -1), spent)
        means = self.stakes.between(self.stakes.worth.mean(axis=1), spent)
        if moved.shape[1] > self.noise.shape[1]:  # the same covariance, by as many directions as there are options
            left, scale, _ = np.linalg.svd(moved, full_matrices=False)
            moved = (left * scale)[:, : self.noise.shape[1]]
        swing = moved @ self.noise[:, : moved.shape[1]].T  # (option, outcome)
        up, down = (means[:, None] + swing).max(axis=0), (means[:, None] - swing).max(axis=0)
        return float((up + down).mean() / 2) - self.price * spent

    def gains(self, state: Joint, chosen: Sequence[int]) -> np.ndarray:
        """Return what one more run of each candidate adds, ``(c,)``, -inf where there is no room for it."""
        before, _ = shifts_of(self.joint, chosen)
        out = np.full(len(self.market.prices), -np.inf)
        worth = self.of(chosen, before)
        for candidate in np.flatnonzero(self.market.open(chosen)):
            shifts = np.concatenate([before, state.shifts[:, [candidate]]], axis=1)
            out[candidate] = self.of([*chosen, int(candidate)], shifts) - worth
        return out


def by_worth(worth: Worth, start: Sequence[int]) -> list[int]:
    """Choose the set with the highest expected worth, net of price; it may be empty.

    Parameters
    ----------
    start : a set found otherwise, whose beginnings are tried too
    """
    greedy = _greedy(worth.joint, worth.market, worth.gains, 0.0, MOST_CHOSEN, stop=True)
    tried: list[list[int]] = [[], greedy]
    shifts, _ = shifts_of(worth.joint, start)
    lengths = np.unique(np.geomspace(1, max(len(start), 1), 12).round().astype(int))[: len(start)]
    tried += [list(start[:length]) for length in lengths]
    values = [worth.of([])] + [worth.of(greedy)] + [worth.of(start[:n], shifts[:, :n]) for n in lengths]
    best = tried[int(np.argmax(values))]
    return _exchanged(best, worth.joint, worth.market, worth.gains)


def _greedy(
    joint: Joint, market: Market, gains: Gains, power: float, most: int | None = None, *, stop: bool = False
) -> list[int]:
    """Add the run that brings most for its price to a power, until there is no room (or, to stop, no gain)."""
    chosen: list[int] = []
    while most is None or len(chosen) < most:
        room = market.open(chosen)
        if not room.any():
            break
        found = np.where(room, gains(joint, chosen), -np.inf)
        if stop and found.max() <= 0:
            break
        scale = market.prices**power if power else 1.0
        candidate = int(np.argmax(np.where(room, found / scale, -np.inf)))
        if not stop and found[candidate] <= ROUNDING * np.abs(joint.covariance).max():
            break
        chosen.append(candidate)
        joint = joint.given(candidate)
    return chosen


def _exchanged(chosen: list[int], joint: Joint, market: Market, gains: Gains) -> list[int]:
    """Replace runs of a set one by one, or leave them out, for as long as that brings more."""
    if not 0 < len(chosen) <= MOST_EXCHANGED:
        return chosen
    for _ in range(ROUNDS):
        changed = False
        for place in range(len(chosen)):
            others = chosen[:place] + chosen[place + 1 :]
            _, without = shifts_of(joint, others)
            found = np.where(market.open(others), gains(without, others), -np.inf)
            own = found[chosen[place]]
            better = int(np.argmax(found))
            if found[better] < 0:
                chosen, changed = others, True
                break
            if found[better] > own + max(abs(own), ROUNDING) * 1e-6:
                chosen, changed = [*others, better], True
        room = market.open(chosen)
        if room.any():
            _, rest = shifts_of(joint, chosen)
            found = np.where(room, gains(rest, chosen), -np.inf)
            if found.max() > ROUNDING:
                chosen, changed = [*chosen, int(np.argmax(found))], True
        if not changed:
            break
    return chosen
