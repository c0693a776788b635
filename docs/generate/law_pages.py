"""One page for each law, written from its file: formula, priors, published constants, limits, references."""

from __future__ import annotations

import ast
import io
import re
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.ticker
import numpy as np
from formulas import GREEK, FormulaError, latex_of, latex_of_name, unit_html
from matplotlib.figure import Figure

from bayes_scaling.laws.catalogue import Entry, available_laws, catalogue, load_law
from bayes_scaling.laws.law import Law, Published
from bayes_scaling.laws.parameters import Derived, Parameter
from bayes_scaling.laws.priors import describe_prior, prior_quantile

FOLDER = Path(__file__).parents[2] / "models"
LETTER = rf"(?:\b[A-Za-z]'?|\b(?:{'|'.join(GREEK)}))"
SUBSCRIPT = r"_(?:[A-Za-z0-9]+|\([^()]*\))(?![A-Za-z])"
GROUP = r"\((?:[^()]|\([^()]*\))*\)"
EXPONENT = rf"\^-?(?:{GROUP}|[A-Za-z0-9]+(?:_\w+)?)"
SYMBOL = re.compile(
    rf"(?:{GROUP}|\b(?:[A-Za-z]{{2,}}|\d+)){EXPONENT}"
    rf"|(?<![\w.^/-]){LETTER}(?:(?:{SUBSCRIPT})?{EXPONENT}|{SUBSCRIPT})"
    rf"|(?<![\w-])(?:{'|'.join(GREEK)})\b(?![\w(])"
)
"""A symbol in prose: a letter or Greek name with a subscript or an exponent, or a Greek name alone."""
OPTION = re.compile(r"\s{3,}(?=\w+=\w)")
BAND, LINE, GREY = "#b9dfd3", "#00735a", "#5f5f5f"


def names() -> list[str]:
    """Return the names of all laws."""
    return available_laws()


def pages() -> dict[str, str | bytes]:
    """Return every page and picture, by path in the site."""
    entries = sorted(catalogue(), key=lambda entry: entry.law.name)
    out: dict[str, str | bytes] = {"laws/index.md": overview(entries)}
    for entry in entries:
        out[f"laws/{entry.law.name}.md"] = page(entry)
        out[f"laws/{entry.law.name}_priors.svg"] = picture(entry.law)
    return out


