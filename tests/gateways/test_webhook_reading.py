"""What events are about, as far as their processor says it: ids, our reference, the time."""

from datetime import UTC, datetime

import pytest

from gateways import authorizenet_webhooks, nmi_webhooks, paypal_webhooks, stripe_webhooks
from gateways.base import WebhookNotice
from gateways.errors import InvalidWebhook
from gateways.webhook_deliveries import Delivery

NOTHING = ("", "", "")


def ids(notice):
    return (notice.payment_id, notice.refund_id, notice.reference)


def stripe(event_type, shown, **changes):
    event = {"id": "evt_1", "type": event_type, "livemode": False, "data": {"object": shown}}
    return stripe_webhooks.read_notice(event | changes, "test")


@pytest.mark.parametrize(
    ("event_type", "shown", "named"),
    [
        ("charge.refunded", {"object": "charge", "id": "ch_1"}, ("ch_1", "", "")),
        ("charge.captured", {"object": "charge", "id": "ch_1"}, ("ch_1", "", "")),
        (
            "refund.updated",
            {
                "object": "refund",
                "id": "re_1",
                "charge": "ch_1",
                "metadata": {"refund_desk_reference": "REF1"},
            },
            ("ch_1", "re_1", "REF1"),
        ),
        (
            "refund.failed",
            {"object": "refund", "id": "re_1", "charge": None, "metadata": None},
            ("", "re_1", ""),
        ),
        (
            "charge.refund.updated",
            {"object": "refund", "id": "re_1", "metadata": {"refund_desk_reference": "Zoë's"}},
            ("", "re_1", ""),
        ),
        (
            "charge.dispute.closed",
            {"object": "dispute", "id": "dp_1", "charge": "ch_1"},
            ("ch_1", "", ""),
        ),
        (
            "payment_intent.canceled",
            {"object": "payment_intent", "id": "pi_1", "latest_charge": "ch_1"},
            ("ch_1", "", ""),
        ),
        (
            "payment_intent.created",
            {"object": "payment_intent", "id": "pi_1", "latest_charge": None},
            NOTHING,
        ),
        ("customer.created", {"object": "customer", "id": "cus_1"}, NOTHING),
        ("charge.of.tomorrow", {"object": "charge_batch", "id": 5}, NOTHING),
        ("radar.early_fraud_warning.created", {"object": "charge", "id": "ch_1"}, NOTHING),
        ("v2.thin", None, NOTHING),
    ],
)
def test_stripe(event_type, shown, named):
    notice = stripe(event_type, shown, created=1_700_000_000)
    assert ids(notice) == named
    assert (notice.event_id, notice.event_type) == ("evt_1", event_type)
    assert notice.occurred_at == datetime.fromtimestamp(1_700_000_000, UTC)


@pytest.mark.parametrize("livemode", [True, None, "false", 0])
def test_stripe_says_which_mode(livemode):
    with pytest.raises(InvalidWebhook, match="not of the account's mode"):
        stripe("charge.updated", {"object": "charge", "id": "ch_1"}, livemode=livemode)


def paypal(event_type, kind, resource, **changes):
    event = {"id": "WH-1", "event_type": event_type, "resource_type": kind, "resource": resource}
    return paypal_webhooks.read_notice(event | changes)


UP = {"rel": "up", "href": "https://api.paypal.com/v2/payments/captures/CAP1", "method": "GET"}


@pytest.mark.parametrize(
    ("event_type", "kind", "resource", "named"),
    [
        ("PAYMENT.CAPTURE.COMPLETED", "capture", {"id": "CAP1"}, ("CAP1", "", "")),
        (
            "PAYMENT.CAPTURE.REFUNDED",
            "refund",
            {"id": "RF1", "links": [{"rel": "self", "href": "x"}, UP], "custom_id": "REF1"},
            ("CAP1", "RF1", "REF1"),
        ),
        (
            "PAYMENT.REFUND.FAILED",
            "refund",
            {"id": "RF1", "links": [UP], "invoice_id": "REF1"},
            ("CAP1", "RF1", "REF1"),
        ),
        ("PAYMENT.CAPTURE.REVERSED", "refund", {"id": "RF1"}, ("", "RF1", "")),
        ("PAYMENT.SALE.REFUNDED", "refund", {"id": "RF1", "sale_id": "S1"}, ("S1", "RF1", "")),
        ("PAYMENT.SALE.COMPLETED", "sale", {"id": "S1"}, ("S1", "", "")),
        (
            "CUSTOMER.DISPUTE.CREATED",
            "dispute",
            {"disputed_transactions": [{"seller_transaction_id": "CAP1"}]},
            ("CAP1", "", ""),
        ),
        ("CUSTOMER.DISPUTE.UPDATED", "dispute", {"dispute_id": "PP-D-1"}, NOTHING),
        ("PAYMENT.AUTHORIZATION.VOIDED", "authorization", {"id": "AU1"}, NOTHING),
        ("CHECKOUT.ORDER.APPROVED", "checkout-order", {"id": "O1"}, NOTHING),
        ("BILLING.SOMETHING.NEW", "refund", {"id": 5}, NOTHING),
        ("PAYMENT.SOMETHING.NEW", None, None, NOTHING),
    ],
)
def test_paypal(event_type, kind, resource, named):
    notice = paypal(event_type, kind, resource, create_time="2026-03-01T10:00:00.000Z")
    assert ids(notice) == named
    assert notice.occurred_at == datetime(2026, 3, 1, 10, tzinfo=UTC)


def authorizenet(event_type, **payload):
    event = {"notificationId": "n-1", "eventType": event_type, "payload": payload}
    event["eventDate"] = "2026-03-01T10:00:00.1234567Z"
    return authorizenet_webhooks.read_notice(event)


