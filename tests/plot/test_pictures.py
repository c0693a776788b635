"""Pictures say what they show: units on axes, probability and content of every band, text of the data as it is."""

from __future__ import annotations

import dataclasses
import io
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import bayes_scaling as bs
from bayes_scaling.plot import fits, parameters
from bayes_scaling.plot import style as drawing
from bayes_scaling.predict.forecast import Forecast, forecast
from tests.support import fit_exact

NEW_RUN = "of new runs"
MEAN = "of mean curves"
OPTIMUM = "of mean losses at the best split of compute"


def simulated(rows: int = 30) -> bs.Runs:
    """Runs of a Chinchilla law with one percent of scatter, one outlier, and names that look like mathematics."""
    rng = np.random.default_rng(7)
    params, tokens = 10 ** rng.uniform(7, 9, rows), 10 ** rng.uniform(8.5, 10.5, rows)
    loss = (1.8 + 480 / params**0.35 + 2100 / tokens**0.37) * np.exp(0.01 * rng.standard_normal(rows))
    loss[3] *= 1.08
    names = [f"a_$b$\\{i}" for i in range(rows)]
    frame = pd.DataFrame({"params": params, "tokens": tokens, "loss": loss, "run": names})
    return bs.Runs.from_frame(frame, params_convention="total", source="my_$table$.csv")


def forecast_of(fit: bs.Fit, **inputs: Any) -> Forecast:
    with np.errstate(over="ignore"):  # with an outlier in few runs, a draw of the noise can be beyond any number
        return forecast(fit, unconverged=True, **inputs)


@pytest.fixture(scope="module")
def fit() -> bs.Fit:
    return fit_exact("chinchilla", simulated(), sampler="laplace", progress=False)


@pytest.fixture(scope="module")
def one_input() -> bs.Fit:
    noise = bs.Noise(family="normal", scale="growing")
    return fit_exact("power_law:input=params", simulated(), noise=noise, sampler="laplace", progress=False)


@pytest.fixture(scope="module")
def future(fit: bs.Fit) -> Forecast:
    return forecast_of(fit, params=[2e9, 1e10, 5e9], tokens=[4e10, 2e11, 1e11])


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def rendered(figure: Figure) -> list[Text]:
    """Draw a figure and return everything that is written in it."""
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    return [item for item in figure.findobj(Text) if isinstance(item, Text) and item.get_text()]


