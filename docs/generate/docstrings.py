"""Docstrings of this package in the form that griffe reads.

Types stand in signatures here, so an item of a section is ``name : what it is``, where numpydoc has ``name : type``
with the description below. This extension moves what an item says to where griffe looks for it.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

NAMED = {"Parameters", "Other Parameters", "Attributes"}
RESULTS = {"Returns", "Yields"}
TYPE = re.compile(r"[A-Za-z_][\w.]*(?:\[[\w., |\[\]]*\])?(?:,? (?:or|\|) [\w.]+)*$")


def rewritten(text: str) -> str:
    """Return a docstring with the text of items below their names, and one item for each name."""
    lines = text.splitlines()
    out: list[str] = []
    section = ""
    i = 0
    while i < len(lines):
        line = lines[i]
        i += 1
        following = lines[i] if i < len(lines) else ""
        if line and line[0] not in " -" and re.fullmatch(r"-{3,}", following.strip()):
            section = line.strip()
            out += [line, following]
            i += 1
            continue
        if not section or not line or line.startswith(" "):
            out.append(line)
            continue
        item = re.match(r"(\*{0,2}\w+(?:, \*{0,2}\w+)*) : (.+)$", line)
        if section in NAMED and item:
            more = []
            while i < len(lines) and lines[i].startswith(" "):
                more.append(lines[i])
                i += 1
            for name in item[1].split(", "):
                out += [name, f"    {item[2]}", *more]
        elif section in RESULTS and item:
            out += [f"{item[1]} :", f"    {item[2]}"]
        elif section in RESULTS and not TYPE.match(line):
            out += [":", f"    {line}"]
        else:
            out.append(line)
    return "\n".join(out)


class Items(griffe.Extension):
    """Rewrite every docstring when it is loaded."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring:
            obj.docstring.value = rewritten(obj.docstring.value)
