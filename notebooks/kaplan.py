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
# # What survives of Kaplan et al. 2020
#
# The paper's claims, each as a model that can win or lose, on runs that were measured for the purpose: byte-level
# transformers of 1 thousand to 1 million parameters on Python source. That is a millionth of the paper's scale;
# what is said here is said of these runs.

# %%
import os

import numpy as np
import pandas as pd

import bayes_scaling as bs

FAST = bool(os.environ.get("NOTEBOOK_FAST"))
sweep = bs.datasets.load("stdlib_sweep")
exact = "none"  # curves already have a slow deviation of their own


def interval(draws, probability=0.9):
    """Median and equal-tailed interval, for print."""
    low, middle, high = np.quantile(draws, [(1 - probability) / 2, 0.5, (1 + probability) / 2])
    return f"{middle:.3g} ({probability:.0%}: {low:.3g} to {high:.3g})"


# %% [markdown]
# ## Exponents
#
# $L(N, D) = [(N_c/N)^{\alpha_N/\alpha_D} + D_c/D]^{\alpha_D}$, with $\alpha_N = 0.076$ and $\alpha_D = 0.103$ on
# web text, and no floor.

# %%
joint = bs.fit("kaplan_joint", sweep, seed=0)
for name, paper in {"alpha_N": 0.076, "alpha_D": 0.103}.items():
    print(f"{name}: {interval(joint.flat()[name])}, the paper {paper}")
assert joint.flat()["alpha_N"].mean() > 0.076

# %% [markdown]
# Larger exponents on code, as Henighan et al. found for domains other than language. Whether there is a floor is
# another law; leave-one-out lets the runs choose.

# %%
floor = bs.fit("chinchilla", sweep, seed=0)
difference = bs.evaluate.leave_one_out(floor) - bs.evaluate.leave_one_out(joint)
error = difference.std() * np.sqrt(len(difference))
print(f"a floor gains {difference.sum():.1f} +- {error:.1f} in leave-one-out log score over {len(difference)} runs")
print("E as a share of the best loss:", interval(floor.flat()["E"] / sweep.loss.min()))

# %% [markdown]
# ## Critical batch
#
# $S/S_{min} - 1 = (E/E_{min} - 1)^{-1}$, with $B_{crit}(L) = B_*/L^{1/\alpha_B}$, $\alpha_B = 0.21$: it doubles
# whenever the loss falls by 13 %.

# %%
curves = bs.datasets.load("stdlib_curves").table
curves = curves[(curves["steps"] > 100) & (curves["params"] < (60_000 if FAST else 300_000)) & (curves["seed"] < 2)]
keep = 5 if FAST else 7
thinned = curves.groupby("run", group_keys=False)[list(curves)].apply(
    lambda rows: rows.iloc[np.unique(np.linspace(0, len(rows) - 1, keep).round().astype(int))]
)
thinned = thinned[["run", "params", "steps", "batch_tokens", "loss"]].reset_index(drop=True)
batch = bs.fit("kaplan_trajectory", bs.Runs.from_frame(thinned), discrepancy=exact, seed=0)
draws = batch.flat()
critical = draws["B_star"] / 1.8 ** (1 / draws["alpha_B"])
print("alpha_B:", interval(draws["alpha_B"]), "the paper 0.21")
print("critical batch at a loss of 1.8 nats per byte:", interval(critical), "bytes")
print("loss that doubles it:", interval(1 - 2 ** -draws["alpha_B"]), "lower, the paper 0.13")
assert 100 < np.median(critical) < 1e6

# %% [markdown]
# ## Universality: exponents are shared, levels are not
#
# Each size with its own level of the curve, but one exponent of steps, against an exponent of its own for each
# size: if the sizes need their own, the spread between them is not near zero.

# %%
one_batch = thinned[thinned["batch_tokens"] == 2048].assign(
    size=lambda t: t["params"].map("{:.0f}".format), tokens=lambda t: t["steps"] * t["batch_tokens"]
)
groups = bs.Runs.from_frame(one_batch[["run", "size", "tokens", "loss"]].reset_index(drop=True))
pooling = {"L_0": bs.separate("size"), "E": bs.separate("size"), "alpha": bs.partial("size")}
pooled = bs.fit("power_law:input=tokens", groups, pooling=pooling, discrepancy=exact, noise="normal", seed=0)
pooled.summary().filter(like="alpha", axis=0)

# %% [markdown]
# ## Shape hardly matters
#
# At one N of 110,592 the loss of 1 to 36 layers, each at its best learning rate:

# %%
shape = bs.datasets.load("stdlib_shape").table
best = shape.loc[shape.groupby("layers")["loss"].idxmin(), ["layers", "width", "learning_rate", "loss"]]
ratio = best["loss"] / best["loss"].min() - 1
assert ratio.max() < 0.5
best.assign(worse=ratio.map("{:.1%}".format))

# %% [markdown]
# Within 3 % from 1 to 16 layers, as the paper says; 36 layers of width 16 cost 10 %.
#
# ## Transfer: a constant offset
#
# Every run was also evaluated on English prose that nothing trains on. The paper: loss on another distribution is
# that on the training distribution plus a constant.

# %%
ends = pd.concat([bs.datasets.load(name).table for name in ("stdlib_rates", "stdlib_repeated", "stdlib_lstm")])
slope, offset = np.polyfit(ends["loss"], ends["loss_prose"], 1)
scatter = np.std(ends["loss_prose"] - (offset + slope * ends["loss"]))
print(f"prose = {offset:.2f} + {slope:.2f} x code, scatter {scatter:.3f} nats per byte over {len(ends)} runs")
print(f"offset: {np.mean(ends['loss_prose'] - ends['loss']):.2f} +- {np.std(ends['loss_prose'] - ends['loss']):.2f}")
assert slope > 0.5
