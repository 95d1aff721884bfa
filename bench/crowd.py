"""Very many open refunds, written by SQL. To be imported when Django is set up.

Of each hundred 20 wait for settlement, 19 are due to be sent, one lost its worker, and 30 unknown
and 30 pending ones are due for a question; nearly all of these are before a person already. Sums
and attempts fit. As many webhooks are due, and a few payments are disputed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection
from django.utils import timezone

from gateways.models import ProcessorAccount
from refunds.models import CircuitBreaker

if TYPE_CHECKING:
    from django.contrib.auth.models import User

ACCOUNTS = 10  # every second one does not answer

_CROWD = """
CREATE TEMPORARY TABLE crowd AS SELECT
  number, gen_random_uuid() AS id, %(first)s + number %% %(accounts)s AS account_id,
  nextval('transactions_transaction_id_seq') AS transaction_id,
  now() - interval '5 days' - number * interval '1 second' AS asked_at,
  now() - number * interval '1 millisecond' AS due_at,
  number / 10 %% 10 IN (0, 1) AS waits,
  CASE WHEN number / 10 %% 100 = 2 THEN 'sending'
       WHEN number / 10 %% 10 < 4 THEN 'queued'
       WHEN number / 10 %% 10 < 7 THEN 'unknown' ELSE 'pending' END AS status
FROM generate_series(0, %(refunds)s - 1) AS number
"""
_TRANSACTIONS = """
INSERT INTO transactions_transaction
  (id, account_id, processor, mode, external_id, related_ids, currency, amount_minor,
   refunded_minor, reserved_minor, over_refunded, status, disputed, disputed_at, method_type, brand,
   last4, wallet, customer_name, customer_email, order_reference, description, created_at,
   has_details, synced_at)
SELECT transaction_id, account_id, 'stripe', 'test', 'ch_crowd_' || number, '', 'USD', 1000,
   0, 1000, false, CASE WHEN waits AND number %% 50 > 0 THEN 'captured' ELSE 'settled' END,
   number %% 200 = 0, CASE WHEN number %% 200 = 0 THEN now() END, 'card', 'visa',
   '4242', '', 'Customer ' || number, 'customer-' || number || '@example.com', 'A-' || number, '',
   asked_at - interval '1 day', true, now()
FROM crowd
"""
_REFUNDS = """
INSERT INTO refunds_refund
  (id, transaction_id, account_id, mode, currency, amount_minor, operation, origin, status, note,
   requested_by_id, needs_approval, idem_scope, idem_key, request_hash, failure_code,
   failure_processor_code, failure_message, attention_reason, attention_since, unknown_since,
   lease_owner, lease_until, fence, claims, unfinished, look_up_first, lookups, processor_refund_id,
   next_action_at, enqueued_at, created_at)
SELECT id, transaction_id, account_id, 'test', 'USD', 1000, 'refund', 'staff', status, '',
   %(person)s, false, 'crowd', number::text, sha256(number::text::bytea), '',
   '', '', CASE WHEN kind IS NOT NULL THEN 'It is not known.' END,
   CASE WHEN kind IS NOT NULL THEN asked_at END, CASE WHEN status = 'unknown' THEN asked_at END,
   CASE WHEN status = 'sending' THEN 'worker' END, CASE WHEN status = 'sending' THEN due_at END,
   1, 1, 0, false, 0, CASE WHEN status = 'pending' THEN 're_crowd_' || number END,
   CASE WHEN waits THEN now() + interval '1 hour' ELSE due_at END, NULL, asked_at
FROM crowd LEFT JOIN crowd_case USING (number)
"""
_CASES = """
CREATE TEMPORARY TABLE crowd_case AS SELECT number,
  CASE status WHEN 'unknown' THEN 'unknown_outcome' ELSE 'pending_long' END AS kind
FROM crowd WHERE status IN ('unknown', 'pending') AND number %% 50 <> 49
"""
_ATTENTION = """
INSERT INTO refunds_attention
  (kind, subject, account_id, transaction_id, refund_id, reason, evidence, owner_id, raised_at,
   outcome)
SELECT kind, 'refund:' || id, account_id, transaction_id, id, 'It is not known.', '{}',
   CASE WHEN number %% 200 <> 98 THEN %(person)s END, asked_at, ''
FROM crowd JOIN crowd_case USING (number)
"""
_RESUMED = """
INSERT INTO refunds_attention (kind, subject, account_id, reason, evidence, outcome, raised_at)
SELECT 'account_paused', 'account:' || id, id, 'The account is paused.', '{}', '', now()
FROM gateways_processoraccount WHERE id >= %(first)s
"""
_ATTEMPTS = """
INSERT INTO refunds_refundattempt
  (id, refund_id, account_id, mode, credential_fingerprint, number, operation, reference, "order",
   order_hash, state, sends, fence, started_at, first_sent_at, last_sent_at, ended_at,
   processor_code, processor_message, exchanges)
SELECT gen_random_uuid(), id, account_id, 'test', '', 1, 'refund',
   'C' || lpad(number::text, 19, '0'), '{}', sha256(number::text::bytea),
   CASE status WHEN 'sending' THEN 'started' WHEN 'unknown' THEN 'ambiguous' ELSE 'accepted' END,
   1, 1, asked_at, asked_at, asked_at, CASE WHEN status <> 'sending' THEN asked_at END,
   '', '', '[]'
FROM crowd WHERE status <> 'queued'
"""
_WEBHOOKS = """
INSERT INTO refunds_webhookevent
  (account_id, mode, event_id, event_type, payment_id, refund_id, reference, body_sha256, state,
   deliveries, received_at, last_received_at, tries, next_try_at, problem)
SELECT account_id, 'test', 'evt_crowd_' || number, 'charge.refunded', 'ch_crowd_' || number, '', '',
   sha256(number::text::bytea), 'received', 1, asked_at, asked_at, 0, due_at, ''
FROM crowd
UNION ALL
SELECT account_id, 'test', NULL, '', '', '', '', sha256(number::text::bytea), 'rejected', 1,
   now() - interval '91 days', now() - interval '91 days', 0, NULL, ''
FROM crowd WHERE number %% 10 = 0
"""
# The trigger chains these.
_EVENTS = """
INSERT INTO refunds_refundevent (refund_id, kind, from_status, to_status, data)
SELECT id, 'waits_for_settlement', '', '', '{}' FROM crowd WHERE waits
"""
_UNGUARDED = (_CROWD, _CASES, _TRANSACTIONS, _REFUNDS, _ATTENTION, _RESUMED, _ATTEMPTS, _WEBHOOKS)


def gather(refunds: int, person: User) -> None:
    """Write so many open refunds, all requested by the person, and what belongs to them."""
    accounts = ProcessorAccount.objects.bulk_create(
        ProcessorAccount(slug=f"crowd-{number}", processor="stripe", mode="test")
        for number in range(ACCOUNTS)
    )
    values = {
        "refunds": refunds,
        "person": person.pk,
        "accounts": ACCOUNTS,
        "first": accounts[0].pk,
    }
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0; SET session_replication_role = replica")
        for statement in _UNGUARDED:
            cursor.execute(statement, values)
        cursor.execute("SET session_replication_role = origin")
        cursor.execute(_EVENTS)
        now = timezone.now()
        CircuitBreaker.objects.bulk_create(
            CircuitBreaker(account=account, failures=3, down_since=now, retry_at=now)
            for account in accounts[::2]
        )
        cursor.execute("VACUUM ANALYZE")
    connection.close()
