"""Payments that are found cancelled at their processor."""

from __future__ import annotations

import pytest

from gateways.base import PaymentStatus
from refunds.execution import send_refund
from refunds.models import Attention, AttentionKind, Refund
from refunds.outside_voids import record_outside_voids
from refunds.states import AttemptState, Status
from refunds.sync import sync_account
from tests.transactions.scripted import payment
from transactions.upsert import store_payments

from .raw import triggers_off
from .reports import sums
from .states import add_attempt, bring

pytestmark = pytest.mark.django_db


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


@pytest.mark.parametrize("desk", ["authorizenet"], indirect=True)
def test_a_void_that_was_refused_and_made_all_the_same_is_ours(desk):
    """A void has no record of its own: only the payment's status says that it was made."""
    transaction = desk.pay(status="captured")
    refund = desk.ask(transaction, 10_000)
    desk.arm("void", "refusal", "after", code="54")
    send_refund(refund.pk)
    refund.refresh_from_db()
    assert refund.status == Status.FAILED
    for _ in range(2):
        sync_account(desk.account)
        refund = Refund.objects.get()
        assert (refund.status, refund.origin) == (Status.SUCCEEDED, "staff")
        assert refund.processor_refund_id == transaction.external_id
        assert refund.attempts.get().state == AttemptState.DECLINED
        assert desk.sums(transaction) == (0, 10_000)
    case = Attention.objects.get()
    assert case.kind == AttentionKind.PAID_AFTER_ALL
    assert case.reason.startswith("The void counted as failed, and the payment is cancelled")


def test_a_payment_that_an_earlier_void_of_ours_already_names_is_that_ones(paid, ask):
    """Held for review, it had an id before it was declined; the next one was declined at once."""
    failed = []
    for named in ({"processor_refund_id": "ch_1"}, {}):
        refund = ask(paid, paid.amount_minor)
        with triggers_off():
            Refund.objects.filter(pk=refund.pk).update(operation="void")
        refund = bring(refund, Status.FAILED, **named)
        add_attempt(refund, "declined")
        failed.append(refund)
    store_payments(paid.account, [payment("ch_1", status=PaymentStatus.VOIDED)])
    record_outside_voids(paid.account)
    first, second = (Refund.objects.get(pk=each.pk) for each in failed)
    assert (first.status, second.status) == (Status.SUCCEEDED, Status.FAILED)
    assert sums(paid) == (0, 1_000, False)
    assert [case.kind for case in Attention.objects.all()] == [AttentionKind.PAID_AFTER_ALL]
