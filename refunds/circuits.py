"""How much one processor that does not answer may cost: a circuit breaker and slots, per account.

Both live in PostgreSQL, because the broker may be lost at any moment, and both go by its clock.
The breaker stops sends, never look-ups: they find out that the processor answers again. Slots are
locks of a database session, so a killed worker frees its own and nothing has to be cleaned up.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Literal

import structlog
from django.conf import settings
from django.db.models import Case, DurationField, ExpressionWrapper, F, Q, Value, When
from django.db.models.functions import Least, Now

from transactions.advisory import advisory_lock

from .models import CircuitBreaker

log = structlog.get_logger(__name__)

SILENCES = 3  # in a row open the breaker
# From opening to the first probe, and what each further probe adds. A probe counts from its start,
# so a pause must be longer than PROVIDER_TIMEOUT_SECONDS may be: then there is one at a time.
PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(minutes=2)

# Each has slots of its own: thousands of look-ups never keep a webhook waiting.
Kind = Literal["submit", "lookup", "webhook"]
# PostgreSQL's advisory locks from these numbers on: up to a hundred slots per account.
_LOCKS: dict[Kind, int] = {
    "submit": 7_266_855 << 32,
    "lookup": 7_266_856 << 32,
    "webhook": 7_266_859 << 32,
}
_MOST_SLOTS = 100


def is_closed(account_id: int) -> bool:
    """Whether a refund may be sent through the account now: one cheap query while all is well.

    While the breaker is open this is False, but for one caller after each pause: it holds the
    probe, and the next may go one pause later. So ask last, just before claiming.
    """
    open_breaker = CircuitBreaker.objects.filter(pk=account_id, retry_at__isnull=False)
    if not open_breaker.exists():
        return True
    pauses = F("failures") - SILENCES + 2
    pause = ExpressionWrapper(Value(PAUSE) * pauses, output_field=DurationField())
    took_probe = open_breaker.filter(retry_at__lte=Now()).update(
        failures=F("failures") + 1, retry_at=Now() + Least(pause, Value(LONGEST_PAUSE))
    )
    return bool(took_probe)


def note_answer(account_id: int) -> bool:
    """Any answer closes the breaker. True for the caller who found the account down until now."""
    troubled = CircuitBreaker.objects.filter(pk=account_id, failures__gt=0)
    if not troubled.exists():
        return False
    if troubled.filter(down_since__isnull=False).update(failures=0, down_since=None, retry_at=None):
        log.info("processor_answers_again", account=account_id)
        return True
    troubled.update(failures=0)
    return False


def note_silence(account_id: int) -> None:
    """A call got no answer: not reached, or no whole answer in time. The third in a row opens.

    While it is open, silence changes nothing: look-ups go on, and must not put the probes off.
    """
    CircuitBreaker.objects.bulk_create(
        [CircuitBreaker(account_id=account_id)], ignore_conflicts=True
    )
    opens = Q(failures__gte=SILENCES - 1)
    CircuitBreaker.objects.filter(pk=account_id, retry_at__isnull=True).update(
        failures=F("failures") + 1,
        down_since=Case(When(opens, then=Now()), default=None),
        retry_at=Case(When(opens, then=Now() + PAUSE), default=None),
    )


def is_in_doubt(account_id: int) -> bool:
    """Whether the last call through the account got no answer."""
    return CircuitBreaker.objects.filter(pk=account_id, failures__gt=0).exists()


def down_accounts() -> list[int]:
    """The accounts whose processors do not answer, the longest down first."""
    down = CircuitBreaker.objects.filter(down_since__isnull=False)
    return list(down.order_by("down_since").values_list("pk", flat=True))


@contextmanager
def slot(account_id: int, kind: Kind) -> Iterator[bool]:
    """Hold one of the account's PROVIDER_CONCURRENCY slots for calls of this kind.

    Yields False when all are taken: come back later, do not wait. Enter it outside of database
    transactions. Calls of one process may nest; they are one after the other anyway.
    """
    first = _LOCKS[kind] + account_id * _MOST_SLOTS
    with ExitStack() as held:
        yield any(
            held.enter_context(advisory_lock(first + number))
            for number in range(settings.PROVIDER_CONCURRENCY)
        )
