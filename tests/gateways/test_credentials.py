import pytest
from django.test import override_settings

from gateways import credentials
from gateways.errors import Misconfigured

SECRET = {"api_key": "sk_test_1234567890", "webhook_secret": "whsec_ünïcode"}


def test_what_goes_in_comes_out():
    assert credentials.decrypt(credentials.encrypt(SECRET)) == SECRET


def test_nothing_is_stored_in_clear():
    token = credentials.encrypt(SECRET)
    assert token.isascii()
    for name, value in SECRET.items():
        assert name not in token
        assert value not in token


def test_the_same_credentials_never_look_the_same():
    assert credentials.encrypt(SECRET) != credentials.encrypt(SECRET)


def test_no_token_means_no_credentials():
    assert credentials.decrypt("") == {}


def test_the_first_key_encrypts_and_every_key_decrypts():
    with override_settings(CREDENTIALS_KEYS=["the old key"]):
        old = credentials.encrypt(SECRET)
    with override_settings(CREDENTIALS_KEYS=["the new key", "the old key"]):
        assert credentials.decrypt(old) == SECRET
        new = credentials.encrypt(SECRET)
    with override_settings(CREDENTIALS_KEYS=["the new key"]):
        assert credentials.decrypt(new) == SECRET
        with pytest.raises(Misconfigured, match="CREDENTIALS_KEYS"):
            credentials.decrypt(old)


def test_a_token_that_somebody_changed_is_refused():
    token = credentials.encrypt(SECRET)
    for broken in (token[:-4] + "AAAA", token[:-1], token[1:], "not a token"):
        with pytest.raises(Misconfigured):
            credentials.decrypt(broken)


def test_a_fingerprint_tells_whether_credentials_are_the_same_and_nothing_else():
    fingerprint = credentials.fingerprint(SECRET)
    assert fingerprint == credentials.fingerprint(dict(reversed(SECRET.items())))
    assert fingerprint != credentials.fingerprint(SECRET | {"api_key": "sk_test_other"})
    assert len(fingerprint) == 16
    with override_settings(SECRET_KEY="another installation"):
        assert fingerprint != credentials.fingerprint(SECRET)
