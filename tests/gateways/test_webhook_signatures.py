"""Signatures that were computed elsewhere, with openssl, and how old they may be."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from gateways import authorizenet_webhooks, nmi_webhooks, stripe_webhooks
from gateways.errors import InvalidWebhook
from gateways.paypal_webhooks import Transmission
from gateways.webhook_deliveries import Delivery

SIGNED_AT = datetime.fromtimestamp(1_700_000_000, UTC)

STRIPE_SECRET = "whsec_test_secret"
STRIPE_BODY = b'{"id":"evt_test","object":"event","type":"refund.updated"}'
STRIPE_V1 = "4df02485cf81949c28fc18286503137945b41866598096801f34b76ffe66212f"

ANET_KEY = "0123456789ABCDEF0123456789ABCDEF"
ANET_BODY = (
    b'{"notificationId":"d0e8e7fe-c3e7-4add-a480-27bc5ce28a18","eventType":"net.authorize.payment.'
    b'refund.created","payload":{"entityName":"transaction","id":"60020981676"}}'
)
ANET_SIGNATURE = (
    "6368D27F2353C854D92AC8717E7BC9FEF42CE884D0F85B3550410B09A11F9B46"
    "B07D76C87FB8B2D329A8E53B0856675B9ACF9BBEF1C9C3864EC38923A1FAB936"
)

NMI_KEY = "nmi-signing-key"
NMI_BODY = (
    b'{"event_id":"9f2b4c1e-7a55-4e0e-9a3b-0c1d2e3f4a5b","event_type":"transaction.refund.success",'
    b'"event_body":{"transaction_id":"8123456789","order_id":"REF0000001"}}'
)
NMI_SIGNATURE = "67e98988be70baf61780acb4145e9506d9a72fc4af1707e3297a085b8a85608b"

PAYPAL_BODY = b'{"id":"WH-TEST","event_type":"PAYMENT.CAPTURE.REFUNDED"}'  # CRC-32 is 2613583393
PAYPAL_KEY = b"""-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAlBPVz1Olge3/OjXZDcJH
rIWEu5XhKjrl1JbE1RCt20b/+lcS3pIk67EBQdMv9vA3jDafkGmKRoU6xn7SKgfZ
d7DtfMDTYOqcjDTQOQkzdnEdH9fTpLaumQ///dKxfa71eX2H59C6qmZ4o6Z+rJqK
0ziIpxTJPMqyV2P97NNKHE6cC/UxilC2HnogZrjtkV8yv41i+QX3p7D19W4c27H2
Ny9kbp4nMYcAAxeDihF1dxK9RJ/S2SdCI5IimhoUXEj05ELy0LRI/sO/H/4ksvaA
/k1qowNO6axEBxZOE5/fKTvgb8WeyVEZiBhn/zrLuC0hDurRlkD/GfzWPlCQ5sYa
KQIDAQAB
-----END PUBLIC KEY-----
"""
PAYPAL_SIGNATURE = (
    "CPT22GfO/PhC1/lM1AI5NYqrIS9cR/J4yr2sTuL3IIe0iMT25duyLgnf4gyCa4X+YtA1LM4Rl9xJllkrIQIh4HaHpHd1"
    "UOIknyrapZz5MJqM8oaPJazEeAGhhCBfPTzFMXDlznH51XHQFR+huP0atmytRnqTMdKQ24Gmwx9s8HaOTGB64U/L05pN"
    "C4oAmGWvFeY+G//2dYSQFRxja9IuwqYnZRyLlVgbhYRm/RMe7ypu3D0zmD8wyCDWskyeY/6LEWEnHVNdb/nTI4wRTR23"
    "GBFsasfU3Ib9M+9oNdasIOZxgcau6/RtFNnfd7CLZFHsL/QTUL0PrTV6xZQeyDVmsg=="
)


def delivery(body=b"", received_at=SIGNED_AT, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Delivery.of(named, body, received_at)


def stripe(header, body=STRIPE_BODY, received_at=SIGNED_AT):
    arrived = delivery(body, received_at, Stripe_Signature=header)
    stripe_webhooks.check_signature(arrived, STRIPE_SECRET)


@pytest.mark.parametrize(
    "header",
    [
        f"t=1700000000,v1={STRIPE_V1}",
        f"t=1700000000,v1={'0' * 64},v1={STRIPE_V1}",  # while a secret is being replaced
        f"t=1700000000,v1={STRIPE_V1},v1={'0' * 64},v0={'1' * 64}",
        f"t=1700000000, v1={STRIPE_V1}, v2=later",
    ],
)
def test_stripe_signs_the_time_and_the_body(header):
    stripe(header)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (f"t=1700000001,v1={STRIPE_V1}", "does not hold"),
        (f"t=1700000000,v1={STRIPE_V1[:-1]}", "does not hold"),
        (f"t=1700000000,v1={'é' * 64}", "does not hold"),
        (f"t=1700000000,v0={STRIPE_V1}", "lacks its time or its v1"),
        (f"v1={STRIPE_V1}", "lacks its time or its v1"),
        (f"t=,v1={STRIPE_V1}", "lacks its time or its v1"),
        (f"t=-1,v1={STRIPE_V1}", "lacks its time or its v1"),
        (f"t=²,v1={STRIPE_V1}", "lacks its time or its v1"),
        (f"t={'9' * 13},v1={STRIPE_V1}", "lacks its time or its v1"),
        ("nonsense", "lacks its time or its v1"),
        ("", "lacks the header Stripe-Signature"),
    ],
)
def test_any_other_signature_is_not_stripes(header, words):
    with pytest.raises(InvalidWebhook, match=words):
        stripe(header)


@pytest.mark.parametrize(("seconds", "holds"), [(-301, 0), (-300, 1), (300, 1), (301, 0)])
def test_stripes_signature_counts_for_five_minutes_both_ways(seconds, holds):
    header, now = f"t=1700000000,v1={STRIPE_V1}", SIGNED_AT + timedelta(seconds=seconds)
    if holds:
        stripe(header, received_at=now)
        return
    with pytest.raises(InvalidWebhook, match="within 300 seconds of our clock"):
        stripe(header, received_at=now)


@pytest.mark.parametrize("signature", [ANET_SIGNATURE, ANET_SIGNATURE.lower()])
@pytest.mark.parametrize("scheme", ["sha512=", "SHA512="])
def test_authorizenet_signs_the_body_with_the_key_as_text(scheme, signature):
    arrived = delivery(ANET_BODY, X_ANET_Signature=scheme + signature)
    authorizenet_webhooks.check_signature(arrived, ANET_KEY)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("sha512=" + ANET_SIGNATURE[:-1] + "7", "does not hold"),
        ("sha512=", "does not hold"),
        ("sha256=" + ANET_SIGNATURE, "does not begin with sha512"),
        (ANET_SIGNATURE, "does not begin with sha512"),
    ],
)
def test_any_other_signature_is_not_authorizenets(header, words):
    with pytest.raises(InvalidWebhook, match=words):
        authorizenet_webhooks.check_signature(
            delivery(ANET_BODY, X_ANET_Signature=header), ANET_KEY
        )


def test_nmi_signs_the_nonce_and_the_body_whatever_the_time():
    arrived = delivery(NMI_BODY, Webhook_Signature=f"t=nonce-1,s={NMI_SIGNATURE}")
    nmi_webhooks.check_signature(arrived, NMI_KEY)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (f"t=nonce-2,s={NMI_SIGNATURE}", "does not hold"),
        (f"t=nonce-1,s={NMI_SIGNATURE}0", "does not hold"),
        (f"s={NMI_SIGNATURE}", "lacks its t or its s"),
        ("t=nonce-1", "lacks its t or its s"),
    ],
)
def test_any_other_signature_is_not_nmis(header, words):
    with pytest.raises(InvalidWebhook, match=words):
        nmi_webhooks.check_signature(delivery(NMI_BODY, Webhook_Signature=header), NMI_KEY)


def paypal(**changes):
    values = {
        "PAYPAL_AUTH_ALGO": "SHA256withRSA",
        "PAYPAL_CERT_URL": "https://api.paypal.com/v1/notifications/certs/CERT-1",
        "PAYPAL_TRANSMISSION_ID": "trans-1",
        "PAYPAL_TRANSMISSION_SIG": PAYPAL_SIGNATURE,
        "PAYPAL_TRANSMISSION_TIME": "2023-11-14T22:13:20Z",
    }
    return Transmission.of(delivery(**(values | changes)))


def test_paypal_signs_the_headers_and_a_checksum_of_the_body():
    key = load_pem_public_key(PAYPAL_KEY)
    paypal().check(key, "WH-1", PAYPAL_BODY)


@pytest.mark.parametrize(
    ("changes", "webhook_id", "body"),
    [
        ({}, "WH-2", PAYPAL_BODY),
        ({}, "WH-1", PAYPAL_BODY + b" "),
        ({"PAYPAL_TRANSMISSION_ID": "trans-2"}, "WH-1", PAYPAL_BODY),
        ({"PAYPAL_TRANSMISSION_TIME": "2023-11-14T22:13:21Z"}, "WH-1", PAYPAL_BODY),
        ({"PAYPAL_TRANSMISSION_SIG": b64encode(b"0" * 256).decode()}, "WH-1", PAYPAL_BODY),
        ({"PAYPAL_TRANSMISSION_SIG": "AAAA"}, "WH-1", PAYPAL_BODY),
        ({"PAYPAL_TRANSMISSION_SIG": "no base64!"}, "WH-1", PAYPAL_BODY),
        ({"PAYPAL_TRANSMISSION_SIG": "é"}, "WH-1", PAYPAL_BODY),
    ],
)
def test_any_other_signature_is_not_paypals(changes, webhook_id, body):
    key = load_pem_public_key(PAYPAL_KEY)
    with pytest.raises(InvalidWebhook, match="does not hold"):
        paypal(**changes).check(key, webhook_id, body)


@pytest.mark.parametrize("algorithm", ["MD5withRSA", "SHA1withRSA", "sha256withrsa", "none"])
def test_paypal_signs_with_one_algorithm(algorithm):
    with pytest.raises(InvalidWebhook, match="not signed with SHA256withRSA"):
        paypal(PAYPAL_AUTH_ALGO=algorithm)


@pytest.mark.parametrize(
    ("later", "holds"),
    [
        (timedelta(minutes=-6), False),
        (timedelta(minutes=-5), True),
        (timedelta(days=4), True),
        (timedelta(days=4, seconds=1), False),
    ],
)
def test_paypals_signature_counts_as_long_as_paypal_tries_to_deliver(later, holds):
    if holds:
        paypal().check_age(SIGNED_AT + later)
        return
    with pytest.raises(InvalidWebhook, match="within the last 4 days"):
        paypal().check_age(SIGNED_AT + later)


@pytest.mark.parametrize("time", ["yesterday", "2023-11-14T22:13:20", "1700000000"])
def test_a_time_that_is_none(time):
    with pytest.raises(InvalidWebhook, match="within the last 4 days"):
        paypal(PAYPAL_TRANSMISSION_TIME=time).check_age(SIGNED_AT)
