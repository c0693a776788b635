"""What the terminal prints about laws: the catalogue, one law."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bayes_scaling.base.numbers import number
from bayes_scaling.cli.printing.layout import table

if TYPE_CHECKING:
    from bayes_scaling.laws.catalogue import Entry
    from bayes_scaling.laws.law import Law, Published
    from bayes_scaling.laws.parameters import Parameter


def law_list(entries: Iterable[Entry]) -> RenderableType:
    """Return the catalogue: law, inputs, what it is, and its options."""
    rows = [(entry.law.name, ", ".join(_read(entry)), f"{entry.law.title}{_options(entry)}") for entry in entries]
    return table(("law", "reads", "what it is"), rows)


def law_table(entries: Iterable[Entry]) -> str:
    """Return the catalogue as a Markdown table."""
    lines = ["| law | reads | formula |", "|---|---|---|"]
    for entry in entries:
        options = "; ".join(f"{key}: {' / '.join(choices) or default}" for key, default, choices in entry.options)
        name = f"`{entry.law.name}`" + (f" ({options})" if options else "")
        lines.append(f"| {name} | {', '.join(_read(entry))} | {entry.law.formula.replace('|', '/')} |")
    return "\n".join(lines)


def _options(entry: Entry) -> str:
    """Return the options of a law in brackets, each with its choices."""
    options = "; ".join(f"{key}: {', '.join(choices) or default}" for key, default, choices in entry.options)
    return f" ({options})" if options else ""


def _read(entry: Entry) -> list[str]:
    """Return the columns that a law reads; an option ``input`` chooses one of them."""
    chosen = {default for key, default, _ in entry.options if key == "input"}
    names = ["the input" if name in chosen else name for name in entry.law.inputs]
    return [*names, "run"] if entry.law.features and "run" in entry.law.features.needs else names


def law_card(law: Law, noise_rows: Sequence[Parameter]) -> RenderableType:
    """Return everything a reader needs to know about a law before fitting it."""
    from bayes_scaling.laws.parameters import Parameter
    from bayes_scaling.laws.priors import describe_prior

    inputs = [f"{name} ({law.column(name).meaning})" for name in law.inputs]
    parts = [
        Text(f"{law.label}: {law.title}", style="bold"),
        Text(f"\n    {law.formula}\n"),
        _entry("inputs", ", ".join(inputs)),
        *([] if law.response == "loss" else [_entry("loss", f"the column holds the {law.response}")]),
        _entry("holds", law.holds),
        _entry("fails", law.fails),
        Text("\nParameters and priors", style="bold"),
    ]
    for row in (*law.parameters, *noise_rows):
        parts.append(_entry(row.name, f"{row.meaning} [{row.unit}]"))
        if isinstance(row, Parameter):
            parts.append(_entry("", f"{row.quantity or row.name} ~ {describe_prior(row.prior)}"))
            parts.append(_entry("", row.source, style="dim"))
        else:
            parts.append(_entry("", "follows from the others"))
    if law.weakly_identified:
        parts.append(_entry("weak", f"tables of the usual span tell little about {', '.join(law.weakly_identified)}"))
    if law.quantities:
        parts.append(Text("\nOther quantities, for quantity(fit, name, ...)", style="bold"))
    for q in law.quantities:
        takes = ", ".join(name for name in q.needs if name not in law.parameter_names)
        parts.append(Text(f"{q.name}({takes})"))
        parts.append(_entry("", f"{q.meaning} [{q.unit}]"))
        parts.append(_entry("", q.source, style="dim"))
    if law.published:
        parts.append(Text("\nPublished constants, for law.at(name) and simulate --constants name", style="bold"))
    for c in law.published:
        parts.append(Text(c.name if c.verified else f"{c.name} (UNVERIFIED: not read in the paper)"))
        parts.append(_entry("", ", ".join(_with_error(c, name) for name in law.parameter_names)))
        parts.append(_entry("", f"{c.source}; {c.note}" if c.note else c.source, style="dim"))
    parts.append(Text("\nReferences", style="bold"))
    return Group(*parts, *(_entry("", line) for line in law.references))


def _entry(word: str, text: str, style: str = "") -> RenderableType:
    """Return a word and a paragraph that wraps beside it."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=9, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(word), Text(text, style=style))
    return grid


def _with_error(constants: Published, name: str) -> str:
    error = constants.standard_error.get(name)
    return f"{name} = {number(constants.values[name])}" + (f" (se {number(error)})" if error else "")
