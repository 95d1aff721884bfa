"""Virtual time: everything that was written down becomes older, here and at the processor.

Clocks go on as they do, so that nothing of the product has to be told of another time; a lease
that had 100 seconds left has run out when all moments are moved 120 seconds into the past. This
module has the processors' side, ``rows`` has ours.
"""

from __future__ import annotations

from datetime import timedelta

from gateways.sandbox.ledger import Ledger
from gateways.sandbox.records import LedgerEvent, Movement, ReceivedRequest, StoredAnswer


def age_ledger(ledger: Ledger, by: timedelta) -> None:
    """Make everything that the processors remember older, then let come what is due by now."""
    with ledger.lock:
        accounts, answers = list(ledger.accounts.values()), list(ledger.answers.values())
        payments, refunds = list(ledger.payments.values()), list(ledger.refunds.values())
        events, requests = list(ledger.events), list(ledger.requests)
        subscriptions = list(ledger.subscriptions)
        movements: list[Movement] = [*payments, *refunds]
        for row in movements:
            _age_movement(row, by)
        dated: list[StoredAnswer | LedgerEvent | ReceivedRequest] = [*answers, *events, *requests]
        for each in dated:
            each.at -= by
        ledger.clear(ledger.seed)
        ledger.restore(
            accounts=accounts,
            payments=payments,
            refunds=refunds,
            answers=answers,
            events=events,
            subscriptions=subscriptions,
        )
        ledger.requests.extend(requests)
        ledger.advance()


def _age_movement(row: Movement, by: timedelta) -> None:
    row.created_at -= by
    for name in ("settled_at", "modified_at", "due_at"):
        if moment := getattr(row, name):
            setattr(row, name, moment - by)
