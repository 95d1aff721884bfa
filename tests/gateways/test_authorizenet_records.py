"""Statuses, amounts and records in our words."""

from datetime import UTC, datetime

import pytest

from gateways.authorizenet_records import read_payment, read_refund, read_summary, reason_of
from gateways.base import FailureCode, Payer, PaymentMethod, PaymentStatus, RefundState
from gateways.hardened_xml import parse_xml
from gateways.money import Money

from . import authorizenet_wire as wire

SETTLED_AT = datetime(2026, 3, 2, 8, tzinfo=UTC)
BATCH_OF_MANY = {"settle": "12.30", "kind": "refundTransaction", "original": "1001"}
TOKEN = (
    "<tokenInformation><tokenSource>{}</tokenSource><tokenNumber>XXXX4242</tokenNumber>"
    "<expirationDate>XXXX</expirationDate></tokenInformation>"
)


def payment(*args, **fields):
    return read_payment(parse_xml(wire.details(*args, **fields)), "USD")


def refund(*args, **fields):
    return read_refund(parse_xml(wire.details(*args, **{**BATCH_OF_MANY, **fields})), "USD")


def summary(*args, **fields):
    return read_summary(parse_xml(wire.row(*args, **fields).encode()), "USD", SETTLED_AT)


def test_a_summary_says_what_a_list_knows():
    (read,) = summary("1001")
    assert read.external_id == "1001"
    assert read.amount == Money(5000, "USD")
    assert read.status is PaymentStatus.SETTLED
    assert read.created_at == datetime(2026, 3, 1, 10, 0, 0, 123000, tzinfo=UTC)
    assert read.settled_at == SETTLED_AT
    assert read.payer == Payer("José García")
    assert read.method == PaymentMethod("card", "visa", "1111")
    assert read.order_reference == "ORD-1"
    assert not read.has_details


def test_details_say_the_rest():
    read = payment("1001", extra=wire.BILL_TO)
    assert read.payer == Payer("José García", "jose@example.com")
    assert read.method == PaymentMethod("card", "amex", "1111")
    assert read.settled_at == SETTLED_AT
    assert read.description == "Two hats"
    assert read.has_details


@pytest.mark.parametrize(
    ("status", "ours", "disputed"),
    [
        ("authorizedPendingCapture", PaymentStatus.AUTHORIZED, False),
        ("FDSPendingReview", PaymentStatus.AUTHORIZED, False),
        ("underReview", PaymentStatus.AUTHORIZED, False),
        ("capturedPendingSettlement", PaymentStatus.CAPTURED, False),
        ("approvedReview", PaymentStatus.CAPTURED, False),
        ("settledSuccessfully", PaymentStatus.SETTLED, False),
        ("returnedItem", PaymentStatus.SETTLED, True),
        ("chargeback", PaymentStatus.SETTLED, True),
        ("chargebackReversal", PaymentStatus.SETTLED, True),
        ("voided", PaymentStatus.VOIDED, False),
        ("declined", PaymentStatus.FAILED, False),
        ("settlementError", PaymentStatus.FAILED, False),
    ],
)
def test_statuses(status, ours, disputed):
    for read in (payment("1001", status), *summary("1001", status)):
        assert (read.status, read.disputed) == (ours, disputed)
        assert (read.settled_at is None) == (ours is not PaymentStatus.SETTLED)


def test_returned_items_are_disputes():
    (listed,) = summary("1001", extra="<hasReturnedItems>true</hasReturnedItems>")
    item = "<returnedItems><returnedItem><id>1</id></returnedItem></returnedItems>"
    assert listed.disputed
    assert payment("1001", extra=item).disputed


def test_what_settles_as_nothing_is_worth_what_was_authorised():
    assert payment("1001", "voided", settle="0.00", auth="12.3").amount == Money(1230, "USD")
    assert payment("1001", settle="9.0000", auth="12.3").amount == Money(900, "USD")


@pytest.mark.parametrize(
    ("means", "method"),
    [
        (wire.BANK, PaymentMethod("bank", "ach", "6789")),
        (TOKEN.format("Apple Pay"), PaymentMethod("card", "", "4242", "apple_pay")),
        (TOKEN.format("GooglePay"), PaymentMethod("card", "", "4242", "google_pay")),
        (TOKEN.format("Something"), PaymentMethod("card", "", "4242")),
    ],
)
def test_methods(means, method):
    assert payment("1001", payment=means).method == method


def test_a_bank_account_names_the_payer_where_nothing_else_does():
    assert payment("1001", payment=wire.BANK).payer.name == "J. García"


def test_a_time_without_zone_is_utc():
    assert payment("1001", batch_time="2026-03-02T08:00:00").settled_at == SETTLED_AT


def test_a_settled_payment_may_name_no_batch():
    assert payment("1001", batch_time="").settled_at is None


@pytest.mark.parametrize(
    ("status", "state", "failure"),
    [
        ("refundPendingSettlement", RefundState.SUCCEEDED, None),
        ("refundSettledSuccessfully", RefundState.SUCCEEDED, None),
        ("FDSPendingReview", RefundState.PENDING, None),
        ("communicationError", RefundState.PENDING, None),
        ("voided", RefundState.FAILED, FailureCode.RETURNED),
        ("returnedItem", RefundState.FAILED, FailureCode.RETURNED),
        ("declined", RefundState.FAILED, FailureCode.DECLINED_BY_BANK),
        ("failedReview", RefundState.FAILED, FailureCode.BLOCKED_BY_RULES),
        ("generalError", RefundState.FAILED, FailureCode.OTHER),
    ],
)
def test_refund_states(status, state, failure):
    (read,) = refund("2002", status)
    assert read.state is state
    assert (read.failure and read.failure.code) == failure


def test_a_refund_is_known_by_the_reference_of_its_request():
    (ours,) = refund("2002", reference="A1B2", order="<invoiceNumber>X</invoiceNumber>")
    assert (ours.reference, ours.payment_id, ours.last4) == ("A1B2", "1001", "1111")
    (by_invoice,) = refund("2002", order="<invoiceNumber>A1B2</invoiceNumber>")
    assert by_invoice.reference == "A1B2"


def test_a_refund_is_no_payment_and_a_payment_no_refund():
    assert payment("2002", kind="refundTransaction") is None
    assert refund("1001", kind="authCaptureTransaction") == []


@pytest.mark.parametrize(
    "broken",
    [wire.answer("getTransactionDetailsResponse"), wire.details("")],
)
def test_an_answer_without_a_transaction_or_id_is_an_error(broken):
    with pytest.raises(ValueError, match="no trans"):
        read_payment(parse_xml(broken), "USD")


def test_the_reason_of_the_transaction_beats_the_message():
    assert reason_of(parse_xml(wire.transaction_response("3", "55"))) == ("55", "The reason.")
    assert reason_of(parse_xml(wire.transaction_response("1", "1"))) == ("1", "The reason.")
    assert reason_of(parse_xml(wire.error("E00007"))) == ("E00007", "It says no.")
    assert reason_of(parse_xml(b"<a/>")) == ("", "")
