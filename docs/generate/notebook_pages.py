"""The notebooks, executed, as pages and as .ipynb files.

Executing all of them takes up to half an hour on two cores, so what was executed is kept in ``build/notebooks`` with a
key of everything that it depends on: the notebook, the package, the laws, the bundled data, the libraries that compute.
The environment variable ``DOCS_NOTEBOOKS`` says what to do with a notebook whose key is not up to date:

- ``execute`` (the default): execute it.
- ``cached``: take what is there, however old; where nothing is there, show the notebook without its output.

``python docs/generate/notebook_pages.py`` executes what is not up to date and builds no site.
"""

from __future__ import annotations

import base64
import hashlib
import html
import importlib.metadata
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "notebooks"
EXECUTED = ROOT / "build" / "notebooks"
ORDER = ("quickstart", "choose_a_law", "budget", "trajectories", "your_own_law", "kaplan", "chinchilla")
COMPUTING = ("jax", "numpyro", "numpy", "scipy", "pandas", "matplotlib")
ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def names() -> list[str]:
    """Return the names of all notebooks, in the order in which they are best read."""
    found = {path.stem for path in SOURCES.glob("*.py")}
    return [*(name for name in ORDER if name in found), *sorted(found - set(ORDER))]


def titles() -> dict[str, str]:
    """Return the title of every page, by path in the site."""
    out = {}
    for name in names():
        heading = re.search(r"^# # (.+)$", (SOURCES / f"{name}.py").read_text(encoding="utf-8"), re.MULTILINE)
        out[f"notebooks/{name}.md"] = heading[1] if heading else name
    return out


def pages(warn: Callable[[str], None]) -> dict[str, str | bytes]:
    """Return pages, pictures and .ipynb files, by path in the site.

    Parameters
    ----------
    warn : called with one line for a notebook that fails
    """
    out: dict[str, str | bytes] = {}
    execute = os.environ.get("DOCS_NOTEBOOKS", "execute") == "execute"
    for name in names():
        try:
            notebook = executed(name) if execute else kept(name)
        except Exception as error:
            warn(f"notebook {name} failed: {str(error).strip().splitlines()[-1]}")
            continue
        out |= page(name, notebook)
    return out


def key(name: str) -> str:
    """Return a hash of everything that the output of a notebook depends on."""
    digest = hashlib.sha256()
    package = [path for path in (ROOT / "bayes_scaling").rglob("*") if path.suffix in {".py", ".csv"}]
    for path in sorted([SOURCES / f"{name}.py", *package, *(ROOT / "models").glob("*.py")]):
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    digest.update(repr([(library, importlib.metadata.version(library)) for library in COMPUTING]).encode())
    return digest.hexdigest()


def kept(name: str) -> Any:
    """Return a notebook as it was last executed, or without output if it never was."""
    import jupytext
    import nbformat

    path = EXECUTED / f"{name}.ipynb"
    return nbformat.read(path, 4) if path.is_file() else jupytext.read(SOURCES / f"{name}.py")


def executed(name: str) -> Any:
    """Return a notebook with its output, executed now unless it is up to date."""
    import jupytext
    import nbformat
    from nbclient import NotebookClient

    path, wanted = EXECUTED / f"{name}.ipynb", key(name)
    if path.is_file():
        notebook = nbformat.read(path, 4)
        if notebook.metadata.get("made_of") == wanted:
            return notebook
    notebook = jupytext.read(SOURCES / f"{name}.py")
    EXECUTED.mkdir(parents=True, exist_ok=True)
    NotebookClient(
        notebook, timeout=3600, kernel_name="python3", resources={"metadata": {"path": str(SOURCES)}}
    ).execute()
    notebook.metadata["made_of"] = wanted
    part = path.with_suffix(".part")
    nbformat.write(notebook, part)
    part.rename(path)
    return notebook


def page(name: str, notebook: Any) -> dict[str, str | bytes]:
    """Return the page of a notebook with its pictures and the notebook itself, by path in the site."""
    import nbformat

    out: dict[str, str | bytes] = {f"notebooks/{name}.ipynb": nbformat.writes(notebook)}
    has_output = any(cell.get("outputs") for cell in notebook.cells)
    about = (
        f"[Download as a notebook]({name}.ipynb), with its output."
        if has_output
        else (f"This build did not execute the notebook. [Download it]({name}.ipynb), without output.")
    )
    parts = []
    for i, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            if len(parts) == 1:
                parts.append(f'<p class="about" markdown>{about}</p>')
        elif cell.cell_type == "code":
            code = "\n".join(line for line in cell.source.splitlines() if not line.startswith("%")).strip()
            code = re.sub(r"\n{3,}(?!def |class |@)", "\n\n", code)
            parts.append(f"```python\n{code}\n```" if code else "")
            for j, text in enumerate(outputs(cell)):
                if isinstance(text, bytes):
                    picture = f"{name}_{i}_{j}.png"
                    out[f"notebooks/{picture}"] = text
                    text = f"![Picture drawn by the code above]({picture})"
                parts.append(text)
    out[f"notebooks/{name}.md"] = "\n\n".join(part for part in parts if part) + "\n"
    return out


def outputs(cell: Any) -> Iterator[str | bytes]:
    """Return what a cell printed or showed: Markdown, or a picture as bytes."""
    said = ""
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            said += output.text if output.name == "stdout" else ""
            continue
        if said:
            yield _text(said)
            said = ""
        if output.output_type in {"display_data", "execute_result"}:
            data = output.data
            if "image/png" in data:
                yield base64.b64decode(data["image/png"])
            elif "text/html" in data and "<table" in data["text/html"]:
                table = re.sub(r"<style.*?</style>\s*", "", data["text/html"], flags=re.DOTALL)
                table = re.sub(r"<(table|tr)\b[^>]*>", r"<\1>", table)  # the theme styles tables without a class
                yield f'<div class="output">{" ".join(table.split())}</div>'
            elif "text/plain" in data:
                yield _text(data["text/plain"])
    if said:
        yield _text(said)


def _text(text: str) -> str:
    return f'<pre class="output">{html.escape(ESCAPE.sub("", text).rstrip())}</pre>'


if __name__ == "__main__":
    for each in sys.argv[1:] or names():
        print(f"== {each}", flush=True)
        executed(each)