def named(figure: Figure, label: str) -> Any:
    """Return the artist of the first panel with a legend entry."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    return handles[labels.index(label)]


def tick_labels(axis: Any) -> list[str]:
    low, high = sorted(axis.get_view_interval())
    return [
        axis.get_major_formatter()(tick, i) for i, tick in enumerate(axis.get_majorticklocs()) if low <= tick <= high
    ]


# --- each picture -----------------------------------------------------------------------------------------------


def test_fit_names_axes_with_units_and_bands_with_content(fit: bs.Fit) -> None:
    figure = bs.plot.fit(fit, probabilities=(0.5, 0.8))
    panels = [ax for ax in figure.axes if ax.get_xlabel()]
    assert [ax.get_xlabel() for ax in panels] == ["parameters N (total)", "training tokens D"]
    assert {ax.get_ylabel() for ax in panels} == {"loss [nats/token]"}
    assert {(ax.get_xscale(), ax.get_yscale()) for ax in panels} == {("log", "log")}
    assert legend(figure)[-2:] == [f"80% {NEW_RUN}", f"50% {NEW_RUN}"]
    assert figure.legends[0].get_title().get_text() == "bands of new runs contain parameters + run noise"
    bars = [ax.get_ylabel() for ax in figure.axes if ax not in panels]
    assert bars[0].startswith("training tokens D") and bars[1].startswith("parameters N")


def test_curve_bands_are_the_quantiles_of_the_forecast(fit: bs.Fit) -> None:
    curve = fits._curves(fit, "params", "tokens")[2]
    new = fits.forecast_shown(fit, curve)
    ax = Figure().subplots()
    drawing.draw_fan(ax, curve["params"].to_numpy(), [(0.9, 0.2)], "black", new.mean, new.new_run)
    drawn = np.asarray(ax.collections[0].get_paths()[0].vertices)
    for x, (low, high) in zip(curve["params"], new.interval(0.9), strict=True):
        edges = drawn[np.isclose(drawn[:, 0], x), 1]
        np.testing.assert_allclose([edges.min(), edges.max()], [low, high], rtol=0.01)  # smoothed Monte Carlo noise


def test_curves_stay_where_runs_near_their_value_are(fit: bs.Fit) -> None:
    params, tokens = fit.runs.column("params"), fit.runs.column("tokens")
    for curve in fits._curves(fit, "params", "tokens"):
        assert curve["tokens"].nunique() == 1 and np.isclose(curve["tokens"].iloc[0], tokens).any()
        assert params.min() / 1.2 < curve["params"].min() < curve["params"].max() < params.max() * 1.2


def test_forecast_draws_the_intervals_it_was_given(fit: bs.Fit, future: Forecast) -> None:
    measured = [np.nan, 2.0, 2.1]
    figure = bs.plot.forecast(fit, future, measured, target=2.05)
    ax, listing = figure.axes
    assert ax.get_xlabel() == "training compute C [FLOP]" and ax.get_ylabel() == "loss [nats/token]"
    assert (ax.get_xscale(), ax.get_yscale(), listing.get_xscale()) == ("log", "log", "log")
    entries = {f"90% {NEW_RUN}", f"50% {NEW_RUN}", f"90% {MEAN}", f"90% {OPTIMUM}", f"50% {OPTIMUM}"}
    assert entries | {"measured", "target 2.05 nats/token", "fitted runs"} <= set(legend(figure))
    for probability, of, what in ((0.9, "new_run", NEW_RUN), (0.5, "new_run", NEW_RUN), (0.9, "mean", MEAN)):
        lines = np.array(named(figure, f"{probability:.0%} {what}").get_segments())
        np.testing.assert_allclose(lines[:, :, 1], future.interval(probability, of))
        np.testing.assert_allclose(lines[:, 0, 0], future.points["flops"])
    assert named(figure, "measured").get_offsets()[:, 1].tolist() == [2.0, 2.1]
    edge = named(figure, "beyond the largest fitted run").get_x()
    assert edge == fit.runs.column("flops").max() < ax.get_xlim()[1]
    assert [label.get_text() for label in listing.get_yticklabels()] == ["N 2B, D 40B", "N 5B, D 100B", "N 10B, D 200B"]


def test_forecast_without_measurements_or_target_promises_none(fit: bs.Fit, future: Forecast) -> None:
    assert not {"measured", "target"} & {entry.split()[0] for entry in legend(bs.plot.forecast(fit, future))}


def test_many_forecast_points_are_listed_as_far_as_they_can_be_read(fit: bs.Fit) -> None:
    many = forecast_of(fit, params=np.geomspace(1e9, 1e11, 80), tokens=1e11)
    ax, listing = bs.plot.forecast(fit, many).axes
    assert len(listing.get_yticks()) == 30 and "30 largest of 80" in listing.get_title()
    assert listing.get_yticklabels()[-1].get_text() == "N 100B, D 100B"
    assert len(ax.collections) > 0


def test_one_input_laws_have_one_panel_and_a_fan_along_it(one_input: bs.Fit) -> None:
    (ax,) = bs.plot.fit(one_input).axes
    assert ax.get_xlabel() == "parameters N (total)" and ax.get_xscale() == "log"
    future = forecast_of(one_input, params=[1e10], tokens=[1e11])
    figure = bs.plot.forecast(one_input, future)
    assert figure.axes[0].get_xlabel() == "parameters N (total)"
    assert legend(figure).count(f"90% {NEW_RUN}") == 1  # of the fan and the points, in one colour


def test_a_pooled_forecast_is_drawn_for_the_group_that_was_asked_for(one_input: bs.Fit) -> None:
    table = pd.concat([simulated(12).table.assign(dataset=name) for name in ("web", "code")], ignore_index=True)
    table.loc[table["dataset"] == "code", "loss"] *= 0.8
    table["run"] = [f"r{i}" for i in range(len(table))]
    pooled = fit_exact(
        "power_law:input=params",
        bs.Runs.from_frame(pd.concat([table, table.iloc[:1].assign(run="one more")], ignore_index=True)),
        pooling={"L_0": bs.partial("dataset")},
        sampler="laplace",
        progress=False,
    )
    ahead = forecast(pooled, pd.DataFrame({"params": [1e10], "dataset": ["code"]}), unconverged=True)
    figure = bs.plot.forecast(pooled, ahead)
    assert "dataset = code" in figure.get_suptitle()
    assert {"fitted runs of code", "fitted runs of other groups"} <= set(legend(figure))
    assert len(named(figure, "fitted runs of code").get_offsets()) == 12
    assert figure.axes[1].get_yticklabels()[0].get_text().endswith(", code")
    (x, y), along = figure.axes[0].get_lines()[0].get_data(), np.median(ahead.mean)
    assert np.exp(np.interp(np.log(1e10), np.log(x), np.log(y))) == pytest.approx(along, rel=0.01)
    fitted = bs.plot.fit(pooled)
    assert "dataset = web" in fitted.get_suptitle() and "all others" in legend(fitted)
    titles = [ax.get_title().split(":")[0] for ax in bs.plot.prior_posterior(pooled).axes if ax.get_title()]
    first = next(i for i, title in enumerate(titles) if "[" in title)
    assert "L_0_sd" in titles[:first] and "α" in titles[:first] and all("[" in title for title in titles[first:])


def test_prior_and_posterior_of_every_parameter(fit: bs.Fit) -> None:
    figure = bs.plot.prior_posterior(fit)
    titled = {ax.get_title().split(":")[0]: ax for ax in figure.axes if ax.get_title()}
    assert set(titled) == {"E", "α", "β", "A", "B", "σ", "ν"}
    assert titled["E"].get_xlabel() == "irreducible loss\n[nats/token]"
    assert titled["α"].get_xlabel() == "exponent of parameters\n[1]"
    assert titled["A"].get_xscale() == "log" and titled["α"].get_xscale() == "linear"
    assert f"learned {fit.contraction['nu']:.0%}" in titled["ν"].get_title()
    assert f"{np.median(fit.flat()['alpha']):.3g} (90%:" in titled["α"].get_title()
    assert legend(figure) == ["prior (peak scaled to 1)", "posterior (peak scaled to 1)"]


def test_residuals_are_over_the_scale_of_a_new_run_and_name_the_extremes(fit: bs.Fit) -> None:
    figure = bs.plot.residuals(fit)
    assert [ax.get_xlabel() for ax in figure.axes] == [
        "parameters N (total)",
        "training tokens D",
        "fitted loss [nats/token]",
    ]
    assert figure.axes[0].get_ylabel().startswith("residual / scale of a new run")
    entries = legend(figure)
    assert entries[0].startswith("±1 scale of a new run: ") and entries[0].endswith("% of the loss")
    runs = [entry for entry in entries if entry.startswith("run ")]
    assert len(runs) == 5 and runs[0].startswith(r"run a_\$b\$\3: +")  # the outlier
    points = np.concatenate([np.asarray(c.get_offsets()) for c in figure.axes[0].collections])
    drawn = np.log(fit.replicated.reshape(fit.log_mean.shape)) - fit.log_mean
    scale = np.diff(np.quantile(drawn, [0.16, 0.84], axis=0), axis=0)[0] / 2
    expected = (np.log(fit.runs.loss) - np.median(fit.log_mean, axis=0)) / scale
    np.testing.assert_allclose(np.sort(points[:, 1]), np.sort(expected))


def test_residuals_follow_noise_that_grows_for_small_runs(one_input: bs.Fit) -> None:
    (band,) = [entry for entry in legend(bs.plot.residuals(one_input)) if entry.startswith("±1")]
    assert "% to " in band


def test_traces_show_every_parameter_and_leave_no_pyplot_figure(fit: bs.Fit) -> None:
    chains = dataclasses.replace(fit, manifest={**fit.manifest, "sampler_used": "NUTS"})
    figure = bs.plot.traces(chains)
    assert [ax.get_ylabel() for ax in figure.axes[::2]] == ["E", "α", "β", "A", "B", "σ", "ν"]
    assert all(len(ax.get_lines()) >= fit.unconstrained.shape[0] for ax in figure.axes)
    assert legend(figure)[:2] == ["chain 1", "chain 2"] and "99% of ranks" in legend(figure)[-1]
    assert not any("p=" in text.get_text() for text in rendered(figure))
    assert sys.modules["matplotlib.pyplot"].get_fignums() == []


def test_independent_draws_are_no_chains(fit: bs.Fit) -> None:
    figure = bs.plot.traces(fit)
    assert "Independent draws" in figure.get_suptitle() and len(figure.axes) == len(fit.draws)


def test_pictures_of_many_parameters_say_how_many_they_show(fit: bs.Fit) -> None:
    draws = {f"alpha[{number}]": fit.draws["alpha"] for number in range(30)}
    figure = bs.plot.traces(dataclasses.replace(fit, draws=draws))
    assert "24 of 30 parameters" in figure.get_suptitle() and len(figure.axes) == 24


def test_traces_of_groups_with_a_slash_in_their_names_are_drawn(fit: bs.Fit) -> None:
    draws = {name if name != "alpha" else "alpha[c4/en]": values for name, values in fit.draws.items()}
    figure = bs.plot.traces(dataclasses.replace(fit, draws=draws))
    assert any("c4/en" in ax.get_ylabel() for ax in figure.axes)


def test_exponents_and_published_constants(fit: bs.Fit) -> None:
    figure = bs.plot.exponents(fit)
    region = "of the posterior (highest-density region)"
    published = [constants.name for constants in fit.law.published]
    assert legend(figure) == [f"90% {region}", f"50% {region}", *published]
    pair = figure.axes[2]
    assert (pair.get_xlabel(), pair.get_ylabel()) == ("α", "β")
    marks = [(line.get_xdata()[0], line.get_ydata()[0]) for line in pair.get_lines()]  # type: ignore[index]
    assert marks == [(c.values["alpha"], c.values["beta"]) for c in fit.law.published]
    assert len(bs.plot.exponents(fit, ["sigma"]).axes) == 1


def test_density_regions_hold_their_probability(fit: bs.Fit) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 4000))
    ax = Figure().subplots()
    parameters._regions(ax, x, 3 * y, [(0.9, 0.2)])
    path = ax.collections[0].get_paths()[0]
    assert np.mean(path.contains_points(np.stack([x, 3 * y], axis=1))) == pytest.approx(0.9, abs=0.02)


# --- text, ticks, state -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fit", "residuals", "prior_posterior", "exponents", "traces"])
def test_text_of_the_data_is_drawn_as_it_is(fit: bs.Fit, name: str) -> None:
    texts = rendered(getattr(bs.plot, name)(fit))
    ours = [text for text in texts if "$" in text.get_text().replace(r"\$", "")]
    assert not any("table" in text.get_text() or "a_" in text.get_text() for text in ours)
    title = next(text for text in texts if "chinchilla" in text.get_text()).get_text()
    assert r"my_\$table\$.csv" in title  # an escaped dollar is drawn as a dollar


def test_symbols() -> None:
    assert drawing.symbol_of("alpha") == "α"
    assert drawing.symbol_of("alpha_N") == r"α$_\mathrm{N}$"
    assert drawing.symbol_of("a_$b") == r"a_\$b"


@pytest.mark.parametrize(
    ("low", "high", "name", "expected"),
    [
        (1.9, 3.6, "loss", ["2", "2.25", "2.5", "2.75", "3", "3.25", "3.5"]),
        (0.9, 6.5, "loss", ["1", "1.5", "2", "3", "4", "6"]),
        (6e7, 2e10, "params", ["100M", "300M", "1B", "3B", "10B"]),
        (3e8, 3e10, "tokens", ["500M", "1B", "2B", "5B", "10B", "20B"]),
        (1e18, 2e21, "flops", ["$10^{18}$", "$10^{19}$", "$10^{20}$", "$10^{21}$"]),
        (1.5e21, 5e21, "flops", [rf"${i}\times10^{{21}}$" for i in ("1.5", "2", "3", "4")]),
        (1.05, 4.2, "loss", ["1.2", "1.5", "2", "2.5", "3", "4"]),
        (9.5e-5, 1.8e-4, "loss", [r"$10^{-4}$", r"$1.2\times10^{-4}$", r"$1.5\times10^{-4}$"]),
    ],
)
def test_ticks_of_log_axes_are_readable(low: float, high: float, name: str, expected: list[str]) -> None:
    ax = Figure().subplots()
    drawing.log_axis(ax, ax.xaxis, name, "")
    ax.set_xlim(low, high)
    assert tick_labels(ax.xaxis) == expected
    assert len(ax.xaxis.get_minorticklocs()) == 0


def test_a_fit_that_did_not_converge_is_marked(fit: bs.Fit) -> None:
    bad = dataclasses.replace(fit, diagnostics=dataclasses.replace(fit.diagnostics, rhat=1.5))
    for draw in (bs.plot.fit, bs.plot.residuals):
        assert any("NOT CONVERGED: R-hat 1.500" in text.get_text() for text in rendered(draw(bad)))


def test_settings_of_matplotlib_stay_as_they_were(fit: bs.Fit) -> None:
    before = dict(matplotlib.rcParams)
    bs.plot.residuals(fit)
    bs.plot.traces(fit)
    assert dict(matplotlib.rcParams) == before


# --- refusals ---------------------------------------------------------------------------------------------------


def test_questions_that_cannot_be_drawn_are_refused(fit: bs.Fit, future: Forecast, tmp_path: Path) -> None:
    with pytest.raises(bs.errors.LawError, match="no parameter 'gamma'"):
        bs.plot.exponents(fit, ["alpha", "gamma"])
    with pytest.raises(bs.errors.LawError, match="name some"):
        bs.plot.exponents(fit, [])
    with pytest.raises(bs.errors.ForecastError, match="each of 3 forecast points"):
        bs.plot.forecast(fit, future, measured=[2.0, 2.1])
    with pytest.raises(bs.errors.ForecastError, match="target loss is -1"):
        bs.plot.forecast(fit, future, target=-1)
    with pytest.raises(bs.errors.ForecastError, match="expected a fraction"):
        bs.plot.fit(fit, probabilities=(50,))
    with pytest.raises(bs.BayesScalingError, match="'docx'"):
        bs.plot.save_all(fit, tmp_path, file_format="docx")
    with pytest.raises(bs.errors.ForecastError, match="belong to a forecast"):
        bs.plot.save_all(fit, tmp_path, target=2.0)
    assert not list(tmp_path.iterdir())


# --- files ------------------------------------------------------------------------------------------------------


def test_saved_pictures_are_whole(fit: bs.Fit, future: Forecast, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "pictures"
    paths = bs.plot.save_all(fit, folder, future, [2.2, 2.1, np.nan], 2.0)
    names = ["fit", "prior_posterior", "residuals", "traces", "exponents", "forecast"]
    assert [path.name for path in paths] == [f"{name}.png" for name in names]
    assert sorted(folder.iterdir()) == sorted(paths)
    assert all(path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000 for path in paths)


def test_a_picture_that_cannot_be_finished_leaves_the_old_one(
    fit: bs.Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "fit.png"
    old.write_text("old")

    def broken(figure: Figure, target: Path, **_: Any) -> None:
        Path(target).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", broken)
    with pytest.raises(bs.BayesScalingError, match=r"cannot write .*fit\.png: No space left"):
        bs.plot.save_all(fit, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["fit.png"] and old.read_text() == "old"


def test_a_folder_that_is_a_file_is_refused(fit: bs.Fit, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(bs.BayesScalingError, match="cannot write"):
        bs.plot.save_all(fit, tmp_path / "taken")
