"""Payments that are disputed: one case for each, until the dispute is over.

A dispute blocks refunds by itself (see ``decision``). It is found by whatever reads the payment: a
sync, a webhook, a look before sending. This sweep compares rows, so that none of those has to know
of cases.
"""

from __future__ import annotations

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from gateways.money import Money
from transactions.models import Transaction

from .attention import raise_case
from .models import Attention, AttentionKind, Refund
from .states import RESERVING, Origin, Status
from .sweeps import one_pass


def raise_disputes() -> int:
    """Put new disputes before a person, and close the cases of those that are over; how many new.

    A dispute that was there when its payment was first read is history and no case, unless the
    payment is younger than its account here, or money went back from here or is on its way.
    """
    over = Attention.objects.filter(kind=AttentionKind.DISPUTED, transaction__disputed=False)
    over.close(_("The dispute is over."))
    return sum(
        raise_case(
            AttentionKind.DISPUTED,
            f"transaction:{payment.pk}",
            _sentence_of(payment),
            account=payment.account,
            transaction=payment,
        )
        for payment in one_pass(_unnoticed().select_related("account"))
    )


def _unnoticed() -> QuerySet[Transaction]:
    """Disputed payments that are news and have no case; what a person has closed stays closed."""
    from_here = Refund.objects.exclude(origin=Origin.EXTERNAL).filter(
        transaction=OuterRef("pk"), status__in=[*RESERVING, Status.SUCCEEDED]
    )
    began = Coalesce(OuterRef("disputed_at"), OuterRef("created_at"))
    known = Attention.objects.filter(
        Q(closed_at__isnull=True) | Q(closed_by__isnull=False, closed_at__gte=began),
        kind=AttentionKind.DISPUTED,
        transaction=OuterRef("pk"),
    )
    is_news = Q(disputed_at__isnull=False) | Q(created_at__gte=F("account__created_at"))
    return Transaction.objects.filter(
        is_news | Exists(from_here), ~Exists(known), disputed=True
    ).order_by("-created_at", "-id")


def _sentence_of(payment: Transaction) -> str:
    if payment.refunded_minor:
        sentence = _(
            "This payment of %(amount)s is disputed, and %(back)s of it went back already. Answer "
            "the dispute at the processor, with the refund as evidence."
        )
        back = payment.refunded_minor
    elif payment.reserved_minor:
        sentence = _(
            "This payment of %(amount)s is disputed, and a refund of %(back)s is under way. Cancel "
            "it if that is still possible; else answer the dispute with it as evidence."
        )
        back = payment.reserved_minor
    else:
        sentence = _(
            "This payment of %(amount)s is disputed, and cannot be refunded meanwhile. Answer the "
            "dispute at the processor."
        )
        back = 0
    return sentence % {"amount": payment.amount, "back": Money(back, payment.currency)}
