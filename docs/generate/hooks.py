"""What mkdocs calls while it builds the site: pages that are generated, formulas, and links that leave ``docs/``."""

from __future__ import annotations

import html
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.utils import log

sys.path.insert(0, str(Path(__file__).parent))
import api_pages
import law_pages
import notebook_pages
from formulas import mathml

ROOT = Path(__file__).parents[2]
COPIED = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files beside ``docs/`` that are pages as well."""


def on_config(config: Any) -> Any:
    """Fill the navigation with the pages that are generated."""
    filled = {
        "Notebooks": [{title: path} for path, title in notebook_pages.titles().items()],
        "Laws": ["laws/index.md", *({name: f"laws/{name}.md"} for name in law_pages.names())],
        "Reference": ["api/index.md", *({title: path} for path, title in api_pages.titles().items())],
    }
    config.nav = [{title: filled.get(title, pages)} for entry in config.nav for title, pages in entry.items()]
    return config


def on_files(files: Files, *, config: Any) -> Files:
    """Add laws, notebooks, the reference, and the pages that lie beside ``docs/``."""
    pages: dict[str, str | bytes] = {page: (ROOT / source).read_text("utf-8") for source, page in COPIED.items()}
    pages |= law_pages.pages() | notebook_pages.pages(log.warning) | api_pages.pages(log.warning)
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Put in what stands in other files, and point links that leave ``docs/`` at the pages made of their targets."""
    source = page.file.src_uri
    origin = {page: path for path, page in COPIED.items()}.get(source)
    folder = "." if origin else posixpath.dirname(f"docs/{source}")
    markdown = re.sub(r"<!-- include: (\S+) sections: (.+?) -->", lambda m: sections(m[1], m[2]), markdown)

    def moved(found: re.Match[str]) -> str:
        target, _, anchor = found[2].partition("#")
        if not target or "://" in target or target.startswith("mailto:"):
            return found[0]
        path = posixpath.normpath(posixpath.join(folder, target))
        inside = page_of(path)
        if inside is None:
            return found[0]
        target = posixpath.relpath(inside, posixpath.dirname(source) or ".")
        return f"[{found[1]}]({target}{'#' + anchor if anchor else ''})"

    fenced = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    fenced[::2] = [re.sub(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)", moved, text) for text in fenced[::2]]
    return "".join(fenced)


def page_of(path: str) -> str | None:
    """Return the page made of a file of the repository; None where there is none, for mkdocs to complain."""
    if path in COPIED:
        return COPIED[path]
    folder, name = posixpath.split(path)
    stem = name.partition(".")[0]
    if path == "models/README.md":
        return "laws/index.md"
    if folder in {"models", "notebooks"}:
        return f"{'laws' if folder == 'models' else folder}/{stem}.md"
    if path == "README.md":
        return "index.md"
    return path.removeprefix("docs/") if path.startswith("docs/") else None


def sections(path: str, pattern: str) -> str:
    """Return the second-level sections of a Markdown file whose titles match a pattern."""
    text = (ROOT / path).read_text(encoding="utf-8")
    parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    found = [part for part in parts if re.match(rf"## (?:{pattern})", part)]
    if not found:
        log.warning(f"{path} has no section {pattern!r}")
    return "\n".join(found)


def on_page_content(content: str, **_: Any) -> str:
    """Draw formulas."""

    def drawn(found: re.Match[str]) -> str:
        text = html.unescape(found[3])
        return f'<{found[1]} class="formula">{mathml(text, block=found[2] == "[")}</{found[1]}>'

    return re.sub(r'<(span|div) class="arithmatex">\\([(\[])\n?(.*?)\n?\\[)\]]</\1>', drawn, content, flags=re.DOTALL)
