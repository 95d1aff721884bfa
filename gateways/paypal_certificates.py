"""The certificates that PayPal signs webhooks with: fetched from PayPal, trusted by their chain.

The address of the certificate comes with the webhook, so an attacker may write it. It is only
ever fetched from PayPal's own hosts, and its chain must lead to a root that browsers trust.

A test account whose own address is another server (the sandbox, say) has its certificates from
that address alone, and trusts the chain that is served there: whoever answers there tells this
account about its payments, too. A live account never does so, whatever its address.
"""

from __future__ import annotations

import re
import threading
import time
import warnings
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from .base import Account
from .errors import InvalidWebhook, NotSent, OutcomeUnknown
from .transport import Transport

_PATH = "/v1/notifications/certs/"
_NAME = re.compile("[A-Za-z0-9_-]{1,128}")
_HOSTS = {
    "live": ("https://api.paypal.com", "https://api-m.paypal.com"),
    "test": ("https://api.sandbox.paypal.com", "https://api-m.sandbox.paypal.com"),
}
_SUBJECTS = {
    "live": "messageverificationcerts.paypal.com",
    "test": "messageverificationcerts.sandbox.paypal.com",
}
_CHAIN_BYTES = 64_000
_KEY_BITS = 2048
_KEPT = 32
_FETCHES_PER_MINUTE = 10  # forged webhooks name addresses that were never seen before
_UNKNOWN_THERE = {400, 404, 410}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that PayPal signs with. It is good for nothing outside these moments."""

    key: RSAPublicKey
    not_before: datetime
    not_after: datetime

    def is_valid(self, now: datetime) -> bool:
        return self.not_before <= now <= self.not_after


class Certificates:
    """Keys by address, kept until they expire; shared by the threads of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, bool], SigningKey] = OrderedDict()
        self._fetches: deque[float] = deque(maxlen=_FETCHES_PER_MINUTE)

    def key_at(
        self, url: str, account: Account, transport: Transport, now: datetime
    ) -> RSAPublicKey:
        """The key of the certificate at an address.

        Raises InvalidWebhook (not PayPal's address, no such certificate, a chain that does not
        hold), or NotSent or OutcomeUnknown where PayPal does not answer.
        """
        check_address(url, account)
        is_own = _has_own_server(account)
        with self._lock:
            kept = self._kept.get((url, is_own))
        if kept is not None and kept.is_valid(now):
            return kept.key
        self._count_fetch()
        chain = _fetch(url, transport)
        roots = None if is_own else trusted_roots()
        found = verified_key(chain, roots=roots, subject=_SUBJECTS[account.mode], now=now)
        with self._lock:
            self._kept[url, is_own] = found
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found.key

    def _count_fetch(self) -> None:
        with self._lock:
            now = time.monotonic()
            if len(self._fetches) == _FETCHES_PER_MINUTE and now - self._fetches[0] < 60:
                raise NotSent(
                    "Too many webhooks with certificates that were not seen before. "
                    "This one was not checked.",
                    reason="rate_limited",
                    retry_after=60,
                )
            self._fetches.append(now)


def check_address(url: str, account: Account) -> None:
    """Raises InvalidWebhook unless certificates of this account's webhooks may come from there."""
    if _has_own_server(account):
        places: tuple[str, ...] = (account.base_url.rstrip("/"),)
    else:
        places = _HOSTS[account.mode]
    for place in places:
        prefix = place + _PATH
        if url.startswith(prefix) and _NAME.fullmatch(url[len(prefix) :]):
            return
    raise InvalidWebhook(
        f"The webhook's certificate is not at {' or '.join(places)}, where this account's are, "
        f"which is in mode {account.mode}."
    )


def verified_key(
    chain: bytes, *, roots: Sequence[x509.Certificate] | None, subject: str, now: datetime
) -> SigningKey:
    """The key of the first certificate of a chain in PEM, if the chain holds at that moment.

    ``roots`` None trusts the last certificate of the chain itself. Dates, issuers' signatures,
    constraints and the subject are checked by the rules for servers of the web, which are the ones
    that these certificates are issued by. Raises InvalidWebhook.
    """
    try:
        leaf, *others = x509.load_pem_x509_certificates(chain)
        anchors = others[-1:] if roots is None else list(roots)
        policy = PolicyBuilder().store(Store(anchors)).time(now)
        verified = policy.build_server_verifier(x509.DNSName(subject)).verify(leaf, others)
    except (ValueError, VerificationError) as error:
        raise InvalidWebhook(
            f"The certificate of the webhook does not prove that it is {subject}'s."
        ) from error
    key = leaf.public_key()
    if not isinstance(key, RSAPublicKey) or key.key_size < _KEY_BITS:
        raise InvalidWebhook(
            f"The certificate of the webhook has no RSA key of at least {_KEY_BITS} bits."
        )
    return SigningKey(
        key,
        max(certificate.not_valid_before_utc for certificate in verified),
        min(certificate.not_valid_after_utc for certificate in verified),
    )


@cache
def trusted_roots() -> tuple[x509.Certificate, ...]:
    """The authorities that browsers trust, as certifi lists them."""
    bundle = Path(certifi.where()).read_bytes()
    blocks = re.findall(
        b"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", bundle, re.DOTALL
    )
    roots = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some old roots have serial numbers that are not allowed
        for block in blocks:
            try:
                roots.append(x509.load_pem_x509_certificate(block))
            except ValueError:
                continue  # one authority less to trust
    return tuple(roots)


def _has_own_server(account: Account) -> bool:
    """Whether this is a test account at a server that is not PayPal's."""
    own = any(account.base_url.rstrip("/") in places for places in _HOSTS.values())
    return account.mode == "test" and not own


def _fetch(url: str, transport: Transport) -> bytes:
    response = transport.send("GET", url, reuse_connection=True, max_bytes=_CHAIN_BYTES)
    if response.status in _UNKNOWN_THERE:
        raise InvalidWebhook("PayPal does not know the certificate that the webhook names.")
    if response.status != 200:
        raise OutcomeUnknown(
            f"PayPal answered with HTTP status {response.status} when asked for a certificate.",
            exchanges=transport.exchanges,
        )
    return response.body
