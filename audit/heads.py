"""Heads of the chains outside the database: what finds rows that were cut off at their end.

A line of JSON for each chain and hour: in the log and, where the setting AUDIT_HEADS_FILE names
one, in a file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import structlog

from .chains import Chain, Head

log = structlog.get_logger("audit.head")


class UnreadableHeads(Exception):
    """The file holds no heads. ``str()`` says which line is wrong."""


def note_heads(chains: Iterable[Chain], path: Path | None) -> None:
    """Write down where each chain ends now. The lines are on the disk when this returns."""
    heads = [asdict(Head.of(chain)) for chain in chains]
    for head in heads:
        log.info("audit_head", **head)
    if path is None:
        return
    # One write at the end of the file, as others may write to it as well.
    lines = "".join(f"{json.dumps(head)}\n" for head in heads).encode()
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        os.write(file, lines)
        os.fsync(file)
    finally:
        os.close(file)


def read_heads(path: Path) -> Iterator[Head]:
    """The heads of a file, of our own or of lines of the log. Raises UnreadableHeads or OSError."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                told = json.loads(line)
                head = Head(
                    str(told["chain"]), int(told["sequence"]), str(told["hash"]), str(told["at"])
                )
            except (ValueError, TypeError, KeyError):
                raise UnreadableHeads(f"Line {number} of {path} is no head of a chain.") from None
            yield head
