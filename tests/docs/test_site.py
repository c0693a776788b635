"""The site keeps its word: its code runs and prints what it shows, every law has a page, the navigation is whole."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.laws.catalogue import catalogue
from tests.support import design, run

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GENERATE = DOCS / "generate"
PAGES = sorted(
    str(path.relative_to(DOCS)) for path in [DOCS / "index.md", DOCS / "tutorial.md", *DOCS.glob("how-to/*.md")]
)
BLOCK = re.compile(r"(?:<!-- (slow|not run).*? -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


@pytest.fixture(scope="module")
def generate() -> Iterator[None]:
    """Make the modules that build the site importable, as mkdocs does."""
    sys.path.insert(0, str(GENERATE))
    yield
    sys.path.remove(str(GENERATE))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every page a table of runs in an empty folder, with study and sweep where the repository has them."""
    table = bs.simulate("chinchilla", design(), "besiroglu2024", seed=1).table
    table["dataset"] = np.where(np.arange(len(table)) % 2, "c4", "rpj")
    table.rename(columns={"params": "N", "tokens": "D"}).to_csv(tmp_path / "runs.csv", index=False)
    for name in ("docs/study.toml", "bayes_scaling/data/datasets/stdlib_sweep.csv"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes((DOCS.parent / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Return the code blocks of a page: the note before it (slow, not run or none), the language, the code."""
    return [(note or "", language, code) for note, language, code in BLOCK.findall((DOCS / page).read_text("utf-8"))]


def printed(code: str, names: dict[str, object]) -> str:
    """Run a block and return what it printed."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, names)
    return out.getvalue()


def commands(code: str) -> Iterator[str]:
    for line in code.replace("\\\n", " ").splitlines():
        if line.startswith("bayes-scaling "):
            yield line.removeprefix("bayes-scaling ")


def play(page: str, *, with_slow: bool) -> None:
    """Run the blocks of a page in order, and compare what they print with what the page shows."""
    names: dict[str, object] = {}
    shown: str | None = None
    for note, language, code in blocks(page):
        if note == "not run" or (note == "slow" and not with_slow):
            shown = None
        elif language == "python":
            shown = printed(code, names)
        elif language == "bash":
            for command in commands(code):
                arguments, _, file = command.partition(" > ")
                status, out, err = run(*shlex.split(arguments))
                assert status == 0, (page, command, err)
                if file:
                    Path(file).write_text(out, encoding="utf-8")
            shown = None
        elif language == "text" and shown is not None:
            same_text(shown, code, page)


def same_text(got: str, shown: str, page: str) -> None:
    """Compare words exactly and numbers within what another machine may change."""
    words = [" ".join(NUMBER.sub("#", text).split()) for text in (got, shown)]
    assert words[0] == words[1], f"{page} shows\n{shown}\nand its code prints\n{got}"
    numbers = [np.array([float(x) for x in NUMBER.findall(text)]) for text in (got, shown)]
    np.testing.assert_allclose(*numbers, rtol=0.1, atol=0.02, err_msg=f"{page}: {got}")


@pytest.mark.parametrize("page", [page for page in PAGES if "python" in {language for _, language, _ in blocks(page)}])
def test_the_code_of_a_page_compiles_and_names_what_exists(page: str) -> None:
    for _, language, code in blocks(page):
        if language == "python":
            tree = ast.parse(code, page)
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "bs":
                    assert hasattr(bs, node.attr), f"{page}: bs.{node.attr}"
        elif language == "toml":
            tomllib.loads(code)


@pytest.mark.parametrize("page", ["how-to/bring-your-runs.md"])
def test_the_quick_code_of_the_main_pages_runs(page: str, folder: Path) -> None:
    play(page, with_slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_all_code_of_a_page_runs(page: str, folder: Path) -> None:
    play(page, with_slow=True)


def test_every_law_has_a_page_with_a_formula(generate: None) -> None:
    import law_pages
    from formulas import latex_of, mathml

    entries = catalogue()
    assert {entry.law.name for entry in entries} == set(law_pages.names())
    overview = law_pages.overview(entries)
    for entry in entries:
        law = entry.law
        page, latex = law_pages.page(entry), latex_of(law.formula)
        assert f"]({law.name}.md)" in overview and f"$$\n{latex}" in page, law.name
        assert ElementTree.fromstring(mathml(latex, block=True)).tag.endswith("math")
        assert "^" not in re.sub(r"\$\$.*?\$\$|\$.*?\$|`[^`]*`", "", page.partition("??? note")[0], flags=re.DOTALL), (
            f"{law.name}: a power on its page is not typeset"
        )
        for row in law.parameters:
            assert f"`{row.name}`" in page
        for constants in law.published:
            assert f"`{constants.name}`" in page
        assert all(reference.split(",")[0] in page for reference in law.references)


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("E + A / N^alpha", r"E + \frac{A}{N^{\alpha}}"),
        ("(N_c / N)^(alpha_N / alpha_D)", r"\left( \frac{N_{c}}{N} \right)^{\alpha_{N} / \alpha_{D}}"),
        ("K / (N^a D^b)", r"\frac{K}{N^{a} \, D^{b}}"),
        ("a + b T^-c", r"a + b \, T^{-c}"),
        ("exp(-gamma L)", r"\exp \left( -\gamma \, L \right)"),
        ("A / B C", r"\frac{A}{B} \, C"),
        ("(a + b) (c - d) / e", r"\frac{\left( a + b \right) \, \left( c - d \right)}{e}"),
        ("rate_(k-1) - N_opt(C)", r"\text{rate}_{k - 1} - N_{\text{opt}} \left( C \right)"),
        ("N'^alpha", r"N'^{\alpha}"),
    ],
)
def test_formulas_are_read_as_one_reads_them(generate: None, text: str, latex: str) -> None:
    from formulas import latex_of

    assert latex_of(text) == latex


@pytest.mark.parametrize("text", ["E + ", "A / / B", "(A", "A ~ B", "A)"])
def test_what_is_no_formula_is_refused(generate: None, text: str) -> None:
    from formulas import FormulaError, latex_of

    with pytest.raises(FormulaError):
        latex_of(text)


def test_docstring_items_reach_the_reader(generate: None) -> None:
    pytest.importorskip("griffe", reason="the group docs is not installed")
    from docstrings import rewritten

    text = "Title.\n\nParameters\n----------\na, b : two of them,\n    both\n\nReturns\n-------\n(n,) losses"
    assert rewritten(text) == (
        "Title.\n\nParameters\n----------\na\n    two of them,\n    both\nb\n    two of them,\n    both\n"
        "\nReturns\n-------\n:\n    (n,) losses"
    )


def test_the_navigation_names_files_that_exist() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = re.findall(r"(\S+\.md)$", text.partition("\nnav:")[2], re.MULTILINE)
    made = {"contributing.md", "changelog.md"}
    assert named and all((DOCS / name).is_file() for name in named if name not in made)
    there = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    assert there <= set(named)


def test_links_between_pages_work_as_plain_markdown_too() -> None:
    for path in DOCS.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name}: {target}"
