"""Whose certificates PayPal's webhooks are checked with, and where they may come from."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateways.base import Account
from gateways.errors import InvalidWebhook, NotSent, OutcomeUnknown
from gateways.paypal_certificates import (
    Certificates,
    check_address,
    trusted_roots,
    verified_key,
)
from gateways.sandbox.paypal_signing import signer
from gateways.transport import Transport

from .certificates import NOW, PAYPAL, Issued

LIVE, TEST = "https://api-m.paypal.com", "https://api-m.sandbox.paypal.com"
OWN = "http://127.0.0.1:8100/paypal"
PATH = "/v1/notifications/certs/"


@pytest.fixture(scope="module")
def root():
    return Issued("Root", is_ca=True, ends=3000)


@pytest.fixture(scope="module")
def between(root):
    return Issued("Between", root, is_ca=True, ends=20)


@pytest.fixture(scope="module")
def leaf(between):
    return Issued(PAYPAL, between)


def verify(root, *chain, subject=PAYPAL, now=NOW):
    pem = b"".join(each.pem for each in chain)
    return verified_key(pem, roots=[root.certificate], subject=subject, now=now)


# The chain


def test_a_chain_that_leads_to_a_root_holds_as_long_as_all_of_it(root, between, leaf):
    for chain in ((leaf, between), (leaf, between, root)):
        found = verify(root, *chain)
        assert found.key == leaf.key.public_key()
        assert found.not_after - NOW == timedelta(days=20)
        assert found.is_valid(NOW)
        assert not found.is_valid(NOW + timedelta(days=21))
        assert not found.is_valid(NOW - timedelta(days=31))


@pytest.mark.parametrize("days", [-31, 21, 31, 4000])
def test_at_any_other_time_it_does_not(root, between, leaf, days):
    with pytest.raises(InvalidWebhook, match="does not prove"):
        verify(root, leaf, between, now=NOW + timedelta(days=days))


def chains(root, between, leaf):
    stranger = Issued("Root", is_ca=True)  # of the same name as ours
    no_authority = Issued("No authority", root)
    return {
        "of another authority": (Issued(PAYPAL, stranger), stranger),
        "signed by itself": (Issued(PAYPAL),),
        "without what is in between": (leaf,),
        "by one who may not issue": (Issued(PAYPAL, no_authority), no_authority),
        "of another name": (Issued("api.paypal.com", between), between),
        "of a name that begins so": (Issued(f"{PAYPAL}.example.com", between), between),
        "of a name that ends so": (Issued(f"evil{PAYPAL}", between), between),
        "of the name in the subject alone": (Issued(PAYPAL, between, alt="example.com"), between),
        "the authority's own": (root,),
        "in the wrong order": (between, leaf),
        "with another key than RSA": (
            Issued(PAYPAL, between, key=ec.generate_private_key(ec.SECP256R1())),
            between,
        ),
        "with a short key": (
            Issued(PAYPAL, between, key=rsa.generate_private_key(65537, 1024)),
            between,
        ),
    }


def test_any_other_chain_does_not_hold(root, between, leaf):
    for what, chain in chains(root, between, leaf).items():
        with pytest.raises(InvalidWebhook):
            verify(root, *chain)
            pytest.fail(what)


@pytest.mark.parametrize("pem", [b"", b"<html>", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_what_is_no_certificate(root, pem):
    for roots in ([root.certificate], None):
        with pytest.raises(InvalidWebhook, match="does not prove"):
            verified_key(pem, roots=roots, subject=PAYPAL, now=NOW)


def test_the_chain_of_the_sandbox_leads_to_no_public_root():
    now, subject = datetime.now(UTC), "messageverificationcerts.sandbox.paypal.com"
    chain = signer().chain
    assert verified_key(chain, roots=None, subject=subject, now=now)
    with pytest.raises(InvalidWebhook, match="does not prove"):
        verified_key(chain, roots=trusted_roots(), subject=subject, now=now)
    with pytest.raises(InvalidWebhook, match="does not prove"):
        verified_key(chain, roots=None, subject=PAYPAL, now=now)


def test_the_public_roots_are_there():
    names = " ".join(root.subject.rfc4514_string() for root in trusted_roots())
    assert "DigiCert Global Root G2" in names
    assert len(trusted_roots()) > 50


# The address


def account(mode="test", base_url=TEST):
    return Account("main", mode, base_url, {})


@pytest.mark.parametrize(
    ("mode", "base_url", "url"),
    [
        ("live", LIVE, "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594"),
        ("live", LIVE, "https://api-m.paypal.com/v1/notifications/certs/CERT-1"),
        ("test", TEST, "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1"),
        ("test", TEST, "https://api-m.sandbox.paypal.com/v1/notifications/certs/CERT_1"),
        ("test", OWN, OWN + PATH + "CERT-1"),
        ("test", OWN + "/", OWN + PATH + "CERT-1"),
    ],
)
def test_an_address_of_the_processor(mode, base_url, url):
    check_address(url, account(mode, base_url))


@pytest.mark.parametrize(
    ("mode", "base_url", "url"),
    [
        ("live", LIVE, "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1"),
        ("test", TEST, "https://api.paypal.com/v1/notifications/certs/CERT-1"),
        ("live", OWN, OWN + PATH + "CERT-1"),
        ("live", LIVE, OWN + PATH + "CERT-1"),
        ("test", TEST, OWN + PATH + "CERT-1"),
        ("test", OWN, "http://127.0.0.1:8101/paypal/v1/notifications/certs/CERT-1"),
        ("test", OWN, "https://127.0.0.1:8100/paypal/v1/notifications/certs/CERT-1"),
        ("test", OWN, "http://localhost:8100/paypal/v1/notifications/certs/CERT-1"),
        ("test", OWN, "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1"),
        *(
            ("live", LIVE, url)
            for url in (
                "",
                "http://api.paypal.com/v1/notifications/certs/CERT-1",
                "https://api.paypal.com.evil.example.com/v1/notifications/certs/CERT-1",
                "https://api.paypal.com@evil.example.com/v1/notifications/certs/CERT-1",
                "https://evil.example.com/v1/notifications/certs/CERT-1",
                "https://evil.example.com#https://api.paypal.com/v1/notifications/certs/CERT-1",
                "https://www.paypal.com/v1/notifications/certs/CERT-1",
                "https://api.paypal.com:8443/v1/notifications/certs/CERT-1",
                "https://169.254.169.254/v1/notifications/certs/CERT-1",
                "https://api.paypal.com/v1/notifications/certs/",
                "https://api.paypal.com/v1/notifications/certs/../../elsewhere",
                "https://api.paypal.com/v1/notifications/certs/CERT-1/more",
                "https://api.paypal.com/v1/notifications/certs/CERT-1?a=b",
                "https://api.paypal.com/v1/notifications/certs/CERT-1#a",
                "https://api.paypal.com/v1/notifications/certs/CERT%2D1",
                "https://api.paypal.com/v1/notifications/certs/CERT-1\n",
                "https://api.paypal.com/v1/notifications/certs/CERT-1\r\nHost: evil.example.com",
                "https://api.paypal.com/v1/notifications/certs/" + "A" * 129,
                "file:///etc/passwd",
                "//api.paypal.com/v1/notifications/certs/CERT-1",
                "HTTPS://API.PAYPAL.COM/v1/notifications/certs/CERT-1",
            )
        ),
    ],
)
def test_any_other_address_is_never_asked(mode, base_url, url):
    with pytest.raises(InvalidWebhook, match=f"in mode {mode}"):
        check_address(url, account(mode, base_url))


# Fetching


class Fetcher:
    """Certificates of the sandbox, as a test account sees them."""

    def __init__(self, sandbox, *, seconds=10.0):
        self.sandbox = sandbox
        self.certificates = Certificates()
        self.account = account(base_url=f"{sandbox.url}/paypal")
        self.transport = Transport(total_seconds=seconds)

    def key(self, name="", now=None):
        url = self.account.base_url + (PATH + name if name else signer().cert_path)
        return self.certificates.key_at(url, self.account, self.transport, now or datetime.now(UTC))

    def fetches(self):
        return sum(request.call == "certificate" for request in self.sandbox.ledger.requests)

    def arm(self, what, **more):
        wish = {"dialect": "paypal", "call": "certificate", "what": what, "when": "after"}
        self.sandbox.arm(wish | more)


@pytest.fixture
def fetcher(sandbox):
    made = Fetcher(sandbox)
    yield made
    made.transport.close()


def test_a_certificate_is_fetched_once_and_kept_until_it_expires(fetcher):
    first = fetcher.key()
    assert fetcher.key() == first
    assert fetcher.fetches() == 1
    with pytest.raises(InvalidWebhook, match="does not prove"):
        fetcher.key(now=datetime.now(UTC) + timedelta(days=400))
    assert fetcher.fetches() == 2


def test_what_paypal_does_not_know_is_forged(fetcher):
    with pytest.raises(InvalidWebhook, match="does not know the certificate"):
        fetcher.key("CERT-made-up")


@pytest.mark.parametrize("what", ["500", "502_html", "429", "redirect", "truncated", "reset"])
def test_where_paypal_does_not_answer_nothing_is_proven(fetcher, what):
    fetcher.arm(what)
    with pytest.raises(OutcomeUnknown):
        fetcher.key()
    assert fetcher.fetches() == 1
    assert fetcher.key()


def test_a_huge_answer_is_not_read(fetcher):
    fetcher.arm("huge", megabytes=1)
    with pytest.raises(OutcomeUnknown, match="larger than 64000 bytes"):
        fetcher.key()


@pytest.mark.parametrize("what", ["malformed", "empty"])
def test_an_answer_that_is_no_certificate_proves_nothing(fetcher, what):
    fetcher.arm(what)
    with pytest.raises(InvalidWebhook, match="does not prove"):
        fetcher.key()


def test_forged_webhooks_make_few_fetches_and_keep_nobody_from_being_checked(fetcher):
    known = fetcher.key()
    for number in range(9):
        with pytest.raises(InvalidWebhook):
            fetcher.key(f"CERT-{number}")
    with pytest.raises(NotSent) as caught:
        fetcher.key("CERT-one-more")
    assert (caught.value.reason, caught.value.retry_after) == ("rate_limited", 60)
    assert fetcher.fetches() == 10
    assert fetcher.key() == known
