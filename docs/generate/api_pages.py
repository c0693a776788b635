"""The reference: one page for each step of the flow and for each public submodule, made of the lists of public names.

The lists are those that the package itself reads: ``__init__.pyi`` or, where there is none, the names that a module
defines. Everything public must have a docstring.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import griffe

PACKAGE = Path(__file__).parents[2] / "bayes_scaling"
STEPS = {
    "data": "Runs",
    "laws": "Laws",
    "model": "Noise, discrepancy, pooling, simulation",
    "inference": "Fit",
    "predict": "Forecast",
    "evaluate": "Compare",
    "decide": "Decide",
    "report": "Report",
}
"""Folders of the package and the titles of their pages."""

type Name = tuple[str, str, str]  # as users write it, module, name in that module


@cache
def public() -> dict[str, tuple[Name, ...]]:
    """Return what each page lists, by page title."""
    top = list(_listed(PACKAGE))
    modules = {alias: f"{module}.{name}" for alias, module, name in top if _is_module(module, name)}
    out: dict[str, list[Name]] = {title: [] for title in STEPS.values()}
    for alias, module, name in top:
        step = module.split(".")[1] if module.count(".") else ""
        if alias not in modules and step in STEPS:
            out[STEPS[step]].append((f"bs.{alias}", module, name))
    for alias, path in sorted(modules.items()):
        out[f"bs.{alias}"] = [(f"bs.{alias}.{name}", module, inner) for name, module, inner in _of_module(path)]
    return {title: tuple(names) for title, names in out.items() if names}


def _listed(folder: Path) -> Iterator[Name]:
    """Return what a package's stub, or else its ``__init__.py``, imports for others to use."""
    stub = folder / "__init__.pyi"
    text = (stub if stub.is_file() else folder / "__init__.py").read_text(encoding="utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.asname and not alias.asname.startswith("_"):
                    yield alias.asname, str(node.module), alias.name


def _is_module(module: str, name: str) -> bool:
    path = PACKAGE.parent.joinpath(*module.split("."), name)
    return path.is_dir() or path.with_suffix(".py").is_file()


def _of_module(path: str) -> Iterator[Name]:
    """Return the public names of a submodule."""
    folder = PACKAGE.parent.joinpath(*path.split("."))
    if folder.is_dir() and any(_listed(folder)):
        yield from _listed(folder)
        return
    text = (folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")).read_text(encoding="utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, path, node.name


def titles() -> dict[str, str]:
    """Return the title of every page, by path in the site."""
    return {f"api/{_slug(title)}.md": title for title in public()}


def _slug(title: str) -> str:
    return re.sub(r"\W+", "_", title.lower()).strip("_")


def pages(warn: Callable[[str], None]) -> dict[str, str | bytes]:
    """Return the pages of the reference, by path in the site.

    Parameters
    ----------
    warn : called with one line for everything public that has no docstring
    """
    package = griffe.load("bayes_scaling", search_paths=[PACKAGE.parent])
    out: dict[str, str | bytes] = {}
    overview = [
        "# Reference\n\nAll public names, with `import bayes_scaling as bs`. What is not listed here is internal and "
        "may change without notice."
    ]
    home: dict[str, str] = {}  # the page on which an object is described; other pages link to it
    for title, names in public().items():
        page = f"{_slug(title)}.md"
        parts, rows = [f"# {title}"], []
        about = package[_relative(_module_of(title))] if title.startswith("bs.") else None
        if about is not None and about.docstring:
            parts.append(about.docstring.value)
        for alias, module, name in names:
            path = f"{module}.{name}"
            found = package[_relative(path)]
            if found.is_type_alias and not found.has_docstring:
                continue
            first = found.docstring.value.split("\n\n")[0] if found.docstring else ""
            where = home.setdefault(path, page)
            rows.append(f"| [`{alias}`]({where}#{path}) | {' '.join(first.split()).replace('|', '/')} |")
            if where != page:
                parts.append(f"`{alias}` is described [on another page]({where}#{path}).")
                continue
            for missing in undocumented(found):
                warn(f"{missing} has no docstring, and {alias} is public")
            heading = alias + ("()" if found.is_function else "")
            parts.append(f"::: {path}\n    options:\n      heading: {heading}\n      toc_label: {heading}")
        out[f"api/{page}"] = "\n\n".join(parts) + "\n"
        overview.append(f"## [{title}]({page})\n\n| name | what it is |\n|---|---|\n" + "\n".join(rows))
    out["api/index.md"] = "\n\n".join(overview) + "\n"
    return out


def _module_of(title: str) -> str:
    alias = title.removeprefix("bs.")
    return next(f"{module}.{name}" for found, module, name in _listed(PACKAGE) if found == alias)


def _relative(path: str) -> str:
    return path.removeprefix("bayes_scaling.")


def undocumented(found: griffe.Object | griffe.Alias) -> Iterator[str]:
    """Return the paths of an object and of its public methods and properties that have no docstring."""
    if not found.has_docstring and not found.is_attribute:
        yield found.path
    if found.is_class:
        for member in found.members.values():
            if member.is_alias or member.name.startswith("_"):
                continue
            is_field = member.is_attribute and "property" not in member.labels
            if not member.has_docstring and not is_field:
                yield member.path