def overview(entries: list[Entry]) -> str:
    """Return the page that lists all laws by what they read."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(_group(entry), []).append(entry)
    lines = [
        "# Laws\n\nEvery law is one file in `models/`. Its page shows the formula, the priors, the constants that "
        "papers published, where it was established and where it is known to break. `bayes-scaling laws show NAME` "
        "prints the same. Not sure which one? [Choose a law](../how-to/choose-a-law.md). Yours is missing? "
        "[Write it](../how-to/extend.md).\n"
    ]
    for title in GROUPS:
        lines.append(f"## {title}\n\n| law | formula |\n|---|---|")
        lines += [
            f"| [`{law.name}`]({law.name}.md)<br>{_cell(law.title)} | ${latex_of(law.formula)}$ |"
            for law in (entry.law for entry in groups.pop(title, []))
        ]
        lines.append("")
    assert not groups, groups
    return "\n".join(lines)


GROUPS = (
    "Parameters and tokens",
    "One input",
    "Steps, batch size, learning rate",
    "Data that repeat or mix",
    "Architecture and precision",
    "Other losses and tasks",
)


def _group(entry: Entry) -> str:
    """Return the heading under which a law is listed."""
    inputs = set(entry.law.inputs)
    if any(key == "input" for key, _, _ in entry.options):
        return "One input"
    if inputs <= {"params", "tokens", "flops"}:
        return "Parameters and tokens"
    if inputs & {"steps", "batch_tokens", "learning_rate"}:
        return "Steps, batch size, learning rate"
    if "unique_tokens" in inputs or "domains" in {key for key, _, _ in entry.options}:
        return "Data that repeat or mix"
    return "Other losses and tasks" if inputs & {"source_loss", "position"} else "Architecture and precision"


def page(entry: Entry) -> str:
    """Return the page of one law."""
    law = entry.law
    inputs = [(f"`{name}`", _cell(law.column(name).meaning)) for name in law.inputs]
    parts = [
        f"# {law.name}\n\n{_sentence(law.title)}",
        f"$$\n{latex_of(law.formula)}\n$$" if law.formula not in docstring(law) else "",
        described(docstring(law)),
        f"```python\nimport bayes_scaling as bs\n\nlaw = bs.load_law({law.name!r})\n```\n",
        options(entry),
        f"| it reads | what that is |\n|---|---|\n{_rows(inputs)}",
        "## Where it holds, and where it fails",
        f"**Holds:** {_markdown(law.holds)}.\n\n**Fails:** {_markdown(law.fails)}.",
        parameters(law),
        published(law),
        quantities(law),
        "## References\n\n" + "\n".join(f"- {_with_link(reference)}" for reference in law.references),
        source(law),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


@cache
def _tree(name: str) -> tuple[str, ast.Module]:
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    return text, ast.parse(text)


def docstring(law: Law) -> str:
    """Return what the file of a law says at its top."""
    return ast.get_docstring(_tree(law.name)[1]) or ""


def described(text: str) -> str:
    """Return a docstring as Markdown, its indented lines as formulas where they are formulas."""
    first, _, rest = text.partition("\n\n")
    out = []
    for block in (first.partition(": ")[2] or first, *re.split(r"\n\s*\n", rest)):
        if not block.startswith("    "):
            out.append(_sentence(_markdown(" ".join(block.split()))))
            continue
        lines = [OPTION.split(line) for line in textwrap.dedent(block).splitlines()]
        if any(re.match(r"\w+=\w", line[0]) for line in lines):
            out += [_option(*" ".join(line).split(maxsplit=1)) for line in lines]
            continue
        try:
            out += [_displayed(*line) for line in lines]
        except FormulaError:
            out.append(f"```text\n{textwrap.dedent(block)}\n```")
    return "\n\n".join(out[1:]) if rest else ""


def _option(choice: str, meaning: str = "") -> str:
    return f"- `{choice}`: {_markdown(meaning)}"


def _displayed(formula: str, option: str = "") -> str:
    """Return a formula in display, after the option that chooses it."""
    chosen = f"`{option.strip()}`\n\n" if option else ""
    return f"{chosen}$$\n{latex_of(formula.strip())}\n$$"


def options(entry: Entry) -> str:
    """Return the table of the options that a law takes at load, with the formula of each choice."""
    if not entry.options:
        return ""
    name, first = entry.law.name, entry.options[0][0]
    rows = [
        (key, choice, choice == default, latex_of(load_law(name, **{key: choice}).formula))
        for key, default, choices in entry.options
        for choice in choices or (default,)
    ]
    differ = len({latex for *_, latex in rows}) > 1
    lines = [
        f"Options are chosen at load: `bs.load_law({name!r}, {first}=...)`, or `--law {name}:{first}=...` on the "
        "command line.\n",
        "| option | choice | formula |\n|---|---|---|" if differ else "| option | choice |\n|---|---|",
    ]
    for key, choice, is_default, latex in rows:
        formula = f" ${latex}$ |" if differ else ""
        lines.append(f"| `{key}` | `{choice}`{' (default)' if is_default else ''} |{formula}")
    return "\n".join(lines)


def parameters(law: Law) -> str:
    """Return the tables of parameters, what follows from them, and the picture of the priors."""
    sampled = [
        (
            f"${latex_of_name(row.name)}$ `{row.name}`",
            _cell(row.meaning),
            unit_html(row.unit),
            (f"{_cell(row.quantity)}:<br>" if row.quantity else "") + f"`{describe_prior(row.prior)}`",
            _cell(row.source),
        )
        for row in law.sampled
    ]
    derived = [
        (f"${latex_of_name(row.name)}$ `{row.name}`", _cell(row.meaning), unit_html(row.unit))
        for row in law.parameters
        if isinstance(row, Derived)
    ]
    weak = ", ".join(f"`{name}`" for name in law.weakly_identified)
    parts = [
        "## Parameters and priors\n\nA prior describes the parameter, or the quantity that its cell names: "
        "coefficients have no natural scale, so their priors are stated at the centre of the data.",
        f"| parameter | meaning | unit | prior | why this prior |\n|---|---|---|---|---|\n{_rows(sampled)}",
        f"Tables of the usual span tell little about {weak}: expect their priors to speak." if weak else "",
        f"![Prior densities of the sampled parameters of {law.name}]({law.name}_priors.svg){{ .priors }}",
        "Each density ends at its 0.5 % and 99.5 % quantiles; the dark part is the central 90 %, the line the median.",
        f"These follow from the others:\n\n| parameter | meaning | unit |\n|---|---|---|\n{_rows(derived)}"
        if derived
        else "",
        "Noise and discrepancy add parameters of their own: [what a band contains](../background/bands.md).",
    ]
    return "\n\n".join(part for part in parts if part)


def published(law: Law) -> str:
    """Return the table of published constants."""
    if not law.published:
        return "## Published constants\n\nNone: no paper prints constants of this form."
    head = " | ".join(f"${latex_of_name(name)}$" for name in law.parameter_names)
    rows = []
    for constants in law.published:
        cells = " | ".join(_value(constants, name) for name in law.parameter_names)
        unread = "" if constants.verified else " **(not read in the paper or its code)**"
        note = f"; {constants.note}" if constants.note else ""
        rows.append(f"| `{constants.name}` | {cells} | {_cell(constants.source + note)}{unread} |")
    name = law.published[0].name
    use = (
        f"`law.at({name!r})` evaluates the law at such a set; `bayes-scaling simulate {law.name} --constants {name}` "
        "draws runs from it. ± is one standard error, where the paper gives it."
    )
    rule = "|---" * (len(law.parameter_names) + 2)
    return f"## Published constants\n\n{use}\n\n| set | {head} | source |\n{rule}|\n" + "\n".join(rows)


def _value(constants: Published, name: str) -> str:
    value, error = constants.values[name], constants.standard_error.get(name)
    return _number(value) + (f"\u00a0±\u00a0{_number(error)}" if error is not None else "")


def _number(value: float) -> str:
    text = f"{value:.4g}"
    if "e" not in text:
        return text
    digits, exponent = text.split("e")
    return f"{digits}\u00a0×\u00a010<sup>{str(int(exponent)).replace('-', '−')}</sup>"


def quantities(law: Law) -> str:
    """Return the table of what else a law says."""
    if not law.quantities:
        return ""
    rows = []
    for q in law.quantities:
        takes = ", ".join(name for name in q.needs if name not in law.parameter_names)
        rows.append((f"`{q.name}({takes})`", _cell(q.meaning), unit_html(q.unit), _cell(q.source)))
    first = law.quantities[0]
    takes = "".join(f", {name}=..." for name in first.needs if name not in law.parameter_names)
    return (
        f"## Other quantities\n\n`bs.quantity(fit, {first.name!r}{takes})` returns one for each posterior draw.\n\n"
        f"| quantity | meaning | unit | source |\n|---|---|---|---|\n{_rows(rows)}"
    )


def source(law: Law) -> str:
    """Return the law file itself, folded."""
    text = textwrap.indent(_tree(law.name)[0], "    ")
    return f'??? note "The law file, `models/{law.name}.py`"\n\n    ```python\n{text}    ```'


def picture(law: Law) -> bytes:
    """Return the prior densities of a law as SVG."""
    rows = law.sampled
    across = min(4, len(rows))
    down = -(-len(rows) // across)
    style: dict[str, Any] = {
        "font.size": 8.5,
        "mathtext.fontset": "stix",
        "svg.hashsalt": law.name,
        "svg.fonttype": "path",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.edgecolor": GREY,
        "xtick.color": GREY,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(2.35 * across, 1.7 * down), layout="constrained")
        for i, row in enumerate(rows):
            _density(figure.add_subplot(down, across, i + 1), row)
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None}, transparent=True)
    return file.getvalue()


def _density(axes: Any, row: Parameter) -> None:
    """Draw the density of one prior between its outer quantiles, of the logarithm where it spans decades."""
    low, start, middle, stop, high = (prior_quantile(row.prior, q) for q in (0.005, 0.05, 0.5, 0.95, 0.995))
    over_decades = low > 0 and high > 50 * low
    x = np.geomspace(low, high, 300) if over_decades else np.linspace(low, high, 300)
    density = np.exp(np.asarray(row.prior.log_prob(x), float)) * (x if over_decades else 1)
    inside = (x >= start) & (x <= stop)
    axes.fill_between(x, density, color=BAND, alpha=0.55, linewidth=0)
    axes.fill_between(x[inside], density[inside], color=BAND, linewidth=0)
    axes.plot(x, density, color=LINE, linewidth=1.2)
    axes.plot([middle, middle], [0, np.interp(middle, x, density)], color=LINE, linewidth=1.2)
    axes.set_ylim(0, 1.08 * np.max(density[np.isfinite(density)]))
    axes.set_yticks([])
    if over_decades:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    else:
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(4))
    words = textwrap.wrap(row.quantity, 32)
    label = "\n".join(words[:2]) + (" ..." if len(words) > 2 else "")
    axes.set_xlabel("\n".join(_mathtext(line) for line in label.split("\n")), color=GREY, fontsize=8.5)
    axes.set_title(_mathtext(row.name), fontsize=11)


def _mathtext(text: str) -> str:
    """Return text with its symbols as matplotlib typesets them."""
    if re.fullmatch(r"\w", text):
        return f"${text}$"
    return SYMBOL.sub(lambda m: f"${latex_of(m[0], inline=True)}$".replace(r"\text", r"\mathrm"), text)


def _rows(rows: Any) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(text: str) -> str:
    return _markdown(text).replace("|", "\\|")


def _markdown(text: str) -> str:
    """Return prose of a law file as Markdown: symbols typeset, and nothing else that Markdown would read as markup."""
    pieces = re.split(r"(`+[^`]+`+)", text)
    for i in range(0, len(pieces), 2):
        out, end = [], 0
        for found in SYMBOL.finditer(pieces[i]):
            out += [_escaped(pieces[i][end : found.start()]), f"${latex_of(found[0], inline=True)}$"]
            end = found.end()
        pieces[i] = "".join([*out, _escaped(pieces[i][end:])])
    return "".join(pieces)


def _escaped(text: str) -> str:
    return re.sub(r"([*_<>\[\]])", r"\\\1", text)


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", ":")) else f"{text}."


def _with_link(reference: str) -> str:
    """Return a reference with a link to its paper."""
    return re.sub(r"arXiv (\d{4}\.\d{4,5})", r"[arXiv \1](https://arxiv.org/abs/\1)", _markdown(reference))
