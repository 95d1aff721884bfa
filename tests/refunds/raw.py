"""Writing what the guards would refuse, to see what happens next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def triggers_off() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        try:
            yield
        finally:
            cursor.execute("SET session_replication_role = origin")


@contextmanager
def rolled_back() -> Iterator[None]:
    """Leave nothing behind, not even what a deferred trigger would check at commit."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
