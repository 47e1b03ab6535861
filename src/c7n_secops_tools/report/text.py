"""Text from outside, made safe to show."""

from __future__ import annotations

NOT_SAID = "\N{EN DASH}"
"""Stands where a run does not say something, which is not a zero."""
LINES = ("\n", "\t")


def clean(value: str) -> str:
    """The text with each control character replaced: none moves a cursor or turns the text."""
    return "".join(
        c if c.isprintable() or c in LINES else "\N{REPLACEMENT CHARACTER}" for c in value
    )
