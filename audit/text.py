"""Text that others chose, made fit for one line of a log."""

from __future__ import annotations


def printable(text: str) -> str:
    """Control characters as their escapes: whoever types must not steer a terminal or a parser."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def shortened(text: str, size: int) -> str:
    """The printable text, cut to ``size`` characters with an ellipsis as the last."""
    text = printable(text[:size] if len(text) <= size else text[: size - 1] + "…")
    return text if len(text) <= size else text[: size - 1] + "…"
