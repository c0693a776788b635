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
# # Spend a budget
#
# Which model should a budget train, how sure is that, what does being wrong cost, and should one buy small runs
# first?

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import bayes_scaling as bs

FAST = bool(os.environ.get("NOTEBOOK_FAST"))
rng = np.random.default_rng(0)
params = np.exp(rng.uniform(np.log(5e7), np.log(3e9), 40))
design = pd.DataFrame({"params": params, "tokens": params * np.exp(rng.uniform(np.log(5), np.log(100), 40))})
runs = bs.simulate("chinchilla", design, "besiroglu2024", noise="normal", seed=3)
fit = bs.fit("chinchilla", runs, seed=0)
BUDGET = 1e23

# %% [markdown]
# ## Allocate
#
# Each draw of the posterior has its own best split. The plan is the best one over all draws; its regret is what it
# loses against the best split of each draw.

# %%
problem = bs.DecisionProblem(fit, target=2.1)
plan = problem.allocate(BUDGET, compare_with={"twice as large": (6e10, BUDGET / 6 / 6e10)})
assert (plan.regret >= 0).all() and np.isclose(plan.cost, BUDGET)
print("N* with probability 0.9: {:.3g} to {:.3g}".format(*plan.interval(0.9, of="optimum_params")))
print(f"P(loss <= 2.1) = {plan.probability_reaches_target:.0%}; mean of the worst 5 %: {plan.cvar(0.05):.3f}")
plan.to_frame()[["choice", "params", "tokens", "expected_loss", "expected_regret", "wasted_flops"]]

# %% [markdown]
# ## Risk
#
# The same budget with other objectives, with serving, and in money with uncertain utilisation and price.

# %%
hourly = {"peak_flops": 989e12, "utilisation": [0.3, 0.4, 0.45], "price_per_gpu_hour": [1.9, 2.5, 3.2]}
goals = {
    "expected improvement": {},
    "mean of the worst 5 %": {"objective": "cvar:0.05"},
    "and 1e13 tokens served": {"cost": bs.costs.lifetime(1e13)},
}
plans = {name: bs.allocate(fit, BUDGET, **how) for name, how in goals.items()}
plans["200,000 dollars, 90 % sure"] = bs.allocate(fit, 2e5, cost=bs.costs.money(quantile=0.9, **hourly))
assert plans["and 1e13 tokens served"].params < plans["expected improvement"].params
pd.DataFrame({name: {"N": p.params, "D": p.tokens, "loss": p.choice.expected_loss} for name, p in plans.items()}).T

# %% [markdown]
# ## What a larger budget would buy

# %%
curve = problem.curve(np.geomspace(BUDGET / 10, BUDGET * 10, 5 if FAST else 9))
figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
axes.plot(curve["budget"], curve["expected_loss"], marker="o", color="#0072B2")
axes.set(xscale="log", xlabel="budget (FLOP)", ylabel="expected loss of the best plan (nats/token)")
plt.show()
assert (np.diff(curve["expected_loss"]) < 0).all()
problem.smallest_budget([0.1, 0.5, 0.9])[["probability", "budget", "params", "tokens"]]

# %% [markdown]
# ## Pilots
#
# Should small runs come first? Their cost is missing from the big run, and what they show improves its choice. Both
# are counted in nats.

# %%
offers = pd.DataFrame([(N, D) for N in (3e8, 1e9, 3e9) for D in (3e9, 3e10, 3e11)], columns=["params", "tokens"])
pilots = problem.pilot(offers, 0.05 * BUDGET, budget=BUDGET)
print(pilots.verdict)
assert pilots.value.gain <= pilots.perfect
pilots.offers[["params", "tokens", "cost", "uncertainty_left", "gain", "price", "net"]].sort_values("net").tail(4)

# %% [markdown]
# ## On record
#
# Before the run starts, its forecast goes into a file with a digest. Once the loss is known, it is scored against
# the file.

# %%
registered = bs.preregister(plan, name="the big run")
print(registered.digest, registered.content["caveats"])
truth = float(bs.load_law("chinchilla").at("besiroglu2024")(params=plan.params, tokens=plan.tokens))
scores = bs.score_registered(registered, truth)
assert 0 < scores["pit"].iloc[0] < 1
scores[["loss", "median", "error", "pit", "inside_90"]]
