"""Refunds that were made elsewhere: each one that a processor reports becomes exactly one row.

A report with the reference of an attempt of ours, or the id of a refund of ours, is evidence about
that refund. One that could be ours while we still wait for an answer is left alone until the answer
is there. Everything else is a fact that is recorded, also where it breaks the cap.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

from django.db import DataError, IntegrityError
from django.db import transaction as database
from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext as _

from gateways.base import BadRecord, PaymentGateway, RefundState, ReportedRefund
from gateways.errors import OutcomeUnknown
from gateways.models import ProcessorAccount
from gateways.money import MAX_MINOR
from transactions.models import TAKEN, Transaction
from transactions.text import clean
from transactions.upsert import SyncCounts, store_payments, why_refused

from .attention import flag
from .history import record_event
from .models import AttentionKind, Refund, RefundAttempt
from .resolution import apply_reported, mark_returned
from .states import LIVE_ATTEMPTS, Origin, Status
from .transitions import lock_refund, move, over_refunded_after

_STATUS = {
    RefundState.PENDING: Status.PENDING,
    RefundState.SUCCEEDED: Status.SUCCEEDED,
    RefundState.FAILED: Status.FAILED,
}
# What a report makes of a refund that is known already, and the name of the event.
_NEXT = {
    (Status.PENDING, RefundState.SUCCEEDED): (Status.SUCCEEDED, "succeeded"),
    (Status.PENDING, RefundState.FAILED): (Status.FAILED, "refused"),
    (Status.SUCCEEDED, RefundState.FAILED): (Status.RETURNED, "returned"),
    (Status.FAILED, RefundState.SUCCEEDED): (Status.SUCCEEDED, "succeeded"),
}
# A refund of ours in one of these was made at its processor.
_MADE = [Status.PENDING, Status.SUCCEEDED, Status.RETURNED]
# Clocks of processors and ours differ by no more than this.
_CLOCK_SKEW = timedelta(minutes=5)
# ``awaited``: left alone, because it may be a refund of ours that has no answer yet.
Outcome = Literal["new", "changed", "unchanged", "awaited"]
_ID = re.compile(r"[!-~]{1,100}")


def record_reported_refunds(
    account: ProcessorAccount, gateway: PaymentGateway, reported: Sequence[ReportedRefund]
) -> SyncCounts:
    """Write down what a page of a processor's refunds tells. Repeating it changes nothing.

    A refund that fits no payment is counted as refused, with a sentence. Raises NotSent when the
    payment of one has to be read first and cannot.
    """
    page = _Page(account, gateway, reported)
    counts = SyncCounts()
    for each in reported:
        try:
            outcome = page.record(each)
        except ValueError as error:
            counts.reject(BadRecord(clean(each.external_id, 100), str(error)))
            continue
        except (DataError, IntegrityError) as error:
            counts.reject(BadRecord(clean(each.external_id, 100), why_refused(error)))
            continue
        counts.new += outcome == "new"
        counts.changed += outcome == "changed"
        counts.unchanged += outcome in {"unchanged", "awaited"}
        counts.awaited += outcome == "awaited"
    return counts


def oldest_open(account: ProcessorAccount) -> Refund | None:
    """The oldest refund about which a list of refunds may still tell something new, or None."""
    awaited = Q(status__in=[Status.SENDING, Status.UNKNOWN]) | Q(
        status=Status.PENDING, origin=Origin.EXTERNAL
    )
    return Refund.objects.filter(awaited, account=account).order_by("created_at").first()


class _Page:
    """The rows that a page of reports is about, read in three queries."""

    def __init__(
        self,
        account: ProcessorAccount,
        gateway: PaymentGateway,
        reported: Sequence[ReportedRefund],
    ) -> None:
        self.account = account
        self.gateway = gateway
        self.reported = reported
        refunds = Refund.objects.filter(
            account=account, processor_refund_id__in=[each.external_id for each in reported]
        )
        self.refunds = {refund.processor_refund_id: refund for refund in refunds}
        attempts = RefundAttempt.objects.filter(
            account=account, reference__in=[each.reference for each in reported if each.reference]
        )
        self.attempts = {each.reference: each for each in attempts.select_related("refund")}
        payments = Transaction.objects.filter(
            account=account, external_id__in=[each.payment_id for each in reported]
        )
        self.payments = dict(payments.values_list("external_id", "pk"))

    def record(self, reported: ReportedRefund) -> Outcome:
        """Raises ValueError with a sentence."""
        if refund := self.refunds.get(reported.external_id):
            return _follow(refund, reported)
        warning = ""
        if attempt := self.attempts.get(reported.reference):
            if attempt.state in LIVE_ATTEMPTS or _has_ended_with(attempt):
                return _follow(attempt.refund, reported)
            if reported.state == RefundState.FAILED:
                return "unchanged"
            warning = _("Attempt %s counted as not made, and the processor reports it as made.")
            warning %= attempt.reference
        if not reported.has_own_id and self._counts_as_ours(reported):
            return "unchanged"
        _check(reported)
        payment_id = self._payment_of(reported)
        return "awaited" if payment_id is None else _create(payment_id, reported, warning)

    def _counts_as_ours(self, reported: ReportedRefund) -> bool:
        """Whether a refund without an id is one of ours, told by how many there are of its amount.

        A page holds the whole history of a payment, so the rows that are known by the ids given to
        them are somebody else's, and of the rest as many are ours as we made.
        """
        ends = [Status.FAILED] if reported.state == RefundState.FAILED else _MADE
        ours = Refund.objects.exclude(origin=Origin.EXTERNAL).filter(
            account=self.account,
            transaction__external_id=reported.payment_id,
            amount_minor=reported.amount.minor,
            status__in=ends,
            attempts__isnull=False,
        )
        alike = [
            each
            for each in self.reported
            if (each.payment_id, each.amount, each.state)
            == (reported.payment_id, reported.amount, reported.state)
            and each.external_id not in self.refunds
        ]
        return alike.index(reported) < ours.distinct().count()

    def _payment_of(self, reported: ReportedRefund) -> int | None:
        """Key of the transaction; None while the report may be of a refund that is under way."""
        if not reported.payment_id:
            return self._payment_of_unlinked(reported)
        if reported.payment_id not in self.payments:
            self.payments[reported.payment_id] = self._read_payment(reported)
        return self.payments[reported.payment_id]

    def _read_payment(self, reported: ReportedRefund) -> int:
        names = {"refund": reported.external_id, "payment": reported.payment_id}
        try:
            payment = self.gateway.get_payment(reported.payment_id)
        except OutcomeUnknown as error:
            raise ValueError(str(error)) from error
        if payment is None:
            raise ValueError(
                _("Refund %(refund)s is of payment %(payment)s, which is not known.") % names
            )
        counts = store_payments(self.account, [payment])
        if counts.rejected:
            raise ValueError(counts.rejected[0].reason)
        return Transaction.objects.get(account=self.account, external_id=payment.external_id).pk

    def _payment_of_unlinked(self, reported: ReportedRefund) -> int | None:
        """Some processors do not name the payment: then exactly one must fit by card and payer."""
        same_card = Transaction.objects.filter(
            account=self.account, last4=reported.last4, currency=reported.amount.currency
        ).exclude(last4="")
        if awaited_by(reported).filter(transaction__in=same_card).exists():
            return None
        fitting = same_card.filter(
            status__in=TAKEN,
            created_at__lte=reported.created_at + _CLOCK_SKEW,
            amount_minor__gte=F("refunded_minor") + F("reserved_minor") + reported.amount.minor,
        )
        if email := clean(reported.payer.email, 320):
            fitting = fitting.filter(customer_email__iexact=email)
        elif name := clean(reported.payer.name, 300):
            fitting = fitting.filter(customer_name=name)
        same_order = fitting.filter(order_reference=reported.reference).exclude(order_reference="")
        for candidates in (same_order, fitting):
            keys = list(candidates.values_list("pk", flat=True)[:2])
            if len(keys) == 1:
                return keys[0]
            if keys:
                break
        raise ValueError(
            _(
                "Refund %(refund)s of %(amount)s names no payment, and its card (%(last4)s) and "
                "payer do not single one out. Look it up at the processor."
            )
            % {
                "refund": reported.external_id,
                "amount": reported.amount,
                "last4": reported.last4 or "–",
            }
        )


def _check(reported: ReportedRefund) -> None:
    if not _ID.fullmatch(reported.external_id):
        raise ValueError(_("Its id is not 1 to 100 printable characters without spaces."))
    if not 1 <= reported.amount.minor <= MAX_MINOR:
        raise ValueError(
            _("Refund %(refund)s is of %(amount)s, which is not an amount that can go back.")
            % {"refund": reported.external_id, "amount": reported.amount}
        )


def _has_ended_with(attempt: RefundAttempt) -> bool:
    """Whether the attempt's refund came to its end with this attempt, and not with a later one."""
    refund = attempt.refund
    return refund.status == Status.FAILED and attempt.number == refund.attempts.count()


