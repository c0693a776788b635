"""Rendering: HTML, Markdown and JSON of a report, from its content only."""

from __future__ import annotations

import dataclasses
import functools
import html
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from bayes_scaling.base.arguments import FilePath, validated
from bayes_scaling.base.executors import ExecutorChoice, opened
from bayes_scaling.base.files import write_text
from bayes_scaling.base.json_text import json_text
from bayes_scaling.base.messages import printing
from bayes_scaling.data.runs import Runs
from bayes_scaling.plot.numbers import NOTHING, written
from bayes_scaling.plot.plans import pictures
from bayes_scaling.report.evidence import gather
from bayes_scaling.report.study import Study
from bayes_scaling.report.tables import in_words_of_the_study

HELD = "{the content}"  # where the page holds it
SPECIAL = re.compile(r"([\\`*_\[\]|~#$])")  # characters with a meaning in Markdown; < and & are escaped as in HTML


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """A report: its content as plain values, and three formats to read it in.

    Attributes
    ----------
    content : the content of the JSON; HTML and Markdown are rendered from it
    """

    content: Mapping[str, Any]

    @property
    def json(self) -> str:
        """The content as JSON."""
        return json_text(self.content, indent=1) + "\n"

    @functools.cached_property
    def html(self) -> str:
        """A self-contained page."""
        drawn = {name: Markup(svg) for name, svg in pictures(self.content).items()}
        template = _environment("html").get_template("report.html")
        page = template.render(**self.content, pictures=drawn, held=Markup(HELD))
        page = re.sub(r"(\d) %", "\\1\N{NO-BREAK SPACE}%", page)
        # Inside a script element, only "<" could end the element.
        held = json_text(self.content, separators=(",", ":")).replace("<", "\\u003c")
        before, after = page.rsplit(HELD, 1)
        return before + held + after

    @functools.cached_property
    def markdown(self) -> str:
        """The same text and tables without pictures."""
        text = _environment("markdown").get_template("report.md").render(**self.content)
        return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"

    @property
    def conclusion(self) -> str:
        """The recommendation in words, as the page opens with it."""
        template = _environment("plain").get_template("conclusion.txt")
        return " ".join(html.unescape(template.render(**self.content)).split())

    def save(self, folder: str | Path) -> list[Path]:
        """Write ``report.html``, ``report.md`` and ``report.json`` into a folder, each atomically.

        Raises
        ------
        WriteError
            When a file cannot be written.
        """
        texts = {"report.html": self.html, "report.md": self.markdown, "report.json": self.json}
        return [write_text(text, Path(folder) / name) for name, text in texts.items()]

    def __repr__(self) -> str:
        draft = "draft of a " if self.content["draft"] else ""
        return f"<Report: {draft}report on {self.content['title']!r}>"


@validated
def make_report(
    study: Study | str | Path,
    runs: Runs | None = None,
    *,
    draft: bool = False,
    unconverged: bool = False,
    refits: FilePath | None = None,
    executor: ExecutorChoice | None = None,
    run_law_files: bool = False,
    progress: bool | None = None,
) -> Report:
    """Make the report of a study.

    Parameters
    ----------
    study : a study, or the path of its file
    runs : the table; by default the one named in the study
    draft : use normal approximations instead of sampling, fewer draws and no baselines; the report says so
    unconverged : accept fits that did not converge; the report says so. A draft always accepts them
    refits : folder that caches refits of the comparison
    executor : whose workers make the fits, as of `compare`
    run_law_files : run the law files that the study names, which are code; without it they are refused
    progress : show a bar; by default on a terminal

    Returns
    -------
    Report
        The same study, table and seed give the same content, except for its part ``made``.

    Raises
    ------
    StudyError
        When the study cannot be read.
    DataError, LawError, PlanError
        When its table, laws or budget are invalid.
    ConvergenceError
        When a law with weight did not converge.
    WorkerError
        When workers are lost for good, or a law cannot be sent to one.
    """
    study = study if isinstance(study, Study) else Study.read(study)
    kept = None if refits is None else Path(refits)
    with in_words_of_the_study(), opened(executor) as workers:
        content = gather(
            study,
            runs,
            draft=draft,
            unconverged=unconverged,
            refits=kept,
            executor=workers,
            run_law_files=run_law_files,
            progress=progress,
        )
        return Report(content)


# --- templates ------------------------------------------------------------------------------------------------------


@functools.cache
def _environment(kind: str) -> jinja2.Environment:
    """Return the templates, with filters that write numbers and text in HTML or Markdown."""
    loader = jinja2.PackageLoader("bayes_scaling.report", "templates")
    made = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    number = _html_number if kind == "html" else _markdown_number
    made.filters |= {"num": number, "filled": functools.partial(_filled, number), "place": _place}
    made.finalize = _markdown_text if kind == "markdown" else _seen
    made.globals["strong"] = {"html": _html_strong, "markdown": _markdown_strong}.get(kind, str)
    return made


def _html_number(value: float | None, kind: str) -> Markup:
    """Return a number as displayed, with its exact value in an attribute."""
    if value is None or math.isnan(value):
        return Markup(NOTHING)
    return Markup('<data value="{}">{}</data>').format(repr(value), written(value, kind))


def _markdown_number(value: float | None, kind: str) -> Markup:
    return Markup(written(value, kind))


def _html_strong(text: Any) -> Markup:
    return Markup("<strong>{}</strong>").format(text)


def _markdown_strong(text: Any) -> Markup:
    return Markup("**{}**").format(text if isinstance(text, Markup) else _markdown_text(text))


def _markdown_text(value: Any) -> Any:
    """Return text from data, escaped so that Markdown shows it unchanged; markup is kept."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    text = SPECIAL.sub(r"\\\1", " ".join(printing(value).split()))
    return Markup(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def _seen(value: Any) -> Any:
    """Return text from data without characters that change its direction, or a terminal in which the page is read."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else printing(value)


def _filled(number: Any, verdict: Mapping[str, Any]) -> Markup:
    """Return the finding of a verdict, with its numbers filled in."""
    parts = re.split(r"\{(\w+)\}", verdict["says"])
    numbers = verdict["numbers"]
    out = Markup()
    for i, part in enumerate(parts):
        out += number(numbers[part]["value"], numbers[part]["as"]) if i % 2 else escape(part)
    return out


def _place(value: float, low: float, high: float) -> Markup:
    """Return the position of a value between two others, in percent for CSS."""
    share = (value - low) / (high - low) if high > low else 0.5
    return Markup(f"{100 * min(max(share, 0.0), 1.0):.2f}%")
