"""Rows of refunds and voids that were made elsewhere, and the cases they make."""

from __future__ import annotations

import pytest

from gateways.base import (
    Failure,
    FailureCode,
    PaymentStatus,
    RefundState,
)
from refunds.execution import send_refund
from refunds.external import record_outside_voids
from refunds.models import Attention, AttentionKind, Refund
from refunds.sync import sync_account
from tests.transactions.scripted import PAID_AT, payment
from transactions.upsert import store_payments

from .reports import now_reported, record, sums

pytestmark = pytest.mark.django_db

REFUSAL = Failure(FailureCode.DECLINED_BY_BANK, "declined", "The card was closed.")


# --- before a person ---------------------------------------------------------------------------


def test_a_new_refund_made_elsewhere_is_put_before_a_person(paid, approver):
    report = now_reported()
    record(paid.account, report)
    case = Attention.objects.get()
    assert (case.kind, case.owner) == (AttentionKind.MADE_OUTSIDE, approver)
    assert case.reason == (
        f"5.00 USD were refunded outside Refund Desk on {report.created_at:%Y-%m-%d}; accept it or "
        "find out who did it."
    )
    record(paid.account, report)
    assert Attention.objects.count() == 1


@pytest.mark.parametrize(
    "values", [{"created_at": PAID_AT}, {"state": RefundState.FAILED, "failure": REFUSAL}]
)
def test_history_and_what_moved_no_money_make_no_case(paid, values):
    record(paid.account, now_reported(**values))
    assert Refund.objects.count() == 1
    assert not Attention.objects.exists()


def test_a_reference_like_ours_without_a_row_is_told_from_other_hands(paid):
    record(paid.account, now_reported(reference="A2B3C4D5E6F7G2H3I4J5"))
    assert "under a reference of Refund Desk that it has no record of" in (
        Attention.objects.get().reason
    )


# --- voids -------------------------------------------------------------------------------------


def test_a_payment_that_was_cancelled_elsewhere_becomes_a_void(paid):
    store_payments(paid.account, [payment("ch_1", status=PaymentStatus.VOIDED)])
    assert record_outside_voids(paid.account) == 1
    refund = Refund.objects.get()
    assert (refund.operation, refund.origin, refund.status) == ("void", "external", "succeeded")
    assert (refund.amount, refund.processor_refund_id) == (paid.amount, "ch_1")
    assert sums(paid) == (0, 1_000, False)
    assert Attention.objects.get().reason.startswith(
        "The payment of 10.00 USD was cancelled outside Refund Desk on "
    )
    assert record_outside_voids(paid.account) == 0


def test_payments_that_were_never_taken_are_no_voids(paid):
    store_payments(paid.account, [payment("ch_2", status=PaymentStatus.VOIDED)])
    store_payments(paid.account, [payment("ch_3", status=PaymentStatus.AUTHORIZED)])
    store_payments(paid.account, [payment("ch_3", status=PaymentStatus.VOIDED)])
    assert record_outside_voids(paid.account) == 0


@pytest.mark.parametrize("desk", ["authorizenet", "nmi"], indirect=True)
@pytest.mark.parametrize("is_ours", [True, False])
def test_a_void_at_the_processor_is_one_row(desk, is_ours):
    transaction = desk.pay(status="captured")
    if is_ours:
        desk.arm("void", "reset", "after")
        send_refund(desk.ask(transaction, 10_000).pk)
    else:
        desk.post("refunds", payment_id=transaction.external_id, operation="void")
    sync_account(desk.account)
    refund = Refund.objects.get()
    assert (refund.operation, refund.origin) == ("void", "staff" if is_ours else "external")
    assert sum(desk.sums(transaction)) == 10_000
    transaction.refresh_from_db()
    assert (transaction.status, transaction.refundable_minor) == ("voided", 0)
