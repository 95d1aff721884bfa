"""The audit trail: one row per thing that happened, in the transaction in which it happened."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import structlog
from django.db import connection, models
from django.db import transaction as database

from gateways.card_numbers import mask_card_numbers
from gateways.scrubbing import mask_addresses

from .models import Refund, RefundEvent

if TYPE_CHECKING:
    from django.contrib.auth.models import User


log = structlog.get_logger(__name__)
# What of an event's data may repeat what a processor said.
_SENTENCES = ("why", "reason")


class EventDigest(models.Func):
    """The hash that the database gives an event, computed again from its columns."""

    template = "event_digest(refunds_refundevent)"
    output_field = models.CharField()


def record_event(
    refund: Refund,
    kind: str,
    *,
    from_status: str = "",
    to_status: str = "",
    actor: User | None = None,
    data: dict[str, Any] | None = None,
) -> None:
    """Append an event. The database numbers it, stamps it and chains it to the one before.

    Take every other lock first: writers of events wait for each other until they commit.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO refunds_refundevent"
            " (refund_id, kind, from_status, to_status, actor_id, data)"
            " VALUES (%s, %s, %s, %s, %s, %s::jsonb)",
            [
                refund.pk,
                kind,
                from_status,
                to_status,
                actor.pk if actor else None,
                json.dumps(_impersonal(data or {})),
            ],
        )
    _tell_log(refund=str(refund.pk), kind=kind, status=str(to_status or refund.status))


def _tell_log(**named: str) -> None:
    """A line once it is committed. A command that somebody runs tells in its own words."""
    is_asked_for = "request_id" in structlog.contextvars.get_contextvars()
    tell = log.info if is_asked_for else log.debug
    database.on_commit(lambda: tell("refund_event", **named), robust=True)


def _impersonal(data: dict[str, Any]) -> dict[str, Any]:
    """The data without addresses and card numbers in its sentences: no event is ever changed."""
    return data | {
        name: mask_card_numbers(mask_addresses(str(data[name])))
        for name in _SENTENCES
        if name in data
    }


def record_for_all(refunds: Sequence[Refund], kind: str, data: dict[str, Any]) -> None:
    """Append one event of the same kind for each of the refunds, as :func:`record_event` does."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO refunds_refundevent"
            " (refund_id, kind, from_status, to_status, actor_id, data)"
            " SELECT refund_id, %s, '', '', NULL, %s::jsonb"
            " FROM unnest(%s::uuid[]) AS refund_id",
            [kind, json.dumps(_impersonal(data)), [refund.pk for refund in refunds]],
        )


def first_broken_event() -> tuple[RefundEvent, str] | None:
    """Walk the chain from its start; the first row that does not fit, and why, or None.

    Rows cut off at the very end leave a chain that still fits: keep the newest hash elsewhere to
    notice that (``manage.py verify_audit`` prints it).
    """
    previous = "0" * 64
    expected = 1
    for event in RefundEvent.objects.annotate(digest=EventDigest()).iterator(chunk_size=2000):
        if event.sequence != expected:
            return event, f"event {expected} is missing before it"
        if event.previous_hash != previous:
            return event, "it does not follow the event before it"
        if event.digest != event.hash:
            return event, "its content was changed"
        previous, expected = event.hash, event.sequence + 1
    return None
