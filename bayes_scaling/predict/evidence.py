"""Why each law of an ensemble has its weight."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from bayes_scaling.base.json_text import nulled
from bayes_scaling.inference.validity import EVIDENCE, EVIDENCE_OF_LAW, refuse_odd_fields


@dataclasses.dataclass(frozen=True)
class EvidenceOfLaw:
    """How one law, with its discrepancy or without one, would have forecast the largest runs.

    Attributes
    ----------
    member, law : labels in the ensemble and of the law
    log_score : mean log density over the held-out rows of all cuts alike; NaN where nothing was held out
    error : root mean square of the log error there
    inside_90 : share of held-out runs inside their 90 % intervals
    refits, unconverged : fits below cuts, and how many of them did not converge
    why : what its weight follows from, in a sentence
    """

    member: str
    law: str
    log_score: float = math.nan
    error: float = math.nan
    inside_90: float = math.nan
    refits: int = 0
    unconverged: int = 0
    why: str = ""


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Why each law of an ensemble has its weight.

    Attributes
    ----------
    cuts : above which runs were held out, in words; none where there are too few runs
    held_out : number of runs that were held out at any cut
    why : where the weights come from, in a sentence
    laws : one for each law, with its discrepancy and without one, those left out included
    """

    cuts: tuple[str, ...]
    held_out: int
    why: str
    laws: tuple[EvidenceOfLaw, ...]

    def of(self, members: Mapping[str, Any]) -> Evidence:
        """Keep what is said of some members."""
        return dataclasses.replace(self, laws=tuple(one for one in self.laws if one.member in members))

    def to_frame(self, weights: Mapping[str, float]) -> pd.DataFrame:
        """Return one row per law: ``member``, ``law``, ``weight``, scores, ``why``; the heaviest first."""
        rows = [{"member": one.member, "weight": weights.get(one.member, 0.0), **vars(one)} for one in self.laws]
        order = ["member", "law", "weight", "log_score", "error", "inside_90", "refits", "unconverged", "why"]
        frame = pd.DataFrame(rows, columns=order)
        return frame.sort_values("weight", ascending=False, kind="stable", ignore_index=True)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON; what is not known is None."""
        plain: dict[str, Any] = nulled(dataclasses.asdict(self))
        return {**plain, "cuts": list(self.cuts), "laws": list(plain["laws"])}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Evidence:
        """Read what `to_dict` wrote.

        Raises
        ------
        Unbelievable
            For anything else.
        """
        refuse_odd_fields("evidence", content, EVIDENCE)
        for one in content["laws"]:
            refuse_odd_fields("evidence on a law", one, EVIDENCE_OF_LAW)
        known: list[dict[str, Any]] = [
            {name: math.nan if value is None else value for name, value in one.items()} for one in content["laws"]
        ]
        laws = tuple(EvidenceOfLaw(**one) for one in known)
        return cls(tuple(content["cuts"]), content["held_out"], content["why"], laws)
