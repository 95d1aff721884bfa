"""Reports that say something else than our rows: doubles, other amounts, ends that were none."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from gateways.base import Operation, RefundResult, RefundState
from gateways.errors import OutcomeUnknown
from gateways.money import Money
from refunds.delivery import claim
from refunds.models import Attention, AttentionKind, Refund
from refunds.recording import record_answer
from tests.transactions.scripted import reported
from transactions.models import Transaction

from .reports import open_kinds, record

pytestmark = pytest.mark.django_db

K = AttentionKind


def test_two_refunds_under_one_reference_are_a_double(paid, ask):
    refund = ask(paid, 500)
    attempt = claim(refund, Operation.REFUND)
    first = reported("re_1", "ch_1", reference=attempt.reference)
    record_answer(attempt, attempt.fence, RefundResult(RefundState.SUCCEEDED, "re_1", first.amount))
    record(paid.account, first, reported("re_2", "ch_1", reference=attempt.reference))
    double = Refund.objects.get(origin="external")
    assert double.processor_refund_id == "re_2"
    assert double.attention_reason == (
        f"The processor has refunds re_1 and re_2 under our reference {attempt.reference}. "
        "Money may have left twice."
    )
    assert open_kinds(paid.account) == [K.FOUND_SEVERAL]
    assert Transaction.objects.get().refunded_minor == 1_000
    record(paid.account, reported("re_2", "ch_1", reference=attempt.reference))
    assert Refund.objects.count() == 2


def test_two_new_refunds_under_one_reference_are_told_apart_on_one_page(paid, ask):
    refund = ask(paid, 500)
    attempt = claim(refund, Operation.REFUND)
    record_answer(attempt, attempt.fence, OutcomeUnknown("No answer."))
    twins = [reported(f"re_{n}", "ch_1", reference=attempt.reference) for n in (1, 2)]
    record(paid.account, *twins)
    refund.refresh_from_db()
    assert (refund.status, refund.processor_refund_id) == ("succeeded", "re_1")
    assert open_kinds(paid.account) == [K.FOUND_SEVERAL]


def test_a_failed_twin_moved_no_money(paid, ask):
    refund = ask(paid, 500)
    attempt = claim(refund, Operation.REFUND)
    money = Money(500, "USD")
    record_answer(attempt, attempt.fence, RefundResult(RefundState.SUCCEEDED, "re_1", money))
    failed = reported("re_2", "ch_1", reference=attempt.reference, state=RefundState.FAILED)
    record(paid.account, failed)
    assert Refund.objects.get() == refund
    assert open_kinds(paid.account) == []


@pytest.mark.parametrize("amount", [Money(499, "USD"), Money(500, "EUR")])
def test_another_amount_than_ours_needs_a_person(paid, ask, amount):
    refund = ask(paid, 500)
    attempt = claim(refund, Operation.REFUND)
    record_answer(
        attempt, attempt.fence, RefundResult(RefundState.SUCCEEDED, "re_1", refund.amount)
    )
    record(paid.account, reported("re_1", "ch_1", amount=amount))
    case = Attention.objects.get()
    assert (case.kind, case.refund) == (K.AMOUNT_DIFFERS, refund)
    assert case.evidence == {"refund": "re_1", "amount": str(amount)}
    refund.refresh_from_db()
    assert (refund.status, refund.confirmed_at) == ("succeeded", None)


def test_an_amount_that_changes_outside_needs_a_person(paid):
    record(paid.account, reported("re_1", "ch_1"))
    record(paid.account, reported("re_1", "ch_1", 700))
    assert open_kinds(paid.account) == [K.AMOUNT_DIFFERS]
    assert Transaction.objects.get().refunded_minor == 500


def test_what_moves_there_and_ended_here_needs_a_person_unless_the_list_may_be_late(paid):
    failed = reported("re_1", "ch_1", state=RefundState.FAILED)
    pending = replace(failed, state=RefundState.PENDING)
    record(paid.account, failed)
    Refund.objects.update(finished_at=timezone.now() + timedelta(minutes=1))
    record(paid.account, pending)
    assert open_kinds(paid.account) == []
    Refund.objects.update(finished_at=timezone.now())
    record(paid.account, pending)
    assert open_kinds(paid.account) == [K.PAID_AFTER_ALL]
