"""The start of training curves: learned beside the law, stated, and shared with runs that are forecast."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.model.choices import chosen_noise, discrepancy_along
from bayes_scaling.model.start import StartOfTable, start_for

LAW = "three_term"
CONSTANTS = {"E": 1.0, "A": 4.0, "K": 6.0, "J": 8.0, "alpha": 0.25, "beta": 0.35, "gamma": 0.35}
SCATTER = {"sigma": 0.004, "sigma_curve": 0.005, "length": 1.0, "sigma_start": 0.05}
BEGINS = start_for(bs.load_law(LAW))


def design(rows: int = 16) -> pd.DataFrame:
    """Curves of five sizes at three batches, each from the first steps on."""
    runs = [(n, b) for n in np.geomspace(1e4, 1e6, 5) for b in (1e3, 8e3, 64e3)]
    steps = np.unique(np.geomspace(5, 4000, rows).round())
    return pd.DataFrame(
        [
            {"run": f"r{i}", "params": n, "batch_tokens": b, "steps": s, "tokens": s * b}
            for i, (n, b) in enumerate(runs)
            for s in steps
        ]
    )


def table(seed: int, **departure: float) -> bs.Runs:
    """Simulated curves whose start departs from the law."""
    assert BEGINS is not None
    noise = bs.Noise("normal", rows="correlated", start=BEGINS)
    nothing = dict.fromkeys(BEGINS.terms, 0.0)
    return bs.simulate(LAW, design(), {**CONSTANTS, **SCATTER, **nothing, **departure}, noise=noise, seed=seed)


DEPARTURE = {"start_1": 0.5, "start_1_batch_tokens": -0.2, "start_3": 0.1, "start_3_params": 0.05}


def test_a_law_says_along_what_curves_start() -> None:
    assert start_for(bs.load_law(LAW)) == bs.Start("steps", ("params", "batch_tokens"))
    assert start_for(bs.load_law("chinchilla")) is None
    noise = bs.Noise("normal", rows="correlated")
    curves = table(0)
    assert chosen_noise("auto", curves, bs.load_law(LAW)) == dataclasses.replace(noise, start=BEGINS)
    assert chosen_noise(noise, curves, bs.load_law("chinchilla")) == noise
    assert chosen_noise(dataclasses.replace(noise, start="none"), curves, bs.load_law(LAW)).start == "none"


def test_the_departure_dies_out_within_a_share_of_the_median_run() -> None:
    begins = bs.Start("steps", ("params",), share=0.2)
    frame = design()
    columns = {name: frame[name].to_numpy() for name in ("steps", "params")}
    columns["run"] = pd.factorize(frame["run"])[0]
    measured = StartOfTable.of(begins, columns)
    assert measured.length == pytest.approx(0.2 * 4000)
    here = measured.columns({"steps": np.array([1e-9, 800.0, 8e5]), "params": np.full(3, 1e5)})
    theta = dict.fromkeys((row.name for row in begins.parameters), 0.0) | {"start_3": 1.0, "sigma_start": 0.1}
    np.testing.assert_allclose(begins.departure(theta, here), [1.0, np.exp(-1.0), 0.0], atol=1e-9)
    np.testing.assert_allclose(begins.scatter(theta, here), [0.1, 0.1 * np.exp(-8.0), 0.0], atol=1e-9)


def test_noise_with_a_start_is_described_and_read_back() -> None:
    assert BEGINS is not None
    for start in ("none", "learned", BEGINS, dataclasses.replace(BEGINS, share=0.3)):
        noise = bs.Noise("normal", rows="correlated", start=start)
        assert bs.Noise.from_dict(noise.as_dict()) == noise
    assert "start of curves learned (first 10%)" in bs.Noise("normal", rows="correlated", start=BEGINS).label


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": "correlated", "start": "late"}, "start is 'late'; expected learned, none, or a bayes_scaling.Start"),
        ({"start": "none"}, "start is about training curves, but rows are independent"),
    ],
)
def test_a_start_that_means_nothing_is_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(bs.errors.LawError, match=message):
        bs.Noise(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"share": 1.5}, {"along": "hours"}, {"by": ("loss",)}])
def test_a_start_of_no_curve_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(bs.errors.LawError, match="expected a fraction between 0 and 1|lies along one of"):
        bs.Start(**options)  # type: ignore[arg-type]


def test_a_discrepancy_of_whole_curves_runs_along_models_and_batches() -> None:
    curves, law = table(0), bs.load_law(LAW)
    noise = chosen_noise("auto", curves, law)
    assert discrepancy_along(bs.Discrepancy(), noise, law, curves).along == "params and batch"
    one = curves.where(curves.column("batch_tokens") == curves.column("batch_tokens")[0])
    assert discrepancy_along(bs.Discrepancy(), noise, law, one).along == "params"
    assert discrepancy_along(bs.Discrepancy(along="size"), noise, law, curves).along == "size"
    assert discrepancy_along(bs.Discrepancy(), bs.Noise(), law, curves).along == "auto"
    two = curves.where(curves.column("params") < 5e4)
    assert discrepancy_along(bs.Discrepancy(), noise, law, two).along == "auto"
    with pytest.raises(bs.errors.LawError, match="along is 'batch'"):
        bs.Discrepancy(along="batch")


def test_a_fit_learns_the_start_and_forecasts_it() -> None:
    """The start of a larger model is forecast; without it the law takes the start for its own."""
    whole = table(1, **DEPARTURE)
    small = whole.where(whole.column("params") < 5e5)
    large = whole.where(whole.column("params") >= 5e5)
    errors = {}
    for start in ("learned", "none"):
        noise = bs.Noise("normal", rows="correlated", start=start)
        fit = bs.fit(LAW, small, noise=noise, discrepancy="none", sampler="laplace", progress=False)
        found = bs.forecast(fit, large, unconverged=True)
        errors[start] = np.log(found.median() / large.loss)
        if start == "learned":
            low, high = found.interval(0.9).T
            assert 0.75 <= np.mean((low <= large.loss) & (large.loss <= high)) <= 1.0
            assert "start of curves learned" in fit.noise.label
            assert fit.manifest["noise"]["start"] == {"along": "steps", "by": ["params", "batch_tokens"], "share": 0.1}
    late = large.column("steps") > 100
    assert np.std(errors["learned"][late]) < 0.02
    assert np.std(errors["learned"]) < 0.7 * np.std(errors["none"])


@pytest.mark.slow
def test_intervals_hold_what_curves_were_simulated_from() -> None:
    """Law, start and scatter: 90 % intervals of all hold the truth about 90 % of the time."""
    truth = {**CONSTANTS, **SCATTER, **DEPARTURE}
    inside = []
    for seed in range(12):
        fit = bs.fit(LAW, table(seed, **DEPARTURE), discrepancy="none", sampler="laplace", progress=False)
        for name, value in truth.items():
            low, high = np.quantile(fit.draws[name], [0.05, 0.95])
            inside.append(low <= value <= high)
    assert 0.8 <= np.mean(inside) <= 0.98
