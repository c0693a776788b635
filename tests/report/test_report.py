"""Reports: one study becomes a page whose every number is in its JSON, whose text is escaped, which a browser reads."""

from __future__ import annotations

import copy
import dataclasses
import html.parser
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import bayes_scaling as bs
from bayes_scaling.base.spacing import evenly
from bayes_scaling.cli.commands import app
from bayes_scaling.evaluate.candidates import Candidate, Cut
from bayes_scaling.evaluate.defaults import default_laws
from bayes_scaling.evaluate.fitting import members
from bayes_scaling.evaluate.weights import law_weights
from bayes_scaling.model.choices import chosen_noise
from bayes_scaling.plot import numbers as words
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.report import decision, evidence, provenance, trust
from bayes_scaling.report.changes import after_pilot
from bayes_scaling.report.render import Report, _environment
from bayes_scaling.report.study import Study
from tests.report.hostile_study import EVIL, STUDY
from tests.support import LAW_FILE, design, run

ROOT = Path(__file__).parents[2]
# Numbers that belong to the page and not to the study: contents of bands, sections, names of norms.
STATIC = {"90", "50", "5", "95", "6", *"1234567", "SHA-256"}


@pytest.mark.parametrize("name", ["evil.py", "./evil.py", "evil.py:input=tokens", "../{folder}/evil.py", "{path}"])
def test_a_law_file_in_a_study_runs_only_where_the_user_says_so(folder: Path, tmp_path: Path, name: str) -> None:
    evil = tmp_path / "evil.py"
    evil.write_text("from pathlib import Path\nPath(__file__).with_name('it-ran').touch()\n" + LAW_FILE)
    shutil.copy(folder / "runs.csv", tmp_path)
    named = name.format(folder=tmp_path.name, path=evil)
    (tmp_path / "study.toml").write_text(STUDY.replace('["chinchilla", "kaplan_joint"]', f'["chinchilla", "{named}"]'))
    code, _, err = run("report", tmp_path / "study.toml", "--draft", "--out", tmp_path / "report")
    assert code == 2 and named in err and err.endswith("read it, then add --run-law-files")
    with pytest.raises(bs.errors.StudyError, match="then add run_law_files=True"):
        bs.make_report(tmp_path / "study.toml", draft=True, progress=False)
    assert not (tmp_path / "it-ran").exists()
    if ":" not in name:
        study = Study.read(tmp_path / "study.toml")
        candidates = study.candidates(study.runs(), draft=True, run_law_files=True)
        assert (tmp_path / "it-ran").exists() and "mine" in [one.law.label for one in candidates]


def numbers_of(content: Any) -> Iterator[float]:
    if isinstance(content, dict | list):
        for part in content.values() if isinstance(content, dict) else content:
            yield from numbers_of(part)
    elif isinstance(content, int | float) and not isinstance(content, bool):
        yield content


