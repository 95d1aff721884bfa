"""Handing ids to the workers. A hint, never a promise: the refund rows are the queue."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar
from uuid import UUID

import structlog
from celery import current_app
from django.db import transaction as database
from django.db.models.functions import Now
from kombu.exceptions import OperationalError

from gateways.failpoints import reach

from .models import Refund

log = structlog.get_logger(__name__)

Key = TypeVar("Key", str, int)


def publish(refund_ids: Iterable[UUID], *, task: str = "refunds.tasks.send_refund") -> int:
    """Send one message per refund and note when; how many went out.

    A broker that cannot be reached costs seconds only: the sweep finds the rows that no message
    was sent for.
    """
    sent = hand_out(task, map(str, refund_ids))
    reach("in-outbox-drain")
    Refund.objects.filter(pk__in=sent).update(enqueued_at=Now())
    return len(sent)


def publish_after_commit(refund: Refund) -> None:
    database.on_commit(lambda: publish([refund.pk]))


def hand_out(task: str, keys: Iterable[Key]) -> list[Key]:
    """Send one message per key to a task, until the broker cannot be reached; what was sent."""
    sent: list[Key] = []
    try:
        for key in keys:
            current_app.send_task(task, args=[key])
            sent.append(key)
    except (OperationalError, OSError) as error:
        log.warning("broker_unreachable", error=type(error).__name__)
    return sent
