"""Notifications: what is sent, how it is signed, and every way it can be wrong."""

import hashlib
import hmac
import json
import zlib
from base64 import b64decode
from threading import Thread

import pytest
import stripe as sdk
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from tests.waiting import wait_until

from .merchants import new_key


@pytest.fixture
def notice(inbox, control):
    """Sends the notices of a refund or payment; returns the first one."""

    def order(count=1, **wish):
        control("/webhooks", {"url": inbox.url, **wish})
        return inbox.take(count)[0]

    return order


def test_subscribers_hear_of_a_refund_signed_by_stripe(stripe, inbox, control):
    control("/webhooks", {"subscribe": inbox.url, "account": "stripe-main"})
    control("/webhooks", {"subscribe": inbox.url, "account": "stripe-main"})
    key = new_key()
    payment = stripe.pay()
    refund = stripe.refund(payment, amount=100, key=key).data
    notices = inbox.take(4)
    events = [
        sdk.Webhook.construct_event(body, headers["Stripe-Signature"], "whsec_sandbox_main")
        for headers, body in notices
    ]
    assert [event["type"] for event in events] == [
        "charge.succeeded",
        "payment_intent.succeeded",
        "refund.created",
        "charge.refunded",
    ]
    assert events[2]["data"]["object"]["id"] == refund["id"]
    assert events[2]["request"]["idempotency_key"] == key


def test_a_change_by_itself_is_reported(sandbox, stripe, inbox, control):
    refund = stripe.refund(stripe.pay(last4="5126")).data
    control("/webhooks", {"subscribe": inbox.url, "account": "stripe-main"})
    control("/clock", {"advance_seconds": 30})
    bodies = [json.loads(body) for _, body in inbox.take(2)]
    assert [body["type"] for body in bodies] == ["refund.updated", "refund.failed"]
    assert bodies[1]["data"]["object"]["id"] == refund["id"]


