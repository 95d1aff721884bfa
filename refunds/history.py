"""The audit trail: one row per thing that happened, in the transaction in which it happened."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db import connection

from audit.chains import ENTRIES, Chain

from .models import Refund

if TYPE_CHECKING:
    from django.contrib.auth.models import User


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
                json.dumps(data or {}),
            ],
        )


def record_for_all(refunds: Sequence[Refund], kind: str, data: dict[str, Any]) -> None:
    """Append one event of the same kind for each of the refunds, as :func:`record_event` does."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO refunds_refundevent"
            " (refund_id, kind, from_status, to_status, actor_id, data)"
            " SELECT refund_id, %s, '', '', NULL, %s::jsonb"
            " FROM unnest(%s::uuid[]) AS refund_id",
            [kind, json.dumps(data), [refund.pk for refund in refunds]],
        )
