"""Signs webhooks the way each processor does, and forges them on request."""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from .ledger import Ledger, LedgerEvent, SandboxAccount
from .paypal_objects import when
from .paypal_signing import ALGORITHM, CERT_PATH, signer

# What can be wrong with a forged webhook.
FORGERIES = {
    "signature": "signed with a key that nobody has",
    "account": "signed with the key of another account at the same processor",
    "old": "signed properly, but a week ago",
    "unsigned": "no signature at all",
    "body": "changed after it was signed",
    "mode": "of live business; at Authorize.net, which does not say, with a live account's key",
    "foreign": "signed properly, but names a payment or refund that the account does not have",
    "type": "signed properly, of a type that nobody knows",
}
_WRONG_KEYS = {"signature": "another-key", "mode": "the-key-of-a-live-account"}


class Notice(NamedTuple):
    """What goes over the wire."""

    body: bytes
    headers: dict[str, str]


class _Signing(NamedTuple):
    """What a signature is made from. ``secret`` is the account's, or a wrong one."""

    body: bytes
    secret: str
    now: datetime
    cert_url: str


def sign(
    event: LedgerEvent, ledger: Ledger, now: datetime, server_url: str, forge: str = ""
) -> Notice:
    """The event as its processor sends it; ``forge`` is one of FORGERIES or empty.

    ``now`` is the receiver's time: it does not know of a ledger's clock that was moved.
    """
    account = ledger.accounts[event.account]
    body = _forged_body(event, ledger, forge)
    if forge == "old":
        now -= timedelta(days=7)
    cert_url = f"{server_url}/paypal{signer().cert_path}"
    if forge == "mode":
        cert_url = f"https://api.paypal.com{CERT_PATH}CERT-live"
    made = _Signing(body, _secret(account, ledger, forge), now, cert_url)
    headers = _SIGNERS[account.dialect](made)
    if forge == "unsigned":
        headers = {}
    if forge == "body":
        body = body.replace(b"{", b"{ ", 1)
    return Notice(body, {"Content-Type": "application/json", **headers})


def _secret(account: SandboxAccount, ledger: Ledger, forge: str) -> str:
    name = _SECRETS[account.dialect]
    if forge == "signature" or (forge == "mode" and account.dialect == "authorizenet"):
        return _WRONG_KEYS[forge]
    if forge == "account":
        others = (row for row in ledger.accounts.values() if row.dialect == account.dialect)
        theirs = (row.credentials[name] for row in others if row.name != account.name)
        return next(theirs, "the-key-of-another-account")
    return account.credentials[name]


def _forged_body(event: LedgerEvent, ledger: Ledger, forge: str) -> bytes:
    if forge == "mode":
        return _as_live(event.body)
    if forge not in ("foreign", "type"):
        return event.body.encode()
    # Another event than the true one, or it would only be taken for its repetition.
    body = event.body.replace(event.id, f"{event.id[:-4]}{_ENDINGS[forge]}")
    if forge == "type":
        body = body.replace(f'"{event.type}"', '"sandbox.unheard.of"', 1)
    else:
        for known, other in _foreign_ids(event, ledger).items():
            body = body.replace(known, other)
    return body.encode()


_ENDINGS = {"foreign": "0001", "type": "0002"}


def _foreign_ids(event: LedgerEvent, ledger: Ledger) -> dict[str, str]:
    """What stands in for the payment and refund of an event: another account's, or nobody's."""
    refund = ledger.refunds.get(event.record_id)
    ids = {}
    for row_id, rows in (
        (refund.id if refund else "", ledger.refunds),
        (refund.payment_id if refund else event.record_id, ledger.payments),
    ):
        theirs = (
            row.id
            for row in rows.values()
            if row.dialect == event.dialect and row.account != event.account
        )
        nobodys = f"7{row_id}" if row_id.isdigit() else f"{row_id[:-4]}0000"
        if row_id:
            ids[row_id] = next(theirs, nobodys)
    return ids


def _as_live(text: str) -> bytes:
    """The event as if it came from live business, where its processor says so in the body."""
    event = json.loads(text)
    if "livemode" in event:
        event["livemode"] = True
    if "event_body" in event:
        event["event_body"]["features"] = {"is_test_mode": False}
    return json.dumps(event).encode()


def _hex(made: _Signing, message: bytes, digest: str) -> str:
    return hmac.new(made.secret.encode(), message, digest).hexdigest()


def _stripe(made: _Signing) -> dict[str, str]:
    moment = int(made.now.timestamp())
    signature = _hex(made, b"%d." % moment + made.body, "sha256")
    return {"Stripe-Signature": f"t={moment},v1={signature}"}


def _paypal(made: _Signing) -> dict[str, str]:
    transmission_id = f"{secrets.token_hex(4)}-{secrets.token_hex(2)}-sandbox"
    time = when(made.now)
    return {
        "PAYPAL-AUTH-ALGO": ALGORITHM,
        "PAYPAL-CERT-URL": made.cert_url,
        "PAYPAL-TRANSMISSION-ID": transmission_id,
        "PAYPAL-TRANSMISSION-SIG": signer().sign(transmission_id, time, made.secret, made.body),
        "PAYPAL-TRANSMISSION-TIME": time,
    }


def _authorizenet(made: _Signing) -> dict[str, str]:
    # The key as text, not decoded from hex.
    return {"X-ANET-Signature": f"sha512={_hex(made, made.body, 'sha512').upper()}"}


def _nmi(made: _Signing) -> dict[str, str]:
    nonce = str(int(made.now.timestamp()))
    signature = _hex(made, nonce.encode() + b"." + made.body, "sha256")
    return {"Webhook-Signature": f"t={nonce},s={signature}"}


_SIGNERS: dict[str, Callable[[_Signing], dict[str, str]]] = {
    "stripe": _stripe,
    "paypal": _paypal,
    "authorizenet": _authorizenet,
    "nmi": _nmi,
}
_SECRETS = {
    "stripe": "webhook_secret",
    "paypal": "webhook_id",
    "authorizenet": "signature_key",
    "nmi": "webhook_signing_key",
}
