# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Curves at several batch sizes, as one posterior
#
# Su et al. (2024) predict the whole training curve of a large model from small ones, in steps: fit $L(N, S)$, then
# the critical batch, then the rest. Here all of it is one posterior, over curves that were measured for the
# purpose: six sizes, five batch sizes, constant learning rate.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import bayes_scaling as bs

FAST = bool(os.environ.get("NOTEBOOK_FAST"))
table = bs.datasets.load("stdlib_curves").table
table = table[table["steps"] > 100]
batches = table.groupby("params")["batch_tokens"].nunique()
largest = int(batches[batches == batches.max()].index.max())  # with curves at every batch size
if FAST:
    table = table[table["batch_tokens"].isin([512, 8192]) & (table["params"] > 9000)]
keep = 6 if FAST else 10
thinned = table.groupby("run", group_keys=False)[list(table)].apply(
    lambda rows: rows.iloc[np.unique(np.linspace(0, len(rows) - 1, keep).round().astype(int))]
)
small = thinned[thinned["params"] < largest]
print(f"{small['run'].nunique()} curves, {len(small)} of their rows; {largest:,} parameters are held out")

# %% [markdown]
# ## One law for size, steps and batch
#
# $L = (N_c/N)^{\alpha_N} + [(S_c/S)(1 + B_*/(B L^{1/\alpha_B}))]^{\alpha_S}$: Kaplan's curve, with steps counted as
# a very large batch would have needed. The critical batch is the size at which half of the steps are wasted.

# %%
columns = ["run", "params", "steps", "batch_tokens", "loss"]
exact = "none"  # every curve already has a slow deviation of its own
fit = bs.fit(
    "kaplan_trajectory",
    bs.Runs.from_frame(small[columns].reset_index(drop=True), loss_unit="nats/byte"),
    discrepancy=exact,
    seed=0,
)
print(fit)
fit.summary()

# %% [markdown]
# ## A whole curve of a larger model

# %%
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
inside, total = 0, 0
for batch, colour in zip((512, 8192), ("#0072B2", "#D55E00"), strict=True):
    held_out = thinned[(thinned["params"] == largest) & (thinned["batch_tokens"] == batch)]
    steps = np.unique(held_out["steps"])
    ahead = bs.trajectory(fit, params=float(largest), steps=steps, batch_tokens=float(batch), unconverged=True)
    low, high = ahead.interval(0.9, "new_run").T
    axes.fill_between(steps, low, high, color=colour, alpha=0.25, label=f"90 % of a run at each row, batch {batch}")
    axes.plot(held_out["steps"], held_out["loss"], "o", markersize=4, color=colour, label="measured")
    within = np.interp(held_out["steps"], steps, low) < held_out["loss"]
    within &= held_out["loss"] < np.interp(held_out["steps"], steps, high)
    inside, total = inside + int(within.sum()), total + len(within)
axes.set(xscale="log", yscale="log", xlabel="steps", ylabel="loss (nats/byte)")
axes.set_title(f"{largest:,} parameters, never fitted")
axes.yaxis.set_minor_formatter("{x:.1f}")
axes.yaxis.set_major_formatter("{x:.1f}")
axes.legend(frameon=False, fontsize=8)
plt.show()
print(f"{inside} of {total} measured points lie inside the 90 % band")
assert inside / total > 0.6

# %% [markdown]
# ## Half way
#
# Once the large run is on its way, its own curve says more than all others: forecast the rest of it, and weigh
# stopping, going on, and extending it.

# %%
big = table[(table["params"] == largest) & (table["batch_tokens"] == 512)]
name = str(big["run"].iloc[0])
big = big[big["run"] == name]
rows = big.iloc[np.unique(np.geomspace(1, len(big), 12).astype(int)) - 1]
half = rows[rows["steps"] <= rows["steps"].max() / 3]
together = pd.concat([small[columns], half[columns]], ignore_index=True)
fit = bs.fit("kaplan_trajectory", bs.Runs.from_frame(together, loss_unit="nats/byte"), discrepancy=exact, seed=0)
verdict = bs.midrun(fit, name, float(rows["steps"].max()), extend=(2.0,), incumbent=1.6, unconverged=True)
print(verdict.verdict)
rest = rows[rows["steps"] > half["steps"].max()]
ahead = bs.trajectory(fit, run=name, steps=rest["steps"].to_numpy(), unconverged=True)
low, high = ahead.interval(0.9, "new_run").T
print(f"odds of {rest['loss'].min():g} nats/byte by its end: {ahead.required(rest['loss'].min()).reachable:.0%}")
print(f"{np.mean((low < rest['loss']) & (rest['loss'] < high)):.0%} of the rest lies inside the 90 % band")
assert (np.diff(verdict.options["cost"]) > 0).all()
verdict.options
