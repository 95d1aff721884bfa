"""An alarm for clocks that differ: signatures, windows and settlement times rely on ours."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import structlog

log = structlog.get_logger(__name__)

ALARM_SECONDS = 30
QUIET_SECONDS = 3600  # between two alarms for one account, in one process

_last_alarms: dict[tuple[str, str], float] = {}


def compare(account: str, host: str, date: str, asked_at: datetime) -> None:
    """Log ``clock_skew`` where an answer's Date header is far from the time of the call.

    ``seconds`` is how far their clock is ahead of ours; negative where it is behind.
    """
    try:
        theirs = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return
    if theirs.tzinfo is None:  # "-0000": a time whose zone nobody vouches for
        return
    now = datetime.now(UTC)
    # It may have been written at any moment of the call.
    skew = (theirs - min(max(theirs, asked_at), now)).total_seconds()
    quiet = time.monotonic() - _last_alarms.get((account, host), -QUIET_SECONDS) < QUIET_SECONDS
    if abs(skew) <= ALARM_SECONDS or quiet:
        return
    _last_alarms[account, host] = time.monotonic()
    log.warning("clock_skew", account=account, host=host, seconds=round(skew))
