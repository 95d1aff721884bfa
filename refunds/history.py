"""The audit trail: one row per thing that happened, in the transaction in which it happened."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import structlog
from django.db import connection
from django.db import transaction as database

from audit.chains import ENTRIES, Chain
from gateways.card_numbers import mask_card_numbers
from gateways.scrubbing import mask_addresses

from .models import Refund

if TYPE_CHECKING:
    from django.contrib.auth.models import User


log = structlog.get_logger(__name__)
# What of an event's data may repeat what a processor said.
_SENTENCES = ("why", "reason")


# Every chain of the database: what is walked, and whose heads are kept elsewhere.
CHAINS = (Chain("refunds", "refunds_refundevent", "event_digest"), ENTRIES)


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
