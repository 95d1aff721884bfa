"""Reports of refunds, written down as a sync would, and what the rows say afterwards."""

from __future__ import annotations

from django.utils import timezone

from gateways.base import PaymentGateway, PaymentMethod, ReportedRefund
from gateways.models import ProcessorAccount
from refunds.models import Attention, Refund
from refunds.outside import record_reported_refunds
from tests.transactions.scripted import ScriptedGateway, payment, reported
from transactions.models import Transaction
from transactions.upsert import SyncCounts, store_payments

from .desk import Desk


def pay(account: ProcessorAccount) -> Transaction:
    """A transaction of 10.00 USD, and nothing at any processor."""
    store_payments(account, [payment("ch_1", method=PaymentMethod("card", "visa", "4242"))])
    return Transaction.objects.get(account=account)


def record(
    account: ProcessorAccount, *reports: ReportedRefund, gateway: PaymentGateway | None = None
) -> SyncCounts:
    return record_reported_refunds(account, gateway or ScriptedGateway(), reports)


def counted(counts: SyncCounts) -> tuple[int, int, int, int]:
    """New, changed, unchanged, refused."""
    return counts.new, counts.changed, counts.unchanged, counts.refused


def sums(transaction: Transaction) -> tuple[int, int, bool]:
    """Reserved, refunded, and whether that is too much."""
    row = Transaction.objects.get(pk=transaction.pk)
    return row.reserved_minor, row.refunded_minor, row.over_refunded


def open_kinds(account: ProcessorAccount) -> list[str]:
    """The kinds of the account's open cases, sorted."""
    cases = Attention.objects.filter(account=account, closed_at__isnull=True)
    return sorted(cases.values_list("kind", flat=True))


def now_reported(external_id: str = "re_1", **values: object) -> ReportedRefund:
    """A refund of the payment that was made just now."""
    return reported(external_id, "ch_1", **({"created_at": timezone.now()} | values))


def in_ledger(desk: Desk) -> dict[str, tuple[str, int]]:
    with desk.sandbox.ledger.lock:
        return {
            each.id: (each.payment_id, each.amount_minor)
            for each in desk.sandbox.ledger.refunds.values()
            if each.account == desk.name and each.operation == "refund"
        }


def stored(desk: Desk) -> dict[str, tuple[str, int]]:
    rows = Refund.objects.filter(account=desk.account).select_related("transaction")
    return {
        row.processor_refund_id: (row.transaction.external_id, row.amount_minor) for row in rows
    }
