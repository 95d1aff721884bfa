"""When to ask again about a refund without a proven end, and what it proves that none is found.

Pure functions. Every moment in them is one of the database's clock.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from gateways.base import Capabilities

from .models import MAX_SENDS, RefundAttempt
from .states import Status

# After this long no sender is alive any more: a worker's hard limit and the processor's own come
# long before. What is not there then, and is not late in the processor's lists, was not made.
QUARANTINE = timedelta(hours=2)
# Two look-ups that find nothing are two only when this much lies between them.
ABSENCES_APART = timedelta(minutes=30)
# A key is not sent again in the last hours of its life: look-ups decide then.
_KEY_MARGIN = timedelta(hours=4)
# How long an attempt rests after its first, second … send before it may be sent again under its
# key. Whoever asks in between brings a look-up forward, and never the next of the few sends.
_RESTS = tuple(timedelta(seconds=each) for each in (10, 60, 300, 1800, 7200))
# How an attempt remembers that its key only brings a stored answer back (Stripe's own name of it).
REPLAYED = "idempotent-replayed"

# Seconds between questions. Both begin at once, because most answers are only a little late; a
# send under a key that is still good follows each question about an unknown outcome.
_WAITS = {
    Status.UNKNOWN: (10, 60, 180, 600, 1800, 7200),
    Status.PENDING: (10, 60, 300, 900, 1800, 3600),
}
_SELDOM = timedelta(hours=6)


def first_question(now: datetime) -> datetime:
    """When to ask for the first time, or once more after a call that got no answer at all."""
    return now + timedelta(seconds=_WAITS[Status.UNKNOWN][0])


def next_question(
    status: Status, lookups: int, attempt: RefundAttempt, capabilities: Capabilities, now: datetime
) -> datetime:
    """When to ask again after ``lookups`` questions.

    No later than when the attempt may be sent again, when an absence begins to count, and then when
    a second one does.
    """
    waits = _WAITS[status]
    wait = timedelta(seconds=waits[lookups]) if lookups < len(waits) else _SELDOM
    moments = [now + wait]
    if status == Status.UNKNOWN:
        speaks = absence_speaks_from(attempt, capabilities)
        first = attempt.first_absent_at
        moments += [speaks] if speaks else []
        moments += [first + ABSENCES_APART] if first else []
        rested = rested_from(attempt)
        moments += [rested] if rested and key_is_good(attempt, capabilities, rested) else []
    return min(moment for moment in moments if moment > now)


def absence_speaks_from(attempt: RefundAttempt, capabilities: Capabilities) -> datetime | None:
    """From when on it counts that the processor does not show an attempt; None if never sent."""
    if attempt.last_sent_at is None:
        return None
    return attempt.last_sent_at + QUARANTINE + capabilities.lookup_lag


def is_absent(attempt: RefundAttempt, capabilities: Capabilities) -> bool:
    """Whether two look-ups, far enough apart and after the quarantine, did not find an attempt."""
    first, last = attempt.first_absent_at, attempt.last_absent_at
    speaks = absence_speaks_from(attempt, capabilities)
    return bool(first and last and speaks and first >= speaks and last - first >= ABSENCES_APART)


def key_is_good(attempt: RefundAttempt, capabilities: Capabilities, now: datetime) -> bool:
    """Whether sending the same bytes again under the same key can still settle an attempt."""
    life = capabilities.idempotency_key_life
    if life is None or attempt.sends >= MAX_SENDS or attempt.processor_code == REPLAYED:
        return False
    return attempt.first_sent_at is None or now - attempt.first_sent_at < life - _KEY_MARGIN


def rested_from(attempt: RefundAttempt) -> datetime | None:
    """From when on an attempt has rested since its last send; None if it was never sent."""
    if attempt.last_sent_at is None:
        return None
    return attempt.last_sent_at + _RESTS[min(attempt.sends, len(_RESTS)) - 1]


def may_resend(attempt: RefundAttempt, capabilities: Capabilities, now: datetime) -> bool:
    """Whether the same bytes may leave once more now: under a good key, and after their rest."""
    rested = rested_from(attempt)
    return key_is_good(attempt, capabilities, now) and (rested is None or now >= rested)
