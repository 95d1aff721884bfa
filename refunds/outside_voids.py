"""Payments that are found cancelled at their processor, where no row of ours tells why.

Lists of refunds do not tell of voids, only the status of the payment does.
"""

from __future__ import annotations

from django.db.models import F

from gateways.base import Operation, RefundState, ReportedRefund
from gateways.models import ProcessorAccount
from transactions.models import Transaction, TransactionStatus

from .external import MADE, record_external
from .models import Refund
from .resolution import apply_reported
from .states import Status


def record_outside_voids(account: ProcessorAccount) -> int:
    """Count payments that were cancelled without a row that says so; how many were written down.

    Those that were cancelled before they were first read here never counted as paid, and are left
    out. A void of ours that counted as failed is taken for what cancelled its payment.
    """
    voids = Refund.objects.filter(account=account, operation=Operation.VOID.value)
    known = voids.filter(status__in=[*MADE, Status.SENDING, Status.UNKNOWN])
    voided = Transaction.objects.filter(
        account=account, status=TransactionStatus.VOIDED, voided_at__isnull=False
    ).exclude(pk__in=known.values("transaction_id"))
    recorded = 0
    for payment in voided.order_by("pk").iterator(chunk_size=200):
        report = _report_of(payment)
        if failed := _failed_void(payment):
            apply_reported(failed.pk, report)
        else:
            recorded += record_external(account, payment.pk, report, None) == "new"
    return recorded


def _report_of(payment: Transaction) -> ReportedRefund:
    assert payment.voided_at
    return ReportedRefund(
        external_id=payment.external_id,
        payment_id=payment.external_id,
        amount=payment.amount,
        state=RefundState.SUCCEEDED,
        created_at=payment.voided_at,
        operation=Operation.VOID,
    )


def _failed_void(payment: Transaction) -> Refund | None:
    """The void of ours that counted as failed: the one with the payment's id, or the last sent.

    A void has no record of its own, so nobody can tell it from one that a person made afterwards.
    Counted here, it is put before a person; counted as that person's, ours would stay wrong.
    """
    failed = Refund.objects.filter(
        transaction=payment,
        operation=Operation.VOID.value,
        status=Status.FAILED,
        amount_minor=payment.amount_minor,
        attempts__sends__gt=0,
    )
    named_first = F("processor_refund_id").asc(nulls_last=True)
    return failed.order_by(named_first, "-finished_at").first()
