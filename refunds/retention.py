"""Lets go, a little at a time, of what was kept for as long as the settings say.

Each pass takes a few of the oldest and may be killed or run twice. A setting of 0 keeps for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db.models import Exists, OuterRef, Q

from transactions.models import Customer, Transaction

from .clock import database_now
from .erasure import NotErased, empty_bodies, erase, erase_late_payments
from .models import Attention, Refund, RefundAttempt, WebhookEvent
from .states import RESERVING

_log = structlog.get_logger(__name__)
# How many of each one pass takes: it shares its worker with the sweeps.
_CUSTOMERS, _ATTEMPTS, _WEBHOOKS = 20, 500, 1000
# Of these the bodies are still there.
_WITH_BODIES = Q(exchanges__contains=[{}]) & ~Q(exchanges__0__request="[erased]")


def forget() -> Counter[str]:
    """One pass over everything that has its time; how many of what are gone."""
    gone = Counter(late=erase_late_payments())
    for name, days, pass_over in (
        ("customers", settings.RETAIN_CUSTOMERS_DAYS, forget_customers),
        ("evidence", settings.RETAIN_EVIDENCE_DAYS, forget_evidence),
        ("webhooks", settings.RETAIN_REJECTED_WEBHOOKS_DAYS, forget_rejected_webhooks),
    ):
        gone[name] = _older_than(days, pass_over)
    if gone.total():
        _log.info("forgotten", **gone)
    return gone


def forget_customers(before: datetime) -> int:
    """Erase customers who have paid nothing since ``before``; how many."""
    paid_since = Transaction.objects.filter(customer=OuterRef("pk"), created_at__gte=before)
    of_theirs = Q(transaction__customer=OuterRef("pk"))
    busy = Refund.objects.filter(of_theirs, status__in=RESERVING)
    asked = Attention.objects.open().filter(of_theirs)
    quiet = Customer.objects.filter(
        # Those who cannot be erased yet would be first in every pass.
        ~Exists(paid_since), ~Exists(busy), ~Exists(asked),
        erased_at=None, merged_into=None, created_at__lt=before,
    )  # fmt: skip
    erased = 0
    for customer in quiet.order_by("created_at", "pk")[:_CUSTOMERS]:
        try:
            erase(customer, actor=None)
        except NotErased as refusal:
            _log.info("not_forgotten", customer_id=customer.pk, why=str(refusal))
        else:
            erased += 1
    return erased


def forget_evidence(before: datetime) -> int:
    """Empty the bodies in the evidence of refunds that ended before; of how many attempts."""
    ended = RefundAttempt.objects.filter(_WITH_BODIES, refund__finished_at__lt=before)
    needed = Attention.objects.open().filter(refund=OuterRef("refund"))
    return empty_bodies(ended.filter(~Exists(needed)).order_by("pk")[:_ATTEMPTS])


def forget_rejected_webhooks(before: datetime) -> int:
    """Delete deliveries that could not be verified; anybody can send those. How many."""
    rejected = WebhookEvent.objects.filter(
        event_id__isnull=True, received_at__lt=before, cases__isnull=True
    )
    keys = list(rejected.order_by("received_at").values_list("pk", flat=True)[:_WEBHOOKS])
    return WebhookEvent.objects.filter(pk__in=keys).delete()[0]


def _older_than(days: int, pass_over: Callable[[datetime], int]) -> int:
    return pass_over(database_now() - timedelta(days=days)) if days else 0