def _follow(refund: Refund, reported: ReportedRefund) -> Outcome:
    """Take a refund that is known already over the edge that a report proves, if any."""
    status = Status(refund.status)
    is_ours = refund.origin != Origin.EXTERNAL
    if is_ours and status == Status.SENDING:
        return "awaited"
    if (status, reported.state) not in _NEXT and not (is_ours and status == Status.UNKNOWN):
        return "unchanged"
    if is_ours:
        apply_reported(refund.pk, reported)
        return "changed"
    with database.atomic():
        locked = lock_refund(refund.pk)
        step = _NEXT.get((Status(locked.status), reported.state))
        if step is None:
            return "unchanged"
        to, kind = step
        if to == Status.RETURNED:
            mark_returned(locked, _failure_fields(reported))
        else:
            move(locked, to, kind, changes=_failure_fields(reported))
    return "changed"


def awaited_by(reported: ReportedRefund) -> QuerySet[Refund]:
    """Refunds of ours that may be the reported one, because we still wait for an answer."""
    return Refund.objects.exclude(origin=Origin.EXTERNAL).filter(
        Q(status__in=[Status.SENDING, Status.UNKNOWN])
        | Q(status=Status.PENDING, processor_refund_id__isnull=True),
        amount_minor=reported.amount.minor,
        currency=reported.amount.currency,
        attempts__state__in=sorted(LIVE_ATTEMPTS),
        attempts__started_at__lte=reported.created_at + _CLOCK_SKEW,
    )