@pytest.mark.parametrize(
    ("event_type", "payload", "named"),
    [
        ("authcapture.created", {"id": "6001"}, ("6001", "", "")),
        ("void.created", {"id": "6001", "invoiceNumber": "REF1"}, ("6001", "", "")),
        ("fraud.declined", {"id": "6001"}, ("6001", "", "")),
        ("refund.created", {"id": "6002"}, ("", "6002", "")),
        ("refund.created", {"id": "6002", "merchantReferenceId": "REF1"}, ("", "6002", "REF1")),
        (
            "refund.created",
            {"id": "6002", "merchantReferenceId": "order 5", "invoiceNumber": "REF1"},
            ("", "6002", "REF1"),
        ),
        ("of.tomorrow", {"id": "6001", "more": [1.5]}, ("6001", "", "")),
    ],
)
def test_authorizenet(event_type, payload, named):
    notice = authorizenet(f"net.authorize.payment.{event_type}", **payload)
    assert ids(notice) == named
    assert notice.occurred_at == datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=UTC)


def test_authorizenet_tells_of_customers_too():
    assert ids(authorizenet("net.authorize.customer.created", id="394")) == NOTHING


def nmi(event_type, mode="test", **body):
    event = {"event_id": "e-1", "event_type": event_type, "event_body": body}
    return nmi_webhooks.read_notice(event, mode)


@pytest.mark.parametrize(
    ("event_type", "body", "named"),
    [
        ("transaction.sale.success", {"transaction_id": "81"}, ("81", "", "")),
        ("transaction.void.success", {"transaction_id": "81", "order_id": "REF1"}, ("81", "", "")),
        ("transaction.check.status.return", {"transaction_id": "81"}, ("81", "", "")),
        (
            "transaction.refund.unknown",
            {"transaction_id": "82", "order_id": "REF1"},
            ("", "82", "REF1"),
        ),
        (
            "transaction.refund.success",
            {"transaction_id": "82", "order_id": "Order 7"},
            ("", "82", ""),
        ),
        ("transaction.validate.success", {"transaction_id": "81"}, NOTHING),
        ("transaction.credit.success", {"transaction_id": "83"}, NOTHING),
        ("settlement.batch.complete", {"transaction_ids": ["81"]}, NOTHING),
        ("chargeback.batch.complete", {"chargebacks": [{"amount": "12.50"}]}, NOTHING),
        ("recurring.plan.add", {}, NOTHING),
        ("of.tomorrow", {"transaction_id": 5}, NOTHING),
    ],
)
def test_nmi(event_type, body, named):
    notice = nmi(event_type, **body, action={"date": "20260301100000"})
    assert ids(notice) == named
    assert notice.occurred_at == datetime(2026, 3, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(("mode", "is_test"), [("live", True), ("test", False)])
def test_nmi_says_which_mode_at_times(mode, is_test):
    body = {"transaction_id": "81"}
    with pytest.raises(InvalidWebhook, match="not of the account's mode"):
        nmi("transaction.sale.success", mode, features={"is_test_mode": is_test}, **body)
    for features in ({"is_test_mode": not is_test}, {"is_test_mode": "yes"}, {}, None):
        assert ids(nmi("transaction.sale.success", mode, features=features, **body))[0] == "81"


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda: stripe("charge.updated", {"object": "charge"}), "id is missing"),
        (lambda: stripe("charge.updated", {"object": "charge", "id": 5}), "id is not a text"),
        (lambda: stripe("charge.updated", {"object": "charge", "id": "é"}), "not printable"),
        (lambda: stripe("charge.updated", {"object": "charge", "id": "a b"}), "not printable"),
        (
            lambda: stripe("charge.updated", {"object": "charge", "id": "a" * 101}),
            "longer than 100",
        ),
        (lambda: stripe("charge.updated", {}, id="e" * 201), "longer than 200"),
        (lambda: stripe("charge.updated", {}, id=None), "id is missing"),
        (lambda: stripe("", {}), "type is missing"),
        (lambda: stripe(7, {}), "type is not a text"),
        (lambda: paypal("PAYMENT.CAPTURE.COMPLETED", "capture", {}), "id is missing"),
        (lambda: paypal("PAYMENT.CAPTURE.COMPLETED", "capture", "CAP1"), "id is missing"),
        (
            lambda: paypal("CUSTOMER.DISPUTE.CREATED", "dispute", {"disputed_transactions": {}}),
            "not a list",
        ),
        (lambda: authorizenet("net.authorize.payment.refund.created"), "id is missing"),
        (lambda: authorizenet("net.authorize.payment.void.created", id=6001), "not a text"),
        (lambda: nmi("transaction.refund.success", order_id="REF1"), "transaction_id is missing"),
        (lambda: nmi("transaction.sale.success", transaction_id=["81"]), "not a text"),
    ],
)
def test_what_cannot_be_so(read, words):
    with pytest.raises(ValueError, match=words):
        read()


def test_what_cannot_be_so_is_an_invalid_webhook():
    def read(event):
        raise ValueError("type is missing")

    with pytest.raises(InvalidWebhook, match="cannot be read: type is missing"):
        Delivery.of({}, b"{}", None).notice(read)


def test_bytes_that_are_no_text():
    with pytest.raises(InvalidWebhook, match="not JSON"):
        Delivery.of({}, b'{"id": "\xff"}', None).notice(lambda event: WebhookNotice("e", "t"))


@pytest.mark.parametrize("created", [None, "yesterday", 10**30, -5.5])
def test_a_time_that_cannot_be_read_is_left_out(created):
    assert stripe("charge.updated", {}, created=created).occurred_at is None
