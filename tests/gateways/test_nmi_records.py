"""Conditions, actions and records in our words."""

from datetime import UTC, datetime

import pytest

from gateways.base import FailureCode, Payer, PaymentMethod, PaymentStatus, RefundState
from gateways.hardened_xml import parse_xml
from gateways.money import Money
from gateways.nmi_records import read_payments, read_refunds

from . import nmi_wire as wire


def payment(*args, **fields):
    (read,) = read_payments(parse_xml(wire.transaction(*args, **fields)), "")
    return read


def refund(**fields):
    (read,) = read_refunds(parse_xml(wire.refund(**fields)), "")
    return read


def test_a_settled_sale():
    settle = wire.action("settle", date="20260302080000")
    read = payment("1001", "complete", wire.action(), settle)
    assert read.external_id == "1001"
    assert read.amount == Money(5000, "USD")
    assert read.status is PaymentStatus.SETTLED
    assert read.created_at == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert read.settled_at == datetime(2026, 3, 2, 8, tzinfo=UTC)
    assert read.payer == Payer("José García", "jose@example.com")
    assert read.method == PaymentMethod("card", "visa", "1111")
    assert (read.order_reference, read.description) == ("ORD-1", "Two hats")
    assert read.has_details


@pytest.mark.parametrize(
    ("condition", "kind", "status"),
    [
        ("pending", "auth", PaymentStatus.AUTHORIZED),
        ("in_progress", "auth", PaymentStatus.AUTHORIZED),
        ("pending", "sale", PaymentStatus.CAPTURED),
        ("pendingsettlement", "sale", PaymentStatus.CAPTURED),
        ("complete", "sale", PaymentStatus.SETTLED),
        ("canceled", "sale", PaymentStatus.VOIDED),
        ("failed", "sale", PaymentStatus.FAILED),
        ("abandoned", "sale", PaymentStatus.FAILED),
    ],
)
def test_conditions(condition, kind, status):
    assert payment("1001", condition, wire.action(kind)).status is status


def test_the_amount_is_what_was_captured():
    auth = wire.action("auth", "50.00")
    captures = [wire.action("capture", "30.00"), wire.action("capture", "9.00", success="0")]
    assert payment("1001", "complete", auth, *captures).amount == Money(3000, "USD")
    assert payment("1001", "pending", auth).amount == Money(5000, "USD")


def test_a_return_is_a_dispute():
    assert payment("1001", "complete", wire.action(), wire.action("return", "-50.00")).disputed


@pytest.mark.parametrize(
    ("named", "of_account", "amount"),
    [
        ("JPY", "USD", Money(1500, "JPY")),
        ("gbp", "", Money(150000, "GBP")),
        ("", "JPY", Money(1500, "JPY")),
    ],
)
def test_the_currency_is_the_payments_or_the_accounts(named, of_account, amount):
    body = wire.transaction("1001", "complete", wire.action(amount="1500.00"), currency=named)
    (read,) = read_payments(parse_xml(body), of_account)
    assert read.amount == amount


@pytest.mark.parametrize(
    ("fields", "method"),
    [
        ({"cc_type": "American Express"}, PaymentMethod("card", "amex", "1111")),
        ({"entry_mode": "apple_pay"}, PaymentMethod("card", "visa", "1111", "apple_pay")),
        ({"entry_mode": "Google Pay"}, PaymentMethod("card", "visa", "1111", "google_pay")),
        (
            {"transaction_type": "ck", "cc_number": "", "check_account": "xxxxx6789"},
            PaymentMethod("bank", "ach", "6789"),
        ),
        ({"transaction_type": "cs"}, PaymentMethod()),
    ],
)
def test_methods(fields, method):
    assert payment(**fields).method == method


def test_a_bank_account_names_the_payer_where_nothing_else_does():
    read = payment(first_name="", last_name="", check_name="J. García")
    assert read.payer.name == "J. García"


@pytest.mark.parametrize(
    "broken",
    [
        wire.transaction(""),
        wire.transaction("1001", "unknown"),
        wire.transaction("1001", "complete", wire.action(amount="1.234")),
        wire.transaction("1001", "complete", wire.action(date="yesterday")),
        wire.transaction(currency=""),
        wire.transaction(currency="XXX"),
    ],
)
def test_what_cannot_be_read_is_an_error(broken):
    with pytest.raises(ValueError, match=r"\S"):
        read_payments(parse_xml(broken), "")


@pytest.mark.parametrize("kind", ["validate", "credit", "refund"])
def test_what_takes_no_money_is_no_payment(kind):
    assert read_payments(parse_xml(wire.transaction("1", "complete", wire.action(kind))), "") == []


class TestRefunds:
    def test_a_transaction_of_its_own_does_not_name_the_payment(self):
        read = refund()
        assert (read.external_id, read.payment_id) == ("2002", "")
        assert read.amount == Money(1230, "USD")
        assert (read.reference, read.last4) == (wire.REFUND.reference, "1111")

    @pytest.mark.parametrize("amount", ["-12.30", "12.30", "-12.3"])
    def test_the_sign_does_not_matter(self, amount):
        assert refund(amount=amount).amount == Money(1230, "USD")

    @pytest.mark.parametrize(
        ("condition", "state"),
        [
            ("complete", RefundState.SUCCEEDED),
            ("pendingsettlement", RefundState.SUCCEEDED),
            ("pending", RefundState.PENDING),
            ("in_progress", RefundState.PENDING),
            ("unknown", RefundState.PENDING),
            ("canceled", RefundState.FAILED),
            ("failed", RefundState.FAILED),
        ],
    )
    def test_conditions(self, condition, state):
        assert refund(condition=condition).state is state

    def test_a_voided_refund_came_back(self):
        assert refund(condition="canceled").failure.code is FailureCode.RETURNED

    def test_a_refused_refund_says_why(self):
        declined = wire.action("refund", "-5.00", success="0", code="201", text="DO NOT HONOR")
        body = wire.transaction("2002", "canceled", declined)
        (read,) = read_refunds(parse_xml(body), "")
        assert read.state is RefundState.FAILED
        assert read.failure.code is FailureCode.DECLINED_BY_BANK
        assert (read.failure.processor_code, read.failure.message) == ("201", "DO NOT HONOR")

    def test_actions_of_a_payment_name_it(self):
        actions = [
            wire.action("refund", "5.00"),
            wire.action("refund", "7.00", extra="<transaction_id>2009</transaction_id>"),
            wire.action("refund", "8.00", success="0"),
        ]
        body = wire.transaction("1001", "complete", wire.action(), *actions)
        first, second, third = read_refunds(parse_xml(body), "")
        assert [each.payment_id for each in (first, second, third)] == ["1001"] * 3
        assert [each.external_id for each in (first, second)] == ["1001-refund-1", "2009"]
        assert third.state is RefundState.FAILED
        assert first.reference == ""

    def test_a_sale_has_none(self):
        assert read_refunds(parse_xml(wire.transaction()), "USD") == []
