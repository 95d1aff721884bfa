"""The one clock by which leases and schedules are kept, however far off a worker's own may be."""

from __future__ import annotations

from datetime import datetime

from django.db import connection


def database_now() -> datetime:
    """What time it is in the database, now and not when its transaction began."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now