def paypal_signature_holds(stripe, headers, body):
    """Check as the processor tells merchants to: certificate, then the signed text."""
    path = headers["PAYPAL-CERT-URL"].partition("/paypal")[2]
    chain = stripe.send("GET", path).body
    leaf, root = x509.load_pem_x509_certificates(chain)
    leaf.verify_directly_issued_by(root)
    names = ("PAYPAL-TRANSMISSION-ID", "PAYPAL-TRANSMISSION-TIME")
    parts = [headers[name] for name in names]
    signed = "|".join([*parts, "WH-SANDBOX-MAIN", str(zlib.crc32(body))]).encode()
    signature = b64decode(headers["PAYPAL-TRANSMISSION-SIG"])
    try:
        leaf.public_key().verify(signature, signed, PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def verified(paypal, headers, body):
    """What the processor's own call says."""
    names = {
        "auth_algo": "PAYPAL-AUTH-ALGO",
        "cert_url": "PAYPAL-CERT-URL",
        "transmission_id": "PAYPAL-TRANSMISSION-ID",
        "transmission_sig": "PAYPAL-TRANSMISSION-SIG",
        "transmission_time": "PAYPAL-TRANSMISSION-TIME",
    }
    known = {name: headers[header] for name, header in names.items()}
    wish = json.dumps({**known, "webhook_id": "WH-SANDBOX-MAIN"})[:-1].encode()
    wish += b',"webhook_event":' + body + b"}"
    path = "/v1/notifications/verify-webhook-signature"
    return paypal.call("POST", path, wish).data["verification_status"]


def test_a_paypal_notice_holds_both_ways(paypal, notice):
    payment = paypal.pay(payer_name="Zoë Nuñez")
    refund = paypal.refund(payment, "12.50", invoice_id="R-1", custom_id="R-1").data
    headers, body = notice(refund_id=refund["id"])
    event = json.loads(body)
    assert (event["event_type"], event["resource_type"]) == ("PAYMENT.CAPTURE.REFUNDED", "refund")
    assert event["resource"]["custom_id"] == "R-1"
    assert paypal_signature_holds(paypal, headers, body)
    assert verified(paypal, headers, body) == "SUCCESS"
    assert verified(paypal, headers, body.replace(b"12.50", b"99.50")) == "FAILURE"
    assert verified(paypal, {**headers, "PAYPAL-AUTH-ALGO": "MD5"}, body) == "FAILURE"
    broken = {**headers, "PAYPAL-TRANSMISSION-SIG": "AAAA"}
    assert verified(paypal, broken, body) == "FAILURE"


def test_the_verify_call_wants_all_fields(paypal):
    path = "/v1/notifications/verify-webhook-signature"
    assert paypal.call("POST", path, {"auth_algo": "SHA256withRSA"}).status == 400


def test_an_authorizenet_notice(sandbox, control, notice):
    payment = control("/payments", {"account": "authorizenet-us", "amount": "12.50"})["payment"]
    headers, body = notice(payment_id=payment["id"])
    key = sandbox.ledger.accounts["authorizenet-us"].credentials["signature_key"].encode()
    wanted = hmac.new(key, body, hashlib.sha512).hexdigest().upper()
    assert headers["X-ANET-Signature"] == f"sha512={wanted}"
    event = json.loads(body)
    assert event["eventType"] == "net.authorize.payment.authcapture.created"
    assert event["payload"]["id"] == payment["id"]
    assert b'"authAmount":12.50' in body


def test_an_nmi_notice(sandbox, control, notice):
    payment = control("/payments", {"account": "nmi-main", "amount": "12.50"})["payment"]
    headers, body = notice(payment_id=payment["id"])
    nonce, signature = (part[2:] for part in headers["Webhook-Signature"].split(","))
    key = sandbox.ledger.accounts["nmi-main"].credentials["webhook_signing_key"].encode()
    assert hmac.new(key, f"{nonce}.".encode() + body, hashlib.sha256).hexdigest() == signature
    event = json.loads(body)
    assert event["event_type"] == "transaction.sale.success"
    assert event["event_body"]["action"]["amount"] == "12.50"


@pytest.mark.parametrize(
    ("account", "kinds"),
    [
        (
            "paypal-main",
            {
                "refund.created": "PAYMENT.CAPTURE.REFUNDED",
                "payment.disputed": "CUSTOMER.DISPUTE.CREATED",
                "payment.created": "PAYMENT.CAPTURE.COMPLETED",
            },
        ),
        ("authorizenet-us", {"refund.created": "net.authorize.payment.refund.created"}),
        (
            "nmi-main",
            {
                "refund.created": "transaction.refund.success",
                "payment.disputed": "chargeback.batch.complete",
            },
        ),
        ("stripe-main", {"payment.disputed": "charge.dispute.created"}),
    ],
)
def test_other_notices(control, inbox, account, kinds):
    wish = {"account": account, "amount": "9.00", "status": "settled", "payer_name": "Ada King"}
    payment = control("/payments", wish)["payment"]
    control("/webhooks", {"subscribe": inbox.url, "account": account})
    control("/refunds", {"payment_id": payment["id"], "amount": "1.00"})
    control("/payments", {"payment_id": payment["id"], "dispute": "open"})
    control("/payments", {"account": account, "amount": "2.00", "status": "settled"})
    for kind in kinds.values():
        wait_until(lambda kind=kind: any(kind.encode() in body for _, body in inbox.notices))


@pytest.mark.parametrize("account", ["paypal-main", "authorizenet-us", "nmi-main", "stripe-main"])
def test_a_void_is_reported_once_by_its_payment(control, inbox, account):
    wish = {"account": account, "amount": "9.00", "status": "authorized"}
    payment = control("/payments", wish)["payment"]
    control("/webhooks", {"subscribe": inbox.url, "account": account})
    control("/refunds", {"payment_id": payment["id"], "operation": "void"})
    words = (b"VOIDED", b"void.created", b"void.success", b"payment_intent.canceled")
    wait_until(lambda: any(word in body for _, body in inbox.notices for word in words))


def test_a_forged_signature_does_not_hold(stripe, notice, inbox):
    refund = stripe.refund(stripe.pay(), amount=100).data
    secret = "whsec_sandbox_main"
    for forge in ("signature", "body"):
        headers, body = notice(2, refund_id=refund["id"], forge=forge)
        with pytest.raises(sdk.SignatureVerificationError):
            sdk.Webhook.construct_event(body, headers["Stripe-Signature"], secret)
    headers, body = notice(2, refund_id=refund["id"], forge="old")
    with pytest.raises(sdk.SignatureVerificationError, match="tolerance"):
        sdk.Webhook.construct_event(body, headers["Stripe-Signature"], secret)
    headers, _ = notice(2, refund_id=refund["id"], forge="unsigned")
    assert "Stripe-Signature" not in headers
    headers, body = notice(2, refund_id=refund["id"], forge="mode")
    live = sdk.Webhook.construct_event(body, headers["Stripe-Signature"], secret)
    assert live["livemode"] is True


@pytest.mark.parametrize("account", ["authorizenet-us", "nmi-main"])
@pytest.mark.parametrize("forge", ["signature", "mode"])
def test_forgeries_of_the_others(control, notice, account, forge):
    wish = {"account": account, "amount": "9.00"}
    payment = control("/payments", wish)["payment"]
    good, _ = notice(payment_id=payment["id"])
    forged, body = notice(payment_id=payment["id"], forge=forge)
    assert json.loads(body)
    name = "X-ANET-Signature" if account == "authorizenet-us" else "Webhook-Signature"
    assert forged[name] != good[name] or forge == "mode"


def test_a_paypal_forgery_does_not_hold(paypal, notice):
    refund = paypal.refund(paypal.pay(), "1.00").data
    headers, body = notice(refund_id=refund["id"], forge="signature")
    assert verified(paypal, headers, body) == "FAILURE"


def test_forgeries_that_are_signed_properly(stripe, notice):
    refund = stripe.refund(stripe.pay(), amount=100).data
    _, true_body = notice(2, refund_id=refund["id"])
    true = json.loads(true_body)
    ids = {true["id"]}
    for forge in ("foreign", "type"):
        headers, body = notice(2, refund_id=refund["id"], forge=forge)
        event = sdk.Webhook.construct_event(body, headers["Stripe-Signature"], "whsec_sandbox_main")
        ids.add(event["id"])
        assert (event["type"] == true["type"]) is (forge == "foreign")
        assert (refund["id"] in body.decode()) is (forge == "type")
        assert (refund["charge"] in body.decode()) is (forge == "type")
    assert len(ids) == 3


def test_the_key_of_another_account(stripe, japan, notice):
    refund = stripe.refund(stripe.pay(), amount=100).data
    headers, body = notice(2, refund_id=refund["id"], forge="account")
    assert sdk.Webhook.construct_event(body, headers["Stripe-Signature"], "whsec_sandbox_japan")
    foreign = japan.pay(currency="USD")
    _, body = notice(2, refund_id=refund["id"], forge="foreign")
    assert foreign.id in body.decode()


def test_signatures_bear_the_real_time_whatever_the_clock_says(stripe, notice, control):
    refund = stripe.refund(stripe.pay(), amount=100).data
    control("/clock", {"advance_seconds": 86_400})
    headers, body = notice(2, refund_id=refund["id"])
    assert sdk.Webhook.construct_event(body, headers["Stripe-Signature"], "whsec_sandbox_main")


def test_the_page_tells_of_forgeries(control):
    assert set(control("/")["forgeries"]) == set(control("/webhooks")["forge"])


def test_a_webhook_comes_before_the_answer(sandbox, stripe, inbox, control):
    control("/webhooks", {"subscribe": inbox.url, "account": "stripe-main"})
    wish = {"dialect": "stripe", "call": "refund", "what": "slow", "when": "after", "seconds": 60}
    control("/faults", wish)
    payment, answers = stripe.pay(), []
    thread = Thread(target=lambda: answers.append(stripe.refund(payment, amount=100)))
    thread.start()
    wait_until(lambda: any(b"refund.created" in body for _, body in inbox.notices))
    assert answers == []
    control("/faults", method="DELETE")
    thread.join(10)
    assert answers[0].data["status"] == "succeeded"


def test_repeats_and_another_order(stripe, inbox, control):
    refund = stripe.refund(stripe.pay(), amount=100).data
    wish = {"url": inbox.url, "refund_id": refund["id"]}
    assert control("/webhooks", {**wish, "repeat": 3})["deliveries"] == 6
    assert len({body for _, body in inbox.take(6)}) == 2
    control("/webhooks", {**wish, "reorder": True})
    kinds = [json.loads(body)["type"] for _, body in inbox.take(2)]
    assert kinds == ["charge.refunded", "refund.created"]


def test_a_delay(stripe, inbox, control, sandbox):
    refund = stripe.refund(stripe.pay(), amount=100).data
    wish = {"url": inbox.url, "refund_id": refund["id"]}
    control("/webhooks", {**wish, "delay_seconds": 600})
    assert control("/webhooks")["waiting"] == 2
    control("/webhooks", {**wish, "delay_seconds": 0.01})
    inbox.take(2)


def test_one_event_by_its_id(stripe, inbox, control):
    stripe.refund(stripe.pay(), amount=100)
    event = stripe.get("/v1/events").data["data"][0]
    control("/webhooks", {"url": inbox.url, "event_id": event["id"]})
    ((_, body),) = inbox.take(1)
    assert json.loads(body) == event


def test_what_belongs_to_the_demo_set_can_be_reported_too(sandbox, inbox, control):
    sandbox.reset(seed=1, payments=100)
    for account in ("stripe-main", "paypal-main", "authorizenet-us", "nmi-main"):
        refund = control(f"/ledger?account={account}")["refunds"][0]
        sent = control("/webhooks", {"url": inbox.url, "refund_id": refund["id"]})
        assert sent["deliveries"] >= 1
    wait_until(lambda: len(inbox.notices) >= 5)


def test_an_address_that_does_not_answer_is_tried_again(stripe, inbox, control, monkeypatch):
    monkeypatch.setattr("gateways.sandbox.webhooks._RETRIES", (0.01, 0.01))
    refund = stripe.refund(stripe.pay(), amount=100).data
    inbox.status = 503
    event = stripe.get("/v1/events", {"type": "refund.created"}).data["data"][0]
    control("/webhooks", {"url": inbox.url, "event_id": event["id"]})
    inbox.take(3)
    wait_until(lambda: len(control("/webhooks")["deliveries"]) == 3)
    assert {row["status"] for row in control("/webhooks")["deliveries"]} == {503}
    control("/webhooks", {"url": "http://127.0.0.1:9/x", "refund_id": refund["id"]})
    wait_until(lambda: control("/webhooks")["deliveries"][-1]["status"] is None)


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({}, "Name an `event_id`"),
        ({"event_id": "evt_0"}, "no such event"),
        ({"refund_id": "re_0"}, "no such event"),
        ({"subscribe": "http://127.0.0.1:1/", "account": "x"}, "`account` is one of"),
        ({"subscribe": "ftp://127.0.0.1/", "account": "nmi-main"}, "an address like"),
        ({"subscribe": 5, "account": "nmi-main"}, "an address like"),
        ({"refund_id": "re_0", "forge": "nonsense"}, "`forge` is one of"),
        ({"refund_id": "re_0", "repeat": 0}, "`repeat` is from"),
        ({"refund_id": "re_0", "often": 2}, "Unknown field"),
    ],
)
def test_a_wish_that_makes_no_sense(control, wish, told):
    assert told in control("/webhooks", wish, status=400)["error"]
