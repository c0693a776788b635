"""Commands that refuse an option that is given twice, or with nothing in it, and whose help is in words.

Of an option that is given twice one of the two values would be lost.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from typer.core import TyperCommand, TyperGroup

from bayes_scaling.cli._panels import NOTES, OPTIONS
from bayes_scaling.errors import ArgumentError

KINDS: Mapping[str, str] = {
    "str": "TEXT",
    "list[str]": "TEXT",
    "path": "PATH",
    "float": "NUMBER",
    "float range": "NUMBER",
    "int": "INTEGER",
    "int range": "INTEGER",
}
"""What the help calls the value of an option, by its type."""


def refuse_lost_values(command: Any, context: Any, arguments: list[str]) -> None:
    """Refuse options that may be given once and come twice, and empty text."""
    values, _, order = command.make_parser(context).parse_args(args=list(arguments))
    for parameter in order:
        given, name = values.get(parameter.name), _spelled(parameter)
        once = not getattr(parameter, "multiple", False)
        if once and order.count(parameter) > 1:
            raise ArgumentError(f"{name} is given twice; give it once")
        if "" in ([given] if once else given or []):
            raise ArgumentError(f"{name} is empty; give a value, or leave it out")


def _spelled(parameter: Any) -> str:
    """Return an option as it is written, an argument as the help names it."""
    written = str(max(parameter.opts, key=len))
    return written if written.startswith("-") else written.upper()


class Command(TyperCommand):
    """A command that loses nothing of what it is given."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Check the arguments, then parse them."""
        refuse_lost_values(self, ctx, args)
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the usage: arguments in capitals."""
        return [str(self.options_metavar), *(_spelled(one) for one in self.get_params(ctx) if _is_argument(one))]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then options by what they are about."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], OPTIONS: []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            about = "Arguments" if _is_argument(parameter) else getattr(parameter, "rich_help_panel", None) or OPTIONS
            sections.setdefault(about, []).append(_worded(parameter, *record))
        for about, rows in sections.items():
            if rows:
                with formatter.section(about):
                    formatter.write_dl(rows)
                    if about in NOTES:
                        formatter.write_paragraph()
                        formatter.write_text(NOTES[about])


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _worded(parameter: Any, name: str, text: str) -> tuple[str, str]:
    """Return a line of the help with kinds and ranges in words."""
    name = re.sub(r"<([^<>]*)>", lambda found: KINDS.get(found[1], found[1].upper()), name)
    text = re.sub(r"(\S+?)<=x<=([^;\]]+)", r"\1 to \2", text)
    text = re.sub(r"x>=([^;\]]+)", r"at least \1", text)
    return (_spelled(parameter) if _is_argument(parameter) else name), text


class Group(TyperGroup):
    """A group of commands whose own options are checked likewise."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Check the arguments, then parse them."""
        refuse_lost_values(self, ctx, args)
        return super().parse_args(ctx, args)
