"""The one clock by which leases and schedules are kept, and how moments are told to people.

A worker's own clock may be off, however far.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection
from django.utils import formats, timezone

# Clocks of processors and ours differ by no more than this.
CLOCK_SKEW = timedelta(minutes=5)


def database_now() -> datetime:
    """What time it is in the database, now and not when its transaction began."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now


def in_words(at: datetime) -> str:
    """A moment in a sentence, in the active time zone: UTC, whoever reads it."""
    return formats.date_format(timezone.localtime(at), "j M Y, H:i")


def day_in_words(at: datetime) -> str:
    """The day of a moment in a sentence, in the active time zone: UTC, whoever reads it."""
    return formats.date_format(timezone.localtime(at), "j M Y")
