"""Commands on laws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_scaling.cli._options import AsJson, print_json

if TYPE_CHECKING:
    from bayes_scaling.laws.parameters import Parameter


def laws(
    context: typer.Context,
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
) -> None:
    """List the laws and the columns they read.

    Example: bayes-scaling laws
    """
    if context.invoked_subcommand is not None:
        return
    from bayes_scaling.cli.printing.laws import law_list, law_table
    from bayes_scaling.cli.printing.layout import show
    from bayes_scaling.laws.catalogue import catalogue

    found = catalogue()
    if as_json:
        print_json(
            [
                {
                    "law": entry.law.name,
                    "inputs": entry.law.inputs,
                    "formula": entry.law.formula,
                    "title": entry.law.title,
                    "options": {key: {"default": default, "choices": c} for key, default, c in entry.options},
                }
                for entry in found
            ]
        )
    elif markdown:
        typer.echo(law_table(found))
    else:
        show(law_list(found))


def laws_show(
    name: Annotated[str, typer.Argument(help="Law: NAME, NAME:OPTION=VALUE or a law file.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Show a law: formula, parameters with priors and units, published constants, where it holds and fails.

    Example: bayes-scaling laws show chinchilla
    """
    from bayes_scaling.cli.printing.laws import law_card
    from bayes_scaling.cli.printing.layout import show
    from bayes_scaling.laws.catalogue import load_law
    from bayes_scaling.model.noise import Noise

    law = load_law(name)
    if not as_json:
        show(law_card(law, Noise().parameters))
        return
    print_json(
        {
            "law": law.label,
            "title": law.title,
            "formula": law.formula,
            "inputs": law.inputs,
            "meanings": {name: law.column(name).meaning for name in law.inputs},
            "response": law.response,
            "parameters": [_row(row) for row in law.sampled],
            "noise": [_row(row) for row in Noise().parameters],
            "derived": [
                {"name": row.name, "unit": row.unit, "meaning": row.meaning, "role": row.role}
                for row in law.parameters
                if row not in law.sampled
            ],
            "published": [
                {
                    "name": c.name,
                    "values": dict(c.values),
                    "standard_error": dict(c.standard_error),
                    "source": c.source,
                    "note": c.note,
                    "verified": c.verified,
                }
                for c in law.published
            ],
            "quantities": [
                {"name": q.name, "unit": q.unit, "meaning": q.meaning, "source": q.source} for q in law.quantities
            ],
            "weakly_identified": law.weakly_identified,
            "holds": law.holds,
            "fails": law.fails,
            "references": law.references,
        }
    )


def _row(row: Parameter) -> dict[str, Any]:
    """Return a parameter with its prior as plain values."""
    from bayes_scaling.laws.priors import describe_prior

    return {
        "name": row.name,
        "unit": row.unit,
        "meaning": row.meaning,
        "role": row.role,
        "prior": describe_prior(row.prior),
        "prior_of": row.quantity or row.name,
        "source": row.source,
    }
