"""Moments in UTC, whatever zone somebody else wrote them in."""

from __future__ import annotations

from datetime import MAXYEAR, MINYEAR, UTC, datetime


def in_utc(moment: datetime) -> datetime:
    """The moment in UTC, which it is taken to be in where it names no zone.

    Raises ValueError for what the calendar has no room for in UTC: its first and last hours, with
    an offset.
    """
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{moment.isoformat()} lies outside the calendar in UTC") from None


def reported(moment: datetime) -> datetime:
    """The moment of a processor's record, in UTC.

    Raises ValueError for the calendar's first and last year. Such a time stands for none, and hours
    and days are added to what is read here.
    """
    if not MINYEAR < moment.year < MAXYEAR:
        raise ValueError(f"{moment.isoformat()} is not a time at which anything was paid")
    return in_utc(moment)
