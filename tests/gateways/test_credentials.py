"""Credentials at rest: for one account alone, under any of our keys, also as they once were."""

import base64
import hashlib
import json

import pytest
from cryptography.fernet import Fernet
from django.test import override_settings

from gateways import credentials
from gateways.envelopes import is_sealed, key_ids
from gateways.errors import Misconfigured
from gateways.models import ProcessorAccount

SECRET = {"api_key": "sk_test_1234567890", "webhook_secret": "whsec_ünïcode"}


def make(slug="stripe-main", processor="stripe", mode="test", **fields):
    return ProcessorAccount(slug=slug, processor=processor, mode=mode, **fields)


@pytest.fixture
def account():
    made = make()
    made.set_credentials(SECRET)
    return made


def old_token(key):
    """How versions before the envelopes stored them."""
    fernet = Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()))
    return fernet.encrypt(json.dumps(SECRET).encode()).decode()


def test_what_goes_in_comes_out(account):
    assert credentials.credentials_of(account) == SECRET
    assert is_sealed(account.encrypted_credentials)
    assert credentials.key_id_of(account) == key_ids()[0]
    assert credentials.hangs_on_first_key(account)


def test_nothing_is_stored_in_clear(account):
    stored = account.encrypted_credentials
    assert stored.isascii()
    for name, value in SECRET.items():
        assert name not in stored
        assert value not in stored


def test_the_same_credentials_never_look_the_same(account):
    assert credentials.encrypt(SECRET, account) != account.encrypted_credentials


def test_an_account_without_any_has_none():
    assert credentials.credentials_of(make()) == {}
    assert credentials.hangs_on_first_key(make())


@pytest.mark.parametrize(
    "other", [{"slug": "stripe-two"}, {"mode": "live"}, {"processor": "nmi"}], ids=str
)
def test_a_row_copied_onto_another_account_does_not_open(account, other):
    copy = make(**other, encrypted_credentials=account.encrypted_credentials)
    with pytest.raises(Misconfigured, match="belongs to another row"):
        credentials.credentials_of(copy)
    with pytest.raises(Misconfigured, match="belongs to another row"):
        credentials.renewed(copy)


def test_the_first_key_encrypts_and_every_key_decrypts(account):
    with override_settings(CREDENTIALS_KEYS=["the old key"]):
        account.set_credentials(SECRET)
    with override_settings(CREDENTIALS_KEYS=["the new key", "the old key"]):
        assert credentials.credentials_of(account) == SECRET
        assert not credentials.hangs_on_first_key(account)
        account.encrypted_credentials = credentials.renewed(account)
        assert credentials.hangs_on_first_key(account)
    with override_settings(CREDENTIALS_KEYS=["the new key"]):
        assert credentials.credentials_of(account) == SECRET
    with (
        override_settings(CREDENTIALS_KEYS=["the old key"]),
        pytest.raises(Misconfigured, match=r"hangs on key [0-9a-f]{8}, which is not in"),
    ):
        credentials.credentials_of(account)


def test_rewrapping_leaves_the_content_and_a_new_data_key_does_not(account):
    *_rest, content = account.encrypted_credentials.split(".")
    assert credentials.renewed(account).endswith(f".{content}")
    assert not credentials.renewed(account, new_data_key=True).endswith(f".{content}")


def test_a_token_of_an_earlier_version_opens_and_is_sealed():
    with override_settings(CREDENTIALS_KEYS=["the new key", "the old key"]):
        account = make(encrypted_credentials=old_token("the old key"))
        assert credentials.credentials_of(account) == SECRET
        assert credentials.key_id_of(account) == credentials.UNSEALED
        assert not credentials.hangs_on_first_key(account)
        account.encrypted_credentials = credentials.renewed(account)
    with override_settings(CREDENTIALS_KEYS=["the new key"]):
        assert credentials.credentials_of(account) == SECRET
        account.encrypted_credentials = old_token("the old key")
        with pytest.raises(Misconfigured, match="CREDENTIALS_KEYS"):
            credentials.credentials_of(account)


def test_what_somebody_changed_is_refused(account):
    sealed = account.encrypted_credentials
    version, key_id, wrapped, content = sealed.split(".")
    for broken in (
        sealed[:-4] + "AAAA",
        sealed[:-1],
        sealed[1:],
        f"{version}.{key_id}.{content}.{wrapped}",
        f"{version}.{key_id}.{wrapped}.",
        f"{version}.{key_id}.{wrapped}.ÿ",
        f"{version}.{key_id}.AAAA.{content}",
        f"{version}.{key_id}.{wrapped}",
        f"{sealed}.",
        "not a token",
        "ÿ",
    ):
        account.encrypted_credentials = broken
        with pytest.raises(Misconfigured):
            credentials.credentials_of(account)


def test_nothing_of_them_shows_in_what_is_printed(account):
    for shown in (repr(account), str(account), str(vars(account))):
        assert not any(value in shown for value in SECRET.values())


def test_a_fingerprint_tells_whether_credentials_are_the_same_and_nothing_else():
    fingerprint = credentials.fingerprint(SECRET)
    assert fingerprint == credentials.fingerprint(dict(reversed(SECRET.items())))
    assert fingerprint != credentials.fingerprint(SECRET | {"api_key": "sk_test_other"})
    assert len(fingerprint) == 16
    with override_settings(SECRET_KEY="another installation"):
        assert fingerprint != credentials.fingerprint(SECRET)
