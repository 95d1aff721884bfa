"""PayPal asked about its own webhooks: nothing but SUCCESS lets one in."""

import json
from datetime import UTC, datetime

import pytest

from gateways.base import Account
from gateways.errors import InvalidWebhook, NotSent, OutcomeUnknown
from gateways.paypal import PayPalGateway
from gateways.transport import Transport

BODY = b'{ "id":"WH-1","event_type":"PAYMENT.CAPTURE.COMPLETED",\n"resource_type":"capture",' + (
    '"resource":{"id":"CAP1","amount":{"value":12.50},"note":"Zoë \\u00eb"}}'.encode()
)
TOKEN = json.dumps({"access_token": "token-of-hats", "expires_in": 300})


@pytest.fixture
def gateway(processor):
    known = {"client_id": processor.url, "client_secret": "s", "webhook_id": "WH-MAIN"}
    account = Account("main", "test", processor.url, known, webhook_verification="api")
    processor.then(TOKEN)
    return PayPalGateway(account, Transport(total_seconds=10))


def headers(gateway, **changes):
    return {
        "PAYPAL-AUTH-ALGO": "SHA256withRSA",
        "PAYPAL-CERT-URL": f"{gateway.account.base_url}/v1/notifications/certs/CERT-1",
        "PAYPAL-TRANSMISSION-ID": "trans-1",
        "PAYPAL-TRANSMISSION-SIG": "c2lnbmF0dXJl",
        "PAYPAL-TRANSMISSION-TIME": datetime.now(UTC).isoformat(),
    } | changes


def test_the_body_is_sent_byte_for_byte(gateway, processor):
    processor.then('{"verification_status": "SUCCESS"}')
    notice = gateway.parse_webhook(headers(gateway), BODY)
    assert (notice.event_id, notice.payment_id) == ("WH-1", "CAP1")
    asked = processor.received[-1]
    assert asked.path == "/v1/notifications/verify-webhook-signature"
    assert BODY in asked.body
    assert json.loads(asked.body) == {
        "auth_algo": "SHA256withRSA",
        "cert_url": f"{processor.url}/v1/notifications/certs/CERT-1",
        "transmission_id": "trans-1",
        "transmission_sig": "c2lnbmF0dXJl",
        "transmission_time": json.loads(asked.body)["transmission_time"],
        "webhook_id": "WH-MAIN",
        "webhook_event": json.loads(BODY),
    }


@pytest.mark.parametrize("status", ["FAILURE", "success", "SUCCESS ", "", None, True, ["SUCCESS"]])
def test_nothing_but_success_lets_it_in(gateway, processor, status):
    processor.then(json.dumps({"verification_status": status}))
    with pytest.raises(InvalidWebhook, match="does not hold"):
        gateway.parse_webhook(headers(gateway), BODY)


def test_an_answer_without_a_status_lets_nothing_in(gateway, processor):
    processor.then("{}")
    with pytest.raises(InvalidWebhook, match="does not hold"):
        gateway.parse_webhook(headers(gateway), BODY)


@pytest.mark.parametrize("status", [400, 422])
def test_what_paypal_cannot_make_sense_of_is_refused(gateway, processor, status):
    processor.then('{"name": "VALIDATION_ERROR", "message": "Invalid data."}', status)
    with pytest.raises(InvalidWebhook, match="could not check the webhook: Invalid data"):
        gateway.parse_webhook(headers(gateway), BODY)


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ("{}", 500, OutcomeUnknown),
        ("{}", 404, OutcomeUnknown),
        ("<html>", 200, OutcomeUnknown),
        ("{}", 302, OutcomeUnknown),
        (None, 200, OutcomeUnknown),
        ("{}", 403, NotSent),
    ],
)
def test_without_an_answer_nothing_is_known(gateway, processor, body, status, error):
    processor.then(body, status)
    with pytest.raises(error):
        gateway.parse_webhook(headers(gateway), BODY)


@pytest.mark.parametrize(
    "body", [b'{}, "webhook_id": "WH-OTHER", "a": {}', b'{"a": 1}}', b"{} {}", b"", b"1", b"\xff{}"]
)
def test_a_body_that_would_add_to_the_question_is_never_sent(gateway, processor, body):
    with pytest.raises(InvalidWebhook, match="JSON"):
        gateway.parse_webhook(headers(gateway), body)
    assert processor.received == []


def test_an_address_of_somebody_else_is_never_passed_on(gateway, processor):
    theirs = "https://example.com/v1/notifications/certs/CERT-1"
    with pytest.raises(InvalidWebhook, match="certificate is not at"):
        gateway.parse_webhook(headers(gateway, **{"PAYPAL-CERT-URL": theirs}), BODY)
    assert processor.received == []
