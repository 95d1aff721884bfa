"""Times that cannot be: each is a ValueError with whoever reads it, at all four processors."""

from datetime import UTC, datetime

import pytest

from gateways import (
    authorizenet_records,
    authorizenet_webhooks,
    nmi_records,
    nmi_webhooks,
    paypal_records,
    paypal_webhooks,
    stripe_records,
    stripe_webhooks,
)
from gateways.hardened_xml import parse_xml
from gateways.moments import in_utc, reported

from . import authorizenet_wire, nmi_wire

ABSURD_TEXTS = [
    "0001-01-01T00:00:00+14:00",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59-14:00",
    "9999-12-31T23:59:59Z",
    "10000-01-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-03-01T00:00:00+24:00",
]
ABSURD_NUMBERS = [10**20, -(10**20), 10**4000, 253_402_300_799, 253_402_300_800, -62_135_596_800]
ABSURD_DIGITS = ["00000101000000", "00010101000000", "99991231235959", "20260230000000"]
ODD_DIGITS = ["2026311000", "202603011000000", "٢٠٢٦٠٣٠١١٠٠٠٠٠"]
MONEY = {"value": "50.00", "currency_code": "USD"}


def stripe_event(created):
    event = {"id": "evt_1", "type": "charge.updated", "livemode": False, "created": created}
    return stripe_webhooks.read_notice(
        event | {"data": {"object": {"object": "charge", "id": "ch_1"}}}, "test"
    )


def paypal_event(time):
    event = {"id": "WH-1", "event_type": "PAYMENT.CAPTURE.COMPLETED", "create_time": time}
    return paypal_webhooks.read_notice(
        event | {"resource_type": "capture", "resource": {"id": "CAP1"}}
    )


def authorizenet_event(time):
    event = {"notificationId": "n-1", "eventType": "net.authorize.payment.void.created"}
    return authorizenet_webhooks.read_notice(event | {"eventDate": time, "payload": {"id": "6001"}})


def nmi_event(date):
    body = {"transaction_id": "81", "action": {"date": date}}
    event = {"event_id": "e-1", "event_type": "transaction.sale.success", "event_body": body}
    return nmi_webhooks.read_notice(event, "test")


EVENTS = [
    *((stripe_event, number) for number in ABSURD_NUMBERS),
    *((read, text) for read in (paypal_event, authorizenet_event) for text in ABSURD_TEXTS),
    *((nmi_event, digits) for digits in ABSURD_DIGITS + ODD_DIGITS),
]


@pytest.mark.parametrize(
    ("read", "time"), EVENTS, ids=lambda each: getattr(each, "__name__", str(each)[:30])
)
def test_a_webhook_of_such_a_time_is_one_without_its_time(read, time):
    assert read(time).occurred_at is None


def stripe_charge(created):
    return stripe_records.read_charge(
        {
            "object": "charge",
            "id": "ch_1",
            "amount": 5000,
            "amount_captured": 5000,
            "currency": "usd",
            "captured": True,
            "status": "succeeded",
            "created": created,
        }
    )


def stripe_refund(created):
    shown = {"id": "re_1", "charge": "ch_1", "amount": 5000, "currency": "usd"}
    return stripe_records.read_refund(shown | {"status": "succeeded", "created": created})


def paypal_capture(time):
    capture = {"id": "CAP1", "status": "COMPLETED", "amount": MONEY, "create_time": time}
    return paypal_records.read_capture(capture, {}, disputed=False)


def paypal_refund(time):
    refund = {"id": "RF1", "status": "COMPLETED", "amount": MONEY, "create_time": time}
    links = [{"rel": "up", "href": "https://api.paypal.com/v2/payments/captures/CAP1"}]
    return paypal_records.read_refund(refund | {"links": links})


def authorizenet_payment(time):
    answer = parse_xml(authorizenet_wire.details("1001", batch_time=time))
    return authorizenet_records.read_payment(answer, "USD")


def nmi_payments(date):
    answer = nmi_wire.transaction("1001", "complete", nmi_wire.action(date=date))
    return nmi_records.read_payments(parse_xml(answer), "")


def nmi_refunds(date):
    answer = nmi_wire.transaction("1002", "complete", nmi_wire.action("refund", date=date))
    return nmi_records.read_refunds(parse_xml(answer), "")


RECORDS = [
    *((read, number) for read in (stripe_charge, stripe_refund) for number in ABSURD_NUMBERS),
    *(
        (read, text)
        for read in (paypal_capture, paypal_refund, authorizenet_payment)
        for text in ABSURD_TEXTS
    ),
    *((read, text) for read in (nmi_payments, nmi_refunds) for text in ABSURD_DIGITS + ODD_DIGITS),
]


@pytest.mark.parametrize(
    ("read", "time"), RECORDS, ids=lambda each: getattr(each, "__name__", str(each)[:30])
)
def test_a_record_of_such_a_time_is_never_half_read(read, time):
    with pytest.raises(ValueError, match="time"):
        read(time)


@pytest.mark.parametrize(
    ("read", "time"),
    [
        (stripe_charge, 1_772_359_200),
        (stripe_refund, 1_772_359_200),
        (paypal_capture, "2026-03-01T10:00:00Z"),
        (paypal_refund, "2026-03-01T10:00:00Z"),
        (authorizenet_payment, "2026-03-01T10:00:00Z"),
        (nmi_payments, "20260301100000"),
        (nmi_refunds, "20260301100000"),
    ],
)
def test_the_same_record_of_another_time_is_read(read, time):
    assert read(time)


def test_a_moment_keeps_its_instant():
    moment = in_utc(datetime.fromisoformat("2026-03-01T00:00:00-23:00"))
    assert moment.isoformat() == "2026-03-01T23:00:00+00:00"
    assert in_utc(datetime(2026, 3, 1)) == datetime(2026, 3, 1, tzinfo=UTC)  # noqa: DTZ001
    for edge in (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)):
        assert in_utc(edge) == edge
        with pytest.raises(ValueError, match="not a time"):
            reported(edge)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"])
def test_what_has_no_place_in_utc_is_an_error(text):
    with pytest.raises(ValueError, match="outside the calendar"):
        in_utc(datetime.fromisoformat(text))
