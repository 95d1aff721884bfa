"""Locks that belong to a database session: whoever dies lets go of them, and nobody waits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import DatabaseError, InterfaceError, connection


@contextmanager
def advisory_lock(number: int) -> Iterator[bool]:
    """Try to hold a lock; yields False at once while another session holds it. May be nested."""
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
