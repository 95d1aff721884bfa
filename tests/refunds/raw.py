"""Writing what the guards would refuse, to see what happens next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import connection, transaction
from django.db.models import F

from refunds.models import Refund, RefundEvent


@contextmanager
def triggers_off() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        try:
            yield
        finally:
            cursor.execute("SET session_replication_role = origin")


def age_awaiting(by: timedelta) -> None:
    """Have every refund asked for so long before, as its row and its events say."""
    with triggers_off():
        Refund.objects.update(created_at=F("created_at") - by)
        RefundEvent.objects.update(at=F("at") - by)


@contextmanager
def rolled_back() -> Iterator[None]:
    """Leave nothing behind, not even what a deferred trigger would check at commit."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
