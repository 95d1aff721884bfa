"""Which payment a reported refund is of, and the case that is raised where that cannot be told."""

from __future__ import annotations

import re
from datetime import datetime

from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext as _

from gateways.base import BadRecord, PaymentGateway, RefundState, ReportedRefund
from gateways.errors import OutcomeUnknown
from gateways.models import ProcessorAccount
from gateways.money import MAX_MINOR, parse_amount
from transactions.models import TAKEN, Transaction
from transactions.text import as_stored, clean
from transactions.upsert import store_payments

from .attention import raise_case
from .clock import CLOCK_SKEW, in_words
from .doubts import doubt_listed
from .found import keeps_references, not_made
from .models import Attention, AttentionKind, Refund, RefundAttempt, RefundQuerySet
from .states import LIVE_ATTEMPTS, Origin, Status

# Before these a refund holds its money back and has not left, as far as its row says.
NOT_LEFT = (Status.AWAITING_APPROVAL, Status.QUEUED)
_CANDIDATES_SHOWN = 5
_ID = re.compile(r"[!-~]{1,100}")


class Unplaced(ValueError):
    """No payment fits, or several do: ``candidates`` are the first of those, by their ids."""

    def __init__(self, sentence: str, candidates: tuple[str, ...], may_be: str = "") -> None:
        super().__init__(sentence)
        self.candidates = candidates
        self.may_be = may_be  # the key of a refund of ours


def awaited_by(account: ProcessorAccount, reported: ReportedRefund) -> RefundQuerySet:
    """Refunds of ours that may be the reported one, because we still wait for an answer.

    After a restore even one that counts as not sent may be: without a reference none can tell.
    Where references are dropped, the order id of its payment may stand in place of one.
    """
    unanswered = Q(status__in=[Status.SENDING, Status.UNKNOWN]) | Q(
        status=Status.PENDING, processor_refund_id__isnull=True
    )
    left_before = Q(
        attempts__state__in=sorted(LIVE_ATTEMPTS),
        attempts__started_at__lte=reported.created_at + CLOCK_SKEW,
    )
    maybe = unanswered & left_before
    restored = Q(look_up_first=True, status__in=NOT_LEFT)
    if not reported.reference:
        maybe |= restored
    elif not keeps_references(account):
        maybe |= restored & Q(transaction__order_reference=as_stored(reported.reference, 300))
    return Refund.objects.exclude(origin=Origin.EXTERNAL).filter(
        maybe,
        account=account,
        amount_minor=reported.amount.minor,
        currency=reported.amount.currency,
    )


def check(reported: ReportedRefund) -> None:
    """Raise ValueError, with a sentence, for what can be no refund of any payment."""
    if not _ID.fullmatch(reported.external_id):
        raise ValueError(_("Its id is not 1 to 100 printable characters without spaces."))
    if not 1 <= reported.amount.minor <= MAX_MINOR:
        raise ValueError(
            _("Refund %(refund)s is of %(amount)s, which is not an amount that can go back.")
            % {"refund": reported.external_id, "amount": reported.amount}
        )


def read_payment(
    account: ProcessorAccount, gateway: PaymentGateway, reported: ReportedRefund
) -> int:
    """Key of the payment that a report names, read from the processor. Raises ValueError."""
    names = {"refund": reported.external_id, "payment": reported.payment_id}
    try:
        payment = gateway.get_payment(reported.payment_id)
    except OutcomeUnknown as error:
        raise ValueError(str(error)) from error
    if payment is None:
        raise ValueError(
            _("Refund %(refund)s is of payment %(payment)s, which is not known.") % names
        )
    counts = store_payments(account, [payment])
    if counts.rejected:
        raise ValueError(counts.rejected[0].reason)
    return Transaction.objects.get(account=account, external_id=payment.external_id).pk


