"""Signs webhooks the way each processor does, and forges them on request."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from .ledger import LedgerEvent, SandboxAccount
from .paypal_objects import when
from .paypal_signing import ALGORITHM, CERT_PATH, signer

# What can be wrong with a forged webhook.
FORGERIES = {
    "signature": "signed with another key",
    "old": "signed properly, but an hour ago",
    "unsigned": "no signature at all",
    "body": "changed after it was signed",
    "mode": "says that it is live, signed properly",
}


class Notice(NamedTuple):
    """What goes over the wire."""

    body: bytes
    headers: dict[str, str]


def sign(
    event: LedgerEvent, account: SandboxAccount, now: datetime, server_url: str, forge: str = ""
) -> Notice:
    """The event as its processor sends it; ``forge`` is one of FORGERIES or empty."""
    body = event.body.encode()
    if forge == "mode":
        body = _as_live(body)
    if forge == "old":
        now -= timedelta(hours=1)
    headers = _SIGNERS[account.dialect](body, account, now, server_url, forge == "signature")
    if forge == "unsigned":
        headers = {}
    if forge == "body":
        body = body.replace(b"{", b"{ ", 1)
    return Notice(body, {"Content-Type": "application/json", **headers})


def _key(account: SandboxAccount, name: str, wrong: bool) -> bytes:
    return b"another-key" if wrong else account.credentials[name].encode()


def _stripe(
    body: bytes, account: SandboxAccount, now: datetime, _url: str, wrong: bool
) -> dict[str, str]:
    moment = int(now.timestamp())
    key = _key(account, "webhook_secret", wrong)
    signature = hmac.new(key, b"%d." % moment + body, hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={moment},v1={signature}"}


def _paypal(
    body: bytes, account: SandboxAccount, now: datetime, url: str, wrong: bool
) -> dict[str, str]:
    transmission_id = f"{secrets.token_hex(4)}-{secrets.token_hex(2)}-sandbox"
    time, webhook_id = when(now), account.credentials["webhook_id"]
    signed_for = "ANOTHERWEBHOOK" if wrong else webhook_id
    return {
        "PAYPAL-AUTH-ALGO": ALGORITHM,
        "PAYPAL-CERT-URL": f"{url}/paypal{CERT_PATH}",
        "PAYPAL-TRANSMISSION-ID": transmission_id,
        "PAYPAL-TRANSMISSION-SIG": signer().sign(transmission_id, time, signed_for, body),
        "PAYPAL-TRANSMISSION-TIME": time,
    }


def _authorizenet(
    body: bytes, account: SandboxAccount, _now: datetime, _url: str, wrong: bool
) -> dict[str, str]:
    key = _key(account, "signature_key", wrong)  # as text, not decoded from hex
    signature = hmac.new(key, body, hashlib.sha512).hexdigest().upper()
    return {"X-ANET-Signature": f"sha512={signature}"}


def _nmi(
    body: bytes, account: SandboxAccount, now: datetime, _url: str, wrong: bool
) -> dict[str, str]:
    nonce = str(int(now.timestamp()))
    key = _key(account, "webhook_signing_key", wrong)
    signature = hmac.new(key, nonce.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"Webhook-Signature": f"t={nonce},s={signature}"}


_SIGNERS: dict[str, Callable[[bytes, SandboxAccount, datetime, str, bool], dict[str, str]]] = {
    "stripe": _stripe,
    "paypal": _paypal,
    "authorizenet": _authorizenet,
    "nmi": _nmi,
}


def _as_live(body: bytes) -> bytes:
    """The event as if it came from live business, where its processor says so in the body."""
    event = json.loads(body)
    if "livemode" in event:
        event["livemode"] = True
    if "event_body" in event:
        event["event_body"]["features"] = {"is_test_mode": False}
    return json.dumps(event).encode()
