"""The one clock by which leases and schedules are kept, and how moments are told to people.

A worker's own clock may be off, however far.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db import connection
from django.utils import formats

# Clocks of processors and ours differ by no more than this.
CLOCK_SKEW = timedelta(minutes=5)


def database_now() -> datetime:
    """What time it is in the database, now and not when its transaction began."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now


def in_words(at: datetime) -> str:
    """A moment in a sentence: in UTC, because it is written for whoever reads it later."""
    return f"{formats.date_format(at.astimezone(UTC), 'j M Y, H:i')} UTC"


def day_in_words(at: datetime) -> str:
    """The day of a moment in a sentence, in UTC."""
    return formats.date_format(at.astimezone(UTC), "j M Y")
