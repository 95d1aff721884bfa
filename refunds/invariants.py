"""What must hold at every moment, as queries that return the rows which break it.

The same queries run after tests, in ``manage.py check_invariants`` and in production.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection

from .states import EDGES

_EDGES = ", ".join(f"('{before}', '{after}')" for before in EDGES for after in EDGES[before])


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
        "A payment counts as refunded beyond its amount only while it is",
        """SELECT id, 'refunded ' || refunded_minor || ' and reserved ' || reserved_minor
             || ' of ' || amount_minor || ' fit' FROM transactions_transaction
           WHERE refunded_minor + reserved_minor <= amount_minor AND over_refunded""",
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
        "A refund that nobody approves or rejects is before a person within a day",
        """SELECT id, 'awaits approval since ' || created_at FROM refunds_refund
           WHERE status = 'awaiting_approval' AND attention_reason IS NULL
             AND created_at < now() - interval '25 hours'
             AND (SELECT coalesce(max(at), '-infinity') FROM refunds_refundevent e
                  WHERE e.refund_id = refunds_refund.id AND to_status = 'awaiting_approval')
                 < now() - interval '25 hours'""",
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
        "A refund that is on its way has the attempt that it is on",
        """SELECT id, 'is ' || status || ', and none of its attempts is open' FROM refunds_refund r
           WHERE status IN ('sending', 'unknown')
             AND NOT EXISTS (SELECT FROM refunds_refundattempt a WHERE a.refund_id = r.id
               AND a.state IN ('started', 'ambiguous'))""",
    ),
    Invariant(
        "A refund of ours that was made has the attempt that made it",
        """SELECT id, 'is ' || status || ', and none of its attempts was accepted'
           FROM refunds_refund r
           WHERE origin <> 'external' AND status IN ('pending', 'succeeded', 'returned')
             AND NOT EXISTS (SELECT FROM refunds_refundattempt a
               WHERE a.refund_id = r.id AND a.state = 'accepted')
             AND NOT EXISTS (SELECT FROM refunds_refundevent e
               WHERE e.refund_id = r.id AND e.from_status = 'failed' AND e.to_status = 'succeeded')
        """,
    ),
    Invariant(
        "A refund counts as one made elsewhere only of its own payment",
        """SELECT r.id, 'counts as ' || e.id || ', which is of another payment or was asked here'
           FROM refunds_refund r JOIN refunds_refund e ON e.id = r.made_as_id
           WHERE e.origin <> 'external' OR r.origin = 'external'
             OR r.transaction_id <> e.transaction_id""",
    ),
    Invariant(
        "Only two people take back that a refund was made",
        """SELECT id, 'is returned without an id, and no confirmed ruling took it back'
           FROM refunds_refund r WHERE status = 'returned' AND processor_refund_id IS NULL
             AND NOT EXISTS (SELECT FROM refunds_ruling g WHERE g.refund_id = r.id AND g.confirmed
               AND g.decided_by_id <> g.proposed_by_id AND g.verdict = 'did_not')""",
    ),
    Invariant(
        "One attempt of a refund is alive at a time",
        """SELECT refund_id, count(*) || ' attempts that may move money: '
             || string_agg(reference, ', ')
           FROM refunds_refundattempt WHERE state IN ('started', 'ambiguous', 'accepted')
           GROUP BY refund_id HAVING count(*) > 1""",
    ),
    Invariant(
        "An attempt without an end belongs to a refund without an end",
        """SELECT a.id, 'is ' || a.state || ', and its refund ' || r.status
           FROM refunds_refundattempt a JOIN refunds_refund r ON r.id = a.refund_id
           WHERE a.state IN ('started', 'ambiguous') AND r.status NOT IN ('sending', 'unknown')""",
    ),
    Invariant(
        "What was sent is ruled out by two people only",
        """SELECT id, 'was sent ' || sends || ' times, and no confirmed ruling rules it out'
           FROM refunds_refundattempt a WHERE state = 'ruled_out' AND sends > 0
             AND NOT EXISTS (SELECT FROM refunds_ruling g WHERE g.attempt_id = a.id AND g.confirmed
               AND g.decided_by_id <> g.proposed_by_id AND g.verdict IN ('did_not', 'send_again'))
        """,
    ),
    Invariant(
        "What two people ruled is what the attempt says",
        """SELECT g.id, 'rules ' || g.verdict || ', and its attempt is ' || a.state
           FROM refunds_ruling g JOIN refunds_refundattempt a ON a.id = g.attempt_id
             JOIN refunds_refund r ON r.id = g.refund_id
           WHERE g.confirmed AND a.state
             <> CASE g.verdict WHEN 'happened' THEN 'accepted' ELSE 'ruled_out' END
             AND NOT (g.verdict = 'did_not' AND r.status = 'returned'
               AND r.processor_refund_id IS NULL AND EXISTS (
                 SELECT FROM refunds_ruling h WHERE h.attempt_id = a.id AND h.confirmed
                   AND h.verdict = 'happened'))""",
    ),
    Invariant(
        "A ruling waits only while the outcome is not proven",
        """SELECT g.id, 'waits for a second person, and its refund is ' || r.status
           FROM refunds_ruling g JOIN refunds_refund r ON r.id = g.refund_id
           WHERE g.decided_at IS NULL AND r.status NOT IN ('unknown', 'sending')
             AND NOT (g.verdict = 'did_not' AND r.status = 'succeeded' AND EXISTS (
               SELECT FROM refunds_attention c WHERE c.refund_id = r.id AND c.kind = 'missing'
                 AND c.closed_at IS NULL))""",
    ),
    Invariant(
        "A refund, its transaction and its attempts agree on account, mode and currency",
        """SELECT r.id, 'is ' || concat_ws(' ', r.account_id, r.mode, r.currency)
             || ', its transaction ' || concat_ws(' ', t.account_id, t.mode, t.currency)
             || coalesce(', an attempt ' || a.account_id || ' ' || a.mode, '')
           FROM refunds_refund r JOIN transactions_transaction t ON t.id = r.transaction_id
             LEFT JOIN refunds_refundattempt a ON a.refund_id = r.id
           WHERE (r.account_id, r.mode, r.currency) <> (t.account_id, t.mode, t.currency)
             OR (r.account_id, r.mode) <> (a.account_id, a.mode)""",
    ),
    Invariant(
        "A refund stands where its history ends",
        """SELECT r.id, 'is ' || r.status || ', and its history ends with '
             || coalesce(e.to_status, 'nothing')
           FROM refunds_refund r LEFT JOIN LATERAL (
             SELECT to_status FROM refunds_refundevent
             WHERE refund_id = r.id AND to_status <> '' ORDER BY sequence DESC LIMIT 1
           ) e ON true
           WHERE e.to_status IS DISTINCT FROM r.status""",
    ),
    Invariant(
        "A history has no steps that do not exist",
        f"""SELECT sequence, 'refund ' || refund_id || ' went from ' || from_status || ' to '
             || to_status FROM refunds_refundevent
           WHERE from_status <> '' AND to_status <> from_status
             AND (from_status, to_status) NOT IN ({_EDGES})""",  # noqa: S608
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
