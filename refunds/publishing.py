"""Handing ids to the workers. A hint, never a promise: the refund rows are the queue."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import structlog
from celery import current_app
from django.utils import timezone
from kombu.exceptions import OperationalError

from .models import Refund

log = structlog.get_logger(__name__)


def publish(refund_ids: Iterable[UUID], *, task: str = "refunds.tasks.send_refund") -> int:
    """Send one message per refund and note when; how many went out.

    A broker that cannot be reached costs seconds only: the sweep finds the rows that no message
    was sent for.
    """
    sent: list[UUID] = []
    try:
        for refund_id in refund_ids:
            current_app.send_task(task, args=[str(refund_id)])
            sent.append(refund_id)
    except (OperationalError, OSError) as error:
        log.warning("broker_unreachable", error=type(error).__name__)
    Refund.objects.filter(pk__in=sent).update(enqueued_at=timezone.now())
    return len(sent)
