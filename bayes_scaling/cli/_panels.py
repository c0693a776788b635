"""Sections of the help: what options are about."""

from __future__ import annotations

from collections.abc import Mapping

OPTIONS = "Options"
COST = "Cost"
TABLE = "How the table is read and fitted"
RUN = "Which runs to choose from and to compare with"
MORE = "Further questions"
NOTES: Mapping[str, str] = {
    COST: "Values marked * may be several, comma-separated: they are equally likely. Several values of two options are "
    "paired by position: the first of each go together."
}
"""What is said once, below a section."""
