"""The sums of a payment as its refunds change, and the case while they are more than was paid.

What a processor did is a fact: it counts, also where it breaks the cap. ``over_refunded`` says so
in the same statement as the sums, both ways, and a case says it in words for as long as it is true.
"""

from __future__ import annotations

from django.db.models import BooleanField, ExpressionWrapper, F, Q
from django.utils.translation import gettext as _

from gateways.money import Money
from transactions.models import Transaction

from .attention import close_cases, flag, repeat_oldest
from .history import record_event
from .models import AttentionKind, Refund

_KIND = AttentionKind.OVER_REFUNDED


def change_sums(refund: Refund, *, reserved: int, refunded: int, **columns: str) -> None:
    """Add minor units to the sums of a payment because of its locked refund.

    ``columns`` of the payment change with them. Needs the payment locked, too.
    """
    promised = F("refunded_minor") + F("reserved_minor") + (reserved + refunded)
    Transaction.objects.filter(pk=refund.transaction_id).update(
        reserved_minor=F("reserved_minor") + reserved,
        refunded_minor=F("refunded_minor") + refunded,
        over_refunded=ExpressionWrapper(Q(amount_minor__lt=promised), BooleanField()),
        **columns,
    )
    payment = Transaction.objects.get(pk=refund.transaction_id)
    excess = payment.refunded_minor + payment.reserved_minor - payment.amount_minor
    before = excess - reserved - refunded
    if excess <= 0 and before <= 0:
        return
    sentence = _sentence_of(payment) if excess > 0 else ""
    became_real = payment.refunded_minor - refunded <= payment.amount_minor < payment.refunded_minor
    # What a person has closed is news again only when it gets worse.
    if not _follow(refund, sentence) and sentence and (excess > before or became_real):
        flag(refund, _KIND, sentence)


def _sentence_of(payment: Transaction) -> str:
    """What is true of a payment whose sums are more than was paid."""
    if payment.refunded_minor > payment.amount_minor:
        sentence = _("More went back than was paid: %(refunded)s of %(paid)s.")
    else:
        sentence = _(
            "Together with a refund that is under way here more would go back than was paid: "
            "%(promised)s of %(paid)s."
        )
    promised = Money(payment.refunded_minor + payment.reserved_minor, payment.currency)
    return sentence % {
        "refunded": payment.refunded,
        "promised": promised,
        "paid": payment.amount,
    }


def _follow(refund: Refund, sentence: str) -> bool:
    """Let the open case about the payment of a locked refund say ``sentence``; '' closes it.

    Whether there is one. It may be about another refund of the payment.
    """
    told = Refund.objects.select_for_update(of=("self",)).filter(
        transaction_id=refund.transaction_id, cases__kind=_KIND, cases__closed_at__isnull=True
    )
    found = list(told.order_by("pk"))
    for each in found:
        # The caller's object has to say what its row says.
        about = refund if each.pk == refund.pk else each
        if not sentence:
            close_cases(about, {_KIND}, _("What goes back is not more than was paid any more."))
        elif about.cases.open().filter(kind=_KIND).exclude(reason=sentence).update(reason=sentence):
            repeat_oldest(about)
            record_event(about, "needs_attention", data={"kind": _KIND, "reason": sentence})
    return bool(found)
