"""Print how far two seeds of one cell of the bundled sweep lie apart."""

from __future__ import annotations

import numpy as np

from bayes_scaling import datasets


def main() -> None:
    """Print one line per pair and the pooled standard deviation of one run's log loss."""
    frame = datasets.load().table
    pairs = frame.pivot_table(index=["params", "tokens"], columns="seed", values="loss").dropna()
    gap = np.log(pairs[0] / pairs[1])
    for (params, tokens), difference in gap.items():
        print(f"N {params:>8.0f}  D {tokens:>9.0f}  {difference:+.2%}")
    print(f"{len(gap)} pairs, median difference {gap.abs().median():.2%}, largest {gap.abs().max():.2%}")
    print(f"standard deviation of one run's log loss: {np.sqrt((gap**2).mean() / 2):.2%}")


if __name__ == "__main__":
    main()
