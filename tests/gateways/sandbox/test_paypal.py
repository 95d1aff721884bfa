"""Tokens, captures, orders, authorizations, disputes, and the real SDK."""

import base64
import json
from datetime import timedelta

import paypalrestsdk
import pytest

from .merchants import issue_of


def test_a_token_for_basic_credentials(paypal):
    token = paypal.fetch_token().data
    assert (token["token_type"], token["expires_in"]) == ("Bearer", 32_400)
    assert "payments/refund" in token["scope"]
    refused = paypal.fetch_token("wrong")
    assert (refused.status, refused.data["error"]) == (401, "invalid_client")
    for header in ({}, {"Authorization": "Basic ???"}, {"Authorization": "Bearer x"}):
        bare = paypal.send("POST", "/v1/oauth2/token", "grant_type=client_credentials", header)
        assert bare.status == 401


def test_a_token_ends_after_nine_hours(sandbox, paypal):
    assert paypal.get("/v1/reporting/balances").status == 200
    sandbox.clock.advance(timedelta(seconds=32_401))
    assert issue_of(paypal.get("/v1/reporting/balances")) == (401, "invalid_token")
    paypal.token = ""
    assert paypal.get("/v1/reporting/balances").status == 200


def test_a_call_without_a_token_or_with_a_wrong_one(paypal):
    bare = paypal.send("GET", "/v2/payments/captures/X")
    assert (bare.status, bare.data["name"]) == (401, "AUTHENTICATION_FAILURE")
    paypal.token = "A21AA-wrong"
    assert issue_of(paypal.get("/v2/payments/captures/X")) == (401, "invalid_token")


def test_another_grant_is_refused(paypal):
    known = paypal.account.credentials
    answer = paypal.send(
        "POST",
        "/v1/oauth2/token",
        "grant_type=password",
        {"Authorization": basic(known["client_id"], known["client_secret"])},
    )
    assert answer.status == 400


def basic(name, secret):
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def test_a_capture_and_its_order(paypal):
    payment = paypal.pay(
        12_345,
        "EUR",
        payer_name="Ada Lovelace",
        payer_email="ada@example.com",
        order_reference="SO-1",
    )
    capture = paypal.get(f"/v2/payments/captures/{payment.id}").data
    assert capture["amount"] == {"currency_code": "EUR", "value": "123.45"}
    assert (capture["status"], capture["invoice_id"]) == ("COMPLETED", "SO-1")
    order_id = capture["supplementary_data"]["related_ids"]["order_id"]
    assert paypal.get(f"/v2/payments/captures/{order_id}").status == 404
    order = paypal.get(f"/v2/checkout/orders/{order_id}").data
    assert order["payment_source"]["card"]["last_digits"] == "4242"
    assert order["payment_source"]["card"]["name"] == "Ada Lovelace"
    paypal.refund(payment, "100.00", invoice_id="R-1", custom_id="R-1")
    order = paypal.get(f"/v2/checkout/orders/{order_id}").data
    (refund,) = order["purchase_units"][0]["payments"]["refunds"]
    assert (refund["invoice_id"], refund["amount"]["value"]) == ("R-1", "100.00")
    assert paypal.get(f"/v2/payments/captures/{payment.id}").data["status"] == "PARTIALLY_REFUNDED"


@pytest.mark.parametrize(
    ("values", "source"),
    [
        ({"method_type": "wallet", "wallet": "paypal", "brand": "", "last4": ""}, "paypal"),
        ({"wallet": "apple_pay"}, "apple_pay"),
        ({"wallet": "google_pay", "payer_name": None, "payer_email": None}, "google_pay"),
        ({"payer_name": "王 芳"}, "card"),
        ({"brand": "diners", "last4": ""}, "card"),
    ],
)
def test_how_an_order_was_paid(paypal, values, source):
    payment = paypal.pay(**values)
    order = paypal.get(f"/v2/checkout/orders/{payment.id[::-1]}").data
    assert list(order["payment_source"]) == [source]


def test_a_payment_of_the_old_interface_has_no_order(paypal):
    payment = paypal.pay(extra={"order": "none"})
    capture = paypal.get(f"/v2/payments/captures/{payment.id}").data
    assert "supplementary_data" not in capture
    assert paypal.get(f"/v2/checkout/orders/{payment.id[::-1]}").status == 404


