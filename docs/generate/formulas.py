"""Typeset formulas: the plain text of law files becomes LaTeX, LaTeX becomes MathML, which browsers draw themselves.

Plain text is read as one would read it aloud: ``A / N^alpha`` is a fraction, factors stand side by side, a name
followed at once by a bracket is a function, and a bracket that only groups a numerator, a denominator or an exponent is
dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import latex2mathml.converter

GREEK = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu"),
    *("xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
)
NAMES = {"eps": r"\varepsilon", "inf": r"\infty", "Ehat": r"\hat{E}", "star": "*"}
FUNCTIONS = {"exp": r"\exp", "ln": r"\ln", "log10": r"\log_{10}", "min": r"\min", "max": r"\max"}
LARGE = {"sum": r"\sum", "prod": r"\prod"}
TOKEN = re.compile(
    r"(?P<number>\d+(?:\.\d+)?(?:e-?\d+)?)|(?P<name>[A-Za-z][A-Za-z0-9]*'?)|(?P<sign>[-+*/^=<>,;_()\[\]])"
)
CLOSING = {"(": ")", "[": "]"}


class FormulaError(ValueError):
    """A formula that cannot be read, with the place where reading stopped."""


class _Reader:
    """A reader of one formula: each method reads what its name says and returns LaTeX."""

    def __init__(self, text: str, *, inline: bool = False) -> None:
        self.text = text
        self.inline = inline  # fractions with a slash, everywhere
        self.tokens: list[tuple[str, bool]] = []  # a token, and whether a space stands before it
        place = 0
        while place < len(text):
            if text[place].isspace():
                place += 1
                continue
            found = TOKEN.match(text, place)
            if not found:
                raise FormulaError(f"{text!r}: cannot read {text[place]!r}")
            self.tokens.append((found.group(), place > 0 and text[place - 1].isspace()))
            place = found.end()
        self.next = 0

    def peek(self) -> str:
        return self.tokens[self.next][0] if self.next < len(self.tokens) else ""

    def take(self, wanted: str = "") -> str:
        token = self.peek()
        if not token or (wanted and token != wanted):
            raise FormulaError(f"{self.text!r}: expected {wanted or 'more'}, got {token or 'the end'}")
        self.next += 1
        return token

    def touches(self) -> bool:
        """Say whether the next token follows without a space."""
        return self.next < len(self.tokens) and not self.tokens[self.next][1]

    def equations(self) -> str:
        parts = [self.relation()]
        while self.peek() in {",", ";"}:
            self.take()
            parts.append(self.relation())
        if self.peek():
            raise FormulaError(f"{self.text!r}: cannot read on from {self.peek()!r}")
        return r", \quad ".join(parts)

    def relation(self) -> str:
        out = self.sum()
        while self.peek() in {"=", "<", ">"}:
            out += f" {self.take()} {self.sum()}"
        return out

    def sum(self, inline: bool = False) -> str:
        out = f"-{self.product(inline)}" if self.peek() == "-" and self.take() else self.product(inline)
        while self.peek() in {"+", "-"}:
            out += f" {self.take()} {self.product(inline)}"
        return out

    def product(self, inline: bool) -> str:
        """Read factors side by side; a division has all factors so far above it, and one below."""
        begin, divided = self.next, False
        factors = [self.factor()]
        while self.peek() and self.peek() not in {"+", "-", "=", "<", ">", ",", ";", ")", "]"}:
            if self.peek() != "/":
                factors.append(self.factor())
                continue
            if inline or self.inline:
                self.take()
                factors = [f"{_joined(factors)} / {self.factor()}"]
            else:
                self.inline = True  # no fraction within a fraction: read what stands above it again
                if not divided:
                    slash, self.next, factors = self.next, begin, []
                    while self.next < slash:
                        factors.append(self.factor())
                self.take()
                below, self.inline, divided = self.factor(), False, True
                above = _bare(factors[0]) if len(factors) == 1 else _joined(factors)
                factors = [rf"\frac{{{above}}}{{{_bare(below)}}}"]
        return _joined(factors)

    def factor(self) -> str:
        base = self.primary()
        if self.peek() != "^":
            return base
        self.take()
        sign = "-" if self.peek() == "-" and self.take() else ""
        if self.peek() == "(":
            self.take()
            exponent = self.sum(inline=True)
            self.take(")")
        else:
            exponent = self.primary()
        return f"{base}^{{{sign}{exponent}}}"

    def primary(self) -> str:
        token = self.take()
        if token in CLOSING:
            inside = self.arguments()
            close = self.take(CLOSING[token])
            return rf"\left{token} {inside} \right{close}"
        if token[0].isdigit():
            if "e" in token:
                digits, exponent = token.split("e")
                return rf"{digits} \times 10^{{{exponent}}}"
            return token
        if not token[0].isalpha():
            raise FormulaError(f"{self.text!r}: cannot read {token!r}")
        if token in LARGE:
            return rf"{LARGE[token]}_{{{self.subscript()}}}"
        if token in FUNCTIONS:
            word = FUNCTIONS[token]
            if self.peek() == "(" and self.touches():
                return f"{word} {self.primary()}"
            return rf"{word} \, {self.factor()}"
        name = _symbol(token)
        if self.peek() == "_":
            prime = "'" if name.endswith("'") else ""
            name = f"{name.removesuffix(prime)}_{{{self.subscript()}}}{prime}"
        if self.peek() == "(" and self.touches():
            return f"{name} {self.primary()}"
        return name

    def arguments(self) -> str:
        parts = [self.sum()]
        while self.peek() == ",":
            self.take()
            parts.append(self.sum())
        return ", ".join(parts)

    def subscript(self) -> str:
        self.take("_")
        if self.peek() == "(":
            self.take()
            inside = self.sum(inline=True)
            self.take(")")
            return inside
        token = self.take()
        out = token if token[0].isdigit() else _symbol(token)
        return f"{out}, {self.subscript()}" if self.peek() == "_" else out


def _symbol(name: str) -> str:
    """Return a name as LaTeX: Greek letters by name, one letter as it is, words upright."""
    prime, name = ("'" if name.endswith("'") else ""), name.removesuffix("'")
    if name in NAMES:
        return NAMES[name] + prime
    if name in GREEK:
        return rf"\{name}{prime}"
    if len(name) == 1:
        return name + prime
    digits = re.fullmatch(r"([A-Za-z])(\d+)", name)
    return (f"{digits[1]}_{{{digits[2]}}}" if digits else rf"\text{{{name}}}") + prime


def _joined(factors: Iterable[str]) -> str:
    return r" \, ".join(factors)


def _bare(latex: str) -> str:
    """Drop the brackets of one bracketed group."""
    if not latex.startswith(r"\left( ") or not latex.endswith(r" \right)"):
        return latex
    depth = 0
    for found in re.finditer(r"\\(left|right)[(\[)\]]", latex):
        depth += 1 if found[1] == "left" else -1
        if depth == 0:
            return latex[len(r"\left( ") : -len(r" \right)")] if found.end() == len(latex) else latex
    return latex


def latex_of(formula: str, *, inline: bool = False) -> str:
    """Return the LaTeX of a formula in the plain text of law files.

    Parameters
    ----------
    inline : write fractions with a slash, as within a line of text

    Raises
    ------
    FormulaError
        Where the text cannot be read as a formula.
    """
    return _Reader(formula, inline=inline).equations()


def latex_of_name(name: str) -> str:
    """Return the LaTeX of a parameter's name, ``alpha_N`` or ``t_web``."""
    return _Reader(name).primary()


def mathml(latex: str, *, block: bool = False) -> str:
    """Return LaTeX as a MathML element, with the LaTeX as its spoken text."""
    return latex2mathml.converter.convert(latex, display="block" if block else "inline")


def unit_html(unit: str) -> str:
    """Return a unit as HTML: powers raised, Greek letters as letters."""

    def greek(text: str) -> str:
        return re.sub(r"[A-Za-z]+(?=_|\b)", lambda m: _letter(m[0]), text.strip("()").replace("-", "−"))

    return re.sub(r"\^(-?\w+|\([^)]*\))", lambda m: f"<sup>{greek(m[1])}</sup>", unit)


def _letter(word: str) -> str:
    letters = "αβγδεζηθικλμνξπρστυφχψω"
    return letters[GREEK.index(word)] if word in GREEK else word
