"""Walking a hash chain: the first row that does not fit, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection

# A batch is read and hashed by the database far within its statement timeout.
_BATCH = 20_000
_FIRST_HASH = "0" * 64


@dataclass(frozen=True, slots=True)
class Chain:
    """A table whose rows are chained, and the database's function that hashes one of its rows."""

    name: str
    table: str
    digest: str


@dataclass(frozen=True, slots=True)
class Head:
    """The newest row of a chain when it was looked at; ``sequence`` is 0 while there is none."""

    chain: str
    sequence: int
    hash: str
    at: str

    @classmethod
    def of(cls, chain: Chain) -> Head:
        newest = f"SELECT sequence, hash FROM {chain.table} ORDER BY sequence DESC LIMIT 1"  # noqa: S608
        with connection.cursor() as cursor:
            cursor.execute(newest)
            sequence, text = cursor.fetchone() or (0, _FIRST_HASH)
        return cls(chain.name, sequence, text, datetime.now(UTC).isoformat(timespec="seconds"))


@dataclass(frozen=True, slots=True)
class Break:
    """The first row that does not fit, and why: a sentence without its end."""

    sequence: int
    why: str


ENTRIES = Chain("entries", "audit_auditentry", "audit_digest")


def first_break(chain: Chain) -> Break | None:
    """Walk the chain from its start. None when each row fits the one before.

    Rows cut off at the very end leave a chain that fits: :func:`first_missing_head` finds that.
    """
    sequence, text = 0, _FIRST_HASH
    while True:
        found, last = _walk(chain, sequence, text)
        if found or last is None:
            return found
        sequence, text = last


def _walk(chain: Chain, after: int, text: str) -> tuple[Break | None, tuple[int, str] | None]:
    """One batch: what is broken in it, or the row at its end; None and None after the last."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""WITH batch AS (
                  SELECT sequence, hash, previous_hash, {chain.digest}(row) AS digest
                  FROM {chain.table} AS row WHERE sequence > %(after)s
                  ORDER BY sequence LIMIT %(batch)s),
                beside AS (
                  SELECT *, lag(sequence, 1, %(after)s) OVER w AS sequence_before,
                    lag(hash, 1, %(text)s) OVER w AS hash_before
                  FROM batch WINDOW w AS (ORDER BY sequence))
                (SELECT true AS broken, sequence, hash, sequence_before,
                   previous_hash <> hash_before
                 FROM beside WHERE sequence <> sequence_before + 1
                   OR previous_hash <> hash_before OR digest IS DISTINCT FROM hash
                 ORDER BY sequence LIMIT 1)
                UNION ALL
                (SELECT false, sequence, hash, 0, false FROM batch ORDER BY sequence DESC LIMIT 1)
                ORDER BY broken DESC
            """,  # noqa: S608
            {"after": after, "text": text, "batch": _BATCH},
        )
        rows: list[Any] = cursor.fetchall()
    if not rows:
        return None, None
    broken, sequence, text, before, follows_another = rows[0]
    if not broken:
        return None, (sequence, text)
    if sequence != before + 1:
        return Break(sequence, f"row {before + 1} is missing before it"), None
    if follows_another:
        return Break(sequence, "it does not follow the row before it"), None
    return Break(sequence, "its content was changed"), None


def first_missing_head(chain: Chain, heads: Iterable[Head]) -> Break | None:
    """The first head, noted earlier outside the database, that the chain no longer has."""
    for head in _of_rows(chain, heads):
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT hash FROM {chain.table} WHERE sequence = %s",  # noqa: S608
                [head.sequence],
            )
            row = cursor.fetchone()
        if row is None:
            return Break(head.sequence, f"it was there at {head.at} and is not any more")
        if row[0] != head.hash:
            return Break(head.sequence, f"it is not the row that was there at {head.at}")
    return None


def _of_rows(chain: Chain, heads: Iterable[Head]) -> Iterator[Head]:
    return (head for head in heads if head.chain == chain.name and head.sequence)
