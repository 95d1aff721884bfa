"""Keys, versions, addresses, and the real SDK."""

import base64

import pytest
import stripe as sdk

from gateways.sandbox.stripe_objects import API_VERSION

from .merchants import error_of, new_key


def client_of(sandbox, key="sk_test_sandbox_main"):
    return sdk.StripeClient(
        key,
        base_addresses={"api": f"{sandbox.url}/stripe"},
        http_client=sdk.RequestsClient(timeout=10),
    )


def test_a_call_without_a_key_is_refused(stripe):
    answer = stripe.send("GET", "/v1/charges")
    assert error_of(answer) == (401, "invalid_request_error", None, None)
    assert answer.headers["Request-Id"]


def test_a_wrong_key_is_refused_and_not_repeated_whole(stripe):
    answer = stripe.get("/v1/charges", authorization="Bearer sk_test_of_somebody_else")
    assert error_of(answer)[0] == 401
    assert b"of_somebody" not in answer.body


def test_a_rotated_key_stops_working_at_once(stripe, control):
    old = f"Bearer {stripe.account.credentials['api_key']}"
    control("/accounts", {"account": "stripe-main", "credentials": {"api_key": "sk_test_new"}})
    assert stripe.get("/v1/balance", authorization=old).status == 401
    assert stripe.get("/v1/balance", authorization="Bearer sk_test_new").status == 200


def test_a_key_may_be_a_basic_user_name(stripe):
    pair = base64.b64encode(b"sk_test_sandbox_main:").decode()
    assert stripe.get("/v1/balance", authorization=f"Basic {pair}").status == 200
    assert stripe.get("/v1/balance", authorization="Basic ???").status == 401


def test_an_account_sees_only_its_own_payments(stripe, japan):
    payment = stripe.pay()
    assert japan.get(f"/v1/charges/{payment.id}").status == 404
    assert japan.get("/v1/charges").data["data"] == []
    assert error_of(japan.refund(payment)) == (
        404,
        "invalid_request_error",
        "resource_missing",
        "charge",
    )


def test_every_answer_names_its_version_and_an_odd_version_is_refused(stripe):
    assert stripe.get("/v1/balance").headers["Stripe-Version"] == API_VERSION
    assert stripe.get("/v1/balance", stripe_version="yesterday").status == 400


def test_an_unknown_address_is_404_with_a_body(stripe):
    assert error_of(stripe.get("/v1/customers"))[:2] == (404, "invalid_request_error")
    assert stripe.call("POST", "/v1/charges").status == 404


def test_the_account_says_whose_key_it_is(stripe, japan):
    assert stripe.get("/v1/account").data["settings"]["dashboard"]["display_name"].endswith("main")
    assert japan.get("/v1/account").data["default_currency"] == "jpy"
    available = japan.get("/v1/balance").data["available"]
    assert available[0] == {"amount": 0, "currency": "jpy"}


def test_the_sdk_lists_and_refunds(sandbox, stripe):
    payments = [stripe.pay(order_reference=f"SO-{number}") for number in range(25)]
    client = client_of(sandbox)
    listed = list(client.v1.charges.list({"limit": 10}).auto_paging_iter())
    assert [charge.id for charge in listed] == [payment.id for payment in reversed(payments)]
    refund = client.v1.refunds.create(
        {"charge": payments[0].id, "amount": 2_50, "metadata": {"ref": "A1"}},
        {"idempotency_key": new_key()},
    )
    assert (refund.status, refund.amount, refund.metadata["ref"]) == ("succeeded", 250, "A1")
    charge = client.v1.charges.retrieve(payments[0].id, {"expand": ["refunds"]})
    assert charge.amount_refunded == 250
    assert charge.refunds.data[0].id == refund.id


def test_the_sdk_raises_its_own_errors(sandbox, stripe):
    client = client_of(sandbox)
    with pytest.raises(sdk.InvalidRequestError) as refused:
        client.v1.refunds.create({"charge": "ch_unknown"})
    assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")
    with pytest.raises(sdk.AuthenticationError):
        client_of(sandbox, "sk_test_wrong").v1.charges.list()
