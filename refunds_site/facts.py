"""What ``/metrics`` asks the rows: how things stand, in a few statements.

Each goes along an index over what is open or recent, so that its cost does not grow with the
tables. Ages are seconds by the clock of the database. The labels are accounts and words from lists
of ours: nothing names a payment, a refund or a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from campaigns.models import STARTED, CampaignState
from refunds.states import RESERVING, Status


class Question(NamedTuple):
    """One statement. Its first columns are the labels, the others the gauges, in that order.

    ``account`` is the key of one. Whatever of ``values``, which the last label takes, has no row is
    shown as 0, so that an alert finds something to look at.
    """

    sql: str
    labels: tuple[str, ...]
    gauges: dict[str, str]  # the name, after refund_desk_ → what it says
    values: Sequence[str] = ()


_OPEN = sorted(RESERVING)
_UNDER_WAY = [CampaignState.PREPARING, CampaignState.READY, *STARTED]


_REFUNDS = Question(
    """
SELECT account_id, status, count(*),
  extract(epoch FROM now() - min(coalesce(unknown_since, created_at))),
  greatest(0, extract(epoch FROM now() - min(next_action_at) FILTER (WHERE NOT is_held)))
FROM refunds_refund WHERE status IN ('awaiting_approval', 'queued', 'sending', 'unknown', 'pending')
GROUP BY 1, 2""",
    ("account", "status"),
    {
        "refunds_open": "Refunds that have not ended.",
        "refund_oldest_seconds": "How long the oldest of them has been open; unknown, if it is.",
        "refund_overdue_seconds": "How long something has been due for one of them.",
    },
    _OPEN,
)
_LAST_HOUR = Question(
    """
SELECT account_id, currency, status, count(*), sum(amount_minor)
FROM refunds_refund WHERE created_at > now() - interval '1 hour' GROUP BY 1, 2, 3""",
    ("account", "currency", "status"),
    {
        "refunds_last_hour": "Refunds asked for in the last hour, by what became of them so far.",
        "refunds_last_hour_minor": "Their sum, in whole minor units of the currency.",
    },
    list(Status.values),
)
_CASES = Question(
    """
SELECT account_id, kind, count(*), extract(epoch FROM now() - min(raised_at))
FROM refunds_attention WHERE closed_at IS NULL GROUP BY 1, 2""",
    ("account", "kind"),
    {
        "cases_open": "Cases that need a person.",
        "case_oldest_seconds": "How long the oldest of them has been open.",
    },
)
_WEBHOOKS = Question(
    """
SELECT account_id, state, count(*), extract(epoch FROM now() - min(received_at))
FROM refunds_webhookevent WHERE state IN ('received', 'failed') GROUP BY 1, 2""",
    ("account", "state"),
    {
        "webhooks_open": "Webhooks that were verified and not processed.",
        "webhook_oldest_seconds": "How long ago the oldest of them came in.",
    },
    ["failed", "received"],
)
_REJECTED = Question(
    """
SELECT account_id, count(*) FROM refunds_webhookevent
WHERE state = 'rejected' AND received_at > now() - interval '1 hour' GROUP BY 1""",
    ("account",),
    {"webhooks_rejected_last_hour": "Webhooks whose signature did not fit, in the last hour."},
)
_ACCOUNTS = Question(
    """
SELECT id, (NOT is_active)::int, (held_reason <> '')::int, (paused_reason <> '')::int,
  coalesce(extract(epoch FROM now() - down_since), 0), coalesce(failures, 0)
FROM gateways_processoraccount LEFT JOIN refunds_circuitbreaker ON account_id = id""",
    ("account",),
    {
        "account_off": "1 while the account is switched off.",
        "account_held": "1 while it is held after a restore.",
        "account_paused": "1 while its credentials are rejected.",
        "account_down_seconds": "How long its processor has not answered; 0 while it does.",
        "account_failures": "Calls in a row that its processor did not answer.",
    },
)
_SYNC = Question(
    """
SELECT account.id, each.stream,
  greatest(0, extract(epoch FROM now() - coalesce(synced_until, account.created_at))),
  (coalesce(error, '') <> '')::int
FROM gateways_processoraccount account
CROSS JOIN unnest(ARRAY['payments', 'refunds']) AS each(stream)
LEFT JOIN transactions_syncstate state
  ON state.account_id = account.id AND state.stream = each.stream
WHERE is_active""",
    ("account", "stream"),
    {
        "sync_age_seconds": "How far behind what was read from the processor is.",
        "sync_failed": "1 if the last run broke off.",
    },
)
_COMPARED = Question(
    """
SELECT account.id, extract(epoch FROM now() - coalesce(last.finished_at, account.created_at))
FROM gateways_processoraccount account LEFT JOIN LATERAL (
  SELECT finished_at FROM refunds_reconciliation
  WHERE account_id = account.id AND finished_at IS NOT NULL ORDER BY id DESC LIMIT 1) last ON true
WHERE is_active""",
    ("account",),
    {"reconciliation_age_seconds": "How long ago a comparison with the processor was finished."},
)
_CAMPAIGNS = Question(
    """
SELECT state, count(*) FROM campaigns_campaign
WHERE state IN ('preparing', 'ready', 'running', 'paused') GROUP BY 1""",
    ("state",),
    {"campaigns_open": "Campaigns that have not ended."},
    _UNDER_WAY,
)
_ITEMS = Question(
    """
SELECT count(*) FROM campaigns_campaignitem WHERE state IN ('named', 'included') AND campaign_id IN
  (SELECT id FROM campaigns_campaign WHERE state IN ('preparing', 'running', 'paused'))""",
    (),
    {"campaign_items_open": "Payments of campaigns that wait for their turn."},
)
_AUDIT = Question(
    "SELECT coalesce(max(sequence), 0) FROM refunds_refundevent",
    (),
    {"audit_sequence": "The number of the newest event of the audit trail. It never goes back."},
)

QUESTIONS = (
    _REFUNDS,
    _LAST_HOUR,
    _CASES,
    _WEBHOOKS,
    _REJECTED,
    _ACCOUNTS,
    _SYNC,
    _COMPARED,
    _CAMPAIGNS,
    _ITEMS,
    _AUDIT,
)