def test_capture_states(paypal):
    for status, wanted in (("captured", "PENDING"), ("failed", "DECLINED")):
        payment = paypal.pay(status=status)
        assert paypal.get(f"/v2/payments/captures/{payment.id}").data["status"] == wanted
    payment = paypal.pay()
    paypal.refund(payment)
    assert paypal.get(f"/v2/payments/captures/{payment.id}").data["status"] == "REFUNDED"


def test_an_authorization_is_voided_once(sandbox, paypal):
    payment = paypal.pay(status="authorized")
    assert paypal.get(f"/v2/payments/captures/{payment.id}").status == 404
    path = f"/v2/payments/authorizations/{payment.id}"
    assert paypal.get(path).data["status"] == "CREATED"
    assert paypal.post(f"{path}/void").status == 204
    assert sandbox.ledger.payments[payment.id].status == "voided"
    assert paypal.get(path).data["status"] == "VOIDED"
    assert issue_of(paypal.post(f"{path}/void")) == (422, "PREVIOUSLY_VOIDED")
    other = paypal.pay(status="authorized")
    whole = paypal.post(
        f"/v2/payments/authorizations/{other.id}/void", prefer="return=representation"
    )
    assert (whole.status, whole.data["status"]) == (200, "VOIDED")
    captured = paypal.pay()
    assert paypal.post(f"/v2/payments/authorizations/{captured.id}/void").status == 404
    order = paypal.get(f"/v2/checkout/orders/{other.id[::-1]}").data
    assert order["purchase_units"][0]["payments"]["authorizations"][0]["status"] == "VOIDED"


def test_disputes(paypal):
    payments = [paypal.pay(dispute=kind) for kind in ("inquiry", "open", "chargeback")]
    paypal.pay()
    first = paypal.get("/v1/customer/disputes", {"page_size": 2}).data
    assert len(first["items"]) == 2
    assert first["links"][-1]["rel"] == "next"
    rest = paypal.get("/v1/customer/disputes", {"page_size": 2, "next_page_token": 2}).data
    assert len(rest["items"]) == 1
    query = {"disputed_transaction_id": payments[1].id}
    (mine,) = paypal.get("/v1/customer/disputes", query).data["items"]
    assert (mine["status"], mine["dispute_life_cycle_stage"]) == (
        "WAITING_FOR_SELLER_RESPONSE",
        "CHARGEBACK",
    )
    whole = paypal.get(f"/v1/customer/disputes/{mine['dispute_id']}").data
    assert whole["disputed_transactions"][0]["seller_transaction_id"] == payments[1].id
    assert paypal.get("/v1/customer/disputes/PP-D-unknown").status == 404
    assert paypal.get("/v1/customer/disputes", {"page_size": 51}).status == 400


def test_an_unknown_address_is_404(paypal):
    assert issue_of(paypal.get("/v2/nothing")) == (404, "INVALID_RESOURCE_ID")


def test_the_sdk_asks_with_a_body_of_null(sandbox, paypal):
    payment = paypal.pay(5_000, "JPY")
    api = paypalrestsdk.Api(
        {
            "mode": "sandbox",
            "endpoint": f"{sandbox.url}/paypal",
            **{key: paypal.account.credentials[key] for key in ("client_id", "client_secret")},
        }
    )
    capture = api.get(f"v2/payments/captures/{payment.id}")
    assert capture["amount"] == {"currency_code": "JPY", "value": "5000"}
    refund = api.post(
        f"v2/payments/captures/{payment.id}/refund",
        {"amount": {"currency_code": "JPY", "value": "1200"}},
        {"PayPal-Request-Id": "sdk-1"},
    )
    assert refund["status"] == "COMPLETED"
    with pytest.raises(paypalrestsdk.ResourceNotFound):
        api.get("v2/payments/captures/UNKNOWN")


def test_events_are_listed(paypal):
    payment = paypal.pay()
    paypal.refund(payment, "1.00")
    query = {"event_type": "PAYMENT.CAPTURE.REFUNDED"}
    (event,) = paypal.get("/v1/notifications/webhooks-events", query).data["events"]
    assert event["resource"]["links"][1]["href"].endswith(payment.id)
    assert json.dumps(event)
