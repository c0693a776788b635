"""One law fitted to many tables."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bayes_scaling.base.progress import progress_bar
from bayes_scaling.base.scope import scope
from bayes_scaling.data.runs import Runs
from bayes_scaling.inference.fit import ask, composed
from bayes_scaling.inference.result import Fit
from bayes_scaling.inference.sampler import SamplerChoice, chosen_sampler, sample_all
from bayes_scaling.laws.catalogue import load_law
from bayes_scaling.laws.law import Law
from bayes_scaling.model.choices import DiscrepancyChoice, NoiseChoice
from bayes_scaling.model.pooling import Pooling


def fit_many(
    law: Law | str,
    tables: Sequence[Runs],
    *,
    noise: NoiseChoice = "auto",
    discrepancy: DiscrepancyChoice = "brownian",
    pooling: Pooling | None = None,
    sampler: SamplerChoice = "batched",
    seed: int = 0,
    progress: bool | None = None,
) -> list[Fit]:
    """Fit one law to many tables: cuts of one table, tables without some of their rows, bootstraps.

    Each fit is what `fit` returns with the same options, to the bit, whatever tables are beside it and in what order.
    Tables of up to ``like_rows`` rows of a `Sampler` share a program; others one for each padded length.

    Parameters
    ----------
    tables : the tables
    law, noise, discrepancy, pooling, seed, progress : as of `fit`
    sampler : as of `fit`; ``batched`` computes all tables at once, on all devices of its kind, others one by one

    Returns
    -------
    list of Fit
        In the order of the tables. ``sampler_used`` says which of them were sampled alone, as their draws beside the
        others were not good. ``seconds`` of a manifest are the mean of all tables.
    """
    law = load_law(law) if isinstance(law, str) else law
    sampler = chosen_sampler(sampler)
    compositions = [composed(law, runs, noise, discrepancy, pooling) for runs in tables]
    started = time.perf_counter()
    with (
        scope(sampler.device, max((len(runs) for runs in tables), default=0)),
        progress_bar(f"fit {law.label}", progress) as report,
    ):
        report("compiling", 0.0)
        asked = [ask(*one, sampler, seed, report) for one in zip(compositions, tables, strict=True)]
        made = sample_all(sampler, [one.problem for one in asked], report)
        seconds = (time.perf_counter() - started) / max(len(made), 1)
        return [one.answer(*found, seconds) for one, found in zip(asked, made, strict=True)]