def find_payment(account: ProcessorAccount, reported: ReportedRefund) -> int | None:
    """Key of the one payment that fits by card and payer, where the processor names none.

    None while the report may be of a refund that is under way. Raises Unplaced.
    """
    same_card = Transaction.objects.filter(
        account=account, last4=reported.last4, currency=reported.amount.currency
    ).exclude(last4="")
    if awaited := list(awaited_by(account, reported).filter(transaction__in=same_card).distinct()):
        for each in awaited:
            doubt_unless_referenced(each, reported)
        doubt_all_like(account, reported)
        return None
    theirs = same_card.filter(created_at__lte=reported.created_at + CLOCK_SKEW)
    # Whose an erased payment was nobody knows any more: it may be theirs.
    if email := as_stored(reported.payer.email, 320):
        theirs = theirs.filter(Q(customer_email__iexact=email) | Q(is_erased=True))
    elif name := as_stored(reported.payer.name, 300):
        theirs = theirs.filter(Q(customer_name=name) | Q(is_erased=True))
    # Without what is reserved: a refund that waits for this one would keep it out.
    fitting = theirs.filter(
        status__in=TAKEN, amount_minor__gte=F("refunded_minor") + reported.amount.minor
    )
    reference = as_stored(reported.reference, 300)
    same_order = fitting.filter(order_reference=reference).exclude(order_reference="")
    ours = _like_ours(reported, account, theirs)
    shown: tuple[str, ...] = ()
    for candidates in (same_order, fitting):
        found = sorted(candidates.values_list("pk", "external_id")[:_CANDIDATES_SHOWN])
        if len(found) == 1 and (not ours or ours.refund.transaction_id == found[0][0]):
            return found[0][0]
        if found:
            shown = tuple(external_id for _pk, external_id in found)
            break
    raise Unplaced(_why_unplaced(reported, ours), shown, str(ours.refund_id) if ours else "")


def doubt_unless_referenced(awaited: Refund, reported: ReportedRefund) -> None:
    """Remember what may be a refund without an answer: people may rule that out later."""
    if reported.state != RefundState.FAILED and not keeps_references(awaited.account):
        doubt_listed(awaited, reported.external_id)


def doubt_all_like(account: ProcessorAccount, reported: ReportedRefund) -> None:
    """Remember what may be any refund of ours that counts as not made, of whichever payment."""
    if reported.state == RefundState.FAILED or keeps_references(account):
        return
    for ours in {attempt.refund for attempt in _left_like(account, reported)}:
        doubt_listed(ours, reported.external_id)


def _like_ours(
    reported: ReportedRefund, account: ProcessorAccount, payments: QuerySet[Transaction]
) -> RefundAttempt | None:
    """The newest attempt of ours that a report may be of, among those that count as not made.

    Also of a payment that is refunded by now: perhaps it was paid twice. None by a reference.
    """
    if keeps_references(account):
        return None
    attempts = not_made(reported.created_at).filter(
        refund__transaction__in=payments, refund__amount_minor=reported.amount.minor
    )
    newest = attempts.order_by("-first_sent_at").select_related("refund__made_as")
    return next((each for each in newest if not each.refund.counts_elsewhere), None)


def _why_unplaced(reported: ReportedRefund, ours: RefundAttempt | None) -> str:
    sentence = _(
        "Refund %(refund)s of %(amount)s names no payment, and its card (%(last4)s) and "
        "payer do not single one out. Look it up at the processor."
    )
    values = {
        "refund": reported.external_id,
        "amount": reported.amount,
        "last4": reported.last4 or "–",
    }
    if ours is None:
        return sentence % values
    again = _(
        "It may be what was asked for here on %s and counts as not made: if as much was sent "
        "since, it has gone back twice."
    )
    return f"{sentence % values} {again % in_words(ours.refund.created_at)}"


