"""Which payment a reported refund is of, and the case where nobody can tell."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from gateways.base import (
    Payer,
    PaymentMethod,
    PaymentStatus,
)
from gateways.errors import NotSent, OutcomeUnknown
from gateways.money import Money
from refunds.models import Attention, AttentionKind, Refund
from tests.transactions.scripted import PAID_AT, ScriptedGateway, payment, reported
from transactions.upsert import store_payments

from .reports import counted, record, sums

pytestmark = pytest.mark.django_db


def test_a_payment_that_is_not_known_yet_is_read_first(paid):
    gateway = ScriptedGateway(details={"ch_2": payment("ch_2")})
    assert record(paid.account, reported("re_2", "ch_2"), gateway=gateway).new == 1
    assert Refund.objects.get().transaction.external_id == "ch_2"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (None, "Refund re_2 is of payment ch_2, which is not known."),
        (OutcomeUnknown("Half an answer."), "Half an answer."),
        (payment("ch_2", -5), "The database refuses it: transaction is not over refunded."),
    ],
)
def test_a_payment_that_cannot_be_read_keeps_only_its_refund_out(paid, answer, sentence):
    gateway = ScriptedGateway(details={"ch_2": answer})
    counts = record(
        paid.account, reported("re_2", "ch_2"), reported("re_1", "ch_1"), gateway=gateway
    )
    assert counted(counts) == (1, 0, 0, 1)
    assert counts.rejected[0].external_id == "re_2"
    assert counts.rejected[0].reason == sentence


def test_nothing_is_skipped_when_the_processor_lets_nobody_in(paid):
    gateway = ScriptedGateway(details={"ch_2": NotSent("No.", reason="credentials")})
    with pytest.raises(NotSent):
        record(paid.account, reported("re_2", "ch_2"), gateway=gateway)


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (reported("re_1", "ch_1", amount=Money(500, "EUR")), "is in EUR, and its payment in USD"),
        (reported("re_1", "ch_1", 0), "0.00 USD, which is not an amount"),
        (reported("re_1", "ch_1", -5), "-0.05 USD, which is not an amount"),
        (reported("re_1", "ch_1", 10**12), "which is not an amount"),
        (reported("", "ch_1"), "1 to 100 printable"),
        (reported("re 1", "ch_1"), "1 to 100 printable"),
        (reported("x" * 101, "ch_1"), "1 to 100 printable"),
    ],
)
def test_what_cannot_be_a_refund_of_the_payment_is_refused_with_a_reason(paid, report, words):
    counts = record(paid.account, report)
    assert counted(counts) == (0, 0, 0, 1)
    assert words in counts.rejected[0].reason
    assert not Refund.objects.exists()
    assert sums(paid) == (0, 0, False)


def test_a_refund_that_only_the_database_refuses_stops_no_other(paid):
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE refunds_refund ADD CONSTRAINT nobody_refunds_thirteen"
            " CHECK (amount_minor <> 13)"
        )
    counts = record(paid.account, reported("re_1", "ch_1", 13), reported("re_2", "ch_1"))
    assert counted(counts) == (1, 0, 0, 1)
    assert counts.rejected[0].reason == "The database refuses it: nobody refunds thirteen."
    assert sums(paid) == (0, 500, False)


def unlinked(**values):
    return reported("9001", "", **({"last4": "4242"} | values))


def test_a_refund_without_a_payment_is_matched_when_exactly_one_fits(paid):
    assert record(paid.account, unlinked()).new == 1
    assert Refund.objects.get().transaction == paid


def test_what_waits_for_it_does_not_keep_it_from_its_payment(paid, ask):
    ask(paid, paid.amount_minor)
    assert record(paid.account, unlinked()).new == 1
    paid.refresh_from_db()
    assert paid.over_refunded


@pytest.mark.parametrize(
    "other",
    [
        {"method": PaymentMethod("card", "visa", "1111")},
        {"amount": Money(100, "USD")},
        {"amount": Money(1_000, "EUR")},
        {"status": PaymentStatus.FAILED},
        {"created_at": PAID_AT + timedelta(days=1)},
    ],
)
def test_payments_that_cannot_be_meant_do_not_get_in_the_way(paid, other):
    values = {"method": PaymentMethod("card", "visa", "4242")} | other
    store_payments(paid.account, [payment("ch_2", **values)])
    assert record(paid.account, unlinked()).new == 1
    assert Refund.objects.get().transaction == paid


def test_a_refund_that_fits_two_payments_or_none_is_left_to_a_person(paid):
    store_payments(paid.account, [payment("ch_2", method=PaymentMethod("card", "visa", "4242"))])
    for report in (unlinked(), unlinked(last4="9999"), unlinked(last4="")):
        counts = record(paid.account, report)
        assert counted(counts) == (0, 0, 0, 1)
        assert counts.rejected[0].reason.startswith(
            "Refund 9001 of 5.00 USD names no payment, and its card ("
        )
    assert not Refund.objects.exists()


@pytest.mark.parametrize(
    "hint",
    [
        {"payer": Payer("", "JOAN@example.com")},
        {"payer": Payer("Joan", "")},
        {"reference": "ORDER-2"},
    ],
)
def test_payer_and_order_single_one_payment_out(paid, hint):
    card = PaymentMethod("card", "visa", "4242")
    joans = payment(
        "ch_2", method=card, payer=Payer("Joan", "joan@example.com"), order_reference="ORDER-2"
    )
    store_payments(paid.account, [joans])
    assert record(paid.account, unlinked(**hint)).new == 1
    assert Refund.objects.get().transaction.external_id == "ch_2"


# --- a case ------------------------------------------------------------------------------------


def test_what_fits_no_payment_is_one_case_with_its_evidence_until_it_is_placed(paid):
    card = PaymentMethod("card", "visa", "4242")
    store_payments(paid.account, [payment("ch_2", method=card)])
    lost = reported("9001", "", last4="4242", created_at=timezone.now(), payer=Payer("Jane Doe"))
    assert record(paid.account, lost).refused == 1
    record(paid.account, lost)
    case = Attention.objects.get()
    assert (case.kind, case.subject) == (
        AttentionKind.UNPLACED,
        f"outside:{paid.account.pk}:9001",
    )
    assert case.evidence == {
        "refund": "9001",
        "amount": "5.00 USD",
        "made_at": lost.created_at.isoformat(),
        "card": "4242",
        "payer": "Jane Doe",
        "candidates": "ch_1, ch_2",
    }
    store_payments(paid.account, [payment("ch_2", 100, method=card)])
    assert record(paid.account, lost).new == 1
    case.refresh_from_db()
    assert (case.outcome, case.closed_by) == ("Its payment was found.", None)


def test_a_case_about_a_refund_without_a_payment_stays_closed(paid, approver):
    lost = reported("9001", "", last4="9999", created_at=timezone.now())
    record(paid.account, lost)
    Attention.objects.update(closed_at=timezone.now(), closed_by=approver, outcome="Cash.")
    record(paid.account, lost)
    assert Attention.objects.count() == 1
