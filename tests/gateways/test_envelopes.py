"""Secrets of any kind: sealed for what they are about."""

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from gateways.envelopes import is_sealed, key_id_of, key_ids, rewrap, seal, unseal
from gateways.errors import Misconfigured

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(text=TEXTS, about=TEXTS, other=TEXTS)
def test_what_is_sealed_opens_for_what_it_is_about_alone(text, about, other):
    sealed = seal(text, about)
    assert is_sealed(sealed)
    assert sealed.isascii()
    assert unseal(sealed, about) == text
    assert unseal(rewrap(sealed, about), about) == text
    if other != about:
        with pytest.raises(Misconfigured):
            unseal(sealed, other)


def test_it_says_which_key_it_hangs_on():
    with override_settings(CREDENTIALS_KEYS=["old"]):
        sealed = seal("secret", "totp of 7")
        [old] = key_ids()
        assert key_id_of(sealed) == old
    with override_settings(CREDENTIALS_KEYS=["new", "old"]):
        assert key_ids()[1] == old
        assert key_id_of(rewrap(sealed, "totp of 7")) == key_ids()[0] != old


def test_what_does_not_open_is_not_wrapped_anew():
    with pytest.raises(Misconfigured, match="belongs to another row"):
        rewrap(seal("secret", "totp of 7"), "totp of 8")
