"""A study whose names and texts want to be markup."""

from __future__ import annotations

EVIL = "<script>alert(1)</script> | *x* `y` $z_1$"


STUDY = f"""
title = "A run & <b>its</b> budget"
seed = 1
[data]
file = "runs.csv"
[laws]
names = ["chinchilla", "kaplan_joint"]
discrepancy = "none"
cuts = {{flops = [1e20]}}
[budget]
amount = 2e6
cost = "money"
peak_flops = 989e12
utilisation = {{distribution = "Beta", concentration1 = 40, concentration0 = 60}}
price_per_gpu_hour = 2.5
[goal]
target = 1.93
[pilots]
params = [1e8, 1e9]
tokens = [1e9, 1e10]
[trajectory]
params = 1e10
tokens = 2e11
targets = [2.5, 1.0]
[about]
optimiser = "{EVIL}"
"""