def texts_of(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        yield from content
    if isinstance(content, dict | list):
        for part in content.values() if isinstance(content, dict) else content:
            yield from texts_of(part)
    elif isinstance(content, str):
        yield content


class Page(html.parser.HTMLParser):
    """What a reader sees: numbers with their exact values, and all other text, pictures left out."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.values: list[tuple[float, str]] = []
        self.texts: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.skipped = 0
        self.value: float | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [str(given["id"])] if "id" in given else []
        self.links += [str(given[name]) for name in ("href", "src", "xlink:href") if name in given]
        self.skipped += tag in ("svg", "style", "script")
        if tag == "data":
            self.value = float(str(given["value"]))

    def handle_endtag(self, tag: str) -> None:
        self.skipped -= tag in ("svg", "style", "script")
        if tag == "data":
            self.value = None

    def handle_data(self, data: str) -> None:
        if self.skipped:
            return
        if self.value is None:
            self.texts.append(data)
        else:
            self.values.append((self.value, data))


# --- the page and its JSON ------------------------------------------------------------------------------------------


def test_every_number_of_the_page_is_in_the_json(report: Report) -> None:
    page, known = Page(report.html), set(numbers_of(json.loads(report.json)))
    assert len(page.values) > 300
    assert [shown for value, shown in page.values if value not in known] == []
    said = "\n".join(" ".join(text.split()) for text in texts_of(report.content))
    loose = [token for text in page.texts for token in re.findall(r"[^\s,;:()\[\]]*\d[^\s,;:()\[\]]*", text)]
    assert [token for token in loose if token.strip(".%") not in STATIC and token.strip(".") not in said] == []


def test_a_number_that_is_not_in_the_json_would_be_found(report: Report) -> None:
    changed = copy.deepcopy(dict(report.content))
    changed["recommendation"]["run"]["cvar"] = 9.87654321
    known = set(numbers_of(report.content))
    assert any(value not in known for value, _ in Page(Report(changed).html).values)


def test_what_is_shown_is_the_value_beside_it(report: Report) -> None:
    run = report.content["recommendation"]["run"]
    shown = dict((value, text) for value, text in Page(report.html).values)
    assert shown[run["expected_loss"]] == words.loss(run["expected_loss"])
    assert shown[run["params"]] == words.short_number(run["params"])


def test_markdown_says_the_same(report: Report) -> None:
    run = report.content["recommendation"]["run"]
    for kind, name in (("count", "params"), ("count", "tokens"), ("loss", "expected_loss"), ("loss", "low")):
        assert words.written(run[name], kind) in report.markdown
    titles = re.findall(r"<h2><span>(\d)</span>(.+)</h2>", report.html)
    assert [f"{number}. {title}" for number, title in titles] == re.findall(r"^## (.+)$", report.markdown, re.M)
    assert len(titles) == 7


def test_tables_of_markdown_keep_their_columns(report: Report) -> None:
    tables = re.findall(r"(?:^\|.*\|\n)+", report.markdown, re.M)
    assert len(tables) > 10
    for table in tables:
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(columns) == 1, table


def test_text_from_data_stays_text(report: Report) -> None:
    held = report.html[report.html.index('id="content"') :]
    assert "<script>alert" not in report.html and "&lt;script&gt;alert" in report.html
    assert "<b>its</b>" not in report.html and "\\u003cscript>alert" in held
    assert (
        "<script>" not in report.markdown.replace(report.content["methods"]["asked"], "")
        and "\\*x\\* \\`y\\`" in report.markdown
    )
    assert any(run["run"].startswith(EVIL) for run in report.content["trust"]["influential"])


def test_page_holds_its_own_content(report: Report) -> None:
    held = re.search(r'<script type="application/json" id="content">(.*?)</script>', report.html, re.S)
    assert held is not None and json.loads(held[1]) == json.loads(report.json)


def test_page_needs_nothing_else(report: Report) -> None:
    page = Page(report.html)
    assert len(report.html.encode()) < 2_000_000
    assert all(link.startswith("#") for link in page.links)
    assert not re.search(r"@import|url\((?!#)", report.html)
    assert len(set(page.ids)) == len(page.ids)


def test_pictures_follow_the_page(report: Report) -> None:
    pictures = re.findall(r"<svg xmlns.*?</svg>", report.html, re.S)
    assert len(pictures) >= 7
    for svg in pictures:
        assert "<text" in svg and "metadata" not in svg
        assert re.findall(r"(?:fill|stroke): #", svg) == []


def test_numbers_that_are_missing_are_dashes_and_null(report: Report) -> None:
    content = copy.deepcopy(dict(report.content))
    for row in content["trust"]["influential"]:
        row |= {"k_hat": float("nan"), "shift": float("nan")}
    for row in content["trust"]["parameters"]:
        row["learned"] = float("nan")
    for one in content["trust"]["verdicts"]:
        one["numbers"] = {name: {**number, "value": float("inf")} for name, number in one["numbers"].items()}
    content = json.loads(Report(content).json, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert content["trust"]["influential"][0]["k_hat"] is None
    page = Report(content)
    assert f'<td class="n">{words.NOTHING}</td><td class="n">{words.NOTHING}</td>' in page.html  # shift and k-hat
    assert "nan" not in page.markdown.lower().split()


def test_an_objective_that_ranks_nothing_is_said_first(report: Report) -> None:
    content = copy.deepcopy(dict(report.content))
    content["recommendation"]["unranked"] = "every size is alike"
    content["pilots"]["unranked"] = "every pilot is alike"
    page = Report(content)
    for text in (page.html, page.markdown):
        text = text.replace("<strong>", "**").replace("</strong>", "**")
        assert "**No recommendation:** every size is alike. One size among equals would be **" in " ".join(text.split())
        assert "**No recommendation:** every pilot is worth 0, because every pilot is alike." in " ".join(text.split())


@pytest.mark.slow
def test_a_run_of_14_that_is_far_off_leaves_a_report() -> None:
    table = bs.simulate("chinchilla", design(14, 3), "besiroglu2024", noise="normal", seed=1).table
    table["loss"] *= np.where(np.arange(14) == 5, 1.6, 1.0)
    study = Study.model_validate(
        {
            "title": "14 runs",
            "data": {"file": "runs.csv"},
            "laws": {"names": ["chinchilla"], "alongside": []},
            "budget": {"amount": 1e23},
            "goal": {"target": 2.0},
        }
    )
    report = bs.make_report(study, bs.Runs.from_frame(table[["params", "tokens", "loss"]]), draft=True, progress=False)
    influential = report.content["trust"]["influential"]
    assert any(row["k_hat"] is None for row in influential)
    assert report.html


def test_a_page_draws_some_of_thousands_of_held_out_runs_and_says_so(report: Report) -> None:
    laws = report.content["laws"]
    assert laws["held_out_runs"] == len(laws["held_out"]["chinchilla"]) and "evenly by size" not in report.html
    runs = pd.DataFrame({"extrapolation": np.arange(30_000.0)})
    drawn = runs.iloc[evenly(len(runs), evidence.BARS)]
    assert len(drawn) == 500 and list(drawn["extrapolation"].iloc[[0, -1]]) == [0, 29_999]
    many = Report({**report.content, "laws": {**laws, "held_out_runs": 30_000}})
    assert ">30,000</data> forecasts are drawn, evenly by size" in many.html


def test_draft_is_said_everywhere(report: Report) -> None:
    final = Report({**report.content, "draft": False, "converged": True})
    assert report.content["draft"] is True
    for text in (report.html, report.markdown):
        assert text.count("DRAFT") >= 2
    assert "DRAFT" not in final.html and "DRAFT" not in final.markdown
    failed = Report({**report.content, "draft": False, "converged": False})
    assert "did not converge" in failed.html and "did not converge" in failed.markdown


# --- the command and reproducibility --------------------------------------------------------------------------------


def test_command_gives_the_same_json(report: Report, folder: Path) -> None:
    out = folder / "out"
    result = CliRunner().invoke(app, ["report", str(folder / "study.toml"), "--out", str(out), "--draft"])
    assert result.exit_code == 0, result.output
    assert {path.name for path in out.iterdir()} == {"report.html", "report.md", "report.json"}
    again, ours = json.loads((out / "report.json").read_text()), json.loads(report.json)
    assert again.pop("made") and ours.pop("made")
    assert again == ours


def test_example_of_the_docs_can_be_read() -> None:
    study = Study.read(ROOT / "docs" / "study.toml")
    assert len(study.runs()) == len(bs.datasets.load())
    runs = study.runs()
    draft = [one.label for one in study.candidates(runs, draft=True)]
    assert draft[::2] == ["chinchilla", "kaplan_joint", "nesting", "farseer"]
    assert draft == [one.label for one in study.candidates(runs, draft=False) if one.weighted]


def test_laws_are_fitted_as_where_none_is_named() -> None:
    study = Study.read(ROOT / "docs" / "study.toml")
    runs = study.runs()
    asked = [one for one in study.candidates(runs, draft=False) if one.weighted]
    usual = members(default_laws(runs), "auto", bs.Discrepancy(), "auto", runs)
    noises = [[chosen_noise(one.noise, runs, one.law) for one in some] for some in (asked, usual)]
    assert noises[0] == noises[1]
    plain = [[dataclasses.replace(one, noise="auto") for one in some] for some in (asked, usual)]
    assert plain[0] == plain[1]


# --- a draft, and what its page opens with ---------------------------------------------------------------------------


def test_a_draft_says_what_it_leaves_out(report: Report) -> None:
    lacks = report.content["lacks"]
    assert "normal approximation" in lacks and "no huber point fits" in lacks
    for page in (report.html, report.markdown):
        assert f"{lacks}. The recommendation and the probabilities can change. Not for signature." in page


def test_a_draft_weighs_laws_as_their_forecasts_did_however_rough_their_fits(chinchilla_runs: bs.Runs) -> None:
    laws = [Candidate(name, bs.load_law(name), sampler="laplace") for name in ("chinchilla", "kaplan_joint")]
    cut = Cut("flops", 1e20)
    found = bs.compare(laws, chinchilla_runs, cuts=[cut], loo=False, progress=False)
    rough = found.fits["chinchilla"]
    rough = dataclasses.replace(rough, diagnostics=dataclasses.replace(rough.diagnostics, k_hat=0.9))
    found = dataclasses.replace(
        found, fits={**found.fits, "chinchilla": rough}, weights={"chinchilla": 0.0, "kaplan_joint": 1.0}
    )
    weights = evidence.all_weighed(found).weights
    assert weights == law_weights(found.scores, {name: name for name in weights}, [cut])
    assert 0 < weights["chinchilla"] < 1
    (gone,) = decision.dropped_laws(found, {"params": 1e10, "tokens": 1e11}, 0)
    assert gone["law"] == "chinchilla" and "0.90" in gone["why"] and gone["low"] < gone["median"] < gone["high"]
    assert decision.dropped_laws(evidence.all_weighed(found), {"params": 1e10, "tokens": 1e11}, 0) == []


def test_a_red_check_comes_before_the_recommendation(report: Report) -> None:
    content = copy.deepcopy(dict(report.content))
    for one in content["trust"]["verdicts"]:
        one |= {"level": "green", "word": "good"}
    calm = Report(content)
    assert "Do not act" not in calm.html and "Do not act" not in calm.markdown
    assert calm.conclusion.startswith("Train ")
    content["trust"]["verdicts"][3] |= {"level": "red", "word": "do not trust"}
    loud = Report(content)
    for page in (loud.html, loud.markdown):
        places = [
            page.index(words) for words in ("Do not act on this yet", "forecasts were tested up to", "nevertheless")
        ]
        assert places == sorted(places)
    assert loud.html.index('class="lights"') < loud.html.index('class="figures"')
    assert loud.conclusion.startswith("Do not act on this yet: one check is red. If you trust it nevertheless, train ")
    assert "**" not in loud.conclusion and "<" not in loud.conclusion


def test_laws_that_were_dropped_are_named_first(report: Report) -> None:
    content = copy.deepcopy(dict(report.content))
    content["laws"]["dropped"] = [
        {"law": "nesting", "why": "too few draws", "median": 1.5, "low": 1.4, "high": 1.6, "params": 3e6}
    ]
    for page in (Report(content).html, Report(content).markdown):
        said = "Left out: nesting did not converge (too few draws)."
        assert said in page and page.index(said) < page.index(
            "What would change it?</h2>" if "<h2>" in page else "## 2"
        )


def test_what_would_change_it_leads_with_the_expected_loss(report: Report) -> None:
    rows = [row for row in report.content["changes"] if row.get("keeping") is not None]
    lowest = min(rows, key=lambda row: row["expected_loss"])
    lead = report.markdown.split("## 2. What would change it?")[1].split("|")[0].replace("\\", "")
    assert f"between **{words.loss(lowest['expected_loss'])}** ({lowest['change']})" in lead
    assert "Keeping the plan costs" in lead


def test_pilots_are_taken_in_without_fitting_again(chinchilla_runs: bs.Runs) -> None:
    fitted = bs.fit("chinchilla", chinchilla_runs, discrepancy="none", sampler="laplace", progress=False)
    ensemble = Ensemble.of(fitted, 0)
    pilot = {"params": 2e10, "tokens": 4e11}
    places = ensemble.points(**pilot)
    known = (ensemble, after_pilot(ensemble, pilot, 0.1), after_pilot(ensemble, pilot, 0.9))
    expected = [float(one.log_mean(places).mean()) for one in known]
    assert expected[1] < expected[0] < expected[2]


def test_a_cost_that_may_exceed_the_budget_is_told(report: Report) -> None:
    assert report.content["recommendation"]["run"]["over_budget"] == pytest.approx(0.5, abs=0.01)
    assert "of draws it costs more than the budget" in report.conclusion
    assert "of draws it costs more than the budget" in report.markdown


def test_integers_of_the_table_are_written_in_full() -> None:
    table = bs.grid(params=[1e8, 1e9], tokens=[1e9, 1e10, 1e11]).assign(batch_tokens=1024.0)
    runs = bs.Runs.from_frame(table.assign(loss=3.0))
    rows = {row["name"]: row for row in provenance.table_of(runs)["columns"]}
    assert words.written(rows["batch_tokens"]["median"], rows["batch_tokens"]["as"]) == "1,024"
    assert rows["tokens"]["as"] == "plain"


# --- what it says ---------------------------------------------------------------------------------------------------


def test_plan_spends_the_budget_and_is_the_middle_of_the_slider(report: Report) -> None:
    run = report.content["recommendation"]["run"]
    assert run["cost"] == pytest.approx(2e6, rel=1e-9)
    assert run["cost_low"] < run["cost"] < run["cost_high"]
    own = [one for one in report.content["outlook"]["budgets"] if one["factor"] == pytest.approx(1.0)]
    assert [{**run, "factor": own[0]["factor"]}] == own
    losses = [one["expected_loss"] for one in report.content["outlook"]["budgets"]]
    assert losses == sorted(losses, reverse=True)


def test_odds_of_the_target_grow_with_the_budget_they_take(report: Report) -> None:
    rows = [row for row in report.content["outlook"]["reaching"] if row["budget"] is not None]
    assert len(rows) >= 1 and [row["budget"] for row in rows] == sorted(row["budget"] for row in rows)
    said = "with a model of any size within the limits"
    assert f" {said}</caption>" in report.html and f" {said} | budget" in report.markdown
    chance = report.content["recommendation"]["run"]["probability_reaches_target"]
    assert all((row["budget"] <= 2e6) == (row["probability"] <= chance) for row in rows)
    (said,) = report.content["outlook"]["cautions"]
    assert said.startswith("from a budget of ") and said in report.html and f"- Caution: {said}" in report.markdown


def test_every_kind_of_change_is_asked(report: Report) -> None:
    rows = report.content["changes"]
    kinds = {"law", "prior", "runs", "pilot", "price", "utilisation", "budget"}
    assert {row["kind"] for row in rows} == kinds
    assert not [row for row in rows if "why_not" in row]
    run = report.content["recommendation"]["run"]
    dearer = next(row for row in rows if row["kind"] == "price")
    assert dearer["expected_loss"] > run["expected_loss"] and dearer["keeping"] is None
    assert all(row["keeping"] >= 0 for row in rows if row["kind"] in ("law", "prior", "runs", "pilot"))


def test_the_loss_curve_that_was_asked_for_is_told(report: Report) -> None:
    curve = report.content["trajectory"]
    assert curve["along"] == "tokens" and curve["positions"][-1] == 2e11
    for low, high in (("whole_low", "low"), ("low", "lower"), ("upper", "high"), ("high", "whole_high")):
        assert (np.array(curve[low]) <= np.array(curve[high])).all()
    assert [one["probability_reached"] for one in curve["reached"]] == [1, 0]
    for page in (report.html, report.markdown):
        assert "not by the end" in page and "params 1e+10" in page
    assert "holds ends of runs and no curves" in report.markdown


def test_pilots_are_answered(report: Report) -> None:
    pilots = report.content["pilots"]
    assert pilots["buys"] is bool(pilots["runs"])
    assert 1e8 <= pilots["best"]["params"] <= 1e9
    nets = [offer["net"] for offer in pilots["offers"]]
    assert nets == sorted(nets, reverse=True)


def test_offers_of_laws_in_batches_are_whole() -> None:
    table = bs.grid(params=[1e8, 1e9], tokens=[1e9, 1e10, 1e11]).assign(batch_tokens=[1e5, 2e5, 3e5, 1e5, 2e5, 9e5])
    runs = bs.Runs.from_frame(table.assign(steps=table["tokens"] / table["batch_tokens"], loss=3.0))
    study = Study.of({"data": {"bundled": "stdlib_sweep"}, "budget": {"amount": 1e15}, "given": {"unique_tokens": 1e9}})
    offers = decision.completed(bs.grid(params=[1e8], tokens=[2e9]), {"params", "steps", "unique_tokens"}, runs, study)
    assert offers.iloc[0].to_dict() == {
        "params": 1e8,
        "tokens": 2e9,
        "batch_tokens": 2e5,
        "steps": 1e4,
        "unique_tokens": 1e9,
    }


def test_verdicts_state_rule_and_number(report: Report) -> None:
    verdicts = report.content["trust"]["verdicts"]
    assert len(verdicts) == 9
    for one in verdicts:
        assert one["level"] in trust.WORDS and one["rule"].startswith(("green", "amber", "a draft"))
        assert set(re.findall(r"\{(\w+)\}", one["says"])) == set(one["numbers"])
    assert verdicts[0]["level"] != "green"  # a draft


@pytest.mark.parametrize(("value", "found"), [(0.0, "green"), (0.02, "green"), (0.05, "amber"), (0.11, "red")])
def test_levels_have_two_limits(value: float, found: str) -> None:
    assert trust.level(value, 0.02, 0.1) == found


@pytest.mark.parametrize(
    ("distance", "cautions", "found"),
    [(9.0, [], "green"), (9.0, ["1e6 epochs {of} what?"], "amber"), (11.0, [], "amber"), (101.0, [], "red")],
)
def test_distance_is_judged_by_what_was_tried(distance: float, cautions: list[str], found: str) -> None:
    tried: Any = SimpleNamespace(scores=pd.DataFrame({"extrapolation": [2.0, 10.0]}))
    verdict = trust._distance(tried, distance, cautions)
    assert verdict.level == found
    assert set(re.findall(r"\{(\w+)\}", verdict.says)) == set(verdict.numbers)


def test_checklist_lists_what_is_missing(report: Report) -> None:
    rows = {row["field"]: row["answer"] for row in report.content["methods"]["checklist"]}
    assert rows[provenance.QUESTIONS["optimiser"]] == EVIL
    assert rows[provenance.QUESTIONS["tokeniser"]] is None and rows["Number of runs"] == "48 runs"
    assert report.html.count(">missing<") == sum(answer is None for answer in rows.values())


@pytest.mark.parametrize(
    ("kind", "shown"), [("html", "a[31mb $x$ &lt;i&gt; 5\u00a0%"), ("markdown", "a\\[31mb \\$x\\$ &lt;i&gt; 5 %")]
)
def test_text_of_data_does_nothing_but_be_read(kind: str, shown: str) -> None:
    text = _environment(kind).from_string("{{ text }}").render(text="a\x1b[31m\u202eb $x$ <i> 5\u00a0%")
    assert text == shown


def test_laws_are_cited() -> None:
    entry = provenance.bibtex(bs.load_law("chinchilla").references)
    assert entry.count("@misc{") == 2
    assert "@misc{hoffmann2022training," in entry and "eprint = {2203.15556}" in entry
    assert "title = {{Training Compute-Optimal Large Language Models}}" in entry


def test_every_law_can_be_cited() -> None:
    for name in bs.available_laws():
        for reference in bs.load_law(name).references:
            assert provenance.bibtex([reference]).startswith("@misc{"), reference


# --- numbers in words -----------------------------------------------------------------------------------------------


@given(st.floats(1e-30, 1e30))
def test_powers_of_ten_can_be_read_back(value: float) -> None:
    text = words.power_of_ten(value)
    mantissa, _, power = text.rpartition(" × ")
    exponent = int(power.removeprefix("10").translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")))
    assert float(mantissa or 1) * 10.0**exponent == pytest.approx(value, rel=6e-3)


@given(st.floats(0, 1))
def test_nothing_is_called_certain_that_is_not(value: float) -> None:
    text = words.probability(value)
    assert (text == "100 %") == (value == 1) and (text == "0 %") == (value == 0)
    assert words.odds(value) not in ("0 %", "100 %")


def test_odds_near_the_ends_have_a_tenth_of_a_percent() -> None:
    assert [words.odds(value) for value in (0, 0.002, 0.56, 0.9982, 1)] == [
        "< 0.1 %",
        "0.2 %",
        "56 %",
        "99.8 %",
        "> 99.9 %",
    ]


def test_every_writer_takes_every_size() -> None:
    for kind in words.WRITERS:
        for value in (0.0, 1e-9, 0.37, 0.996, 1.0):
            text = words.written(value, kind).removeprefix("at the ").removesuffix("quantile")
            assert "e" not in text.removeprefix("less than ")
        assert words.written(1e15, kind)
        assert words.written(None, kind) == words.NOTHING


def test_a_change_too_small_to_print_is_said_in_words() -> None:
    said = [words.written(value, kind) for kind in ("bound", "changed", "limit") for value in (0.0, 2e-5, 0.0123)]
    assert said[:3] == ["less than 0.0001", "less than 0.0001", "at most 0.012"]
    assert said[3:] == ["less than 0.0001", "less than 0.0001", "0.012", "0.0001", "0.0001", "0.012"]