def _create(payment_id: int, reported: ReportedRefund, warning: str) -> Outcome:
    status = _STATUS[reported.state]
    minor = reported.amount.minor
    with database.atomic():
        payment = Transaction.objects.select_for_update().get(pk=payment_id)
        _check_currency(payment, reported)
        refunds = Refund.objects.filter(account_id=payment.account_id)
        is_known = refunds.filter(processor_refund_id=reported.external_id).exists()
        if is_known:
            return "unchanged"
        if not warning and awaited_by(reported).filter(transaction=payment).exists():
            return "awaited"
        refund = _new_row(payment, reported, status)
        refund.save(force_insert=True)
        record_event(refund, "recorded_outside", to_status=status, data=_facts(reported))
        if status != Status.FAILED:
            column = "refunded_minor" if status == Status.SUCCEEDED else "reserved_minor"
            sums = {column: F(column) + minor, "over_refunded": over_refunded_after(minor)}
            Transaction.objects.filter(pk=payment_id).update(**sums)
        if warning:
            flag(refund, AttentionKind.PAID_AFTER_ALL, warning)
        if status != Status.FAILED and (
            payment.amount_minor < payment.refunded_minor + payment.reserved_minor + minor
        ):
            flag(
                refund,
                AttentionKind.OVER_REFUNDED,
                _("With this refund more went back than was paid."),
            )
    return "new"


def _check_currency(payment: Transaction, reported: ReportedRefund) -> None:
    if reported.amount.currency != payment.currency:
        raise ValueError(
            _("Refund %(refund)s is in %(theirs)s, and its payment in %(ours)s.")
            % {
                "refund": reported.external_id,
                "theirs": reported.amount.currency,
                "ours": payment.currency,
            }
        )


def _new_row(payment: Transaction, reported: ReportedRefund, status: Status) -> Refund:
    canonical = json.dumps(_facts(reported), sort_keys=True)
    return Refund(
        transaction=payment,
        account_id=payment.account_id,
        mode=payment.mode,
        currency=payment.currency,
        amount_minor=reported.amount.minor,
        operation=reported.operation.value,
        origin=Origin.EXTERNAL,
        status=status,
        idem_scope=f"external:{payment.account_id}",
        idem_key=reported.external_id,
        request_hash=hashlib.sha256(canonical.encode()).digest(),
        processor_refund_id=reported.external_id,
        created_at=reported.created_at,
        finished_at=None if status == Status.PENDING else reported.created_at,
        **_failure_fields(reported),
    )


def _facts(reported: ReportedRefund) -> dict[str, str | int]:
    return {
        "refund": reported.external_id,
        "payment": reported.payment_id,
        "amount_minor": reported.amount.minor,
        "currency": reported.amount.currency,
        "operation": reported.operation.value,
        "reference": clean(reported.reference, 100),
        "created_at": reported.created_at.isoformat(),
    }


def _failure_fields(reported: ReportedRefund) -> dict[str, Any]:
    failure = reported.failure if reported.state == RefundState.FAILED else None
    if failure is None:
        return {"failure_code": "", "failure_processor_code": "", "failure_message": ""}
    return {
        "failure_code": failure.code.value,
        "failure_processor_code": clean(failure.processor_code, 100),
        "failure_message": clean(failure.message, 1000),
    }
