"""Some of many, evenly spaced."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bayes_scaling.base.spacing import evenly


@given(st.integers(1, 5000), st.integers(2, 5000))
def test_both_ends_are_kept_and_gaps_are_alike(count: int, most: int) -> None:
    kept = evenly(count, most)
    assert len(kept) == min(count, most) and kept[0] == 0 and kept[-1] == count - 1
    gaps = np.diff(kept)
    assert not len(gaps) or (gaps.min() >= 1 and gaps.max() - gaps.min() <= 1)
