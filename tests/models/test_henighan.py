"""Henighan et al. 2020: power laws with an irreducible loss beyond language."""

from __future__ import annotations

import bayes_scaling as bs
from tests.support import close, pure


def test_g33_losses_of_domains() -> None:
    close(pure("params", "henighan2020_language")(params=[1.5e9]), [2.236])
    law = bs.load_law("power_law:input=params")
    names = [constants.name for constants in law.published]
    image, video = (next(n for n in names if part in n) for part in ("image_32x32", "video"))
    close(law.at(image)(params=[1e8]), [2.356])
    close(law.at(video)(params=[1e8]), [1.160])


def test_every_set_says_what_it_counts() -> None:
    sets = bs.load_law("power_law:input=params").published
    assert len(sets) >= 9
    for constants in sets:
        assert constants.source == "Henighan et al. 2020, table 1" and constants.verified
        assert "non-embedding" in constants.note
