"""Locks that belong to a database session: whoever dies lets go of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import DatabaseError, InterfaceError, connection


@contextmanager
def advisory_lock(number: int) -> Iterator[bool]:
    """Try to hold a lock; yields False at once while another session holds it. May be nested.

    Nobody waits for it.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [number])
        is_ours = bool(cursor.fetchone() == (True,))
    try:
        yield is_ours
    finally:
        # A connection that was lost has let go of its locks.
        with suppress(DatabaseError, InterfaceError):
            if is_ours:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_advisory_unlock(%s)", [number])


def lock_until_commit(number: int) -> None:
    """Hold a lock until the database transaction ends, after waiting for who holds it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])
