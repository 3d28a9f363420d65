"""What spreadsheet programs make of the tables we write."""

from __future__ import annotations


def no_formula(cell: str) -> str:
    """With an apostrophe in front where a spreadsheet would run it (OWASP on CSV injection)."""
    return f"'{cell}" if cell[:1] in {"=", "+", "-", "@", "\t", "\r"} else cell
