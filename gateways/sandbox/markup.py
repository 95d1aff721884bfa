"""XML as text: the dialects that answer in XML join strings, because lists of 1,000 are usual."""

from __future__ import annotations

import html
import re

_PLAIN = re.compile(r"[\w .,:@/+-]*")
# What XML 1.0 cannot carry at all, not even as a reference. Form fields may hold it.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escape(text: str) -> str:
    """The text as XML character data."""
    if _PLAIN.fullmatch(text):  # nearly always, and five times as fast
        return text
    return html.escape(_FORBIDDEN.sub("", text), quote=False)


def leaf(name: str, text: str) -> str:
    """An element with text, also when the text is empty."""
    return f"<{name}>{escape(text)}</{name}>"


def filled_leaf(name: str, text: str) -> str:
    """An element with text; nothing when the text is empty."""
    return leaf(name, text) if text else ""
