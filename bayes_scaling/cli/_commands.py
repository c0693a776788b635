"""Commands that refuse an option that is given twice, or with nothing in it: one of the two values would be lost."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

from bayes_scaling.errors import ArgumentError


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


class Group(TyperGroup):
    """A group of commands whose own options are checked likewise."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Check the arguments, then parse them."""
        refuse_lost_values(self, ctx, args)
        return super().parse_args(ctx, args)
