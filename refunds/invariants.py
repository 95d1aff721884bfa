"""What must hold at every moment, as queries that return the rows which break it.

The same queries run after tests, in ``manage.py check_invariants`` and in production.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection


@dataclass(frozen=True, slots=True)
class Invariant:
    """``query`` returns an id and a sentence for each row that breaks the promise."""

    name: str
    query: str


INVARIANTS = (
    Invariant(
        "Never more goes back than was paid",
        """SELECT id, 'refunded ' || refunded_minor || ' and reserved ' || reserved_minor
             || ' of ' || amount_minor FROM transactions_transaction
           WHERE refunded_minor + reserved_minor > amount_minor AND NOT over_refunded""",
    ),
    Invariant(
        "The sums of a transaction equal its refunds",
        """SELECT t.id, 'sums say refunded ' || t.refunded_minor || ' reserved ' || t.reserved_minor
             || ', refunds say ' || coalesce(r.refunded, 0) || ' and ' || coalesce(r.reserved, 0)
           FROM transactions_transaction t LEFT JOIN (
             SELECT transaction_id,
               sum(amount_minor) FILTER (WHERE status = 'succeeded') AS refunded,
               sum(amount_minor) FILTER (WHERE status IN ('awaiting_approval', 'queued', 'sending',
                 'unknown', 'pending')) AS reserved
             FROM refunds_refund GROUP BY transaction_id) r ON r.transaction_id = t.id
           WHERE (t.refunded_minor, t.reserved_minor)
             IS DISTINCT FROM (coalesce(r.refunded, 0), coalesce(r.reserved, 0))""",
    ),
    Invariant(
        "No refund stays in sending beyond its lease",
        """SELECT id, 'the lease of ' || lease_owner || ' ran out at ' || lease_until
           FROM refunds_refund
           WHERE status = 'sending' AND lease_until < now() - interval '60 seconds'""",
    ),
    Invariant(
        "An unknown outcome is before a person within 15 minutes",
        """SELECT id, 'unknown since ' || unknown_since FROM refunds_refund
           WHERE status = 'unknown' AND attention_reason IS NULL
             AND unknown_since < now() - interval '16 minutes'""",
    ),
    Invariant(
        "A refund says what its oldest open case says",
        """SELECT r.id, 'says ' || coalesce(r.attention_reason, 'nothing') || ', its case '
             || coalesce(c.reason, 'nothing')
           FROM refunds_refund r LEFT JOIN LATERAL (
             SELECT reason, raised_at FROM refunds_attention a
             WHERE a.refund_id = r.id AND a.closed_at IS NULL ORDER BY raised_at, id LIMIT 1
           ) c ON true
           WHERE (r.attention_reason, r.attention_since) IS DISTINCT FROM (c.reason, c.raised_at)
             AND (r.attention_reason IS NOT NULL OR c.reason IS NOT NULL)""",
    ),
    Invariant(
        "A refund that left has an attempt",
        """SELECT id, 'is ' || status || ' without an attempt' FROM refunds_refund r
           WHERE origin <> 'external' AND status IN ('sending', 'unknown', 'pending', 'succeeded')
             AND NOT EXISTS (SELECT FROM refunds_refundattempt a WHERE a.refund_id = r.id
               AND a.state IN ('started', 'ambiguous', 'accepted', 'declined'))""",
    ),
    Invariant(
        "An attempt is sent for the order that was stored",
        """SELECT a.id, 'its order names ' || (a."order"->>'amount_minor') || ' '
             || (a."order"->>'currency') || ', its refund ' || r.amount_minor || ' ' || r.currency
           FROM refunds_refundattempt a JOIN refunds_refund r ON r.id = a.refund_id
           WHERE (a."order"->>'amount_minor')::bigint <> r.amount_minor
             OR a."order"->>'currency' <> r.currency OR a."order"->>'reference' <> a.reference""",
    ),
)


def broken_rows(invariant: Invariant, limit: int = 100) -> list[tuple[str, str]]:
    """Up to ``limit`` rows that break the promise: their id, and what is wrong."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM ({invariant.query}) AS broken LIMIT %s", [limit])  # noqa: S608
        return [(str(row_id), str(why)) for row_id, why in cursor.fetchall()]