def put_before_a_person(
    account: ProcessorAccount, reported: ReportedRefund, problem: Exception | str
) -> None:
    """Raise a case, once, about a refund that moved money and could not be written down.

    One that has failed by now closes it. What was made before the account was added here is
    history, and only counted.
    """
    if reported.state == RefundState.FAILED:
        subject = subject_of(account, reported.external_id)
        gone = Attention.objects.filter(kind=AttentionKind.UNPLACED, subject=subject)
        gone.close(_("The processor reports that it failed."))
        return
    if is_history(account, reported):
        return
    evidence = {
        "refund": clean(reported.external_id, 100),
        "payment": clean(reported.payment_id, 100),
        "amount": str(reported.amount),
        "made_at": reported.created_at.isoformat(),
        "card": clean(reported.last4, 4),
        "payer": as_stored(reported.payer.name, 300),
        "email": as_stored(reported.payer.email, 320),
        "reference": as_stored(reported.reference, 100),
        "candidates": ", ".join(getattr(problem, "candidates", ())),
        "may_be": getattr(problem, "may_be", ""),
    }
    _raise_once(account, reported.external_id, str(problem), evidence)
    doubt_all_like(account, reported)


def is_whole(unplaced: Attention) -> bool:
    """Whether a case has all that :func:`reported_in` reads; an unreadable record has not."""
    return {"refund", "amount", "made_at"} <= set(unplaced.evidence)


def reported_in(case: Attention) -> ReportedRefund:
    """The report that :func:`put_before_a_person` raised a case about, as made."""
    told = case.evidence
    amount, _space, currency = told["amount"].partition(" ")
    return ReportedRefund(
        external_id=told["refund"],
        payment_id=told.get("payment", ""),
        amount=parse_amount(amount, currency),
        state=RefundState.SUCCEEDED,
        created_at=datetime.fromisoformat(told["made_at"]),
        reference=told.get("reference", ""),
        last4=told.get("card", ""),
    )


def _left_like(account: ProcessorAccount, reported: ReportedRefund) -> QuerySet[RefundAttempt]:
    """What a report without a payment may be, by account, amount, card and time, newest first."""
    attempts = not_made(reported.created_at).filter(
        refund__account=account,
        refund__amount_minor=reported.amount.minor,
        refund__currency=reported.amount.currency,
        refund__transaction__last4=reported.last4,
    )
    newest = attempts.order_by("-first_sent_at").select_related("refund__made_as")
    return newest if reported.last4 else newest.none()


def ours_like(case: Attention) -> Refund | None:
    """The refund of ours that one which fits no payment alone may be; rather the one it names.

    By account, amount, card and time, among those that count as not made.
    """
    reported = reported_in(case)
    rows = Refund.objects.filter(account=case.account_id)
    if rows.filter(processor_refund_id=reported.external_id).exists():
        return None
    left = _left_like(case.account, reported)
    free = [each.refund for each in left if not each.refund.counts_elsewhere]
    named = case.evidence.get("may_be", "")
    return min(free, key=lambda each: str(each.pk) != named, default=None)


def put_unreadable_before_a_person(account: ProcessorAccount, record: BadRecord) -> None:
    """Raise a case, once, about a record of a list of refunds that we could not read."""
    sentence = _("The processor lists a refund that cannot be read: %s") % record.reason
    _raise_once(account, record.external_id, sentence, {"refund": clean(record.external_id, 100)})


def _raise_once(
    account: ProcessorAccount, external_id: str, reason: str, evidence: dict[str, str]
) -> None:
    """What a person has closed stays so; what the facts closed is raised anew."""
    subject = subject_of(account, external_id)
    before = Attention.objects.filter(kind=AttentionKind.UNPLACED, subject=subject)
    if not before.filter(Q(closed_at__isnull=True) | Q(closed_by__isnull=False)).exists():
        told = {name: value for name, value in evidence.items() if value}
        raise_case(AttentionKind.UNPLACED, subject, reason, account=account, evidence=told)


def is_history(account: ProcessorAccount, reported: ReportedRefund) -> bool:
    """Whether it was made before the account was added here: no news then, and no case.

    Some processors tell time in whole seconds.
    """
    return reported.created_at < account.created_at.replace(microsecond=0)


def subject_of(account: ProcessorAccount, external_id: str) -> str:
    """What a case about a refund without a row is about."""
    return f"outside:{account.pk}:{clean(external_id, 100)}"
