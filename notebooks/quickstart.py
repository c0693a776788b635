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
# # From runs to a decision
#
# The measured runs that come with the package: byte-level transformers, trained on Python source. We fit the
# small ones, forecast the large ones, check whether the bands hold, and spend a budget.

# %%
import numpy as np

import bayes_scaling as bs

# %matplotlib inline

runs = bs.datasets.load("stdlib_sweep")
small, large = runs.cut("flops", 2.5e12)
reach = large.column("flops").max() / small.column("flops").max()
print(f"{len(small)} runs are fitted, {len(large)} larger ones, up to {reach:.0f} times the compute, are held out")

# %% [markdown]
# ## Fit
#
# The law is Chinchilla's, $L = E + A/N^\alpha + B/D^\beta$. Noise has learned tails; and since no law is exactly
# right, the truth may leave it along a random path in log compute, whose scale `tau` is learned as well.

# %%
fit = bs.fit("chinchilla", small, seed=0)
fit.summary()

# %% [markdown]
# `learned` says how much of the prior's spread the runs took away: near zero, the posterior is just the prior.
#
# ## Forecast
#
# A band says what it contains: parameters, the law's own error, the scatter of one run.

# %%
ahead = bs.forecast(fit, large)
inside = np.abs(ahead.predictive.probability_below(large.loss) - 0.5) < 0.45
print(f"{inside.sum()} of {len(large)} held-out runs lie inside the 90 % band")
assert inside.mean() > 0.7
ahead.uncertainty().describe().loc[["mean", "max"]]

# %%
bs.plot.forecast(fit, ahead, measured=large.loss)

# %% [markdown]
# ## Decide
#
# A budget of 2e14 FLOP is about what the largest run here took. What should it buy?

# %%
fit = bs.fit("chinchilla", runs, seed=0)
plan = bs.allocate(fit, 2e14)
low, high = plan.interval(0.9)
print(f"N = {plan.params:.3g}, D = {plan.tokens:.3g} bytes: loss {low:.3f} to {high:.3f} with probability 0.9")
print(f"beats the best run so far with probability {plan.probability_beats_incumbent:.0%}")
assert np.isclose(6 * plan.params * plan.tokens, 2e14)
plan.to_frame()[["choice", "params", "tokens", "expected_loss", "expected_regret"]]

# %% [markdown]
# Sizes in the flat region cost next to nothing; inside it other concerns may choose.

# %%
print("N from {:.3g} to {:.3g} loses less than {:.4f} nats".format(*plan.flat, plan.flat_within))
