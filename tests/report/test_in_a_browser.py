"""The page of a report in a headless browser: slider, phone, light and dark, print, without script."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bayes_scaling.plot import numbers as words
from bayes_scaling.report.render import Report


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium: the system's, or Playwright's own."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with api.sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        except api.Error as error:
            pytest.skip(f"no Chromium can be started: {str(error).splitlines()[0]}")
        yield found
        found.close()


@dataclasses.dataclass
class Visit:
    """A page as a visitor has it, and what the browser complained about."""

    page: Any
    complaints: list[str]


@pytest.fixture
def visit(browser: Any, report: Report, tmp_path: Path) -> Iterator[Any]:
    report.save(tmp_path)
    contexts = []

    def visit(**options: Any) -> Visit:
        context = browser.new_context(offline=True, **options)
        contexts.append(context)
        made = Visit(context.new_page(), [])
        made.page.on("console", lambda message: made.complaints.append(message.text))
        made.page.on("pageerror", lambda error: made.complaints.append(str(error)))
        made.page.goto((tmp_path / "report.html").as_uri())
        return made

    yield visit
    for context in contexts:
        context.close()


def test_slider_moves_plan_band_and_odds(visit: Any, report: Report) -> None:
    there = visit(viewport={"width": 1200, "height": 900})
    box, slider = there.page.locator("#explore"), there.page.locator("#explore input")
    names = ("budget", "params", "tokens", "expected_loss", "band", "probability_reaches_target")

    def shown() -> list[str]:
        return [box.locator(f'output[name="{name}"]').inner_text() for name in names]

    before, band = shown(), box.locator(".gauge .outer").bounding_box()
    assert before[1] == words.short_number(report.content["recommendation"]["run"]["params"])
    slider.focus()
    slider.press("End")
    after = shown()
    assert all(a != b for a, b in zip(before, after, strict=True))
    last = report.content["outlook"]["budgets"][-1]
    assert after[1] == words.short_number(last["params"]) and after[3] == words.loss(last["expected_loss"])
    assert box.locator(".gauge .outer").bounding_box() != band
    assert there.complaints == []


def test_page_reads_without_script(visit: Any) -> None:
    there = visit(java_script_enabled=False)
    assert there.page.locator("#explore").is_hidden()
    assert there.page.locator("#budgets tbody tr").count() == 7


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_a_phone_in_light_and_dark(visit: Any, scheme: str) -> None:
    there = visit(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    assert there.page.evaluate("document.documentElement.scrollWidth") <= 360
    ink, paper = there.page.evaluate(
        """() => { const light = (c) => c.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0);
        const text = document.querySelector("figure svg text");
        return [light(getComputedStyle(text).fill), light(getComputedStyle(document.body).backgroundColor)]; }"""
    )
    assert (ink < paper) == (scheme == "light") and abs(ink - paper) > 400
    assert there.page.screenshot()[:4] == b"\x89PNG"
    assert there.complaints == []


def test_page_prints(visit: Any) -> None:
    there = visit()
    assert there.page.pdf(format="A4")[:5] == b"%PDF-"
    there.page.emulate_media(media="print")
    assert there.page.locator("#explore").is_hidden() and there.page.locator(".warn").is_visible()
